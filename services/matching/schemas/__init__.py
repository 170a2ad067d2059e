"""The HTTP shapes of matching. Every text and number is bounded, so that what passes here fits its column."""

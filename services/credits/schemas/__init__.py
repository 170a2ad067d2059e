"""The HTTP shapes of the credits service: bounded, and turned into the domain's facts."""

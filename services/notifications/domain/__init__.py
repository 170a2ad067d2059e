"""What notifications decides: who is told what, when a try is repeated, which webhook is trusted with what."""

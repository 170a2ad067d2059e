"""`metis demo`: a whole campaign, played through the public API by its different people."""

"""`metis round`: an allocation round from the question to the release, for the town's people."""

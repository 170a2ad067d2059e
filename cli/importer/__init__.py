"""`metis import`: the files of a town's officer, into the platform, through its public API."""

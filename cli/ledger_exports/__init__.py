"""What comes out of the ledger, as files (`metis ledger ...`), through the public API alone."""

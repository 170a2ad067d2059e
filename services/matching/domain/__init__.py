"""What matching decides: pure functions over frozen values."""

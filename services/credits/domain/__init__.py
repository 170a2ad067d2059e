"""What the credit scheme decides: pure, in whole minutes and whole cents."""

"""What an officer decides at the command line: grants, and what waits for a second person."""

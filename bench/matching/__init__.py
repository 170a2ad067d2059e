"""What matching's figures are made with."""

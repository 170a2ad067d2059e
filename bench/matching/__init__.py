"""What matching is measured with: `python -m bench.matching COMMAND`."""

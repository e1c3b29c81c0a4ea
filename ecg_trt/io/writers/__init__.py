"""Files that records are written to."""

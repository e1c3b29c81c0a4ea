"""Files that show pages."""

"""Where the page lies in a photo, and what it says: rows, names, scales."""

"""Location of the page in a photo, and its reading: rows, names, scales."""

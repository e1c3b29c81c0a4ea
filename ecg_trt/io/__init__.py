"""Input and output: one reader a kind of file, one writer a format."""

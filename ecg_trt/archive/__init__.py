"""Archives: many photos in, the files of each page and a table of results out; a run that ends early is resumed."""

"""Training samples: signals, pages, photographs and the truth of each stage."""

"""Pure functions on arrays: homographies, the paper's grid, heatmaps and ridges."""

"""Pure functions on arrays: homographies, the paper's lattice, ridges and signals."""

"""A simulator of hearts: anatomies, activation, action potentials and the ECG that electrodes would record of them."""

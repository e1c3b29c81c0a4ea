"""What runs a network: one contract, several implementations, opened through `select`."""

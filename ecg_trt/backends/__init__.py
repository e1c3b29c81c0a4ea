"""Backends, which run a network: one contract, several implementations, opened through `select`."""

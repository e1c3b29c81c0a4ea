"""From a network to plans, and from kernels to cubins."""

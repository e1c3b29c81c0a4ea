"""CUDA in one package: the driver, memory, streams, graphs and kernels. Importing it needs no GPU."""

"""The only room that talks CUDA: the driver, memory, streams, graphs and kernels. Importing it needs no GPU."""

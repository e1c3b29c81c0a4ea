"""Plans on disk: what each was built for, and where they live. Nothing here loads TensorRT."""

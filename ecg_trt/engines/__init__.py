"""Plans on disk: their identity, their store and their checks. Nothing here loads TensorRT."""

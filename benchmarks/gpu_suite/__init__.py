"""All checks and measurements on a GPU, in one run: `python -m benchmarks.gpu_suite run`, see docs/gpu.md."""

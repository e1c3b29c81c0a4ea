"""Everything that a GPU can be asked, in one run: `python -m benchmarks.gpu_suite run`, see docs/gpu.md."""

"""Speed of each backend, with its accuracy beside it; `benchmarks/throughput.py` is its entry point."""

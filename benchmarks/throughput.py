"""Measure speed and accuracy of every backend: `python benchmarks/throughput.py [--backends trt,torch-eager,ort]`.

The modules are in `benchmarks/throughput_suite/`: a folder of this script's own name would hide it from imports, and
type checkers take two modules of one name for a mistake. `python -m benchmarks.throughput_suite.report FILE` makes the
table and the plot of a result.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.throughput_suite.run import main

if __name__ == "__main__":
    main()

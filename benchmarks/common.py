"""What every benchmark says about where it ran, and how it writes its results."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent / "results"


def machine() -> dict[str, object]:
    """The machine and the versions that a figure depends on."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        cpu = names[0] if names else cpu
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    packages = {name: version(name) for name in ("numpy", "onnxruntime", "opencv-python-headless")}
    command = " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    return {"cpu": cpu, "cores": cores, "python": platform.python_version(), "system": platform.system(),
            "date": time.strftime("%Y-%m-%d"), "command": command, **packages}  # fmt: skip


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, interquartile range and 99th percentile."""
    low, median, high, top = np.percentile(np.asarray(values, float), [25, 50, 75, 99])
    return {"median": round(float(median), 2), "iqr": round(float(high - low), 2), "p99": round(float(top), 2)}


def write_results(name: str, content: Mapping[str, object], path: Path | None = None) -> Path:
    """Writes `results/<name>.json` with the machine's description."""
    path = path or RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"benchmark": name, "machine": machine(), **content}, indent=1) + "\n")
    return path

"""What every benchmark says about where it ran, and how it writes its results."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("numpy", "onnxruntime", "opencv-python-headless")
_IF_PRESENT = ("onnxruntime-gpu", "tensorrt", "tensorrt-rtx", "torch", "cuda-core", "cuda-bindings")


def machine() -> dict[str, object]:
    """The machine and the versions that a figure depends on."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        cpu = names[0] if names else cpu
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    packages = {name: _version(name) or "not installed" for name in _PACKAGES}
    packages |= {name: found for name in _IF_PRESENT if (found := _version(name))}
    command = " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    return {"cpu": cpu, "cores": cores, "python": platform.python_version(), "system": platform.system(),
            "date": time.strftime("%Y-%m-%d"), "command": command, **packages, **_gpu()}  # fmt: skip


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _gpu() -> dict[str, object]:
    """The first GPU and its driver; empty where there is none."""
    from ecg_trt.cuda.device import probe

    info = probe()
    if isinstance(info, str):
        return {}
    found = Path("/proc/driver/nvidia/version")
    line = re.search(r"\b\d{3,}\.\d+(\.\d+)?", found.read_text()) if found.exists() else None
    cuda = "CUDA {}.{}".format(*info.driver_version)
    return {"gpu": info.name, "capability": info.compute_capability, "gpu_memory_mib": info.memory_bytes >> 20,
            "driver": f"{line.group()}, {cuda}" if line else cuda}  # fmt: skip


def spread(values: Sequence[float], digits: int = 2) -> dict[str, float]:
    """Median, interquartile range and 99th percentile."""
    low, median, high, top = np.percentile(np.asarray(values, float), [25, 50, 75, 99])
    figures = {"median": median, "iqr": high - low, "p99": top}
    return {name: round(float(value), digits) for name, value in figures.items()}


def write_results(name: str, content: Mapping[str, object], path: Path | None = None) -> Path:
    """Writes `results/<name>.json` with the machine's description."""
    path = path or RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"benchmark": name, "machine": machine(), **content}, indent=1) + "\n")
    return path

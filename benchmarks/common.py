"""Description of the machine, and results that every benchmark writes in one form."""

from __future__ import annotations

import json
import math
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"  # what is committed
NEW_RESULTS = ROOT / "runs" / "benchmarks"  # what a run writes by default; git ignores it
_PACKAGES = ("numpy", "onnxruntime", "opencv-python-headless")
_IF_PRESENT = ("onnxruntime-gpu", "tensorrt", "tensorrt-rtx", "torch", "cuda-core", "cuda-bindings")
_HASH_DIGITS = 12


def machine() -> dict[str, object]:
    """Describe the machine, the package and the versions that a figure depends on."""
    from ecg_trt import __version__

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    packages = {name: package_version(name) or "not installed" for name in _PACKAGES}
    packages |= {name: found for name in _IF_PRESENT if (found := package_version(name))}
    return {"cpu": _cpu(), "cores": cores, "python": platform.python_version(), "system": platform.system(),
            "date": time.strftime("%Y-%m-%d"), "command": _command(), "commit": commit(), "version": __version__,
            "weights": weights(), **packages, **_gpu()}  # fmt: skip


def package_version(package: str) -> str | None:
    """Version of an installed package, None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def commit() -> str:
    """Hash of the commit that is checked out, "+" behind it where tracked files differ; "" outside a repository."""
    head = _git("rev-parse", "--short=12", "HEAD")
    return head + ("+" if head and _git("status", "--porcelain", "--untracked-files=no") else "")


def weights() -> dict[str, str]:
    """Beginning of each network's SHA-256."""
    from ecg_trt.weights import list_weights

    return {name: digest[:_HASH_DIGITS] for name, digest in list_weights().items()}


def machine_name(described: Mapping[str, object]) -> str:
    """Name for files: the GPU, or the CPU and its cores."""
    words = described.get("gpu") or f"{described['cpu']} {described['cores']} cores"
    words = re.sub(r"\((R|TM)\)|\bprocessor\b|\bCPU\b|@", " ", str(words), flags=re.IGNORECASE)
    return re.sub(r"[^a-z0-9.]+", "-", words.lower()).strip("-")


def _git(*words: str) -> str:
    try:
        run = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return run.stdout.strip() if run.returncode == 0 else ""


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _command() -> str:
    """Command line as one would type it in a clone; of an absolute path only the last part."""
    script = Path(sys.argv[0])
    is_package = script.name == "__main__.py"
    start = ["python", *(["-m", f"benchmarks.{script.parent.name}"] if is_package else [f"benchmarks/{script.name}"])]
    return " ".join([*start, *(Path(word).name if word.startswith("/") else word for word in sys.argv[1:])])


def _gpu() -> dict[str, object]:
    """Describe the first GPU and its driver; empty where there is none."""
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


def results_path(name: str, described: Mapping[str, object]) -> Path:
    """Default place of a benchmark's results: one file a machine, where git does not track it."""
    return NEW_RESULTS / f"{name}--{machine_name(described)}.json"


def write_results(name: str, content: Mapping[str, object], path: Path | None = None) -> Path:
    """Write a benchmark's results with the machine's description, whole or not at all.

    Args:
        name: of the benchmark.
        content: its figures.
        path: by default `results_path`, so that no committed result is overwritten unless its path is given.
    """
    described = machine()
    path = path or results_path(name, described)
    write_json(path, {"benchmark": name, "machine": described, **content})
    return path


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write a JSON file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(part, path)


def lacks(where: str, content: Mapping[str, Any], kinds: Mapping[str, Any]) -> list[str]:
    """List the keys of a part of a result that are missing or of another kind."""
    return [f"{where}: {key} is {type(content.get(key)).__name__}" for key, kind in kinds.items()
            if not isinstance(content.get(key), kind)]  # fmt: skip


def not_finite(value: object, where: str) -> list[str]:
    """List the numbers in nested values that are infinite or none."""
    if isinstance(value, Mapping):
        return [p for key, part in value.items() for p in not_finite(part, f"{where}.{key}")]
    if isinstance(value, list):
        return [p for k, part in enumerate(value) for p in not_finite(part, f"{where}[{k}]")]
    return [f"{where} is {value}"] if isinstance(value, float) and not math.isfinite(value) else []

"""Photos a second of several processes that share a GPU, as the host bounds a single one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.common import ROOT, write_json
from benchmarks.gpu_suite.record import PartRecord, Unavailable
from benchmarks.gpu_suite.settings import Settings
from benchmarks.throughput_suite import gpu
from benchmarks.throughput_suite.baselines import BASELINES, digitize_many

_READY_LIMIT_S = 75.0
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_LOG_CHARACTERS = 300


def processes(name: str, record: PartRecord, settings: Settings) -> None:
    """Measure a backend with some numbers of processes."""
    if reason := gpu.why_no_gpu():
        raise Unavailable(reason)
    settings.load_reference()
    for count in settings.processes:
        if record.step(str(count), _several, name, count, settings) is None:
            break  # more processes would fail as well


def _several(name: str, count: int, settings: Settings) -> dict[str, Any]:
    """Open a backend in each process, wait for all of them, and let them digitize at the same time."""
    folder = settings.folder / f"processes-{name}-{count}"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    running = [_start(name, folder, number, settings) for number in range(count)]
    until = time.monotonic() + _READY_LIMIT_S
    while len(list(folder.glob("*.ready"))) < count and time.monotonic() < until:
        if any(process.poll() not in (None, 0) for process in running):
            break
        time.sleep(0.05)
    (folder / "go").touch()
    for process in running:
        process.wait()
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    if len(found) < count:
        words = next((log.read_text(errors="replace") for log in folder.glob("*.log") if log.stat().st_size), "")
        raise RuntimeError(f"{len(found)} of {count} processes ended well: {words[-_LOG_CHARACTERS:]}")
    rates = [row["photos"] / row["seconds"] for row in found]
    return {"photos_per_s": round(sum(rates), 2), "each": [round(rate, 2) for rate in rates]}


def _start(name: str, folder: Path, number: int, settings: Settings) -> subprocess.Popen[bytes]:
    """Start a worker; it stays in this part's group of processes, which is ended as a whole."""
    command = [sys.executable, "-m", "benchmarks.gpu_suite", "worker", name, str(folder), str(number),
               "--work", str(settings.folder), "--seconds", str(settings.seconds)]  # fmt: skip
    command += ["--fake"] if settings.is_fake else []
    with (folder / f"{number}.log").open("wb") as log:
        return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env={**os.environ, **_ONE_THREAD})


def work(name: str, folder: Path, number: int, settings: Settings) -> None:
    """Work as one of the processes: open the backend, report it, wait for the start, digitize for some seconds."""
    photos, _ = settings.load_reference()
    with BASELINES[name].enter(False) as entry:
        for _ in digitize_many([photo.file for photo in photos], entry.digitizer):
            pass
        (folder / f"{number}.ready").touch()
        until = time.monotonic() + _READY_LIMIT_S
        while not (folder / "go").exists() and time.monotonic() < until:
            time.sleep(0.01)
        began = time.perf_counter()

        def files() -> Iterator[bytes]:
            k = number  # each begins with another photo
            while k == number or time.perf_counter() < began + settings.seconds:
                yield photos[k % len(photos)].file
                k += 1

        done = sum(1 for _ in digitize_many(files(), entry.digitizer))
        write_json(folder / f"{number}.json", {"photos": done, "seconds": time.perf_counter() - began})

"""Profile of the host's functions, and energy of a photo."""

from __future__ import annotations

import cProfile
import importlib
import pstats
import time
from pathlib import Path
from typing import Any

from benchmarks.gpu_suite.record import PartRecord, Unavailable
from benchmarks.gpu_suite.settings import Settings
from benchmarks.throughput_suite import gpu
from benchmarks.throughput_suite.baselines import BASELINES, digitize_many

_PROFILED_PHOTOS = 2  # the profiler makes a photo several times as slow
_ROWS = 40
_IDLE_S = 1.0


def profile(name: str, record: PartRecord, settings: Settings) -> None:
    """Time the digitizer's own stages on some photos, then profile the host's functions on one after the other."""
    if reason := gpu.why_no_gpu():
        raise Unavailable(reason)
    photos, _ = settings.load_reference()
    with BASELINES[name].enter(False) as entry:
        entry.digitizer(photos[0].file)
        for photo in photos[:_PROFILED_PHOTOS]:
            record.step(("stages_ms", photo.name), lambda file: dict(entry.digitizer(file).timings_ms), photo.file)
        profiler = cProfile.Profile()
        for photo in photos[:_PROFILED_PHOTOS]:
            profiler.enable()
            entry.digitizer(photo.file)
            profiler.disable()
            record.step("functions", rows_of, profiler)


def rows_of(profiler: cProfile.Profile) -> list[dict[str, Any]]:
    """Functions with the most time of their own: name, calls, own and cumulated milliseconds."""
    stats: Any = pstats.Stats(profiler)
    rows = [
        {"function": f"{Path(file).name}:{line} {name}", "calls": calls, "own_ms": round(1e3 * own, 2),
         "cumulated_ms": round(1e3 * cumulated, 2)}
        for (file, line, name), (calls, _, own, cumulated, _) in stats.stats.items()
    ]  # fmt: skip
    return sorted(rows, key=lambda row: -row["own_ms"])[:_ROWS]


def energy(name: str, record: PartRecord, settings: Settings) -> None:
    """Measure photos a joule of the GPU while photos follow one another, and its power at rest."""
    try:
        pynvml: Any = importlib.import_module("pynvml")
    except ImportError:
        raise Unavailable("pynvml is not installed: pip install nvidia-ml-py") from None
    if reason := gpu.why_no_gpu():
        raise Unavailable(reason)
    photos, _ = settings.load_reference()
    pynvml.nvmlInit()
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)

        def joules() -> float:
            return 1e-3 * pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)

        with BASELINES[name].enter(False) as entry:
            for _ in digitize_many([photo.file for photo in photos], entry.digitizer):
                pass
            before = joules()
            time.sleep(_IDLE_S)
            record.add(rest_w=round((joules() - before) / _IDLE_S, 1))
            before, began, done = joules(), time.perf_counter(), 0
            while time.perf_counter() < began + settings.seconds:
                done += sum(1 for _ in digitize_many([photo.file for photo in photos], entry.digitizer))
            spent, took = joules() - before, time.perf_counter() - began
        record.add(photos=done, joules=round(spent, 1), mean_w=round(spent / took, 1))
        record.add(photos_per_joule=round(done / spent, 4) if spent else None)
    finally:
        pynvml.nvmlShutdown()

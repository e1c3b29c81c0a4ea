"""Measurements of one baseline: its networks alone, one photo after the other, many photos, and memory."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from benchmarks.common import spread
from benchmarks.throughput_suite.baselines import Baseline, Entry, digitize_many
from benchmarks.throughput_suite.gpu import Gpu, why_no_gpu
from benchmarks.throughput_suite.torch_backend import unavailable
from benchmarks.throughput_suite.workload import SamplePhoto
from build_engines.verify import draw_feed
from ecg_trt.errors import EcgTrtError
from ecg_trt.networks import READING_NETWORKS, NetworkSpec
from ecg_trt.record import EcgRecord

# Rounds before anything counts. A graph is captured in the second, and libraries choose their kernels in the first.
_WARM = {"cuda": 3, "cpu": 1}
_LEAST_RUNS, _MOST_RUNS, _LEAST_ROUNDS = 5, 500, 2
_DIGITS = 4

Answers = list[EcgRecord | None]


def measure(
    baseline: Baseline,
    photos: Sequence[SamplePhoto],
    seconds: float,
    specs: Mapping[str, NetworkSpec] = READING_NETWORKS,
) -> tuple[dict[str, Any], Answers]:
    """Measure a baseline in every way.

    Args:
        baseline: who.
        photos: the photos.
        seconds: for which photos go through, one after the other and again as many as it can; and for all networks.
        specs: the shapes on which networks are measured.

    Returns:
        What goes into the JSON, and the answer to each photo, None where it was rejected.

    Raises:
        EcgTrtError: the baseline is not available here, or failed.
    """
    with ExitStack() as stack:
        gpu = None
        if baseline.device == "cuda":
            if reason := why_no_gpu():
                raise unavailable(baseline.name, reason)
            gpu = stack.enter_context(Gpu())
            before = gpu.used_bytes()
        warm = _WARM[baseline.device]
        with baseline.enter(True) as entry:
            result: dict[str, Any] = {"networks": networks(entry, specs, seconds, warm)}
            steps, answers = one_by_one(entry, photos, seconds, warm)
        result |= steps
        with baseline.enter(False) as entry:
            result |= sustained(entry, photos, seconds, warm)
            result["device_memory_mib"] = None if gpu is None else (gpu.used_bytes() - before) >> 20
    return result, answers


def networks(entry: Entry, specs: Mapping[str, NetworkSpec], seconds: float, warm: int) -> dict[str, dict[str, Any]]:
    """Run time of each network alone on its static shapes; copies are not counted.

    "run_ms" is None where the baseline's clock does not tell the network from the rest.
    """
    out: dict[str, dict[str, Any]] = {}
    for stage, spec in specs.items():
        feed, took = draw_feed(spec), list[float]()
        for _ in range(warm):
            entry.backends[stage].infer(feed)
        entry.take()
        end = time.perf_counter() + seconds / len(specs)
        runs = 0
        while runs < _LEAST_RUNS or (runs < _MOST_RUNS and time.perf_counter() < end):
            entry.backends[stage].infer(feed)
            took += [ms for step, ms in entry.take().items() if step == stage]
            runs += 1
        shapes = {name: list(shape) for name, shape in spec.shapes.items()}
        out[stage] = {"shapes": shapes, "run_ms": _spread(took) if took else None}
    return out


def one_by_one(
    entry: Entry, photos: Sequence[SamplePhoto], seconds: float, warm: int
) -> tuple[dict[str, Any], Answers]:
    """Time of each step of a photo, from its file's bytes to its record; and the last answers.

    "steps_ms" are the clock's steps, "decode", and "host": the photo's wall time less all of these. "stages_ms" are
    what the digitizer itself says that each part took, by the host's clock. Rejected photos are not counted.
    """
    rows: list[dict[str, float]] = []
    stages: dict[str, list[float]] = {}
    end = 0.0
    rounds = -warm
    while rounds < _LEAST_ROUNDS or time.perf_counter() < end:
        if rounds == 0:
            end = time.perf_counter() + seconds
        answers: Answers = []
        for photo in photos:
            row, record = _one(entry, photo)
            answers.append(record)
            if record is not None and rounds >= 0:
                rows.append(row)
                for stage, ms in record.timings_ms.items():
                    stages.setdefault(stage, []).append(ms)
        rounds += 1
    steps = dict.fromkeys(step for row in rows for step in row)
    return {
        "steps_ms": {step: _spread([row.get(step, 0.0) for row in rows]) for step in steps},
        "stages_ms": {stage: _spread(values) for stage, values in stages.items()},
    }, answers


def _one(entry: Entry, photo: SamplePhoto) -> tuple[dict[str, float], EcgRecord | None]:
    entry.take()
    start = time.perf_counter()
    try:
        record = entry.digitizer(photo.file)
    except EcgTrtError:
        return {}, None
    wall = 1e3 * (time.perf_counter() - start)
    row = {"decode": float(record.timings_ms.get("decode", 0.0)), **entry.take()}
    return {**row, "host": max(0.0, wall - sum(row.values())), "photo": wall}, record


def sustained(entry: Entry, photos: Sequence[SamplePhoto], seconds: float, warm: int) -> dict[str, Any]:
    """Photos a second through `digitize_many`, all photos over and over, the latency of the first included."""
    for _ in digitize_many([photo.file for photo in photos] * warm, entry.digitizer):
        pass
    start = time.perf_counter()

    def files() -> Iterator[bytes]:
        k = 0
        while k == 0 or time.perf_counter() < start + seconds:
            yield photos[k % len(photos)].file
            k += 1

    answers = list(map(type, digitize_many(files(), entry.digitizer)))
    took = time.perf_counter() - start
    return {"photos_per_s": round(len(answers) / took, 3), "photos_done": len(answers),
            "photos_rejected": sum(issubclass(kind, EcgTrtError) for kind in answers)}  # fmt: skip


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {**spread(values, _DIGITS), "n": len(values)}

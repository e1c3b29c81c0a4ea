"""The parts of the suite in the order in which they run, with the most seconds of each."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gpu_suite import checks, driver, environment, networks, pipeline, processes, profiles
from benchmarks.gpu_suite.record import PartRecord
from benchmarks.gpu_suite.settings import Settings

Work = Callable[[PartRecord, Settings], None]
_BACKENDS = ("rtx", "trt", "torch-gpu", "torch-eager-fp16")
_OWN = _BACKENDS[:3]  # those whose pixel work is the package's


@dataclass(frozen=True, slots=True)
class Part:
    """One part.

    Attributes:
        name: as --parts has it.
        work: what it does.
        limit_s: after which it is ended.
    """

    name: str
    work: Work
    limit_s: float


def _of_each(kind: str, work: Callable[[str, PartRecord, Settings], None], limit_s: float, *names: str) -> list[Part]:
    return [Part(f"{kind}-{name}", functools.partial(work, name), limit_s) for name in names]


_ALL = (
    Part("environment", environment.environment, 60),
    Part("driver", driver.driver_calls, 60),
    Part("reference", pipeline.reference, 240),
    Part("rates", networks.rates, 40),
    Part("networks_tensorrt", networks.tensorrt, 60),
    Part("networks_torch", networks.by_torch, 85),
    *_of_each("pipeline", pipeline.pipeline, 90, *_BACKENDS),
    Part("kernel_tests", checks.kernel_tests, 120),
    *_of_each("processes", processes.processes, 120, *_BACKENDS),
    Part("decoder", pipeline.decode_photos, 30),
    *_of_each("profile", profiles.profile, 40, *_OWN),
    *_of_each("energy", profiles.energy, 30, *_OWN),
    Part("memcheck", functools.partial(checks.sanitizer, "memcheck"), 60),
    Part("racecheck", functools.partial(checks.sanitizer, "racecheck"), 60),
    Part("networks_compiled", networks.compiled, 90),
)
PARTS = {part.name: part for part in _ALL}


def run_part(name: str, path: Path, settings: Settings) -> bool:
    """Run one part in this process; False if it failed."""
    record = PartRecord(path)
    return record.run(lambda: PARTS[name].work(record, settings))

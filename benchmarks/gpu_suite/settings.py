"""Settings that all parts of a run share."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gpu_suite.record import Unavailable
from benchmarks.throughput_suite.measure import Answers
from benchmarks.throughput_suite.workload import SamplePhoto

_REFERENCE = "reference.pickle"


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a run.

    Attributes:
        folder: for files that parts leave for one another.
        seconds: for each measurement that goes on for a while.
        processes: numbers of processes that share the GPU.
        is_fake: whether the tests' fakes stand for driver, kernels and TensorRT.
    """

    folder: Path
    seconds: float = 5.0
    processes: tuple[int, ...] = (1, 4, 12)
    is_fake: bool = False

    def save_reference(self, photos: list[SamplePhoto], answers: Answers) -> None:
        """Keep the photos and the answers of the CPU for the parts that follow."""
        (self.folder / _REFERENCE).write_bytes(pickle.dumps((photos, answers)))

    def load_reference(self) -> tuple[list[SamplePhoto], Answers]:
        """Load the photos and answers of the part `reference`.

        Raises:
            Unavailable: it has not run.
        """
        path = self.folder / _REFERENCE
        if not path.exists():
            raise Unavailable("the part `reference` must run first")
        photos: Any
        photos, answers = pickle.loads(path.read_bytes())
        return photos, answers

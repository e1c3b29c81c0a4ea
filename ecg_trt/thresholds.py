"""Thresholds of rejection for pages, strips and columns, searched on a validation set by `train/thresholds.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ecg_trt.weights import FOLDER, load_json, restoring

FILE, _CONTENT = "thresholds.json", "The thresholds of rejection"


@dataclass(frozen=True, slots=True)
class PageThresholds:
    """Thresholds of a page's non-ECG score, 0..1.

    Attributes:
        upper: a page beyond it is rejected.
        lower: a page beyond it is answered with a warning.
    """

    upper: float
    lower: float


@dataclass(frozen=True, slots=True)
class RunThresholds:
    """Thresholds by which runs are kept of a response along a line, 0..1.

    Hysteresis as in Canny, A Computational Approach to Edge Detection, 1986, and a least length.

    Attributes:
        upper: response that a run must exceed somewhere.
        lower: response beyond which it extends.
        least_mm: least length of a run, mm.
    """

    upper: float
    lower: float
    least_mm: float


@dataclass(frozen=True, slots=True)
class Thresholds:
    """All thresholds that belong to one set of networks.

    Attributes:
        page: of the non-ECG score.
        strip: of the heatmap of zero lines, along a row.
        column: of the confidence of a trace, along its strip.
    """

    page: PageThresholds
    strip: RunThresholds
    column: RunThresholds


def from_dict(values: Mapping[str, Mapping[str, float]]) -> Thresholds:
    """Restore thresholds from the values of `dataclasses.asdict`; other entries do not count.

    Raises:
        WeightsError: one is missing, is no number, or a lower one exceeds its upper one.
    """
    expected = "0 <= lower <= upper <= 1 for page, strip and column, and least_mm for the last two"
    with restoring(_CONTENT, expected, "search them anew with `python -m train.thresholds`"):
        found = Thresholds(
            PageThresholds(**values["page"]), RunThresholds(**values["strip"]), RunThresholds(**values["column"])
        )
        for part in (found.page, found.strip, found.column):
            if not 0 <= part.lower <= part.upper <= 1:
                raise ValueError(f"{part}")
    return found


@lru_cache(maxsize=4)
def load_thresholds(path: Path = FOLDER / FILE) -> Thresholds:
    """Load the thresholds of the package, or others.

    Raises:
        WeightsError: the file is missing or cannot be used.
    """
    return from_dict(load_json(path, _CONTENT))

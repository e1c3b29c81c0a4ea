"""Whole-number samples of a record, and its gaps, for formats that store integers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ecg_trt.errors import OutputError
from ecg_trt.types import Array

INT16_MISSING = -32768
"""Mark of a sample that does not exist, in formats that have one; it is no value of a sample in any."""
UV_PER_MV = 1000.0
_INT16_UNITS_PER_MV = (UV_PER_MV, 500.0, 200.0, 100.0, 50.0, 20.0, 10.0, 5.0, 2.0, 1.0)


class Gap(NamedTuple):
    """Samples of a lead that are not printed, or were not seen: start <= k < stop."""

    lead: int
    start: int
    stop: int


def int16_units_per_mv(signal_mv: Array, path: Path, format: str) -> float:
    """Choose the finest unit in which a signal fits into 16 bits: 1 uV up to 32.7 mV.

    Args:
        signal_mv: (leads, n) mV, NaN where there is nothing.
        path: of the file, for the message.
        format: likewise, as a user calls it.

    Returns:
        Units a millivolt.

    Raises:
        OutputError: the signal exceeds 32.767 V.
    """
    peak = float(np.max(np.abs(signal_mv), where=np.isfinite(signal_mv), initial=0.0))
    for units in _INT16_UNITS_PER_MV:
        if peak * units <= 32767:
            return units
    raise OutputError(
        f"{path} cannot be written as {format}",
        got=f"a peak of {peak:.4g} mV",
        expected="at most 32767 mV",
        hint="This is no ECG; write CSV instead.",
    )


def as_integers(signal_mv: Array, units_per_mv: float, missing: int) -> Array:
    """Round millivolts to whole units.

    Args:
        signal_mv: (leads, n) mV.
        units_per_mv: such as `UV_PER_MV`.
        missing: stands for what is not finite.

    Returns:
        (leads, n) int64.
    """
    valid = np.isfinite(signal_mv)
    samples = np.rint(np.where(valid, signal_mv, 0.0).astype(np.float64) * units_per_mv).astype(np.int64)
    return np.where(valid, samples, missing)


def gaps(signal_mv: Array) -> Iterator[Gap]:
    """List the gaps of each lead, in ascending order; (leads, n) mV, NaN in the gaps."""
    for lead, row in enumerate(signal_mv):
        missing = np.concatenate([[False], ~np.isfinite(row), [False]])
        edges = np.flatnonzero(missing[1:] != missing[:-1]).tolist()
        for start, stop in zip(edges[::2], edges[1::2], strict=True):
            yield Gap(lead, start, stop)

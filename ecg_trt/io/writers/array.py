"""Arrays as models take them: leads by samples, at a rate of their own, as .npz or .npy.

The source of a model's input is written as ``12x5000@500``: leads, samples, samples a second.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecg_trt.errors import OptionError, OutputError
from ecg_trt.io.atomic import atomic_path
from ecg_trt.io.writers.json import record_as_dict
from ecg_trt.layout import LEAD_WORDS, LEADS
from ecg_trt.printed import spelled_lead
from ecg_trt.types import Array

if TYPE_CHECKING:
    from ecg_trt.record import EcgRecord

LEAD_SETS: dict[int, tuple[str, ...]] = {12: LEADS, 8: ("I", "II", *LEADS[6:])}
"""Leads of an array by their number: the twelve, or the eight of which the others are linear combinations."""
MISSING = ("nan", "zero", "repeat")
"""Policies for what is not printed or seen: NaN, 0, or the longest stretch of the lead without a gap, repeated."""
_ARRAY = re.compile(r"(?P<leads>[^@]+)x(?P<samples>\d+)@(?P<fs>\d+(\.\d+)?)")
_EXAMPLES = "such as 12x5000@500, 12x2500@250, 8x5000@500 or II,V1,V5x5000@500"
_LEAST_FS, _MOST_FS, _MOST_SAMPLES = 1.0, 10_000.0, 10_000_000
_LARGEST_FACTOR = 10_000  # Of a ratio of two rates; the error of the ratio is below 1e-8.


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """Shape and rate of an array.

    Attributes:
        leads: names, in the order of the rows; those of the record if None.
        samples: of each row; those of the record at the array's rate if None.
        fs: samples a second; the record's if None.
        missing: one of `MISSING`.

    Raises:
        OptionError: no leads, no samples, no such rate or no such policy.
    """

    leads: tuple[str, ...] | None = None
    samples: int | None = None
    fs: float | None = None
    missing: str = "nan"

    def __post_init__(self) -> None:
        """Check the values."""
        if self.missing not in MISSING:
            raise OptionError("Unknown option missing", got=repr(self.missing), expected=f"one of {', '.join(MISSING)}",
                              hint="Choose one of these.")  # fmt: skip
        fits = (self.samples is None or 0 < self.samples <= _MOST_SAMPLES) and (
            self.fs is None or _LEAST_FS <= self.fs <= _MOST_FS
        )
        if not fits or (self.leads is not None and not all(self.leads)):
            raise OptionError("There is no such array", got=f"leads {self.leads}, {self.samples} samples at {self.fs}",
                              expected=f"names of leads, 1 to {_MOST_SAMPLES} samples, and a rate of {_LEAST_FS:g} to "
                              f"{_MOST_FS:g} Hz",
                              hint=f"Choose an array {_EXAMPLES}.")  # fmt: skip


def leads_of(leads: int | Sequence[str]) -> tuple[str, ...]:
    """List the leads of an array.

    Args:
        leads: a key of `LEAD_SETS`, or names; in a string, with commas.

    Raises:
        OptionError: there is no such key.
    """
    if not isinstance(leads, int):
        names = [name.strip() for name in (leads.split(",") if isinstance(leads, str) else leads)]
        return tuple(spelled_lead(name) or name for name in names)
    if leads not in LEAD_SETS:
        raise OptionError(
            "There is no such number of leads",
            got=str(leads),
            expected=" or ".join(map(str, LEAD_SETS)),
            hint="Name other leads, such as II,V1,V5.",
        )
    return LEAD_SETS[leads]


def array_spec(array: str = "", missing: str = "nan") -> ArraySpec:
    """Parse the options of the formats npz and npy.

    Args:
        array: leads x samples @ rate, such as ``12x5000@500``; leads as a number or as names with commas. Empty for
            the leads, samples and rate of the record.
        missing: one of `MISSING`.

    Raises:
        OptionError: they cannot be understood.
    """
    if not array:
        return ArraySpec(missing=missing)
    found = _ARRAY.fullmatch(array)
    if found is None:
        raise OptionError(
            "Unknown array",
            got=repr(array),
            expected=f"leads x samples @ rate, {_EXAMPLES}",
            hint="Write it like that.",
        )
    leads = found["leads"]
    names = leads_of(int(leads) if leads.isdecimal() else leads)
    return ArraySpec(names, int(found["samples"]), float(found["fs"]), missing)


def record_as_array(record: EcgRecord, spec: ArraySpec) -> Array:
    """Convert a record to an array for a model.

    Leads are resampled by a polyphase low-pass filter (`scipy.signal.resample_poly`), for which gaps are bridged by
    straight lines; a sample between two of which one is missing is missing. Then the array is cut, or extended by
    missing samples, at its end. A lead that the record does not have, or that shows nothing, is NaN, or 0 where gaps
    are filled.

    Args:
        record: what to convert.
        spec: leads, samples, rate, and what stands for what is missing.

    Returns:
        (leads, samples) float32 mV.

    Raises:
        OptionError: a name is not that of a lead.
        OutputError: the record has none of the leads.
    """
    names = record.lead_names if spec.leads is None else spec.leads
    rows = {lead: row for lead, row in zip(record.lead_names, record.signal_mv, strict=True) if lead in names}
    unknown = [name for name in names if name not in record.lead_names and name not in LEAD_WORDS]
    if unknown:
        raise OptionError(
            "There is no such lead",
            got=", ".join(unknown),
            expected=f"leads of the record ({', '.join(record.lead_names)}) or others by their standard names",
            hint="Check the spelling.",
        )
    if not rows:
        raise OutputError(
            "The record cannot be made an array",
            got=f"the leads {', '.join(record.lead_names)}",
            expected=f"at least one of {', '.join(names)}",
            hint="Name the leads of the record.",
        )
    fs = record.fs if spec.fs is None else spec.fs
    resampled = {lead: _resample(row, record.fs, fs) for lead, row in rows.items()}
    n_samples = len(next(iter(resampled.values()))) if spec.samples is None else spec.samples
    array = np.full((len(names), n_samples), np.nan, np.float32)
    for row, lead in zip(array, names, strict=True):
        shown = resampled.get(lead, np.empty(0))[:n_samples]
        row[: len(shown)] = shown
        if spec.missing == "repeat":
            _repeat(row)
    return array if spec.missing == "nan" else np.nan_to_num(array, nan=0.0, copy=False)


def write_npz(record: EcgRecord, path: str | Path, array: str = "", missing: str = "nan") -> Path:
    """Write ``signal_mv``, ``lead_names``, ``fs``, and ``record``: all but the samples, as bytes of JSON.

    Args:
        record: what to write.
        path: the file, replaced if it is there.
        array: see `array_spec`.
        missing: likewise.

    Returns:
        The path.

    Raises:
        OptionError: the options cannot be understood.
        OutputError: it could not be written, or the record has none of the leads.
    """
    path, spec = Path(path), array_spec(array, missing)
    signal_mv = record_as_array(record, spec)
    text = json.dumps(record_as_dict(record, names_files=False), ensure_ascii=True, allow_nan=False)
    names = np.array(record.lead_names if spec.leads is None else spec.leads)
    fs = np.array(record.fs if spec.fs is None else spec.fs)
    with atomic_path(path) as temporary, temporary.open("wb") as file:  # A path would get the suffix .npz.
        np.savez(file, signal_mv=signal_mv, lead_names=names, fs=fs, record=np.array(text.encode("ascii")))
    return path


def write_npy(record: EcgRecord, path: str | Path, array: str = "", missing: str = "nan") -> Path:
    """Write the array alone; arguments and errors are those of `write_npz`."""
    path = Path(path)
    signal_mv = record_as_array(record, array_spec(array, missing))
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, signal_mv, allow_pickle=False)
    return path


def _resample(row: Array, fs: float, new_fs: float) -> Array:
    """Resample (n,) mV with gaps; sample 0 keeps its time."""
    from scipy.signal import resample_poly

    valid = np.isfinite(row)
    if new_fs == fs:
        return np.where(valid, row, np.nan)
    ratio = (Fraction(new_fs) / Fraction(fs)).limit_denominator(_LARGEST_FACTOR)
    n = -(-len(row) * ratio.numerator // ratio.denominator)
    if not valid.any():
        return np.full(n, np.nan)
    bridged = np.interp(np.arange(len(row)), np.flatnonzero(valid), row[valid])
    resampled = resample_poly(bridged, ratio.numerator, ratio.denominator, padtype="line")
    position = np.arange(n) * ratio.denominator / ratio.numerator
    before, after = (np.minimum(f(position).astype(int), len(row) - 1) for f in (np.floor, np.ceil))
    return np.where(valid[before] & valid[after], resampled, np.nan)


def _repeat(row: Array) -> None:
    """Fill the gaps of (n,) mV, in place, by repetitions of its longest stretch without a gap, where it stands."""
    valid = np.isfinite(row)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], valid, [False]])))
    if not edges.size:
        return
    start, stop = max(zip(edges[::2], edges[1::2], strict=True), key=lambda stretch: stretch[1] - stretch[0])
    missing = np.flatnonzero(~valid)
    row[missing] = row[start + (missing - start) % (stop - start)]

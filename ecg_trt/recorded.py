"""Record of a signal that a file holds itself, so that nothing is digitized."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ecg_trt.errors import NotAnImageError
from ecg_trt.io.readers.photo import read_recording
from ecg_trt.io.readers.record_files import SIGNAL_READERS, read_signal
from ecg_trt.layout import LEADS, STANDARD_GAIN_MM_PER_MV, STANDARD_SPEED_MM_PER_S, STRIPS
from ecg_trt.record import EcgRecord
from ecg_trt.signal.resample import resample
from ecg_trt.types import Array, LeadSpan, PageWarning, RecordedLead, Recording, WarningCode

_TEXT = (
    "The file holds the signal itself, which was taken as it is: nothing was digitized from a picture. Quality 1 means "
    "that this is the signal of the file, and says nothing of how well it was recorded."
)
_DERIVED = " According to the file it was computed from another signal, or from a picture."


def recorded_in(source: object, fs: float) -> EcgRecord | None:
    """Make the record of a file that holds the signal itself; None for a picture. See `io.readers.photo`.

    Args:
        source: what `read_recording` takes.
        fs: samples a second of the record.

    Raises:
        InputError: as `read_recording` does.
    """
    recording = read_recording(source)
    return None if recording is None else record_of(recording, fs)


def is_record_file(path: str | os.PathLike[str]) -> bool:
    """Recognise a file that holds a record as a signal (CSV, WFDB, EDF), by its suffix."""
    return Path(path).suffix.lower() in SIGNAL_READERS


def record_in_file(path: str | os.PathLike[str]) -> EcgRecord:
    """Make the record of a file that `is_record_file`.

    Layout, scales and the quality of each lead are those of the JSON beside it, if this package wrote one.

    Raises:
        InputError: as `read_signal` does, or that JSON cannot be used.
    """
    recording = read_signal(path)
    record = record_of(recording, max(lead.fs for lead in recording.leads))
    written = _written_beside(Path(path))
    if written is None:
        return record
    try:
        return _as_written(record, written)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NotAnImageError(
            f"What {path} says of its digitizing cannot be read", got=f"{type(error).__name__}: {error} in the .json "
            "beside it", expected="the JSON of this version", hint="Digitize the photo anew, or move the .json away.",
        ) from error  # fmt: skip


def _written_beside(path: Path) -> Mapping[str, Any] | None:
    """Load the JSON that `io.writers.json` wrote beside a file; None where there is none."""
    try:
        content = json.loads(path.with_suffix(".json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    keys = {"notice", "leads", "quality", "layout", "spans"}
    return content if isinstance(content, dict) and keys <= content.keys() else None


def _as_written(record: EcgRecord, written: Mapping[str, Any]) -> EcgRecord:
    """Give a record back what its JSON says of how it was digitized."""

    def of_leads(values: Mapping[str, float | None]) -> Array:
        return np.array([values.get(lead) for lead in record.lead_names], np.float32)  # None becomes NaN.

    gain, chest_gain = float(written["gain_mm_per_mv"]), float(written["chest_gain_mm_per_mv"])
    return replace(
        record,
        layout=str(written["layout"]),
        layout_probability=float(written["layout_probability"]),
        quality=of_leads(written["quality"]),
        snr_db=of_leads(written["expected_snr_db"]),
        paper_speed_mm_per_s=float(written["paper_speed_mm_per_s"]),
        gain_mm_per_mv=gain,
        chest_gain_mm_per_mv=None if chest_gain == gain else chest_gain,
        spans=tuple(LeadSpan(**span) for span in written["spans"]),
        assumed=tuple(written["assumed"]),
        warnings=tuple(PageWarning(WarningCode(w["code"]), w["text"]) for w in written["warnings"]),
    )


def record_of(recording: Recording, fs: float) -> EcgRecord:
    """Make the record of a recording.

    Args:
        recording: leads, each with its own rate and beginning. Of two of one name the longer counts.
        fs: samples a second of the record.

    Returns:
        A record that begins with the earliest lead: the twelve leads first, in their order. It has no layout, and the
        standard scales, at which plots show it.
    """
    longest: dict[str, RecordedLead] = {}
    for lead in sorted(recording.leads, key=lambda lead: lead.start_s - lead.end_s):
        longest.setdefault(lead.name, lead)
    names = (*(name for name in LEADS if name in longest),
             *dict.fromkeys(lead.name for lead in recording.leads if lead.name not in LEADS))  # fmt: skip
    leads = [longest[name] for name in names]
    start_s = min(lead.start_s for lead in leads)
    n = round((max(lead.end_s for lead in leads) - start_s) * fs)
    text = _TEXT + _DERIVED * recording.is_derived
    return EcgRecord(
        signal_mv=np.stack([_resampled(lead, start_s, fs, n) for lead in leads]).astype(np.float32),
        fs=fs,
        lead_names=names,
        layout=STRIPS,
        paper_speed_mm_per_s=STANDARD_SPEED_MM_PER_S,
        gain_mm_per_mv=STANDARD_GAIN_MM_PER_MV,
        quality=np.ones(len(leads), np.float32),
        snr_db=np.full(len(leads), np.inf, np.float32),
        warnings=(PageWarning(WarningCode.NOT_DIGITIZED, text),),
        source=recording.source,
        spans=tuple(
            LeadSpan(lead.name, row, lead.start_s - start_s, lead.end_s - start_s) for row, lead in enumerate(leads)
        ),
    )


def _resampled(lead: RecordedLead, start_s: float, fs: float, n: int) -> Array:
    """Samples (n,) mV of a lead on the record's clock; those of its own clock are left as they are."""
    samples = lead.samples_mv
    if lead.fs == fs and lead.start_s == start_s:
        return np.pad(samples, (0, n - len(samples)), constant_values=np.nan)
    times = lead.start_s - start_s + np.arange(len(samples)) / lead.fs
    return resample(samples, times, fs, n)

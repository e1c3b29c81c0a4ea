"""Records that files hold as signals: CSV, WFDB and EDF.

A new format is one function here and one entry in `SIGNAL_READERS`. Unlike pictures they are known by their suffix, as
a CSV has no mark of its own, and WFDB lies in several files.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ecg_trt.errors import EcgTrtError, NotAnImageError, PhotoNotFoundError, install_hint
from ecg_trt.printed import spelled_lead
from ecg_trt.types import Array, RecordedLead, Recording

_MV = {"nV": 1e-6, **dict.fromkeys(("uV", "\u00b5V", "\u03bcV"), 1e-3), "mV": 1.0, "V": 1e3}
_LEAST_FS, _MOST_FS = 20.0, 20_000.0
_TIME = "time_s"


def read_signal(path: str | os.PathLike[str]) -> Recording:
    """Read a file that holds a signal.

    Args:
        path: its suffix decides on the format.

    Raises:
        PhotoNotFoundError: there is no such file, or no right to read it.
        NotAnImageError: it is damaged, holds no ECG lead, or what its format needs is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise PhotoNotFoundError(f"{path} cannot be read", got="no such file", expected="a file with a record",
                                 hint="Check the path.")  # fmt: skip
    try:
        leads = SIGNAL_READERS[path.suffix.lower()](path)
    except EcgTrtError:
        raise
    except Exception as error:  # The libraries raise many kinds for damaged files.
        raise _unreadable(path, f"{type(error).__name__}: {error}", "a sound file") from error
    if not leads:
        raise _unreadable(path, "no lead in volts", "at least one")
    return Recording(tuple(leads), str(path))


def _csv(path: Path) -> list[RecordedLead]:
    """Read ``time_s`` and a column a lead, mV, blank where there is nothing."""
    with path.open(newline="", encoding="utf-8-sig") as file:  # Spreadsheets begin a file with a mark.
        rows = list(csv.reader(file))
    head = rows[0] if rows else []
    if len(head) < 2 or head[0] != _TIME:
        got = f"the columns {', '.join(head)[:80]}" if head else "an empty file"
        raise _unreadable(path, got, f"the columns {_TIME}, then one a lead in mV")
    if len(rows) < 3:
        raise _unreadable(path, f"{len(rows) - 1} samples", "2 at least")
    table = np.array([[float(cell or "nan") for cell in row] for row in rows[1:]])
    time, n = table[:, 0], len(table)
    if not time[-1] > time[0]:
        raise _unreadable(path, f"{_TIME} from {time[0]:g} to {time[-1]:g}", f"{_TIME} that rises")
    fs = _checked(path, (n - 1) / (time[-1] - time[0]))
    if np.abs(np.diff(time) * fs - 1).max() > 0.1:
        raise _unreadable(path, "times at unequal distances", f"{_TIME} at equal ones")
    return [
        RecordedLead(_lead_name(name), column, fs, float(time[0]))
        for name, column in zip(head[1:], table[:, 1:].T, strict=True)
    ]


def _wfdb(path: Path) -> list[RecordedLead]:
    import wfdb

    record = wfdb.rdrecord(str(path.with_suffix("")))
    fs = _checked(path, float(record.fs))
    channels = zip(record.sig_name, record.units, np.asarray(record.p_signal, np.float64).T, strict=True)
    return _in_mv(path, [(name, unit, samples, fs) for name, unit, samples in channels])


def _edf(path: Path) -> list[RecordedLead]:
    try:
        from edfio import read_edf
    except ImportError as error:
        raise NotAnImageError(f"{path} cannot be read here", got="no package edfio", expected="the extra edf",
                              hint=install_hint("edf")) from error  # fmt: skip
    edf = read_edf(path)
    leads = _in_mv(path, [
        (signal.label, signal.physical_dimension, np.asarray(signal.data, np.float64), float(signal.sampling_frequency))
        for signal in edf.signals
    ])  # fmt: skip
    return _with_gaps(leads, [(note.onset, note.duration, note.text) for note in edf.annotations])


def _with_gaps(leads: Sequence[RecordedLead], notes: Sequence[tuple[float, float | None, str]]) -> list[RecordedLead]:
    """Put back the gaps that this package's EDF writer annotates, as EDF has no mark of a missing sample."""
    from ecg_trt.io.writers.notes import GAP_NOTE

    for onset, duration, text in notes:
        note, _, label = text.partition("@@")
        for lead in leads:
            if note == GAP_NOTE and _lead_name(label) == lead.name and duration is not None:
                lead.samples_mv[round(onset * lead.fs) : round((onset + duration) * lead.fs)] = np.nan
    return list(leads)


def _in_mv(path: Path, channels: Sequence[tuple[str, str, Array, float]]) -> list[RecordedLead]:
    """Convert channels (name, unit, samples, Hz) in volts to leads; others, such as respiration, are left out."""
    return [
        RecordedLead(_lead_name(name), samples * _MV[unit], _checked(path, fs), 0.0)
        for name, unit, samples, fs in channels
        if unit in _MV
    ]


def _lead_name(label: str) -> str:
    """Name a lead as this package does: ``ECG V1`` of EDF is V1."""
    name = label.strip().removeprefix("ECG ").strip()
    return spelled_lead(name) or name


def _checked(path: Path, fs: float) -> float:
    if not _LEAST_FS <= fs <= _MOST_FS:
        raise _unreadable(path, f"{fs:g} samples a second", f"{_LEAST_FS:g} to {_MOST_FS:g}")
    return round(fs, 3)


def _unreadable(path: Path, got: str, expected: str) -> NotAnImageError:
    return NotAnImageError(f"{path} is no record that can be read", got=got, expected=expected,
                           hint="Write it anew, or convert it to CSV: time_s and a column a lead in mV.")  # fmt: skip


SIGNAL_READERS: Mapping[str, Callable[[Path], list[RecordedLead]]] = {".csv": _csv, ".hea": _wfdb, ".edf": _edf}
"""Readers by the suffix of the file that is opened."""

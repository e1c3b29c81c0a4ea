"""WFDB, the format of PhysioNet: a text header and 16-bit samples."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecg_trt.errors import OptionError, OutputError
from ecg_trt.io.atomic import atomic_folder
from ecg_trt.io.writers.notes import settings_of
from ecg_trt.io.writers.samples import INT16_MISSING, as_integers, int16_units_per_mv
from ecg_trt.types import Array

if TYPE_CHECKING:
    from ecg_trt.record import EcgRecord

STARTS = ("page", "own")
"""Times at which signals begin: all at that of the page, or each at that of its lead."""
_HASH_DIGITS = 8  # Two of 10,000 names share these with a probability of 1 in 100.


def write_wfdb(record: EcgRecord, path: str | Path, starts: str = "page") -> Path:
    """Write ``<name>.hea`` and ``<name>.dat`` in format 16 and read them back.

    One unit is 1 uV (coarser only where a sample exceeds 32.7 mV); samples where the page prints nothing
    carry WFDB's mark of an invalid sample.

    Args:
        record: what to write.
        path: with or without ``.hea`` or ``.dat``; see `record_name` for what becomes of other letters than ASCII's.
        starts: one of `STARTS`. With "own" every signal begins where its lead does, and all are as long as the longest;
            the header's comments hold the beginnings.

    Returns:
        The header's path.

    Raises:
        OptionError: starts is another.
        OutputError: it could not be written, or reads back as something else.
    """
    import wfdb

    check_starts(starts)
    path = Path(path)
    name = record_name(path.name)
    comments = list(settings_of(record))
    if starts == "own":
        begins = _beginnings(record)
        comments += [f"start of {lead}: {k / record.fs:g} s" for lead, k in zip(record.lead_names, begins, strict=True)]
        record = replace(record, signal_mv=_without_beginnings(record.signal_mv, begins))
    units_per_mv = int16_units_per_mv(record.signal_mv, path, "WFDB")
    samples = as_integers(record.signal_mv, units_per_mv, INT16_MISSING)
    with atomic_folder(path.parent, [f"{name}.dat", f"{name}.hea"]) as scratch:
        wfdb.wrsamp(
            name,
            fs=record.fs,
            units=["mV"] * len(record.lead_names),
            sig_name=list(record.lead_names),
            d_signal=np.ascontiguousarray(samples.T),
            fmt=["16"] * len(record.lead_names),
            adc_gain=[units_per_mv] * len(record.lead_names),
            baseline=[0] * len(record.lead_names),
            comments=comments,
            write_dir=str(scratch),
        )
        _check(record, scratch / name, path, units_per_mv)
    return path.parent / f"{name}.hea"


def check_starts(starts: str = "page") -> None:
    """Check the option of the format.

    Raises:
        OptionError: it is none of `STARTS`.
    """
    if starts not in STARTS:
        raise OptionError(
            "Unknown option starts",
            got=repr(starts),
            expected=f"one of {', '.join(STARTS)}",
            hint="Choose one of these.",
        )


def _beginnings(record: EcgRecord) -> list[int]:
    """Find the first sample of each lead that is printed or seen; 0 if there is none."""
    begins: list[int] = np.argmax(np.isfinite(record.signal_mv), axis=1).tolist()
    for row, lead in enumerate(record.lead_names):
        printed = (max(0, round(span.start_s * record.fs)) for span in record.spans if span.lead == lead)
        begins[row] = min((begins[row], *printed))
    return begins


def _without_beginnings(signal_mv: Array, begins: Sequence[int]) -> Array:
    """Move the rows of (leads, n) mV to their beginnings, and cut what no lead fills at the end."""
    moved = np.full_like(signal_mv, np.nan)
    for row, source, k in zip(moved, signal_mv, begins, strict=True):
        row[: len(row) - k] = source[k:]
    shown = np.flatnonzero(np.isfinite(moved).any(axis=0))
    return moved[:, : shown[-1] + 1] if shown.size else moved


def record_name(name: str) -> str:
    """Make a name that WFDB accepts: ASCII letters, digits, ``_`` and ``-``, not empty.

    Other ASCII characters become ``_``. Accents are dropped, and so are letters of other scripts; the start
    of its hash is appended to a name that loses any of these.

    Args:
        name: of a file, with or without ``.hea`` or ``.dat``.
    """
    stem = unicodedata.normalize("NFC", re.sub(r"\.(hea|dat)$", "", name, flags=re.IGNORECASE))
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode("ascii")
    legal = re.sub(r"[^A-Za-z0-9_-]", "_", plain) or "record"
    if stem.isascii():
        return legal
    digest = hashlib.sha256(stem.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{legal}-{digest[:_HASH_DIGITS]}"


def stem_on_disk(stem: str) -> str:
    """See `Writer.stem_on_disk`."""
    return record_name(f"{stem}.hea")


def _check(record: EcgRecord, written: Path, path: Path, units_per_mv: float) -> None:
    """Read the files back and compare them with the record."""
    import wfdb

    back = wfdb.rdrecord(str(written))
    signal = np.asarray(back.p_signal).T
    same_nan = signal.shape == record.signal_mv.shape and np.array_equal(
        np.isfinite(signal), np.isfinite(record.signal_mv)
    )
    error_mv = float(np.nanmax(np.abs(signal - record.signal_mv), initial=0.0)) if same_nan else np.inf
    same_header = (
        tuple(back.sig_name) == record.lead_names
        and set(back.units) == {"mV"}
        and abs(back.fs - record.fs) <= 1e-6 * record.fs
    )
    # The error is at most half a unit and the rounding of float32 at 32 mV.
    if not same_header or error_mv > 0.5 / units_per_mv + 4e-6:
        raise OutputError(
            f"{path} did not survive writing",
            got=f"a WFDB record that differs by {error_mv:.4g} mV" if same_header else "another header",
            expected=f"the same leads within {0.5 / units_per_mv:g} mV",
            hint="Check the disk, and update the package wfdb (pip install -U wfdb).",
        )

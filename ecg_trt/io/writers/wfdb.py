"""WFDB, the format of PhysioNet: a text header and 16-bit samples."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecg_trt.errors import NOTICE, OutputError
from ecg_trt.io.atomic import atomic_folder
from ecg_trt.types import Array

if TYPE_CHECKING:
    from ecg_trt.record import EcgRecord

_INVALID = -32768  # Format 16's mark of a sample that does not exist.
_HASH_DIGITS = 8  # Two of 10,000 names share these with a probability of 1 in 100.
_UNITS_PER_MV = (1000.0, 500.0, 200.0, 100.0, 50.0, 20.0, 10.0, 5.0, 2.0, 1.0)


def write_wfdb(record: EcgRecord, path: str | Path) -> Path:
    """Write ``<name>.hea`` and ``<name>.dat`` in format 16 and read them back.

    One unit is 1 uV (coarser only where a sample exceeds 32.7 mV); samples where the page prints nothing
    carry WFDB's mark of an invalid sample.

    Args:
        record: what to write.
        path: with or without ``.hea`` or ``.dat``; see `record_name` for what becomes of other letters than ASCII's.

    Returns:
        The header's path.

    Raises:
        OutputError: it could not be written, or reads back as something else.
    """
    import wfdb

    path = Path(path)
    name = record_name(path.name)
    peak = float(np.max(np.abs(record.signal_mv), where=np.isfinite(record.signal_mv), initial=0.0))
    units_per_mv = next((units for units in _UNITS_PER_MV if peak * units <= 32767), None)
    if units_per_mv is None:
        raise OutputError(
            f"{path} cannot be written as WFDB",
            got=f"a peak of {peak:.4g} mV",
            expected="at most 32767 mV",
            hint="This is no ECG; write CSV instead.",
        )
    with atomic_folder(path.parent, [f"{name}.dat", f"{name}.hea"]) as scratch:
        wfdb.wrsamp(
            name,
            fs=record.fs,
            units=["mV"] * len(record.lead_names),
            sig_name=list(record.lead_names),
            d_signal=_digital(record.signal_mv, units_per_mv),
            fmt=["16"] * len(record.lead_names),
            adc_gain=[units_per_mv] * len(record.lead_names),
            baseline=[0] * len(record.lead_names),
            comments=_comments(record),
            write_dir=str(scratch),
        )
        _check(record, scratch / name, path, units_per_mv)
    return path.parent / f"{name}.hea"


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


def _digital(signal_mv: Array, units_per_mv: float) -> Array:
    """Convert millivolts to (n, leads) int64 samples of format 16."""
    valid = np.isfinite(signal_mv)
    samples = np.rint(np.where(valid, signal_mv, 0.0).astype(np.float64) * units_per_mv).astype(np.int64)
    return np.ascontiguousarray(np.where(valid, samples, _INVALID).T)


def _comments(record: EcgRecord) -> list[str]:
    """List the header lines that explain the record."""
    return [
        f"layout: {record.layout}",
        f"paper speed: {record.paper_speed_mm_per_s:g} mm/s",
        f"printed gain: {record.gain_text}",
        f"digitized from a photo by ecg_trt. {NOTICE}.",
    ]


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

"""Comma-separated values: time in seconds, leads in millivolts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecg_trt.io.atomic import atomic_path

if TYPE_CHECKING:
    from ecg_trt.record import EcgRecord


def write_csv(record: EcgRecord, path: str | Path) -> Path:
    """Write ``time_s,I,II,...`` with one row a sample.

    Time has 5 decimals, millivolts have 4 (0.1 uV, far below the resolution of a photo); a cell is blank where
    the page prints nothing.

    Args:
        record: what to write.
        path: the file, replaced if it is there.

    Returns:
        The path.

    Raises:
        OutputError: it could not be written.
    """
    path = Path(path)
    with atomic_path(path) as temporary:
        temporary.write_text(csv_text(record), encoding="ascii", newline="\n")
    return path


def csv_text(record: EcgRecord) -> str:
    """Format a record as the file's text."""
    n_leads, n = record.signal_mv.shape
    table = np.empty((n, 1 + n_leads))
    table[:, 0] = np.arange(n) / record.fs
    table[:, 1:] = record.signal_mv.T
    table[:, 1:].round(4, out=table[:, 1:])
    table += 0.0  # This turns -0.0 into 0.0.
    table[~np.isfinite(table)] = np.nan
    row = "%.5f" + ",%.4f" * n_leads + "\n"
    body = (row * n) % tuple(table.ravel().tolist())  # One call is far faster than savetxt.
    return ",".join(("time_s", *record.lead_names)) + "\n" + body.replace("nan", "")

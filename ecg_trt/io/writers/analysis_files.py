"""All files of an analysis."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ecg_trt.io.atomic import atomic_path
from ecg_trt.io.writers.analysis import (
    CSV_SUFFIX,
    JSON_SUFFIX,
    PICTURE_SUFFIX,
    write_analysis_csv,
    write_analysis_json,
)
from ecg_trt.io.writers.analysis_plot import analysis_png

if TYPE_CHECKING:
    from ecg_trt.analysis import Analysis


def write_analysis(analysis: Analysis, folder: Path, stem: str) -> list[Path]:
    """Write all files of an analysis: the figures as CSV, a picture, and the JSON last.

    Args:
        analysis: what to write.
        folder: where they go; it is there.
        stem: of their names.

    Returns:
        Their paths.

    Raises:
        OutputError: they could not be written, or matplotlib is not installed.
    """
    picture = folder / f"{stem}{PICTURE_SUFFIX}"
    data = analysis_png(analysis)
    with atomic_path(picture) as temporary:
        temporary.write_bytes(data)
    table = write_analysis_csv(analysis, folder / f"{stem}{CSV_SUFFIX}")
    return [table, picture, write_analysis_json(analysis, folder / f"{stem}{JSON_SUFFIX}")]

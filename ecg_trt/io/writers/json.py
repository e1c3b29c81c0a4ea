"""Everything about a record but its samples, as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecg_trt.errors import NOTICE
from ecg_trt.io.atomic import atomic_path
from ecg_trt.io.writers.notes import without_file_names

if TYPE_CHECKING:
    from ecg_trt.record import EcgRecord
    from ecg_trt.types import MergedPhoto


_DISTRIBUTIONS = {
    "numpy": ("numpy",),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "opencv": (
        "opencv-python-headless",
        "opencv-python",
        "opencv-contrib-python-headless",
        "opencv-contrib-python",
    ),
}


def write_json(record: EcgRecord, path: str | Path) -> Path:
    """Write settings, quality, warnings, timings and versions.

    The file is strictly valid JSON: what is not a number, such as the quality of a lead that is not printed,
    is null.

    Args:
        record: what to write.
        path: the file, replaced if it is there.

    Returns:
        The path.

    Raises:
        OutputError: it could not be written.
    """
    return write_plain(record_as_dict(record), path)


def write_plain(content: Mapping[str, Any], path: str | Path) -> Path:
    """Write plain dictionaries, lists, strings and finite numbers as a JSON file, replaced if it is there.

    Raises:
        OutputError: it could not be written.
    """
    path = Path(path)
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    with atomic_path(path) as temporary:
        # A file name that is not valid UTF-8 reaches us with surrogates; they are escaped and
        # not rejected.
        temporary.write_bytes((text + "\n").encode("utf-8", "backslashreplace"))
    return path


def record_as_dict(record: EcgRecord, *, names_files: bool = True) -> dict[str, Any]:
    """Convert a record to plain dictionaries, lists, strings and finite numbers.

    Args:
        record: what to convert.
        names_files: include the names of the photos, which may be those of patients.
    """
    record = record if names_files else without_file_names(record)
    n = record.signal_mv.shape[1]
    content = {
        "notice": NOTICE,
        **_source(record.source),
        "layout": record.layout,
        "layout_probability": record.layout_probability,
        "paper_speed_mm_per_s": record.paper_speed_mm_per_s,
        "gain_mm_per_mv": record.gain_mm_per_mv,
        "chest_gain_mm_per_mv": record.chest_gain_mm_per_mv or record.gain_mm_per_mv,
        "assumed": record.assumed,
        "corrected": record.corrected,
        "outline_px": record.outline_px,
        "px_per_mm": record.px_per_mm,
        "fs": record.fs,
        "samples": n,
        "duration_s": n / record.fs,
        "units": "mV",
        "leads": record.lead_names,
        "quality": dict(zip(record.lead_names, record.quality.tolist(), strict=True)),
        "mean_quality": record.mean_quality,
        "expected_snr_db": dict(zip(record.lead_names, record.snr_db.tolist(), strict=True)),
        "spans": [asdict(span) for span in record.spans],
        "limb_leads": [asdict(check) for check in record.limb_leads],
        "warnings": [{"code": str(w.code), "text": w.text} for w in record.warnings],
        "timings_ms": record.timings_ms,
        "backend": record.backend,
        "weights": record.weights,
        "versions": versions(),
    }
    if record.photos:
        content["photos"] = [_photo_as_dict(photo, record.lead_names) for photo in record.photos]
    return {key: plain(value) for key, value in content.items()}


def _source(name: str) -> dict[str, str]:
    """Name the photo without its folders, which may say more than its name; nothing where its name was dropped."""
    return {"source": Path(name).name} if name else {}


def _photo_as_dict(photo: MergedPhoto, leads: Sequence[str]) -> dict[str, Any]:
    """Convert a photo's part in a merged record; lags in ms."""
    weight, lag_ms = photo.weight.tolist(), (1e3 * photo.lag_s).tolist()
    return {
        **_source(photo.source),
        "weight": dict(zip(leads, weight, strict=True)),
        "lag_ms": dict(zip(leads, lag_ms, strict=True)),
        "left_out": photo.left_out,
    }


def versions() -> dict[str, str]:
    """List the versions of this package and of those that decide its numbers; "not installed" where one is missing."""
    from ecg_trt import __version__

    return {"ecg_trt": __version__} | {name: _installed(names) for name, names in _DISTRIBUTIONS.items()}


def _installed(distributions: tuple[str, ...]) -> str:
    """Find the version of the first distribution that is installed; OpenCV and ONNX Runtime have several names."""
    for name in distributions:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "not installed"


def plain(value: Any) -> Any:
    """Convert nested values to plain Python; floats are rounded to 4 decimals, and None if not finite."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return round(float(value), 4) if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value

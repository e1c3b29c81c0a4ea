"""The measured photos as encoded files, their truth where there is one, and the scores of answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ecg_trt.errors import OptionError
from ecg_trt.layout import LEADS
from ecg_trt.metrics import score_record
from ecg_trt.record import EcgRecord, in_order
from ecg_trt.types import Array

SEEDS = (6, 7, 9, 10)
WIDTH_PX = 3456  # 9 megapixels
SAME_DB = 120.0  # the SNR of signals that are the same, or nearly: JSON knows no infinity
_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
_JPEG_QUALITY = 92


@dataclass(frozen=True, slots=True)
class SamplePhoto:
    """One photo.

    Attributes:
        name: for people.
        file: its encoded bytes.
        truth: (12, n) mV, NaN where the page prints nothing; None where it is not known.
        fs: samples a second of the truth.
    """

    name: str
    file: bytes
    truth: Array | None = None
    fs: float = 500.0


def synthetic(seeds: Sequence[int] = SEEDS, width_px: int = WIDTH_PX) -> list[SamplePhoto]:
    """Plain 3x4+1 pages at 25 mm/s and 10 mm/mV as JPEG files, as in latency.py."""
    from ecg_trt.synth.sample import make_sample

    photos = []
    for seed in seeds:
        image, truth = make_sample(
            seed, width_px=width_px, layout="3x4+1", paper_speed_mm_per_s=25.0, gain_mm_per_mv=10.0
        )
        _, file = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        photos.append(SamplePhoto(f"synthetic, seed {seed}", file.tobytes(), truth.signal_mv, truth.fs))
    return photos


def from_folder(folder: Path) -> list[SamplePhoto]:
    """Read the photos of a folder, without truth.

    Raises:
        OptionError: there are none.
    """
    paths = sorted(p for p in folder.glob("*") if p.suffix.lower() in _SUFFIXES)
    if not paths:
        raise OptionError(
            "There is nothing to measure on", got=f"{folder} without a photo", expected=", ".join(_SUFFIXES),
            hint="Name a folder of photos, or leave --photos out.",
        )  # fmt: skip
    return [SamplePhoto(path.name, path.read_bytes()) for path in paths]


def snr_db(photos: Sequence[SamplePhoto], answers: Sequence[EcgRecord | None]) -> float | None:
    """Mean SNR against the truth, a rejected photo counting as 0 dB; None where no truth is known."""
    return _mean(
        0.0 if a is None else score_record(s.truth, s.fs, _twelve(a), a.fs).snr_db
        for s, a in zip(photos, answers, strict=True)
        if s.truth is not None
    )


def agreement_db(reference: Sequence[EcgRecord | None], answers: Sequence[EcgRecord | None]) -> float | None:
    """Mean SNR against other answers, dB.

    A photo that one of the two backends rejected counts as 0 dB; one that both rejected does not count.
    """
    pairs = [(a, b) for a, b in zip(reference, answers, strict=True) if a is not None or b is not None]
    return _mean(
        0.0 if a is None or b is None else score_record(_twelve(a), a.fs, _twelve(b), b.fs).snr_db for a, b in pairs
    )


def _twelve(answer: EcgRecord) -> Array:
    """(12, n) mV in the order of `LEADS`, NaN for leads that the answer lacks: a page may be read by other names."""
    return in_order(answer.signal_mv, answer.lead_names, LEADS)


def _mean(levels: Iterable[float]) -> float | None:
    """Average levels in dB, each at most `SAME_DB`."""
    capped = [min(level, SAME_DB) for level in levels]
    return round(float(np.mean(capped)), 2) if capped else None

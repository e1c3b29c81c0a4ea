"""Paper speed from the beats: on faster paper they lie farther apart and are broader."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ecg_trt.layout import PAPER_SPEEDS_MM_PER_S, STANDARD_SPEED_MM_PER_S
from ecg_trt.signal.beats import find_beats, steepness
from ecg_trt.types import Array, RectifiedPage, Strip, TraceMap
from ecg_trt.weights import FOLDER, load_json, restoring

FILE, _CONTENT = "beat_speed.json", "The model of beats"
FEATURES = ("distance", "breadth", "height_per_slope", "repolarisation")
"""Lengths, mm, all proportional to the paper speed, as `beat_lengths_mm` measures them."""

_RANGE = (1, 99)  # Percentiles of a curve's heights between which its range is measured.
_LEAST_BEATS = 3
_STEP_MM = 0.1  # Between two heights whose slope is measured, as on the pages that the model was fitted to.
_AROUND_MM = 5.0  # Window on either side of a beat in which its breadth is measured.
_REPOLARISATION = (0.15, 0.65)  # Where T is looked for behind a beat, as shares of the distance of two beats.
_LEAST_MM = 1e-3  # So that each length has a logarithm.
_BORDER_MM = 0.5  # Columns this near to the border of a lead are left out.


@dataclass(frozen=True, slots=True)
class BeatModel:
    """Mixture of normal distributions of log10 of `FEATURES` at 25 mm/s, by `python -m train.calibrate_beats`.

    At another speed all of them are longer by the same factor. A mixture has room for hearts with broad beats, which
    one normal distribution takes for fast paper. Fitted to 720 records of PTB-XL (CC BY 4.0); on others of them, as
    pages at 25 or 50 mm/s, the other speed is likelier on 1.5 %.

    Attributes:
        shares: (k,) of the components.
        means: (k, 4).
        covariances: (k, 4, 4).
    """

    shares: Array
    means: Array
    covariances: Array

    def log_density(self, features: Array) -> Array:
        """Logarithm (n,) of the density of features (n, 4), log10 mm at 25 mm/s."""
        away = features[:, None] - self.means
        squared = np.einsum("nki,kij,nkj->nk", away, np.linalg.inv(self.covariances), away)
        size = np.linalg.slogdet(2 * np.pi * self.covariances)[1]
        return np.asarray(np.logaddexp.reduce(np.log(self.shares) - (squared + size) / 2, axis=1))

    def speed_log_likelihoods(self, features: Array) -> Array:
        """Log-likelihood (speeds,) of `PAPER_SPEEDS_MM_PER_S` against 25 mm/s, given features (4,), log10 mm."""
        faster = np.log10(np.array(PAPER_SPEEDS_MM_PER_S) / STANDARD_SPEED_MM_PER_S)
        likely = self.log_density(features - faster[:, None])
        return np.asarray(likely - likely[PAPER_SPEEDS_MM_PER_S.index(STANDARD_SPEED_MM_PER_S)])


def model_from_dict(values: dict[str, Any]) -> BeatModel:
    """Restore a model from lists of numbers.

    Raises:
        WeightsError: an entry is missing, or of another shape.
    """
    expected = "shares (k,), means (k, 4) and covariances (k, 4, 4)"
    with restoring(_CONTENT, expected, "fit it anew with `python -m train.calibrate_beats`"):
        model = BeatModel(*(np.array(values[name], float) for name in ("shares", "means", "covariances")))
        k, n = len(model.shares), len(FEATURES)
        if (model.means.shape, model.covariances.shape) != ((k, n), (k, n, n)):
            raise ValueError(f"means {model.means.shape}, covariances {model.covariances.shape}")
    return model


@lru_cache(maxsize=4)
def load_beat_model(path: Path = FOLDER / FILE) -> BeatModel:
    """Load the model of the package, or another.

    Raises:
        WeightsError: the file is missing or cannot be used.
    """
    return model_from_dict(load_json(path, _CONTENT))


def heights_mm(page: RectifiedPage, strips: Sequence[Strip], trace: TraceMap) -> Array:
    """Heights (strips, W) of the pen above the zero line in every column of the page, mm, NaN near borders of leads."""
    x = page.x_mm(np.arange(trace.ridge_row.shape[1]))
    rows = []
    for strip, row in zip(strips, trace.ridge_row, strict=True):
        inside = np.zeros(len(x), bool)
        for segment in strip.segments:
            inside |= (x > segment.x_mm[0] + _BORDER_MM) & (x < segment.x_mm[1] - _BORDER_MM)
        rows.append(np.where(inside, strip.zero_y_mm - page.y_mm(row), np.nan))
    return np.array(rows).reshape(len(strips), -1)


def curve_height_mm(height: Array) -> float:
    """Median over the rows (rows, W), mm, of the range of their curves; 0 if nothing is seen."""
    seen = height[np.isfinite(height).any(1)]
    return float(np.median(np.diff(np.nanpercentile(seen, _RANGE, axis=1), axis=0))) if len(seen) else 0.0


def speed_log_likelihoods(height: Array, px_per_mm: float, model: BeatModel | None = None) -> Array:
    """Log-likelihood (speeds,) of the beats at each of `PAPER_SPEEDS_MM_PER_S`, 0 at 25 mm/s.

    Args:
        height: (rows, W) mm, rows that show one time, NaN where nothing is seen.
        px_per_mm: columns a mm.
        model: of beats, the package's own if None.

    Returns:
        Zeros where there are fewer than three beats.
    """
    lengths = beat_lengths_mm(height, px_per_mm)
    if lengths is None:
        return np.zeros(len(PAPER_SPEEDS_MM_PER_S))
    return (model or load_beat_model()).speed_log_likelihoods(np.log10(lengths))


def beat_lengths_mm(height: Array, px_per_mm: float) -> Array | None:
    """Measure `FEATURES` (4,), mm, on rows that show one time.

    These are the median distance of beats; the breadth that holds the middle 80 % of the energy of their slopes; RMS
    height over RMS slope, the median over the rows; and the distance from a beat to the middle of what follows it,
    which is mostly T.

    Args:
        height: (rows, W) mm, NaN where nothing is seen.
        px_per_mm: columns a mm.

    Returns:
        None where fewer than three beats are whole.
    """
    step = max(1, round(_STEP_MM * px_per_mm))
    count = height.shape[1] // step
    height, px_per_mm = height[:, : count * step].reshape(len(height), count, step).mean(2), px_per_mm / step
    beats = find_beats(height, px_per_mm * STANDARD_SPEED_MM_PER_S)
    around = round(_AROUND_MM * px_per_mm)
    whole = [k for k in beats if around <= k < height.shape[1] - around]
    if len(whole) < _LEAST_BEATS:
        return None
    steep = steepness(height)
    rest = float(np.nanmedian(steep))
    windows = np.stack([steep[k - around : k + around + 1] for k in whole])
    median_beat = np.median(np.where(np.isfinite(windows), windows, rest), axis=0)
    energy = np.maximum(median_beat**2 - rest**2, 0).cumsum()
    distance = float(np.median(np.diff(beats)))
    repolarisation = _repolarisation(height, whole, distance)
    if not energy[-1] > 0 or repolarisation is None:
        return None
    low, high = (np.interp(share, energy / energy[-1], np.arange(len(energy))) for share in (0.1, 0.9))
    ratios = [_height_per_slope(row) for row in height if np.isfinite(row).sum() > around]
    lengths = np.array([distance, high - low, np.median(ratios), repolarisation]) / px_per_mm
    return np.maximum(lengths, _LEAST_MM)


def _height_per_slope(row: Array) -> float:
    """RMS height over RMS slope, columns."""
    return float(np.nanstd(row)) / max(float(np.nanstd(np.gradient(row))), 1e-6)


def _repolarisation(height: Array, beats: Sequence[int], distance: float) -> float | None:
    """Distance from a beat to the middle of the energy of the median beat behind it, columns; None if none is seen."""
    first, end = (round(share * distance) for share in _REPOLARISATION)
    whole = [k for k in beats if k + end <= height.shape[1]]
    if not whole or end - first < 2:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of columns that no beat shows
        median = np.nanmedian(np.stack([height[:, k + first : k + end] for k in whole]), axis=0)
        energy = np.nansum((median - np.nanmedian(median, axis=1, keepdims=True)) ** 2, axis=0)
    return first + float(energy @ np.arange(len(energy)) / energy.sum()) if energy.sum() > 0 else None

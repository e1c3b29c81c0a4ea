"""Beats of a record, found on all leads together.

Leads of a page stand at different times. At each time those that are printed count, each in units of its own steepness,
so that a beat is found on whatever shows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ecg_trt.signal.beats import steepness
from ecg_trt.types import Array


@dataclass(frozen=True, slots=True)
class _Detector:
    """Settings of the detection, chosen on the first 5 minutes of the 48 records of MIT-BIH (`benchmarks/beats.py`).

    Attributes:
        smooth_s: standard deviation of the Gaussian by which a lead is smoothed before its slope is taken, s.
        scale_s: length of the stretch over which a lead's RMS slope is taken, s.
        window_s: length of the window over which steepness is averaged, s.
        refractory_s: least distance of two beats, s.
        block_s: the level of beats is the steepest of each such stretch, s, and the median of `blocks` of them.
        blocks: see `block_s`.
        least: least steepness of a beat, as a share of the level.
        least_missed: likewise, where an interval suggests that a beat was missed.
        missed: length of such an interval, in median intervals around it.
        missed_after_s: least distance of a missed beat from the one before, s.
        t_wave_s: for so long after a beat, s, a wave that is much less steep is its T wave.
        t_wave: steepness of such a wave at most, as a share of the beat's.
    """

    smooth_s: float = 0.010
    scale_s: float = 10.0
    window_s: float = 0.14
    refractory_s: float = 0.2
    block_s: float = 2.0
    blocks: int = 5
    least: float = 0.35
    least_missed: float = 0.2
    missed: float = 1.66
    missed_after_s: float = 0.36
    t_wave_s: float = 0.45
    t_wave: float = 0.6


_DETECTOR = _Detector()
_HEIGHTS = (0.2, 0.375, 0.425, 0.6, 0.75, 0.9)
_BEAT_SHARES = (0.4, 0.77, 0.95, 0.98, 0.997, 0.9995)
"""Of detections of each height, the share that are beats: stretches of 10 s of MIT-BIH (`benchmarks/beats.py`)."""
_NEIGHBOURS = 9  # Intervals among which the median is taken, where a beat may have been missed.


@dataclass(frozen=True, slots=True)
class Detections:
    """Places at which the leads are steepest together.

    Attributes:
        sample: (beats,) int64, ascending.
        height: (beats,) steepness as a share of that of the beats around.
    """

    sample: Array
    height: Array

    @property
    def confidence(self) -> Array:
        """Share (beats,) of detections of such heights that are beats."""
        return np.interp(self.height, _HEIGHTS, _BEAT_SHARES)


def detect_beats(signal_mv: Array, fs: float) -> Detections:
    """Find the beats of a record.

    Args:
        signal_mv: (leads, n) mV, NaN where nothing is printed, or seen.
        fs: samples a second.
    """
    steep = _steepness(signal_mv, fs)
    candidates, share = _candidates(steep, fs)
    kept = _without_t_waves(candidates, share, np.flatnonzero(share > _DETECTOR.least), fs)
    while len(missed := _missed(candidates, share, kept, fs)):
        kept = np.union1d(kept, missed)
    return Detections(candidates[kept], share[kept])


def _steepness(signal_mv: Array, fs: float) -> Array:
    """Mean steepness (n,) of the leads that are printed, smoothed over a QRS; 0 where none is."""
    from scipy.ndimage import convolve1d, gaussian_filter1d

    rows = [row for row in signal_mv if np.isfinite(row).any()]
    if not rows or signal_mv.shape[1] < 2:
        return np.zeros(signal_mv.shape[1])
    smooth = np.stack([
        np.where(np.isfinite(row), gaussian_filter1d(bridged(row), _DETECTOR.smooth_s * fs), np.nan) for row in rows
    ])  # fmt: skip
    bell = np.hanning(round(_DETECTOR.window_s * fs) // 2 * 2 + 3)
    steep = np.nan_to_num(steepness(smooth, round(_DETECTOR.scale_s * fs)))
    return np.asarray(convolve1d(steep, bell / bell.sum(), mode="constant"))  # Of a record shorter than the bell, too.


def bridged(row: Array) -> Array:
    """Bridge the gaps of a lead (n,) by straight lines, and hold its ends; it has at least one sample."""
    seen = np.flatnonzero(np.isfinite(row))
    return np.interp(np.arange(len(row)), seen, row[seen].astype(np.float64))


def _candidates(steep: Array, fs: float) -> tuple[Array, Array]:
    """Find the local maxima (k,) of a curve (n,), and their heights as shares of the level of beats around."""
    from scipy.ndimage import maximum_filter1d, median_filter

    reach = round(_DETECTOR.refractory_s * fs)
    at = np.flatnonzero((steep == maximum_filter1d(steep, 2 * reach + 1)) & (steep > 0))
    edges = np.linspace(0, len(steep), max(1, int(np.ceil(len(steep) / (_DETECTOR.block_s * fs)))) + 1).astype(int)
    highest = np.array([steep[a:b].max(initial=0) for a, b in pairwise(edges)])
    level = median_filter(highest, _DETECTOR.blocks, mode="nearest")
    return at, steep[at] / np.maximum(np.interp(at, (edges[:-1] + edges[1:]) / 2, level), 1e-9)


def _without_t_waves(candidates: Array, share: Array, chosen: Array, fs: float) -> Array:
    """Drop those of the chosen candidates (indices) that are T waves of the one before."""
    kept: list[int] = []
    for k in chosen.tolist():
        is_near = bool(kept) and candidates[k] - candidates[kept[-1]] < _DETECTOR.t_wave_s * fs
        if not (is_near and share[k] < _DETECTOR.t_wave * share[kept[-1]]):
            kept.append(k)
    return np.array(kept, np.int64)


def _missed(candidates: Array, share: Array, kept: Array, fs: float) -> Array:
    """Find the likeliest beat (indices) in each interval that is much longer than those around."""
    from scipy.ndimage import median_filter

    if len(kept) < 3:
        return np.empty(0, np.int64)
    at = candidates[kept]
    intervals = np.diff(at)
    found = []
    for k in np.flatnonzero(intervals > _DETECTOR.missed * median_filter(intervals, _NEIGHBOURS, mode="nearest")):
        inside = np.arange(kept[k] + 1, kept[k + 1])
        apart = (candidates[inside] > at[k] + _DETECTOR.missed_after_s * fs) & (
            candidates[inside] < at[k + 1] - _DETECTOR.refractory_s * fs
        )
        inside = inside[apart & (share[inside] > _DETECTOR.least_missed)]
        if len(inside):
            found.append(inside[share[inside].argmax()])
    return np.array(found, np.int64)

"""Beats, and delays between the rows that show them: leads that are printed side by side were recorded at one time.

Paper that is not flat shifts a beat in one row against the same beat in another, by some hundredths of a millimetre
where no line of the grid is near. The distance between two beats is the same in every lead, so that any difference is
an error of the paper.
"""

from __future__ import annotations

import numpy as np

from ecg_trt.types import Array

_HALF_S = 0.08  # Half the window in which a beat is compared with the others of its lead.
_SMOOTH_S, _REFRACTORY_S = 0.1, 0.3  # Window over which steepness is averaged, and least distance between two beats.
_STEEP = 0.45  # Least steepness of a beat, as a share of the 99th percentile.
_ROUNDS, _CONVERGED = 6, 1e-3  # Gauss-Newton steps at most, and samples by which the last one moves a beat.
_MOST_MM = 0.27  # A beat that seems to be shifted by more is a different one.
_UNLIKE = 0.15  # Energy of the difference to the median beat, as a share of that beat's, beyond which a beat differs.
_MEASURED_MM = 0.015  # Standard error of a delay at best.
_SPREAD_MM = 0.025  # Standard deviation of delays on photos; it is a third of this where pages are flat.


def time_corrected(times_s: Array, beats_s: Array, delay_s: Array) -> Array:
    """Correct the times of a row's samples for the delays of its beats; the correction falls to 0 at the row's ends.

    Args:
        times_s: (n,) s, increasing.
        beats_s: (beats,) s.
        delay_s: (beats,) s, NaN where it is not known.
    """
    known = np.isfinite(delay_s) & (beats_s > times_s[0]) & (beats_s < times_s[-1])
    knots = np.concatenate([times_s[:1], beats_s[known], times_s[-1:]])
    return np.asarray(times_s - np.interp(times_s, knots, np.pad(delay_s[known], 1)))


def steepness(signal: Array, window: int | None = None) -> Array:
    """Mean steepness (n,) of rows (rows, n), each in units of its own RMS slope; NaN where no row is printed.

    Args:
        signal: NaN where nothing is printed.
        window: samples around each one over which the RMS is taken; all if None.
    """
    slope = np.abs(np.gradient(signal, axis=1))
    shown = np.isfinite(slope)
    slope = np.where(shown, slope, 0.0)
    energy, seen = (slope**2).sum(1, keepdims=True), shown.sum(1, keepdims=True)
    if window is not None:
        energy, seen = _sums(slope**2, window), _sums(shown, window)
    size = np.sqrt(np.maximum(energy, 0) / np.maximum(seen, 1))
    rows = slope / np.maximum(size, 1e-9)
    count = shown.sum(0)
    return np.where(count > 0, rows.sum(0) / np.maximum(count, 1), np.nan)


def _sums(rows: Array, window: int) -> Array:
    """Sums over the window around each sample of rows (rows, n)."""
    n = rows.shape[1]
    total = np.pad(np.cumsum(rows, axis=1, dtype=np.float64), ((0, 0), (1, 0)))
    first = np.arange(n) - window // 2
    return np.asarray(total[:, np.minimum(first + window, n)] - total[:, np.maximum(first, 0)])


def find_beats(signal: Array, fs: float) -> Array:
    """Find the samples (beats,) around which the rows (rows, n) are steepest together; NaN is where none is printed."""
    from scipy.ndimage import convolve1d

    if not len(signal) or signal.shape[1] < 2:
        return np.empty(0, np.int64)
    bell = np.hanning(round(_SMOOTH_S * fs) // 2 * 2 + 3)
    left = convolve1d(np.nan_to_num(steepness(signal)), bell / bell.sum(), mode="constant")
    out = []
    apart, least = round(_REFRACTORY_S * fs), _STEEP * np.percentile(left, 99)
    while left.max() > least:
        k = int(left.argmax())
        out.append(k)
        left[max(0, k - apart) : k + apart + 1] = 0
    return np.sort(np.array(out, np.int64))


def beat_delays(signal: Array, fs: float, mm_per_s: float) -> tuple[Array, Array]:
    """Estimate the delay of each beat in each row relative to the other rows.

    Let x be the time of beat k in row p, measured against the row's median beat. Then x = c_p + t_k + e: the row's
    constant, the beat's time, and the delay, which is normally distributed with a known spread. A delay that all rows
    have in common cannot be distinguished from the heart's own rhythm and stays.

    Args:
        signal: (rows, n), rows on one clock, NaN where nothing is printed.
        fs: Hz.
        mm_per_s: paper speed.

    Returns:
        times (beats,) s and delay (rows, beats) s, NaN for beats that a row does not show, or shows in a shape unlike
        its others, or that no other row shows.
    """
    at = find_beats(signal, fs)
    if not len(at):
        return np.empty(0), np.zeros((len(signal), 0))
    mm = mm_per_s / fs  # of a sample
    lag, error = (np.array(a) for a in zip(*(_lags(row, at, fs, mm) for row in signal), strict=True))
    known = np.isfinite(lag)
    spread = _SPREAD_MM / mm
    weight = 1 / (spread**2 + error**2)
    delay = lag - _additive(np.where(known, lag, 0.0), weight)
    return at / fs, np.where(known.sum(0) > 1, delay * spread**2 * weight, np.nan) / fs


def _lags(row: Array, at: Array, fs: float, mm: float) -> tuple[Array, Array]:
    """Measure the lag of each beat against the row's median beat, in samples, and its standard error.

    The lag is the shift of least squares, by Gauss-Newton (Lucas and Kanade, 1981, in one dimension). It is NaN for
    beats of another shape.
    """
    lag, error = np.full(len(at), np.nan), np.full(len(at), np.inf)
    half, most = round(_HALF_S * fs), _MOST_MM / mm
    reach = half + int(np.ceil(most)) + 1
    seen = np.isfinite(row)
    whole = np.array([k for k, t in enumerate(at) if t >= reach and seen[t - reach : t + reach + 1].all()
                      and t + reach < len(row)], np.int64)  # fmt: skip
    if len(whole) < 2:
        return lag, error
    window = np.arange(-half, half + 1)
    taper = np.hanning(len(window) + 2)[1:-1]
    every, samples = np.arange(len(row), dtype=np.float64), np.where(seen, row, 0.0)
    shift = np.zeros(len(whole))
    for _ in range(_ROUNDS):
        beats = np.interp(at[whole, None] + window + shift[:, None], every, samples)
        beats = beats - beats.mean(1, keepdims=True)
        median_beat = np.median(beats, axis=0)
        slope = np.gradient(median_beat)
        power = max(float(taper @ slope**2), 1e-12)
        before, shift = shift, np.clip(shift + (median_beat - beats) @ (taper * slope) / power, -most, most)
        if np.abs(shift - before).max() < _CONVERGED:
            break
    off = (beats - median_beat) ** 2 @ taper
    alike = (off < _UNLIKE * (taper @ median_beat**2)) & (np.abs(shift) < most)
    lag[whole[alike]] = shift[alike]
    error[whole[alike]] = np.sqrt(off[alike] / taper.sum() / power + (_MEASURED_MM / mm) ** 2)
    return lag, error


def _additive(value: Array, weight: Array) -> Array:
    """Fit an additive model, one number a row and one a column, to (R, C) values by weighted least squares."""
    rows, columns = value.shape
    design = np.concatenate([np.repeat(np.eye(rows), columns, 0), np.tile(np.eye(columns), (rows, 1))], 1)
    root = np.sqrt(weight).ravel()
    fit, *_ = np.linalg.lstsq(design * root[:, None], value.ravel() * root, rcond=None)
    return np.asarray((design @ fit).reshape(value.shape))

"""One heart behind all leads: what is printed side by side was recorded at one time.

Paper that is not flat shifts a beat in one row against the same beat in another, by some hundredths of a millimetre
where no line of the grid is near. How far two beats of one lead lie apart is the same in every lead; what a lead says
otherwise is the paper's doing.
"""

from __future__ import annotations

import numpy as np

from ecg_trt.types import Array

_HALF_S = 0.08  # of the window in which a beat is compared with the others of its lead
_SMOOTH_S, _REFRACTORY_S = 0.1, 0.3  # over which steepness is gathered, and between two beats at least
_STEEP = 0.45  # of the steepest moments: a beat
_ROUNDS = 6
_MOST_MM = 0.27  # a beat that seems to be shifted by more is another one
_UNLIKE = 0.15  # energy of the difference to the lead's usual beat, as a share of the beat's: another beat
_MEASURED_MM = 0.015  # standard error at best
_SPREAD_MM = 0.025  # by which single beats are shifted on photos: a third of it where pages are flat


def punctual(times_s: Array, beats_s: Array, delay_s: Array) -> Array:
    """Times of a row's samples, corrected for its delays: all of a delay at its beat, none at the row's ends.

    Args:
        times_s: (n,) s, increasing.
        beats_s: (beats,) s.
        delay_s: (beats,) s, NaN where it is not known.
    """
    known = np.isfinite(delay_s) & (beats_s > times_s[0]) & (beats_s < times_s[-1])
    knots = np.concatenate([times_s[:1], beats_s[known], times_s[-1:]])
    return np.asarray(times_s - np.interp(times_s, knots, np.pad(delay_s[known], 1)))


def steepness(signal: Array) -> Array:
    """(n,) how steep the rows (rows, n) are together, each in units of its own RMS slope; NaN where none is shown."""
    slope = np.abs(np.gradient(signal, axis=1))
    shown = np.isfinite(slope)
    slope = np.where(shown, slope, 0.0)
    size = np.sqrt((slope**2).sum(1) / np.maximum(shown.sum(1), 1))
    rows = slope / np.maximum(size, 1e-9)[:, None]
    count = shown.sum(0)
    return np.where(count > 0, rows.sum(0) / np.maximum(count, 1), np.nan)


def find_beats(signal: Array, fs: float) -> Array:
    """(beats,) samples around which the rows (rows, n), NaN where nothing is printed, are steepest together."""
    if min(signal.shape) == 0:
        return np.empty(0, np.int64)
    bell = np.hanning(round(_SMOOTH_S * fs) // 2 * 2 + 3)
    left = np.convolve(np.nan_to_num(steepness(signal)), bell / bell.sum(), "same")
    out = []
    apart, least = round(_REFRACTORY_S * fs), _STEEP * np.percentile(left, 99)
    while left.max() > least:
        k = int(left.argmax())
        out.append(k)
        left[max(0, k - apart) : k + apart + 1] = 0
    return np.sort(np.array(out, np.int64))


def beat_delays(signal: Array, fs: float, mm_per_s: float) -> tuple[Array, Array]:
    """By how much later each row shows each beat than the other rows do.

    With x the time of beat k in row p, as far as it can be told from the row's own usual beat, x = c_p + t_k + e: the
    row's constant, the beat's time, and the delay, which is normally distributed with a spread that is known. What all
    rows have in common cannot be told from the heart's own rhythm and stays.

    Args:
        signal: (rows, n), rows on one clock, NaN where nothing is printed.
        fs: Hz.
        mm_per_s: paper speed.

    Returns:
        times (beats,) s and delay (rows, beats) s, NaN for beats that a row does not show, or shows unlike its others,
        or that it alone shows.
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
    """Samples by which each beat comes later than the row's usual one would, NaN where it is none, and their errors.

    The shift that leaves the least squares, by Gauss and Newton (Lucas and Kanade, 1981, in one dimension).
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
    every, samples = np.arange(len(row)), np.where(seen, row, 0.0)
    shift = np.zeros(len(whole))
    for _ in range(_ROUNDS):
        beats = np.interp(at[whole, None] + window + shift[:, None], every, samples)
        beats = beats - beats.mean(1, keepdims=True)
        usual = np.median(beats, axis=0)
        slope = np.gradient(usual)
        power = max(float(taper @ slope**2), 1e-12)
        shift = np.clip(shift + (usual - beats) @ (taper * slope) / power, -most, most)
    off = (beats - usual) ** 2 @ taper
    alike = (off < _UNLIKE * (taper @ usual**2)) & (np.abs(shift) < most)
    lag[whole[alike]] = shift[alike]
    error[whole[alike]] = np.sqrt(off[alike] / taper.sum() / power + (_MEASURED_MM / mm) ** 2)
    return lag, error


def _additive(value: Array, weight: Array) -> Array:
    """The sum of a number for each row and one for each column that is nearest to (R, C) values in weighted squares."""
    rows, columns = value.shape
    design = np.concatenate([np.repeat(np.eye(rows), columns, 0), np.tile(np.eye(columns), (rows, 1))], 1)
    root = np.sqrt(weight).ravel()
    fit, *_ = np.linalg.lstsq(design * root[:, None], value.ravel() * root, rcond=None)
    return np.asarray((design @ fit).reshape(value.shape))

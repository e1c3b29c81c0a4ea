"""Samples in time from rows of a trace: gaps, ends, and resampling."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from ecg_trt.errors import OptionError
from ecg_trt.thresholds import RunThresholds, load_thresholds
from ecg_trt.types import Array

_HALF_TAPS = 16
_PHASES = 2048  # Fractions of a sample for which the filter is tabulated; the nearest one is taken.


def valid_columns(confidence: Array, px_per_mm: float, thresholds: RunThresholds | None = None) -> Array:
    """Mask the columns in which the pen was seen, by hysteresis.

    Where the pen runs along a line of the grid, or beside a name, the network's confidence is low for some columns,
    although the trace goes on.

    Args:
        confidence: (n,) in [0, 1].
        px_per_mm: columns a millimetre.
        thresholds: of the confidence; those of the package if None.

    Returns:
        (n,) bool.
    """
    thresholds = thresholds or load_thresholds().column
    weak = np.asarray(confidence) > thresholds.lower
    run = np.cumsum(np.diff(weak, prepend=False))
    certain = np.bincount(run, weights=np.asarray(confidence) > thresholds.upper, minlength=1) > 0
    certain &= np.bincount(run, minlength=1) >= thresholds.least_mm * px_per_mm
    return np.asarray(weak & certain[run])


def runs(mask: Array) -> Array:
    """Find the runs of a mask (n,): (k, 2) starts and ends, ends exclusive."""
    return np.flatnonzero(np.diff(mask, prepend=False, append=False)).reshape(-1, 2)


def without_end_steps(y: Array, reach: int, step: float) -> Array:
    """Level the samples before a step at the very beginning of a lead, and those behind one at its very end.

    A pulse, a separator or the neighbouring lead may reach a column or two into a lead, where the pen does not jump.

    Args:
        y: (n,) samples, NaN = missing.
        reach: number of samples at either end that may be levelled.
        step: least height of a step from one sample to the next.

    Returns:
        (n,) float64; levelled samples take the value on the other side of the step.
    """
    out = np.array(y, np.float64)
    for view in (out, out[::-1]):
        steps = np.flatnonzero(np.abs(np.diff(view[: reach + 1])) > step)
        if len(steps):
            view[: steps[-1] + 1] = view[steps[-1] + 1]
    return out


def fill_gaps(y: Array, valid: Array, max_gap: int) -> Array:
    """Bridge short gaps between valid samples.

    A gap is bridged by Hermite's cubic between its ends, with the slopes found beside it, limited as by Fritsch and
    Carlson (1980) so that nothing overshoots.

    Args:
        y: (n,) samples.
        valid: (n,) bool; samples that are not finite are not valid either.
        max_gap: the longest gap that is bridged, samples.

    Returns:
        (n,) float64, NaN in longer gaps and before the first and after the last valid sample.

    Raises:
        OptionError: shapes that do not match.
    """
    samples, good = np.asarray(y, np.float64), np.asarray(valid, bool)
    if samples.ndim != 1 or good.shape != samples.shape:
        raise OptionError(
            "Gaps cannot be filled",
            got=f"samples {samples.shape}, valid {good.shape}",
            expected="(n,) and (n,)",
            hint="Pass one flag a sample.",
        )
    good = good & np.isfinite(samples)
    out = np.where(good, samples, np.nan)
    held = np.flatnonzero(good)
    if held.size < 2:
        return out
    left, right = held[:-1], held[1:]
    short = (right - left > 1) & (right - left - 1 <= max_gap)
    left, right = left[short], right[short]
    length = right - left - 1
    gap = np.repeat(np.arange(length.size), length)
    at = left[gap] + 1 + np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
    t = (at - left[gap]) / (right - left)[gap]
    low, high = samples[left], samples[right]
    rise = high - low
    span = (right - left).astype(np.float64)
    before, after = _side_slopes(samples, good, left, right)
    m0, m1 = (_limited(slope * span, rise)[gap] for slope in (before, after))
    out[at] = _hermite(low[gap], high[gap], m0, m1, t)
    return out


def _hermite(low: Array, high: Array, slope_low: Array, slope_high: Array, t: Array) -> Array:
    """Evaluate the cubic between two values with the given slopes at its ends, t in 0..1."""
    ends = low * (2 * t**3 - 3 * t**2 + 1) + high * (3 * t**2 - 2 * t**3)
    return np.asarray(ends + slope_low * (t**3 - 2 * t**2 + t) + slope_high * (t**3 - t**2))


def _side_slopes(y: Array, good: Array, left: Array, right: Array) -> tuple[Array, Array]:
    """Slopes before and after each gap, from the sample next to its end; the chord's where that sample is missing."""
    chord = (y[right] - y[left]) / (right - left)
    prev, following = np.maximum(left - 1, 0), np.minimum(right + 1, len(y) - 1)
    has_prev, has_next = (left > 0) & good[prev], (right < len(y) - 1) & good[following]
    return np.where(has_prev, y[left] - y[prev], chord), np.where(has_next, y[following] - y[right], chord)


def _limited(slope: Array, rise: Array) -> Array:
    return np.where(slope * rise > 0, np.sign(rise) * np.minimum(np.abs(slope), 3 * np.abs(rise)), 0.0)


def resample(y: Array, x_s: Array, fs_out: float, n_out: int, *, passband_hz: float = math.inf) -> Array:
    """Resample to a regular clock that starts at 0 s, band-limited.

    A polyphase filter with any ratio and any phase: each run of finite samples is continued beyond its ends
    by reflection through the end point (value and slope go on, so nothing rings), and the output times are
    read with a Kaiser-windowed sinc of at least 32 taps that is low-passed at the lowest of the two Nyquist
    frequencies and `passband_hz`. Positions may drift slowly; the sinc then acts on the samples' own count.

    Args:
        y: (n,) samples, NaN = missing.
        x_s: (n,) times, s, increasing.
        fs_out: samples a second of the result.
        n_out: number of samples of the result, at k / fs_out.
        passband_hz: cut-off of a low-pass filter, at which half of the amplitude is left.

    Returns:
        (n_out,) float64, NaN more than half an input sample outside the runs.

    Raises:
        OptionError: shapes that do not match, times that do not increase, or a rate that is not positive.
    """
    samples, times = np.asarray(y, np.float64), np.asarray(x_s, np.float64)
    if samples.ndim != 1 or times.shape != samples.shape or not fs_out > 0 or n_out < 0:
        raise _bad_resampling(f"samples {samples.shape}, times {times.shape}, {fs_out} Hz, {n_out} samples")
    if times.size > 1 and not (np.diff(times) > 0).all():
        raise _bad_resampling("times that do not increase")
    out = np.full(n_out, np.nan)
    for start, end in runs(np.isfinite(samples)):
        if end - start >= 2:
            _resample_run(samples[start:end], times[start:end], fs_out, out, passband_hz)
    return out


def _bad_resampling(got: str) -> OptionError:
    return OptionError(
        "The trace cannot be resampled",
        got=got,
        expected="as many increasing times as samples, a rate above 0 and a count of 0 or more",
        hint="Pass the time of each sample in seconds.",
    )


def _resample_run(y: Array, x_s: Array, fs_out: float, out: Array, passband_hz: float) -> None:
    period = float(np.median(np.diff(x_s)))
    slack = 0.5 * period + 1e-9
    first = max(int(np.ceil((x_s[0] - slack) * fs_out)), 0)
    last = min(int(np.floor((x_s[-1] + slack) * fs_out)), len(out) - 1)
    if last < first:
        return
    t = np.arange(first, last + 1) / fs_out
    at = np.interp(t, x_s, np.arange(len(y)))
    at += (np.minimum(t - x_s[0], 0.0) + np.maximum(t - x_s[-1], 0.0)) / period
    cutoff = min(1.0, fs_out * period, 2 * passband_hz * period)
    half = int(np.ceil(_HALF_TAPS / cutoff))
    padded = _reflected(y, half + 1)
    cell = np.floor(at).astype(np.int64)
    weights = _kernel(half, round(cutoff, 4)).take(np.rint((at - cell) * _PHASES).astype(np.int64), 0)
    # The window of each cell holds the samples cell - half + 1 .. cell + half.
    taps = np.lib.stride_tricks.sliding_window_view(padded, 2 * half)
    out[first : last + 1] = np.einsum("nk,nk->n", taps[cell + 2], weights)


def _reflected(y: Array, pad: int) -> Array:
    """Continue samples by `pad` on both sides, by reflection through the end points."""
    while pad > 0:
        step = min(pad, len(y) - 1)
        before, after = 2 * y[0] - y[step:0:-1], 2 * y[-1] - y[-2 : -step - 2 : -1]
        y, pad = np.concatenate([before, y, after]), pad - step
    return y


@lru_cache(maxsize=8)
def _kernel(half: int, cutoff: float, beta: float = 7.0) -> Array:
    """Weights (phases + 1, 2 half) of the taps 1 - half .. half for each fraction; every row sums to 1."""
    fraction = np.arange(_PHASES + 1)[:, None] / _PHASES
    distance = fraction - np.arange(1 - half, half + 1)
    inside = np.sqrt(np.maximum(1 - (distance / half) ** 2, 0.0))
    weights = np.sinc(cutoff * distance) * np.i0(beta * inside)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))

"""Merging of several readings of one page: alignment in time and level, and a weighted mean of every sample.

Reading p of a lead is the lead, shifted by a lag and a level, plus noise of a variance of its own:
``x_p(t + lag_p) = s(t) + level_p + e_p(t)``. The variance is known before from the expected SNR, and is estimated
again from the residuals, in each lead and in each short window of it. This is the EM algorithm for a mean of unequal
precision, with inverse-gamma priors. With them a residual has a Student distribution, so that a reading that goes
astray counts little there (Lange, Little and Taylor, Robust Statistical Modeling Using the t Distribution, 1989).
What all readings of a page have in common, such as a thick pen's, no comparison can show; it is taken from what was
expected.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecg_trt.errors import OptionError
from ecg_trt.signal.resample import resample
from ecg_trt.types import Array

__all__ = ["MAX_LAG_S", "MergedLeads", "correlations", "merge_leads"]

MAX_LAG_S = 0.1  # Largest lag of a page, s: its start may be read 2.5 mm late at 25 mm/s.


@dataclass(frozen=True, slots=True)
class _Noise:
    """Noise of readings, as priors and rates.

    Attributes:
        rate_hz: independent residuals a second: they are correlated over the width of a wave.
        page_lag_s: standard deviation of the lag that the leads of a reading share, s.
        lead_lag_s: standard deviation of a lead's lag about it, s.
        lead_weight: number of residuals as which the variance known before counts for that of a lead.
        window_weight: number of residuals as which the variance of the lead counts for that of a window.
        window_s: length of a window, s.
        shared: share of the least expected variance that all readings have in common.
        least: least variance of a residual, as a share of the lead's power.
    """

    rate_hz: float = 20.0
    page_lag_s: float = 0.015
    lead_lag_s: float = 0.005
    lead_weight: float = 30.0
    window_weight: float = 12.0
    window_s: float = 0.3
    shared: float = 0.6
    least: float = 1e-4


# The weights were compared on 12 synthetic pages, where they matter by 0.1 dB; errors of two photos of a page correlate
# by 0.4 to 0.9 there, of which `shared` is about the middle. The other values are chosen, not fitted.
_NOISE = _Noise()
_ROUNDS, _STEPS = 3, 8  # Rounds of alignment, and steps of EM in each; chosen, not fitted.
_LEAST_OVERLAP_S = 0.1  # Shortest overlap of two leads that can be compared, s.


@dataclass(frozen=True, slots=True)
class MergedLeads:
    """Leads that were merged from several readings.

    Attributes:
        signal_mv: (leads, n) float64 mV, NaN where no reading has a sample.
        noise_mv2: (leads, n) float64, variance of `signal_mv` as measured, mV^2, NaN where that is.
        weight: (readings, leads) share that a reading has in a lead, adding up to 1; NaN for leads without any sample.
        lag_s: (readings, leads) by which a reading is late, s; NaN where it has no sample.
        residual_mv2: (readings, leads) variance of a reading's noise, mV^2; NaN where it has no sample.
    """

    signal_mv: Array
    noise_mv2: Array
    weight: Array
    lag_s: Array
    residual_mv2: Array


def merge_leads(signal_mv: Array, noise_mv2: Array, fs: float) -> MergedLeads:
    """Merge readings of the same leads.

    Args:
        signal_mv: (readings, leads, n) mV on one clock, NaN where a reading has no sample.
        noise_mv2: (readings, leads) variance of the noise to be expected, mV^2; NaN counts as a reading's others do.
        fs: Hz.

    Raises:
        OptionError: shapes that do not match, or no reading.
    """
    signal, known = np.asarray(signal_mv, np.float64), np.asarray(noise_mv2, np.float64)
    if signal.ndim != 3 or not len(signal) or known.shape != signal.shape[:2] or not fs > 0:
        raise _bad(f"samples {signal.shape}, variances {known.shape}, {fs} Hz")
    power = _lead_power(signal)
    known = _filled(known, power)
    shared = _NOISE.shared * known.min(0)
    known = known - shared
    moved, level, lag = signal, np.zeros(known.shape), np.zeros(known.shape)
    mean, variance = _first_mean(signal, known, power, fs)
    expected_share = _shares(signal, variance)
    for round_ in range(_ROUNDS):
        lag = _lags(mean, signal, fs)
        lag -= _common_lag(lag, expected_share, _shares(signal, variance))
        moved = _shifted(signal, lag, fs)
        if round_ == 0:
            level = _levels(moved, mean, np.ones_like(moved))
            variance = _first_variances(moved - level[..., None], known, power, fs)
        for _ in range(_STEPS):
            mean, noise = _weighted_mean(moved - level[..., None], variance)
            level = _levels(moved, mean, 1 / variance)
            variance = _variances(moved - level[..., None], mean, noise, known, power, fs)
    return _result(moved, level, lag, variance, known, shared)


def correlations(signal_mv: Array, fs: float) -> Array:
    """Correlate readings with each other, over the samples of all leads that two have in common.

    Args:
        signal_mv: (readings, leads, n) mV, NaN = missing.
        fs: Hz.

    Returns:
        (readings, readings) float64 in -1..1 at the best lag of the page, 0 where two have no lead in common.
    """
    out = np.eye(len(signal_mv))
    for a in range(len(signal_mv)):
        for b in range(a):
            s = _sums(signal_mv[a], signal_mv[b], round(MAX_LAG_S * fs))
            is_long = s.count >= _LEAST_OVERLAP_S * fs
            shared, power_a, power_b = (np.where(is_long, v, 0.0).sum(0) for v in (s.product, s.square_a, s.square_b))
            norm = np.sqrt(power_a * power_b)
            out[a, b] = out[b, a] = np.divide(shared, norm, out=np.zeros_like(shared), where=norm > 0).max()
    return out


@dataclass(frozen=True, slots=True)
class _Sums:
    """Centred second moments of two signals at each lag, (.., 2 max_lag + 1), over their common samples."""

    count: Array
    product: Array
    square_a: Array
    square_b: Array


def _sums(a: Array, b: Array, max_lag: int) -> _Sums:
    """Sum over t for a(t) and b(t + lag), lags -max_lag .. max_lag in samples; a and b are (.., n), NaN = missing."""
    n = a.shape[-1]
    size = 1 << int(np.ceil(np.log2(n + max_lag + 1)))
    (ma, va, qa), (mb, vb, qb) = (_spectra(x, size) for x in (a, b))
    at = np.arange(-max_lag, max_lag + 1)

    def cross(left: Array, right: Array) -> Array:
        return np.asarray(np.fft.irfft(np.conj(left) * right, size)[..., at])

    count = np.rint(cross(ma, mb))
    safe = np.maximum(count, 1.0)
    sum_a, sum_b = cross(va, mb), cross(ma, vb)
    square_a, square_b = cross(qa, mb) - sum_a**2 / safe, cross(ma, qb) - sum_b**2 / safe
    return _Sums(count, cross(va, vb) - sum_a * sum_b / safe, square_a.clip(0), square_b.clip(0))


def _spectra(x: Array, size: int) -> tuple[Array, Array, Array]:
    """Transform the mask, the samples and their squares."""
    seen = np.isfinite(x)
    samples = np.where(seen, x, 0.0)
    return np.fft.rfft(seen, size), np.fft.rfft(samples, size), np.fft.rfft(samples**2, size)


def _lags(mean: Array, signal: Array, fs: float) -> Array:
    """Find the lag of each reading's leads behind the mean, (readings, leads) s.

    The likelihood of a lag is that of the residuals that it leaves. The leads of a page share one lag, about which
    each has a small one of its own.
    """
    reach = round(MAX_LAG_S * fs)
    sums = _sums(mean, signal, reach)
    is_long = sums.count >= _LEAST_OVERLAP_S * fs
    square = (sums.square_a + sums.square_b - 2 * sums.product).clip(0) / np.maximum(sums.count, 1)
    least = _NOISE.least * (sums.square_a / np.maximum(sums.count, 1)) + np.finfo(float).tiny
    score = np.where(is_long, -0.5 * _NOISE.rate_hz / fs * sums.count * np.log(square + least), 0.0)
    lag_s = np.arange(-reach, reach + 1) / fs
    score -= score.max(-1, keepdims=True)  # Leads of other numbers of samples are compared by their differences.
    page = score.sum(1) - 0.5 * (lag_s / _NOISE.page_lag_s) ** 2
    page_s = lag_s[page.argmax(1)]
    score -= 0.5 * ((lag_s - page_s[:, None, None]) / _NOISE.lead_lag_s) ** 2
    best = score.argmax(-1)
    middle = best.clip(1, 2 * reach - 1)[..., None]
    before, at, after = (np.take_along_axis(square, middle + k, -1)[..., 0] for k in (-1, 0, 1))
    bend = before - 2 * at + after
    part = np.divide(0.5 * (before - after), bend, out=np.zeros_like(bend), where=bend > 0).clip(-0.5, 0.5)
    return np.where(is_long.any(-1), lag_s[best] + part * (best == middle[..., 0]) / fs, page_s[:, None])


def _shifted(signal: Array, lag_s: Array, fs: float) -> Array:
    """Move each lead (readings, leads, n) back by its lag.

    A lead stays within its first and last sample: what a page that was read too late moves beyond them is the end of
    the lead beside it.
    """
    n = signal.shape[2]
    times = np.arange(n) / fs
    out = np.full(signal.shape, np.nan)
    for at in np.ndindex(lag_s.shape):
        held = np.flatnonzero(np.isfinite(signal[at]))
        if held.size:
            span = slice(max(held[0] - 1, 0), held[-1] + 2)
            out[at][span] = resample(signal[at], times - lag_s[at], fs, n)[span] if lag_s[at] else signal[at][span]
    return out


def _levels(signal: Array, mean: Array, weight: Array) -> Array:
    """Weighted mean (readings, leads) of what each reading lies above the mean; 0 where they have no common sample."""
    above = signal - mean
    weight = np.where(np.isfinite(above), weight, 0.0)
    total = weight.sum(2)
    return np.divide((weight * np.nan_to_num(above)).sum(2), total, out=np.zeros_like(total), where=total > 0)


def _weighted_mean(signal: Array, variance: Array) -> tuple[Array, Array]:
    """Mean (leads, n) of readings by inverse variance, and its variance; NaN where none has a sample."""
    weight = np.where(np.isfinite(signal), 1 / variance, 0.0)
    total = weight.sum(0)
    seen = total > 0
    mean = np.divide((weight * np.nan_to_num(signal)).sum(0), total, out=np.full(total.shape, np.nan), where=seen)
    return mean, np.divide(1.0, total, out=np.full(total.shape, np.nan), where=seen)


def _first_mean(signal: Array, known: Array, power: Array, fs: float) -> tuple[Array, Array]:
    """Start from the reading that agrees best with the others, filled by the mean; of two, from the more precise."""
    variance = np.broadcast_to(known[..., None], signal.shape)
    mean = _weighted_mean(signal, variance)[0]
    precision = np.where(np.isfinite(signal).any(2), np.log(power / known), 0.0).sum(1)
    agreement = correlations(signal, fs)
    score = np.median(agreement, 0) if len(signal) > 2 else precision
    chosen = signal[int(score.argmax())]
    return np.where(np.isfinite(chosen), chosen, mean), variance


def _first_variances(signal: Array, known: Array, power: Array, fs: float) -> Array:
    """Start from the residuals to the median, which one stray reading does not move; of two, from what is known."""
    if len(signal) < 3:
        return np.broadcast_to(known[..., None], signal.shape)
    count = np.isfinite(signal).sum(0)
    median = np.full(count.shape, np.nan)
    median[count > 0] = np.nanmedian(signal[:, count > 0], 0)
    return _variances(signal, median, np.zeros(count.shape), known, power, fs)


def _variances(signal: Array, mean: Array, noise: Array, known: Array, power: Array, fs: float) -> Array:
    """Estimate the variance of each sample's noise: of its lead first, then of its window."""
    shared = (np.isfinite(signal).sum(0) > 1) & np.isfinite(signal)
    square = np.where(shared, (signal - mean) ** 2 + noise, 0.0)
    count = shared.sum(2) * (_NOISE.rate_hz / fs)
    per_lead = square.sum(2) * (_NOISE.rate_hz / fs)
    lead = (_NOISE.lead_weight * known + per_lead) / (_NOISE.lead_weight + count)
    reach = max(1, round(_NOISE.window_s * fs / 2))
    in_window, of_window = (_window_sums(v, reach) * (_NOISE.rate_hz / fs) for v in (square, shared.astype(float)))
    local = (_NOISE.window_weight * lead[..., None] + in_window) / (_NOISE.window_weight + of_window)
    return np.maximum(local, _NOISE.least * power[..., None])


def _window_sums(x: Array, reach: int) -> Array:
    """Sum over 2 reach + 1 samples about each, fewer at the ends."""
    total = np.cumsum(np.pad(x, ((0, 0), (0, 0), (1, 0))), -1)
    at = np.arange(x.shape[-1])
    return np.asarray(total[..., np.minimum(at + reach + 1, at[-1] + 1)] - total[..., np.maximum(at - reach, 0)])


def _shares(signal: Array, variance: Array) -> Array:
    """Share (readings, leads) of each reading in the mean, averaged over its samples; 0 for leads without any."""
    weight = np.where(np.isfinite(signal), 1 / variance, 0.0)
    total = weight.sum(0)
    share = np.divide(weight, total, out=np.zeros_like(weight), where=total > 0).sum(2)
    return np.asarray(share / np.maximum((total > 0).sum(1), 1))


def _common_lag(lag_s: Array, expected_share: Array, share: Array) -> Array:
    """Lag (leads,) at which the merged leads stand.

    The leads' lags within a page are averaged. The pages' are not, as one may have been read from a wrong start: their
    median is taken, weighted by the expected shares, as an agreement of curves says nothing of their start.
    """
    page = np.median(lag_s, 1)
    order = np.argsort(page)
    weight = np.cumsum(expected_share.mean(1)[order])
    middle = page[order[np.searchsorted(weight, 0.5 * weight[-1])]]
    return np.asarray(middle + (share * (lag_s - page[:, None])).sum(0))


def _contradiction(signal: Array, mean: Array, known: Array) -> Array:
    """Variance (leads,) of the merged leads because another reading than those that were followed may be right, mV^2.

    Each reading in turn is taken to be right, with the likelihood that the others' distances from it have in a Cauchy
    distribution of the scale that was expected of them. Of two that disagree, either may be right; one against several
    hardly is.
    """
    seen = np.isfinite(signal)
    cost = np.zeros(known.shape)
    for k, other in enumerate(signal):
        common = (seen & seen[k]).sum(2)
        distance = np.where(seen & seen[k], signal - other, 0.0) ** 2
        cost += np.log1p(distance.sum(2) / np.maximum(common, 1) / known[k])
    likelihood = np.where(seen.any(2), np.exp(cost.min(0) - cost), 0.0)
    likelihood /= np.maximum(likelihood.sum(0), np.finfo(float).tiny)
    off = np.where(seen, signal - mean, 0.0) ** 2
    excess = (off.sum(2) / np.maximum(seen.sum(2), 1) - known).clip(0)
    return np.asarray((likelihood * excess).sum(0))


def _result(moved: Array, level: Array, lag: Array, variance: Array, known: Array, shared: Array) -> MergedLeads:
    """Put the merged leads at the level where their readings stand on average."""
    share = _shares(moved, variance)
    placed = moved - (level - (share * level).sum(0))[..., None]
    mean, noise = _weighted_mean(placed, variance)
    noise += (_contradiction(placed, mean, known) + shared)[:, None]
    seen = np.isfinite(moved)
    own = np.where(seen, variance, 0.0).sum(2) / np.maximum(seen.sum(2), 1)
    has = seen.any(2)
    return MergedLeads(
        signal_mv=mean, noise_mv2=noise, weight=np.where(has.any(0), share, np.nan),
        lag_s=np.where(has, lag, np.nan), residual_mv2=np.where(has, own, np.nan),
    )  # fmt: skip


def _lead_power(signal: Array) -> Array:
    """Power of each lead about its mean, (leads,) mV^2: the median of the readings; above 0."""
    seen = np.isfinite(signal)
    size = np.maximum(seen.sum(2), 1)
    centred = np.where(seen, signal - (np.where(seen, signal, 0.0).sum(2) / size)[..., None], 0.0)
    power = np.where(seen.any(2), (centred**2).sum(2) / size, np.nan)
    out = np.zeros(power.shape[1])
    printed = np.isfinite(power).any(0)
    out[printed] = np.nanmedian(power[:, printed], 0)
    return np.maximum(out, 1e-8)


def _filled(known: Array, power: Array) -> Array:
    """Replace variances that are not known by the median share that noise has of the power elsewhere."""
    share = known / power
    is_known = np.isfinite(share) & (share > 0)
    return np.where(is_known, known, (np.median(share[is_known]) if is_known.any() else 0.1) * power)


def _bad(got: str) -> OptionError:
    return OptionError(
        "The readings cannot be merged", got=got, expected="(readings, leads, n), (readings, leads) and a rate above 0",
        hint="Pass the leads of all readings in one order and on one clock.",
    )  # fmt: skip

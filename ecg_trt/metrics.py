"""Score of the PhysioNet 2025 digitization challenge, and summaries of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecg_trt.errors import OptionError
from ecg_trt.signal.resample import resample
from ecg_trt.types import Array

LABEL_FS = 500.0
MAX_LAG_S = 0.2


@dataclass(frozen=True, slots=True)
class Score:
    """Score of one prediction against its truth.

    Attributes:
        snr_db: 10 log10(signal_power / noise_power), dB.
        signal_power: sum of squares of the truth over all printed leads, mV^2.
        noise_power: sum of squares of the difference after alignment, mV^2.
        pearson: (leads,) correlation after alignment, over samples that were answered; NaN where not printed.
        rmse_mv: (leads,) after alignment, a missing sample counting as 0 mV; NaN where not printed.
        lag_s: (leads,) by which the answer was shifted, s, positive = to the right; NaN where not printed.
        lead_signal_power: (leads,) `signal_power` of each lead; NaN where not printed.
        lead_noise_power: (leads,) `noise_power` of each lead; NaN where not printed.
    """

    snr_db: float
    signal_power: float
    noise_power: float
    pearson: Array
    rmse_mv: Array
    lag_s: Array
    lead_signal_power: Array
    lead_noise_power: Array

    @property
    def lead_snr_db(self) -> Array:
        """(leads,) SNR of each lead, dB, NaN where not printed."""
        with np.errstate(divide="ignore"):
            return np.asarray(10 * np.log10(self.lead_signal_power / self.lead_noise_power))


@dataclass(frozen=True, slots=True)
class Summary:
    """Scores of many images.

    Attributes:
        images: how many there were.
        answered: how many were answered; the others count as 0 dB.
        mean_db: mean SNR, dB.
        median_db: median SNR, dB.
        p10_db: 10th percentile of the SNR, dB.
        competition_db: 10 log10 of the mean of signal power / noise power, dB.
    """

    images: int
    answered: int
    mean_db: float
    median_db: float
    p10_db: float
    competition_db: float


def score_record(
    truth: Array, fs_truth: float, answer: Array, fs_answer: float, *, max_lag_s: float = MAX_LAG_S
) -> Score:
    """Score one record by the challenge's rules.

    For each lead, over its printed span: both are centred; the lag of greatest cross-correlation within `max_lag_s`
    is taken (the smallest of equals); the answer is shifted by it, and the constant that minimises the
    squared difference is subtracted; what is missing becomes 0. S = sum y^2 with y as it is, N = sum (y -
    p)^2, both summed over the leads. A truth below 500 Hz is first brought there by straight lines, as it was
    drawn.

    Args:
        truth: (leads, n) mV, NaN where the page prints nothing.
        fs_truth: samples a second.
        answer: (leads, m) mV, the same leads (`record.in_order`), NaN where nothing was read; starts when the truth
            does.
        fs_answer: samples a second; brought to the truth's if it differs.
        max_lag_s: greatest lag; 0 scores the leads at the times that they were given.

    Raises:
        OptionError: shapes that do not fit, rates that are not positive, or a truth without any signal.
    """
    y, p = np.asarray(truth, np.float64), np.asarray(answer, np.float64)
    _check(y, fs_truth, p, fs_answer)
    fs = float(fs_truth)
    if fs < LABEL_FS:
        y, fs = _straight_lines(y, fs), LABEL_FS
    p = _on_clock(p, float(fs_answer), fs, y.shape[1])
    pearson, rmse, lag, signal, noise = (np.full(len(y), np.nan) for _ in range(5))
    for k in range(len(y)):
        printed = np.flatnonzero(np.isfinite(y[k]))
        if not printed.size:
            continue
        span = slice(printed[0], printed[-1] + 1)
        shifted, lag_samples = _align(y[k, span], p[k, span], int(max_lag_s * fs))
        label = y[k, span]
        inside = np.isfinite(label)
        pearson[k] = _pearson(label, shifted)
        error = label[inside] - np.nan_to_num(shifted[inside])
        rmse[k], lag[k] = np.sqrt(np.mean(error**2)), lag_samples / fs
        signal[k], noise[k] = np.sum(label[inside] ** 2), np.sum(error**2)
    signal_power, noise_power = float(np.nansum(signal)), float(np.nansum(noise))
    if not signal_power > 0:
        raise _bad("a truth that is empty or zero throughout", "at least one lead with a signal")
    with np.errstate(divide="ignore"):
        snr = float(10 * np.log10(np.divide(signal_power, noise_power)))
    return Score(snr, signal_power, noise_power, pearson, rmse, lag, signal, noise)


def summarise(scores: Sequence[Score | None]) -> Summary:
    """Compute mean, median and 10th percentile over images; None is an unanswered image and counts as 0 dB.

    Raises:
        OptionError: no scores.
    """
    if not scores:
        raise _bad("no scores", "at least one")
    db = np.array([0.0 if s is None else s.snr_db for s in scores])
    return Summary(
        images=len(scores),
        answered=sum(s is not None for s in scores),
        mean_db=float(db.mean()),
        median_db=float(np.median(db)),
        p10_db=float(np.percentile(db, 10)),
        competition_db=float(10 * np.log10(np.mean(10 ** (db / 10)))),
    )


def _bad(got: str, expected: str) -> OptionError:
    return OptionError(
        "The score cannot be computed", got=got, expected=expected, hint="Check the truth and the answer."
    )


def _check(y: Array, fs_truth: float, p: Array, fs_answer: float) -> None:
    for name, array in (("truth", y), ("answer", p)):
        if array.ndim != 2 or not array.size or len(array) != len(y):
            raise _bad(f"{name} of shape {array.shape}", "(leads, n), as many leads in truth and answer")
    if not (fs_truth > 0 and fs_answer > 0):
        raise _bad(f"rates {fs_truth} and {fs_answer} Hz", "rates above 0")


def _straight_lines(y: Array, fs: float) -> Array:
    """Interpolate linearly to (leads, n') at `LABEL_FS`; NaN beside samples that are NaN, and after the last one."""
    n = y.shape[1]
    at = np.arange(int(np.ceil(n * LABEL_FS / fs))) * (fs / LABEL_FS)
    at = np.where(np.abs(at - np.rint(at)) < 1e-9, np.rint(at), at)
    left = np.minimum(at.astype(np.int64), n - 1)
    t = at - left
    right = np.minimum(left + 1, n - 1)
    line = np.where(t == 0, y[:, left], (1 - t) * y[:, left] + t * y[:, right])
    line[:, at > n - 1] = np.nan
    return line


def _on_clock(p: Array, fs_answer: float, fs: float, n: int) -> Array:
    """Resample a prediction to (leads, n) at the truth's rate, NaN beyond its end."""
    if fs_answer != fs:
        times = np.arange(p.shape[1]) / fs_answer
        return np.stack([resample(lead, times, fs, n) for lead in p])
    p = p[:, :n]
    return np.pad(p, ((0, 0), (0, n - p.shape[1])), constant_values=np.nan)


def _align(y: Array, p: Array, max_lag: int) -> tuple[Array, int]:
    """Shift and level a prediction to fit the truth; return it, NaN where nothing is, and the lag in samples."""
    if not np.isfinite(p).any():
        return p, 0
    max_lag = min(max_lag, len(y) - 1)
    centred_y = np.nan_to_num(y - np.nanmean(y))
    centred_p = np.nan_to_num(p - np.nanmean(p))
    # Correlation at lag d is sum_t y[t] p[t - d]; np.correlate counts lags in the other direction.
    correlation = np.correlate(np.pad(centred_p, max_lag), centred_y, "valid")[::-1]
    lags = np.arange(-max_lag, max_lag + 1)
    best = lags[correlation == correlation.max()]
    lag = int(best[np.argmin(np.abs(best))])
    shifted = np.full_like(p, np.nan)
    if lag >= 0:
        shifted[lag:] = p[: len(p) - lag]
    else:
        shifted[:lag] = p[-lag:]
    both = np.isfinite(shifted) & np.isfinite(y)
    if both.any():
        shifted -= np.mean((shifted - y)[both])
    return shifted, lag


def _pearson(y: Array, p: Array) -> float:
    both = np.isfinite(y) & np.isfinite(p)
    if both.sum() < 2:
        return 0.0
    a, b = y[both] - y[both].mean(), p[both] - p[both].mean()
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm > 0 else 0.0

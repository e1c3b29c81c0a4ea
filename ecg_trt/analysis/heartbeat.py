"""Classes of heartbeats: N, S, V, F and Q of ANSI/AAMI EC57, from one lead and its R peaks.

A beat is judged as a reader of a rhythm strip judges it: by its form, by the form of the beats around it in the same
lead, and by the rhythm. The network sees all three, so that a broad beat that is the patient's own, as in a bundle
branch block, differs from a ventricular one. Training makes its inputs by the functions of this module.
"""

from __future__ import annotations

import numpy as np

from ecg_trt.backends.base import Backend
from ecg_trt.errors import OptionError
from ecg_trt.networks import NETWORKS
from ecg_trt.types import Array

CLASSES = ("N", "S", "V", "F", "Q")
"""Normal (bundle branch block and escape beats included), supraventricular ectopic, ventricular ectopic, fusion of
ventricular and normal, and unclassifiable or paced."""

FS = 125.0  # of the network's input, Hz
BEFORE = 64  # samples before the R peak, which is sample 64
CHANNELS, SAMPLES = NETWORKS["heartbeat"].shapes["beat"][1:]
FIGURES = CHANNELS - 2  # channels that are constant over time, the last ones
_CONTEXT_S = 10.0  # Beats this far before and after are the surroundings of a beat, as many as a page shows.
_BANDWIDTH_S = 0.0033  # Standard deviation of the Gaussian before resampling: -3 dB at 40 Hz, which a page carries.
_BASELINE_S = (0.2, 0.6)  # Widths of two median filters that leave the baseline (de Chazal 2004).
_QRS = slice(BEFORE - 10, BEFORE + 14)  # samples without which a beat is not judged
_FORM = slice(BEFORE - 12, BEFORE + 20)  # samples by which QRS complexes are compared
_LEAST_MV = 0.05  # Height below which a beat is not scaled up.
_SEQUENCE = 2  # RR intervals before and after a beat that are seen one by one.
_OWN = 0.85  # Quantile of RR intervals that stands for the patient's own; ectopic beats come early, often in runs.
_QUANTILES = (0.25, 0.5, _OWN)
_FARTHEST = 1.5  # Figures are clipped to it.


class HeartbeatClassifier:
    """Classifier of heartbeats.

    Args:
        backend: runs the network ``heartbeat``.

    Attributes:
        classes: names of the columns of the result.
    """

    classes = CLASSES

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    def __call__(self, signal_mv: Array, fs: float, r_peaks: Array) -> Array:
        """Classify beats.

        Args:
            signal_mv: (n,) mV of one lead, best II; NaN where it is not printed.
            fs: its sampling rate, Hz.
            r_peaks: (k,) samples of all R peaks, rising, also of those where this lead is not printed: they give the
                rhythm.

        Returns:
            (k, 5) float32 probabilities of `classes`; NaN for a beat whose QRS complex this lead does not show.

        Raises:
            OptionError: signal, rate or peaks of another shape or range.
            BackendError: the network failed.
        """
        signal, peaks = _checked(signal_mv, fs, r_peaks)
        inputs, shown = beat_inputs(signal, fs, peaks)
        probabilities = np.full((len(peaks), len(CLASSES)), np.nan, np.float32)
        probabilities[shown] = self._infer(inputs[shown])
        return probabilities

    def _infer(self, inputs: Array) -> Array:
        """Give the probabilities (k, 5) of inputs (k, C, L)."""
        size = self.backend.inputs[0].shape[0]
        size = size if isinstance(size, int) else max(1, len(inputs))
        logits = [np.zeros((0, len(CLASSES)), np.float32)]
        for first in range(0, len(inputs), size):
            some = inputs[first : first + size]
            padded = np.pad(some, ((0, size - len(some)), (0, 0), (0, 0)))
            out = np.asarray(self.backend.infer({"beat": padded})["beat_class"], np.float32)
            logits.append(out[: len(some)])
        powers = np.concatenate(logits)
        powers = np.exp(powers - powers.max(1, keepdims=True))
        return powers / powers.sum(1, keepdims=True)


def _checked(signal_mv: Array, fs: float, r_peaks: Array) -> tuple[Array, Array]:
    """Give the signal and the peaks as arrays of numbers, or raise `OptionError`."""
    signal, peaks = np.asarray(signal_mv, np.float64), np.asarray(r_peaks, np.float64)
    is_right = signal.ndim == 1 and peaks.ndim == 1 and fs > 0
    if not is_right or (len(peaks) and (np.diff(peaks, prepend=-1) <= 0).any()) or (peaks >= len(signal)).any():
        raise OptionError(
            "Heartbeats cannot be classified", got=f"a signal {signal.shape} at {fs:g} Hz, R peaks {peaks.shape}",
            expected="one lead (n,) and rising samples (k,) within it", hint="Pass one lead, and the beats' R peaks.",
        )  # fmt: skip
    return signal, peaks


def beat_inputs(signal_mv: Array, fs: float, r_peaks: Array, chosen: Array | None = None) -> tuple[Array, Array]:
    """Prepare the network's view of beats.

    Channel 0 is the beat, channel 1 the median of the beats around it, both in units of that median's height. The
    others are constant over time: how much the QRS complex differs from that of the patient's own beats, those that
    come latest, and from the median's; and the figures of `rhythm_of`.

    Args:
        signal_mv: (n,) mV, NaN where the lead is not printed.
        fs: its sampling rate, Hz.
        r_peaks: (k,) samples, rising.
        chosen: (m,) indices of the beats that are prepared; all if None.

    Returns:
        (m, CHANNELS, SAMPLES) float32 at 125 Hz, and (m,) bool: the lead shows the beat's QRS complex.
    """
    seconds = r_peaks / fs
    chosen = np.arange(len(seconds)) if chosen is None else chosen
    flat = _without_baseline(signal_mv, fs)
    at = seconds[:, None] * FS + np.arange(-BEFORE, SAMPLES - BEFORE)
    beats = np.interp(at, np.arange(len(flat)), flat, left=np.nan, right=np.nan)
    shown = np.asarray(np.isfinite(beats[:, _QRS]).all(1))
    beats, before = np.nan_to_num(beats), np.diff(seconds, prepend=seconds[:1])
    inputs = np.zeros((len(chosen), CHANNELS, SAMPLES), np.float32)
    for row, k in enumerate(chosen):
        if shown[k]:
            near = shown & (np.abs(seconds - seconds[k]) <= _CONTEXT_S)
            latest = near & (before >= np.quantile(before[near], _OWN))
            typical, own = np.median(beats[near], axis=0), np.mean(beats[latest], axis=0)
            height = max(float(np.abs(typical).max()), _LEAST_MV)
            inputs[row, 0], inputs[row, 1] = beats[k] / height, typical / height
            inputs[row, 2:4] = [[_unlike(beats[k], own)], [_unlike(beats[k], typical)]]
    inputs[:, 4:] = rhythm_of(seconds, chosen)[:, :, None]
    return inputs, shown[chosen]


def is_shown(signal_mv: Array, fs: float, r_peaks: Array) -> Array:
    """Mask the beats (k,) whose QRS complex a lead (n,) shows, of R peaks (k,) in samples."""
    within = np.arange(_QRS.start - BEFORE, _QRS.stop - BEFORE) / FS * fs
    at = np.round(r_peaks[:, None] + within).astype(int)
    is_inside = (at >= 0) & (at < len(signal_mv))
    return np.asarray((is_inside & np.isfinite(signal_mv[np.clip(at, 0, len(signal_mv) - 1)])).all(1))


def _unlike(beat: Array, other: Array) -> float:
    """Difference of two beats (SAMPLES,) in their QRS complexes, as a share of the second one's size."""
    size = max(float(np.linalg.norm(other[_FORM])), _LEAST_MV)
    return min(float(np.linalg.norm(beat[_FORM] - other[_FORM])) / size, _FARTHEST)


def rhythm_of(seconds: Array, chosen: Array) -> Array:
    """Describe the rhythm around beats.

    Args:
        seconds: (k,) times of all R peaks, rising.
        chosen: (m,) indices of the beats.

    Returns:
        (m, 7) natural logarithms: of the two RR intervals before a beat and the two after it, each over the patient's
        own interval; of the first and second quartile of the intervals around the beat over the own one; and the median
        size of the changes from one to the next, which a few pauses do not raise as fibrillation does. 0 where an
        interval is missing.
    """
    rhythm = np.zeros((len(chosen), FIGURES - 2), np.float32)
    if len(seconds) < 2:
        return rhythm
    log_rr = np.log(np.diff(seconds))
    middle = (seconds[1:] + seconds[:-1]) / 2
    padded = np.pad(log_rr, _SEQUENCE, constant_values=np.nan)
    for row, k in enumerate(chosen):
        near = log_rr[np.abs(middle - seconds[k]) <= _CONTEXT_S]
        if len(near):
            low, median, own = np.interp(_QUANTILES, np.linspace(0, 1, len(near)), np.sort(near))
            beside = padded[k : k + 2 * _SEQUENCE] - own
            change = np.median(np.abs(np.diff(near))) if len(near) > 1 else 0.0
            rhythm[row] = *beside, low - own, median - own, change
    return np.nan_to_num(rhythm).clip(-_FARTHEST, _FARTHEST)


def _without_baseline(signal_mv: Array, fs: float) -> Array:
    """Resample to 125 Hz, and remove the baseline; NaN stays where the signal is missing."""
    from scipy.ndimage import gaussian_filter1d, median_filter

    is_known = np.isfinite(signal_mv)
    if not is_known.any():
        return np.full(max(1, round(len(signal_mv) / fs * FS)), np.nan)
    samples = np.arange(len(signal_mv))
    whole = np.interp(samples, samples[is_known], signal_mv[is_known])
    at = np.arange(int((len(samples) - 1) / fs * FS) + 1) * fs / FS
    signal = np.interp(at, samples, gaussian_filter1d(whole, _BANDWIDTH_S * fs, mode="nearest"))
    baseline = signal
    for width in _BASELINE_S:
        baseline = median_filter(baseline, round(width * FS) | 1, mode="nearest")
    return np.where(is_known[np.round(at).astype(int)], signal - baseline, np.nan)

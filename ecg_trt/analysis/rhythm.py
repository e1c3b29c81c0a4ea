"""Rate and regularity of the beats of a record."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ecg_trt.analysis.beats import detect_beats
from ecg_trt.analysis.measurement import Measurement, Omission, OmissionReason
from ecg_trt.analysis.median_beat import MedianBeats, median_beats
from ecg_trt.record import EcgRecord
from ecg_trt.signal.resample import runs
from ecg_trt.types import Array

_LONGEST_GAP_S = 0.15  # No lead shows anything: shorter than the least distance of two beats.
_LEAST_INTERVALS, _LEAST_SUCCESSIVE = 2, 4  # For the rate, and for RMSSD and variation.
_REGULAR, _SLIGHTLY_IRREGULAR = 0.04, 0.12  # Variation of intervals up to which a rhythm is called so.
_EARLY = 0.8  # Interval as a share of the median, below which a beat comes early.


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Beats of a record, and what they say of its rate.

    Attributes:
        r_s: (beats,) s on the record's clock, R peaks.
        confidence: (beats,) 0..1, share of such detections that are beats.
        rr_s: (beats - 1,) s from each beat to the next, NaN where no lead shows the time between them.
        is_early: (beats,) bool, beats that come much earlier than the rhythm lets expect.
        regularity: in words; empty if there are too few beats.
        median: median beats of the leads.
        measurements: heart_rate, rr_cv, rmssd.
        omissions: those that cannot be given.
    """

    r_s: Array
    confidence: Array
    rr_s: Array
    is_early: Array
    regularity: str
    median: MedianBeats
    measurements: tuple[Measurement, ...]
    omissions: tuple[Omission, ...]

    @property
    def mean_rr_s(self) -> float:
        """Mean interval, s; NaN if none is seen."""
        return _mean(self.rr_s[np.isfinite(self.rr_s)])

    @property
    def basic_rr_s(self) -> Array:
        """Intervals (k,) s of the basic rhythm: neither that before an early beat, nor the pause behind it."""
        return np.asarray(self.rr_s[np.isfinite(self.rr_s) & ~self.is_early[1:] & ~self.is_early[:-1]])


def variation_of(rr_s: Array) -> float:
    """Standard deviation of intervals (k,) over their mean, NaN if there are fewer than two."""
    return float(rr_s.std(ddof=1) / rr_s.mean()) if len(rr_s) > 1 else float("nan")


def _mean(values: Array) -> float:
    return float(values.mean()) if len(values) else float("nan")


def measure_rhythm(record: EcgRecord) -> Rhythm:
    """Find the beats of a record, and measure rate and regularity."""
    found = detect_beats(record.signal_mv, record.fs)
    median = median_beats(record.signal_mv, record.fs, record.lead_names, found.sample)
    rr_s = _intervals(record, median.r_s)
    early = _early(rr_s)
    leads = tuple(lead for lead, row in zip(record.lead_names, record.signal_mv, strict=True) if np.isfinite(row).any())
    rhythm = Rhythm(median.r_s, found.confidence, rr_s, early, "", median, (), ())
    measurements, omissions = _measurements(rhythm, leads)
    return replace(rhythm, regularity=_words(rhythm), measurements=tuple(measurements), omissions=tuple(omissions))


def _intervals(record: EcgRecord, r_s: Array) -> Array:
    """Measure the intervals (beats - 1,) s, NaN where no lead shows the time between two beats."""
    hidden = runs(np.asarray(~np.isfinite(record.signal_mv).any(0)))
    rr_s = np.diff(r_s)
    for start, stop in hidden:
        if stop - start > _LONGEST_GAP_S * record.fs:
            rr_s[(r_s[:-1] * record.fs < stop) & (r_s[1:] * record.fs > start)] = np.nan
    return rr_s


def _early(rr_s: Array) -> Array:
    """Mask the beats (beats,) that come early."""
    early = np.zeros(len(rr_s) + 1, bool)
    seen = rr_s[np.isfinite(rr_s)]
    if len(seen) >= _LEAST_INTERVALS:
        early[1:] = rr_s < _EARLY * np.median(seen)  # False where it is NaN.
    return early


def _words(rhythm: Rhythm) -> str:
    """Describe the regularity of a rhythm."""
    seen, basic = int(np.isfinite(rhythm.rr_s).sum()), rhythm.basic_rr_s
    if seen < _LEAST_SUCCESSIVE:
        return ""
    variation = variation_of(basic)
    if len(basic) < seen / 3 or not variation <= _SLIGHTLY_IRREGULAR:
        return "irregular"
    text = "regular" if variation <= _REGULAR else "slightly irregular"
    count = int(rhythm.is_early.sum())
    return text + f", with {count} early beat{'s' * (count > 1)}" * (count > 0)


def _measurements(rhythm: Rhythm, leads: tuple[str, ...]) -> tuple[list[Measurement], list[Omission]]:
    """Measure rate and regularity, as far as the beats allow."""
    seen = np.isfinite(rhythm.rr_s)
    used = np.flatnonzero(np.r_[seen, False] | np.r_[False, seen]).tolist()
    confidence = float(rhythm.confidence[used].mean()) if used else 0.0
    measured, omitted = [], []

    def add(name: str, value: float, unit: str) -> None:
        measured.append(Measurement(name, value, unit, confidence, leads, tuple(used)))

    def omit(name: str, needed: int) -> None:
        text = f"{int(seen.sum())} intervals between beats are seen, and {needed} are needed."
        omitted.append(Omission(name, OmissionReason.TOO_FEW_BEATS, text))

    if seen.sum() >= _LEAST_INTERVALS:
        add("heart_rate", 60 / rhythm.mean_rr_s, "bpm")
    else:
        omit("heart_rate", _LEAST_INTERVALS)
    if seen.sum() >= _LEAST_SUCCESSIVE:
        add("rr_cv", 100 * variation_of(rhythm.rr_s[seen]), "%")
    else:
        omit("rr_cv", _LEAST_SUCCESSIVE)
    steps = _successive(rhythm)
    if len(steps) >= _LEAST_SUCCESSIVE - 1:
        add("rmssd", 1e3 * float(np.sqrt((steps**2).mean())), "ms")
    elif seen.sum() >= _LEAST_SUCCESSIVE:
        text = "Columns share no rhythm strip, so that intervals from one to the next are known to some 20 ms only."
        omitted.append(Omission("rmssd", OmissionReason.PRINTED_APART, text))
    else:
        omit("rmssd", _LEAST_SUCCESSIVE)
    return measured, omitted


def _successive(rhythm: Rhythm) -> Array:
    """Differences (k,) s of successive intervals, of beats that are laid over each other on shared leads."""
    group = rhythm.median.group
    rr_s = np.where(group[1:] == group[:-1], rhythm.rr_s, np.nan)
    steps = np.diff(rr_s)
    return np.asarray(steps[np.isfinite(steps)])

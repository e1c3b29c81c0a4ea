"""Map of the heart from the median beats of a record."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from ecg_trt.analysis.electrophysiology import LEAST_LEADS, HeartMap, HeartMapper, beat_window
from ecg_trt.analysis.fiducials import Wave
from ecg_trt.analysis.intervals import Intervals
from ecg_trt.analysis.measurement import Measurement, Omission, OmissionReason, jackknife_confidence
from ecg_trt.analysis.median_beat import STEP_S, MedianBeats
from ecg_trt.analysis.rhythm import Rhythm
from ecg_trt.layout import LEADS
from ecg_trt.types import Array

_TOLERANCE_MS = 10.0
_ERROR_MS = 6.0  # Of the network on simulated hearts that it did not learn, rounded up (docs/electrophysiology.md).


@dataclass(frozen=True, slots=True)
class MappedHeart:
    """Map of the heart of a record, or the reason why there is none.

    Attributes:
        parts: "activation", "potentials", or both: what was asked for.
        heart_map: activation, which the confidence rests on, and the potentials if they were asked for; None if the
            record does not allow it.
        confidence: 0..1, probability that an activation time is right within 10 ms, if the heart is like those that
            were simulated; 0 without a map.
        beats: indices from 0 of the beats that the median beat rests on.
        measurements: activation_time (ms), from the first to the last of the points.
        omissions: the parts, if there is no map.
    """

    parts: tuple[str, ...]
    heart_map: HeartMap | None
    confidence: float
    beats: tuple[int, ...]
    measurements: tuple[Measurement, ...]
    omissions: tuple[Omission, ...]


def map_heart(rhythm: Rhythm, intervals: Intervals, mapper: HeartMapper, parts: tuple[str, ...]) -> MappedHeart:
    """Map the heart from the median beats of the leads that intervals rest on, from the onset of QRS on."""
    reason = _why_not(intervals)
    if reason is not None:
        return _without_map(parts, *reason)
    median, onset_s = rhythm.median, intervals.spans[Wave.QRS].onset_s - rhythm.median.time_s[0]
    beat = _twelve(median, intervals.leads)
    window = beat_window(beat, 1 / STEP_S, onset_s)
    seen = np.flatnonzero(np.isfinite(window).all(1)).tolist()
    if len(seen) < LEAST_LEADS:
        text = f"{len(seen)} leads show the median beat from QRS to the end of T, and {LEAST_LEADS} are needed."
        return _without_map(parts, OmissionReason.TOO_FEW_LEADS, text)
    found = mapper.map_window(window)
    others = np.stack([mapper.activation_ms(np.where(np.arange(12)[:, None] == k, np.nan, window)) for k in seen])
    confidence = jackknife_confidence(others, _ERROR_MS, _TOLERANCE_MS)
    beats = median.beats_of(found.leads)
    measured = Measurement("activation_time", float(np.ptp(found.activation_ms)), "ms", confidence, found.leads, beats)
    return MappedHeart(parts, found, confidence, beats, (measured,) if "activation" in parts else (), ())


def _without_map(parts: tuple[str, ...], reason: OmissionReason, text: str) -> MappedHeart:
    return MappedHeart(parts, None, 0.0, (), (), tuple(Omission(part, reason, text) for part in parts))


def _why_not(intervals: Intervals) -> tuple[OmissionReason, str] | None:
    """Say why there can be no map of the heart; None if there can."""
    left_out = {omission.name: omission for omission in intervals.omissions}
    if Wave.QRS not in intervals.spans:
        qrs = left_out["qrs_duration"]
        return qrs.reason, f"The onset of QRS is not known. {qrs.text}"
    usable = [lead for lead in LEADS if lead in intervals.leads]
    if len(usable) < LEAST_LEADS:
        reasons = Counter(left_out[lead].reason for lead in LEADS if lead in left_out)
        reason = reasons.most_common(1)[0][0] if reasons else OmissionReason.TOO_FEW_LEADS
        why = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
        text = f"{len(usable)} of the twelve leads can be used, and {LEAST_LEADS} are needed."
        return reason, text + f" Left out: {why}." * bool(why)
    return None


def _twelve(median: MedianBeats, leads: tuple[str, ...]) -> Array:
    """Arrange the median beats (12, m) mV of some leads in the order of `LEADS`; NaN for the others."""
    rows = dict(zip(median.leads, median.mv, strict=True))
    nothing = np.full(len(median.time_s), np.nan)
    return np.stack([rows[lead] if lead in leads else nothing for lead in LEADS])

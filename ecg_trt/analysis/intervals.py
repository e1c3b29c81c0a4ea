"""Intervals and the frontal axis, from the median beats of all leads."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ecg_trt.analysis.fiducials import Wave, WaveSpan, delineate
from ecg_trt.analysis.measurement import (
    LEAST_QUALITY,
    Measurement,
    Omission,
    OmissionReason,
    jackknife_confidence,
)
from ecg_trt.analysis.median_beat import MedianBeats
from ecg_trt.analysis.rhythm import Rhythm, variation_of
from ecg_trt.record import EcgRecord
from ecg_trt.types import Array

_LEAST_FS = 200.0  # Hz. A sample is then 5 ms, and QRS begins within 6.5 ms in the hands of experts (CSE).
_LEAST_LEADS = 2
_LEAST_TYPICAL = 0.4  # Share of beats of the commonest shape.
_LEAST_CONFIDENCE = 0.5
_MOST_VARIATION = 0.15  # Of intervals, beyond which QT has no rate to be corrected for.
_LEAST_NET_AREA = 0.12  # Of QRS in the limb leads, as a share of its whole area, below which the axis means nothing.
_AXIS_TOLERANCE_DEG, _AXIS_ERROR_DEG = 10.0, 3.0
_FRONTAL = {"I": 0.0, "II": 60.0, "III": 120.0, "aVR": -150.0, "aVL": -30.0, "aVF": 90.0}  # Degrees.
_GOLDBERGER = math.sqrt(3) / 2  # Length of the lead vectors of aVR, aVL and aVF, that of I being 1.


@dataclass(frozen=True, slots=True)
class _Interval:
    """Interval between two fiducials.

    Attributes:
        name: of the measurement.
        start: wave with whose onset it begins.
        end: wave with which it ends.
        at_onset: it ends with that wave's onset.
        tolerance_s: root of the summed squares of the two standard deviations that the CSE working party allows.
        error_s: standard deviation of the method on ECGs of known waves (docs/analysis.md).
    """

    name: str
    start: Wave
    end: Wave
    at_onset: bool
    tolerance_s: float
    error_s: float

    def of(self, spans: Mapping[Wave, WaveSpan]) -> float:
        """Length, s; NaN where a wave is not seen, or begins or ends unclearly."""
        if self.start not in spans or self.end not in spans:
            return math.nan
        end = spans[self.end].onset_s if self.at_onset else spans[self.end].end_s
        return end - spans[self.start].onset_s


_INTERVALS = (
    _Interval("p_duration", Wave.P, Wave.P, False, 0.0163, 0.008),
    _Interval("pr", Wave.P, Wave.QRS, True, 0.0121, 0.004),
    _Interval("qrs_duration", Wave.QRS, Wave.QRS, False, 0.0133, 0.005),
    _Interval("qt", Wave.QRS, Wave.T, False, 0.0313, 0.004),
)
_CORRECTIONS = {"qtc_bazett": 1 / 2, "qtc_fridericia": 1 / 3}  # Powers of the interval between beats, in s.
_NAMES = (*(interval.name for interval in _INTERVALS), *_CORRECTIONS, "qrs_axis")


@dataclass(frozen=True, slots=True)
class Intervals:
    """Intervals and axis of a record.

    Attributes:
        spans: waves that are seen, s from the R peak of the median beat.
        leads: that they were measured on.
        measurements: p_duration, pr, qrs_duration, qt, qtc_bazett, qtc_fridericia (ms) and qrs_axis (degrees).
        omissions: those that cannot be given, and leads that were left out.
    """

    spans: Mapping[Wave, WaveSpan]
    leads: tuple[str, ...]
    measurements: tuple[Measurement, ...]
    omissions: tuple[Omission, ...]


def measure_intervals(record: EcgRecord, rhythm: Rhythm) -> Intervals:
    """Measure the intervals on the median beats of all leads that are good enough, and the axis on the limb leads."""
    reason = _why_not(record, rhythm)
    if reason is not None:
        return Intervals({}, (), (), tuple(Omission(name, *reason) for name in _NAMES))
    kept, omitted = _choose_leads(record, rhythm)
    median = rhythm.median.of_leads(kept)
    if len(median.leads) < _LEAST_LEADS:
        text = f"{len(median.leads)} leads can be used, and {_LEAST_LEADS} are needed."
        few = tuple(Omission(name, OmissionReason.TOO_FEW_LEADS, text) for name in _NAMES)
        return Intervals({}, median.leads, (), (*few, *omitted))
    spans = delineate(median, rhythm.mean_rr_s)
    found = sorted((*_intervals(median, rhythm, spans), _axis(median, spans)), key=lambda item: _NAMES.index(item.name))
    measured = tuple(item for item in found if isinstance(item, Measurement))
    missing = tuple(item for item in found if isinstance(item, Omission))
    return Intervals(_known(spans, {m.name for m in measured}), median.leads, measured, (*missing, *omitted))


def _known(spans: Mapping[Wave, WaveSpan], names: Collection[str]) -> dict[Wave, WaveSpan]:
    """Keep the waves on which a figure rests that was given."""
    needed = {wave for interval in _INTERVALS if interval.name in names for wave in (interval.start, interval.end)}
    return {wave: span for wave, span in spans.items() if wave in needed}


def _why_not(record: EcgRecord, rhythm: Rhythm) -> tuple[OmissionReason, str] | None:
    """Say why the record cannot have intervals; None if it can."""
    if record.fs < _LEAST_FS:
        text = f"The record has {record.fs:g} samples a second, and {_LEAST_FS:g} are needed."
        return OmissionReason.LOW_SAMPLING_RATE, text
    count, typical = len(rhythm.r_s), int(rhythm.median.is_typical.sum())
    if not math.isfinite(rhythm.mean_rr_s) or typical < max(2, _LEAST_TYPICAL * count):
        text = f"Of {count} beats {typical} have the commonest shape, or no two of them follow each other."
        return OmissionReason.TOO_FEW_BEATS, text
    return None


def _choose_leads(record: EcgRecord, rhythm: Rhythm) -> tuple[Array, list[Omission]]:
    """Choose the leads (leads,) bool that intervals are measured on: good ones that show beats of one time."""
    median, omitted = rhythm.median, []
    kept = np.zeros(len(median.leads), bool)
    groups: dict[int, list[int]] = {}
    for row, lead in enumerate(median.leads):
        quality = float(record.quality[row])
        if len(median.beats[row]) < 2:
            text = f"Lead {lead} shows {len(median.beats[row])} whole beats of the commonest shape; 2 are needed."
            omitted.append(Omission(lead, OmissionReason.TOO_FEW_BEATS, text))
        elif not quality >= LEAST_QUALITY:
            text = f"The quality of lead {lead} is {quality:.2f}; {LEAST_QUALITY:g} is needed."
            omitted.append(Omission(lead, OmissionReason.LOW_QUALITY, text))
        else:
            groups.setdefault(int(median.group[median.beats[row][0]]), []).append(row)
    best = max(groups.values(), key=lambda rows: sum(len(median.beats[row]) for row in rows), default=[])
    kept[best] = True
    for row in (row for rows in groups.values() for row in rows if not kept[row]):
        text = f"Lead {median.leads[row]} is printed at another time than those used, and no lead shows both times."
        omitted.append(Omission(median.leads[row], OmissionReason.PRINTED_APART, text))
    return kept, omitted


def _without_each(median: MedianBeats) -> Iterator[MedianBeats]:
    """Leave out one lead after the other."""
    for k in range(len(median.leads)):
        yield median.of_leads(np.arange(len(median.leads)) != k)


def _intervals(median: MedianBeats, rhythm: Rhythm, spans: Mapping[Wave, WaveSpan]) -> Iterator[Measurement | Omission]:
    """Measure the intervals; how they change without a lead is their uncertainty."""
    others = [delineate(fewer, rhythm.mean_rr_s) for fewer in _without_each(median)]
    qt: Measurement | Omission | None = None
    for interval in reversed(_INTERVALS):
        missing = next((wave for wave in (interval.start, interval.end) if wave not in spans), None)
        if missing is not None:
            text = f"No {missing} wave stands out of the noise at a constant distance from QRS."
            found: Measurement | Omission = Omission(interval.name, OmissionReason.WAVE_NOT_SEEN, text)
        elif interval.start is Wave.P and not isinstance(qt, Measurement):
            text = "The end of T is not clear, and without it a T wave may pass for a P wave."
            found = Omission(interval.name, OmissionReason.BOUNDARY_UNCLEAR, text)
        else:
            confidence = jackknife_confidence(
                np.array([interval.of(o) for o in others]), interval.error_s, interval.tolerance_s
            )
            leads = tuple(
                lead for lead in median.leads if any(lead in spans[w].leads for w in (interval.start, interval.end))
            )
            value = 1e3 * interval.of(spans)
            found = _measurement_or_omission(interval.name, value, "ms", confidence, leads, median.beats_of(leads))
        qt = found if interval.name == "qt" else qt
        yield found
    yield from _corrected(qt, rhythm)


def _corrected(qt: Measurement | Omission | None, rhythm: Rhythm) -> Iterator[Measurement | Omission]:
    """Correct QT for the rate by the formulas of Bazett (1920) and Fridericia (1920)."""
    for name, power in _CORRECTIONS.items():
        if not isinstance(qt, Measurement):
            reason = OmissionReason.BOUNDARY_UNCLEAR if qt is None else qt.reason
            yield Omission(name, reason, "QT is not known.")
        elif not (variation := variation_of(rhythm.basic_rr_s)) <= _MOST_VARIATION:
            text = f"Intervals between beats vary by {100 * variation:.0f} %, so that QT has no one rate."
            yield Omission(name, OmissionReason.RHYTHM_IRREGULAR, text)
        else:
            value = qt.value / float(rhythm.basic_rr_s.mean()) ** power
            yield Measurement(name, value, "ms", qt.confidence, qt.leads, qt.beats)


def _measurement_or_omission(
    name: str, value: float, unit: str, confidence: float, leads: tuple[str, ...], beats: tuple[int, ...]
) -> Measurement | Omission:
    """Leave a figure out that is not known well enough."""
    if not math.isfinite(value) or confidence < _LEAST_CONFIDENCE:
        text = "Its beginning or end changes too much from lead to lead, or is not clear."
        return Omission(name, OmissionReason.BOUNDARY_UNCLEAR, text)
    return Measurement(name, value, unit, confidence, leads, beats)


def _axis(median: MedianBeats, spans: Mapping[Wave, WaveSpan]) -> Measurement | Omission:
    """Measure the frontal axis of QRS: the direction of its net area, by least squares over the limb leads."""
    shown = spans[Wave.QRS].leads if Wave.QRS in spans else ()
    rows = [row for row, lead in enumerate(median.leads) if lead in _FRONTAL and lead in shown]
    names = tuple(median.leads[row] for row in rows)
    if len(rows) < _LEAST_LEADS:
        text = f"{len(rows)} limb leads can be used, and {_LEAST_LEADS} are needed."
        return Omission("qrs_axis", OmissionReason.TOO_FEW_LEADS, text)
    qrs = spans[Wave.QRS]
    inside = (median.time_s >= qrs.onset_s) & (median.time_s <= qrs.end_s)
    level = median.mv[rows][:, np.abs(median.time_s - qrs.onset_s) < 0.004].mean(1, keepdims=True)
    heights = median.mv[rows][:, inside] - level
    areas, whole = heights.sum(1), np.abs(heights).sum(1)
    degrees = np.radians([_FRONTAL[name] for name in names])
    lengths = np.array([_GOLDBERGER if name.startswith("a") else 1.0 for name in names])
    design = lengths[:, None] * np.stack([np.cos(degrees), np.sin(degrees)], 1)
    axis = np.linalg.lstsq(design, areas, rcond=None)[0]
    if np.hypot(*axis) < _LEAST_NET_AREA * whole.max():
        text = "QRS goes up as much as down in all limb leads."
        return Omission("qrs_axis", OmissionReason.AXIS_INDETERMINATE, text)
    angle = math.degrees(math.atan2(axis[1], axis[0]))
    error = _AXIS_ERROR_DEG
    if len(rows) > _LEAST_LEADS:
        rest = np.linalg.norm(areas - design @ axis) / math.sqrt(len(rows) - 2)
        error = math.hypot(error, math.degrees(rest / np.hypot(*axis)))
    confidence = math.erf(_AXIS_TOLERANCE_DEG / math.sqrt(2) / error)
    return _measurement_or_omission("qrs_axis", angle, "deg", confidence, names, median.beats_of(names))

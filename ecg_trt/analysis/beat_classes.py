"""Class of each beat of a record, on the one lead that suits the network best."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecg_trt.analysis.heartbeat import CLASSES, HeartbeatClassifier, is_shown
from ecg_trt.analysis.measurement import LEAST_QUALITY, Measurement, Omission, OmissionReason
from ecg_trt.analysis.rhythm import Rhythm
from ecg_trt.record import EcgRecord
from ecg_trt.types import Array

UNRELIABLE = "S is not reliable: most are missed, and some N are called S."
"""Shown wherever a class of beats is."""
_LEARNT = ("II", "MLII")  # As a page and as MIT-BIH names it.
_LEAST_FS = 100.0  # Hz. Slower records lack waves up to 40 Hz, which the network sees.
_LEAST_BEATS = 3  # The median of fewer is not the patient's own beat.


@dataclass(frozen=True, slots=True)
class BeatClasses:
    """Classes of the beats of a record, see `heartbeat.CLASSES`.

    Attributes:
        lead: on which beats were judged, "" if none can be used.
        probabilities: (beats, 5) float32 of `heartbeat.CLASSES`; NaN for a beat that this lead does not show.
        notes: sentences on what to know of these classes.
        measurements: of each class `class_n` (beats) and `class_n_share` (%), with its letter.
        omissions: "classes", if they cannot be given.
    """

    lead: str
    probabilities: Array
    notes: tuple[str, ...]
    measurements: tuple[Measurement, ...]
    omissions: tuple[Omission, ...]

    @property
    def by_class(self) -> dict[str, Array]:
        """Map each class to its probabilities (beats,)."""
        return dict(zip(CLASSES, self.probabilities.T, strict=True))

    @property
    def names(self) -> tuple[str, ...]:
        """Class of each beat: the likeliest one, "" where the lead does not show the beat."""
        rows = self.probabilities.tolist()
        return tuple("" if np.isnan(row).any() else CLASSES[int(np.argmax(row))] for row in rows)


def classify_beats(record: EcgRecord, rhythm: Rhythm, classifier: HeartbeatClassifier) -> BeatClasses:
    """Judge each beat on one lead: II if it can be used, else the lead of good quality that shows most beats."""
    chosen = _choose_lead(record, rhythm)
    if isinstance(chosen, Omission):
        return BeatClasses("", np.full((len(rhythm.r_s), len(CLASSES)), np.nan, np.float32), (), (), (chosen,))
    lead = record.lead_names[chosen]
    probabilities = np.full((len(rhythm.r_s), len(CLASSES)), np.nan, np.float32)
    inside = _inside(record, rhythm)
    probabilities[inside] = classifier(record.signal_mv[chosen], record.fs, rhythm.r_s[inside] * record.fs)
    notes = (UNRELIABLE,) if lead in _LEARNT else (UNRELIABLE, f"The network learnt lead II, and this is {lead}.")
    return BeatClasses(lead, probabilities, notes, _counted(probabilities, lead), ())


def _inside(record: EcgRecord, rhythm: Rhythm) -> Array:
    """Mask the beats (beats,) whose R peak lies within the record."""
    at = rhythm.r_s * record.fs
    return np.asarray((at >= 0) & (at <= record.signal_mv.shape[1] - 1))


def _choose_lead(record: EcgRecord, rhythm: Rhythm) -> int | Omission:
    """Choose the row of a lead, or say why none can be used."""
    if record.fs < _LEAST_FS:
        text = f"The record has {record.fs:g} samples a second, and {_LEAST_FS:g} are needed."
        return Omission("classes", OmissionReason.LOW_SAMPLING_RATE, text)
    peaks = rhythm.r_s[_inside(record, rhythm)] * record.fs
    shown = np.array([is_shown(row, record.fs, peaks).sum() for row in record.signal_mv], int)
    if shown.max(initial=0) < _LEAST_BEATS:
        text = f"No lead shows more than {shown.max(initial=0)} beats, and {_LEAST_BEATS} are needed."
        return Omission("classes", OmissionReason.TOO_FEW_BEATS, text)
    usable = np.flatnonzero((shown >= _LEAST_BEATS) & (record.quality >= LEAST_QUALITY)).tolist()
    if not usable:
        text = f"No lead that shows {_LEAST_BEATS} beats has the quality {LEAST_QUALITY:g} that is needed."
        return Omission("classes", OmissionReason.LOW_QUALITY, text)
    return int(max(usable, key=lambda row: (record.lead_names[row] in _LEARNT, shown[row])))


def _counted(probabilities: Array, lead: str) -> tuple[Measurement, ...]:
    """Count the beats of each class.

    Their confidence is the mean probability that a beat is of the class, or is not, as it was counted.
    """
    judged = np.flatnonzero(np.isfinite(probabilities).all(1))
    if not len(judged):
        return ()
    found = probabilities[judged].argmax(1)
    counts = []
    for k, name in enumerate(CLASSES):
        of_class = probabilities[judged, k].astype(np.float64)
        basis = float(np.where(found == k, of_class, 1 - of_class).mean()), (lead,), tuple(judged.tolist())
        count = int((found == k).sum())
        counts.append(Measurement(f"class_{name.lower()}", count, "beats", *basis))
        counts.append(Measurement(f"class_{name.lower()}_share", 100 * count / len(judged), "%", *basis))
    return tuple(counts)

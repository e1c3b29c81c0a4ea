"""Measurements of an ECG, and those that a record cannot give."""

from __future__ import annotations

from dataclasses import dataclass

from ecg_trt.str_enum import StrEnum


@dataclass(frozen=True, slots=True)
class Measurement:
    """One figure, and what it rests on.

    Attributes:
        name: such as "qt".
        value: in `unit`.
        unit: "bpm", "ms", "deg" or "%".
        confidence: 0..1, see docs/analysis.md.
        leads: names of those that were used.
        beats: indices from 0 of the beats that were used.
    """

    name: str
    value: float
    unit: str
    confidence: float
    leads: tuple[str, ...]
    beats: tuple[int, ...]


class OmissionReason(StrEnum):
    """Kinds of `Omission`; `docs/analysis.md` explains each."""

    TOO_FEW_BEATS = "too-few-beats"
    TOO_FEW_LEADS = "too-few-leads"
    LOW_QUALITY = "low-quality"
    LOW_SAMPLING_RATE = "low-sampling-rate"
    WAVE_NOT_SEEN = "wave-not-seen"
    BOUNDARY_UNCLEAR = "boundary-unclear"
    AXIS_INDETERMINATE = "axis-indeterminate"
    PRINTED_APART = "printed-apart"
    RHYTHM_IRREGULAR = "rhythm-irregular"


@dataclass(frozen=True, slots=True)
class Omission:
    """A figure, or a lead, that was left out.

    Attributes:
        name: of the measurement, such as "qt", or of the lead.
        reason: its kind, for programs.
        text: a sentence for a person.
    """

    name: str
    reason: OmissionReason
    text: str

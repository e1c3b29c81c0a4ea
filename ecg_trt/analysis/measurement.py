"""Measurements of an ECG, and those that a record cannot give."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ecg_trt.str_enum import StrEnum
from ecg_trt.types import Array

LEAST_QUALITY = 0.4
"""Quality of a lead, some 8 dB, below which nothing but beats rests on it."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One figure, and what it rests on.

    Attributes:
        name: such as "qt".
        value: in `unit`.
        unit: "bpm", "ms", "deg", "beats" or "%".
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
    """A figure, a part or a lead that was left out.

    Attributes:
        name: of the measurement, such as "qt", of the part of the analysis, or of the lead.
        reason: its kind, for programs.
        text: a sentence for a person.
    """

    name: str
    reason: OmissionReason
    text: str


def jackknife_confidence(others: Array, error: float, tolerance: float) -> float:
    """Probability that an error is within a tolerance, if it is normally distributed.

    Its variance is that of the method and, by the jackknife (Efron 1982), that of the figure.

    Args:
        others: (leads,) the figure without each lead, NaN where it is not found then; or (leads, figures), all of which
            are found, for their mean variance.
        error: standard deviation of the method.
        tolerance: in the same unit.
    """
    known = others[np.isfinite(others)] if others.ndim == 1 else others
    if len(known) < 2 or len(known) < 0.6 * len(others):
        return 0.0
    variance = (len(known) - 1) * float(known.var(axis=0).mean()) + error**2
    return math.erf(tolerance / math.sqrt(2 * variance))

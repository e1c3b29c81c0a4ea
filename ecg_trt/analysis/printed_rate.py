"""Heart rate that a page prints, against that of its beats."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ecg_trt.analysis.rhythm import Rhythm
from ecg_trt.errors import OptionError

_LEAST_BPM, _MOST_BPM = 10.0, 400.0
_TOLERANCE_BPM, _TOLERANCE = 5.0, 0.1  # Devices count other beats than those that are printed: the greater of both.


@dataclass(frozen=True, slots=True)
class RateComparison:
    """Printed and measured rate.

    Attributes:
        printed_bpm: as it stands on the page.
        measured_bpm: of the beats, NaN if it is not known.
        contradicts: they differ by more than 5 beats a minute and 10 %.
        text: a sentence for a person.
    """

    printed_bpm: float
    measured_bpm: float
    contradicts: bool
    text: str


def compare_rates(rhythm: Rhythm, printed_bpm: float) -> RateComparison:
    """Compare the rate of the beats with one that the page prints.

    Raises:
        OptionError: the printed rate is none that a heart has.
    """
    if not _LEAST_BPM <= printed_bpm <= _MOST_BPM:
        raise OptionError("The printed heart rate is out of range", got=f"{printed_bpm:g} bpm",
                          expected=f"{_LEAST_BPM:g} to {_MOST_BPM:g} bpm", hint="Give beats a minute.")  # fmt: skip
    measured = next((m.value for m in rhythm.measurements if m.name == "heart_rate"), math.nan)
    if not math.isfinite(measured):
        return RateComparison(printed_bpm, measured, False, "The rate of the beats is not known.")
    apart = abs(measured - printed_bpm)
    contradicts = apart > max(_TOLERANCE_BPM, _TOLERANCE * printed_bpm)
    text = f"The page prints {printed_bpm:g} bpm, its beats have {measured:.0f} bpm"
    text += ": check the paper speed, and the beats that were found." if contradicts else "."
    return RateComparison(printed_bpm, measured, contradicts, text)

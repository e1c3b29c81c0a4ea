"""From a record to what it says: the parts of an analysis, in their order."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from ecg_trt.analysis.intervals import Intervals, measure_intervals
from ecg_trt.analysis.measurement import Measurement, Omission
from ecg_trt.analysis.printed_rate import RateComparison, compare_rates
from ecg_trt.analysis.rhythm import Rhythm, measure_rhythm
from ecg_trt.errors import OptionError
from ecg_trt.record import EcgRecord

PARTS = ("beats", "intervals")
"""Parts of an analysis that can be asked for."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """Findings on a record. Research use only, not a diagnosis.

    Attributes:
        source: of the record.
        fs: samples a second of the record.
        beats: beats, rate and regularity; everything else rests on them.
        intervals: intervals and axis, None where they were not asked for.
        printed_rate: comparison with the rate that the page prints, None where none was given.
    """

    source: str
    fs: float
    beats: Rhythm
    intervals: Intervals | None = None
    printed_rate: RateComparison | None = None

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        """All figures."""
        return tuple(chain.from_iterable(part.measurements for part in self._parts))

    @property
    def omissions(self) -> tuple[Omission, ...]:
        """Everything that was left out, and why."""
        return tuple(chain.from_iterable(part.omissions for part in self._parts))

    @property
    def _parts(self) -> tuple[Rhythm | Intervals, ...]:
        return (self.beats,) if self.intervals is None else (self.beats, self.intervals)

    def __getitem__(self, name: str) -> Measurement:
        """Take one figure, such as "qt".

        Raises:
            KeyError: it was left out, or not asked for.
        """
        for measurement in self.measurements:
            if measurement.name == name:
                return measurement
        raise KeyError(next((o.text for o in self.omissions if o.name == name), f"There is no figure {name}."))


def analyze(
    source: EcgRecord | str | os.PathLike[str],
    parts: Iterable[str] = PARTS,
    *,
    printed_rate_bpm: float | None = None,
    page: int | None = None,
) -> Analysis:
    """Find the beats of an ECG, and measure its intervals. Research use only, not a diagnosis.

    Args:
        source: a record; or the path of a file that holds one (``.csv``, ``.hea``, ``.edf``, ``.dcm``), or of a photo
            or scan, which is digitized first.
        parts: some of `PARTS`; beats are always found.
        printed_rate_bpm: heart rate that the page prints, to compare with.
        page: number from 1, of a photo's file with several pages.

    Raises:
        OptionError: there is no such part, or the printed rate is none.
        InputError: the file cannot be read.
        PageError: the photo shows no page that can be read.
    """
    wanted = set(parts)
    if not wanted <= set(PARTS):
        raise OptionError("Unknown part of an analysis", got=", ".join(sorted(wanted - set(PARTS))),
                          expected=f"some of {', '.join(PARTS)}", hint="Choose of these.")  # fmt: skip
    record = source if isinstance(source, EcgRecord) else load_record(source, page)
    beats = measure_rhythm(record)
    intervals = measure_intervals(record, beats) if "intervals" in wanted else None
    compared = None if printed_rate_bpm is None else compare_rates(beats, printed_rate_bpm)
    return Analysis(record.source, record.fs, beats, intervals, compared)


def load_record(path: str | os.PathLike[str], page: int | None = None) -> EcgRecord:
    """Load a record from a file, or digitize a photo; arguments and errors as of `analyze`."""
    from ecg_trt.digitizer import digitize
    from ecg_trt.recorded import is_record_file, record_in_file

    return record_in_file(path) if is_record_file(path) else digitize(Path(path), page=page)

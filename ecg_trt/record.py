"""Record of a page: leads in millivolts, and the quality of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecg_trt.layout import LIMB_LEADS, upright
from ecg_trt.printed import spelled_lead
from ecg_trt.types import Array, LeadSpan, LimbLeadCheck, MergedPhoto, PageWarning, WarningCode

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame


def in_order(signal: Array, names: Sequence[str], wanted: Sequence[str]) -> Array:
    """Order the rows of a (names, n) signal by wanted lead names, as (wanted, n), NaN for those that it lacks."""
    out = np.full((len(wanted), np.shape(signal)[1]), np.nan)
    for row, name in zip(out, wanted, strict=True):
        if name in names:
            row[:] = signal[names.index(name)]
    return out


@dataclass(frozen=True, slots=True)
class EcgRecord:
    """Leads in millivolts: the twelve, or those that a page with other leads shows.

    Attributes:
        signal_mv: (leads, n) float32 in the order of `lead_names`, mV, NaN where nothing is printed, or seen.
        fs: samples a second.
        lead_names: I, II, III, aVR, aVL, aVF, V1 .. V6, and behind them what is printed beside them, such as V7; on a
            page of no known layout the names of its strips, ``strip1`` .. where they carry none.
        layout: for example "3x4+1"; "strips" for a page of no known layout.
        paper_speed_mm_per_s: one of `layout.PAPER_SPEEDS_MM_PER_S`.
        gain_mm_per_mv: one of `layout.GAINS_MM_PER_MV`.
        quality: (leads,) float32 in [0, 1], NaN for a lead that is not printed; 0.5 stands for an expected SNR of 10 dB
            (`quality.model.quality_of`).
        snr_db: (leads,) float32, the signal-to-noise ratio to be expected of each lead, dB, NaN for a lead that is not
            printed; from a calibration on synthetic pages, no measurement. Infinite for a truth.
        warnings: what to know of how it was read, each with a code and a sentence.
        timings_ms: step to milliseconds.
        backend: what ran the networks.
        weights: network name to the first 12 hex digits of its sha256.
        assumed: names of settings that were neither read nor given, but assumed.
        source: the photo it came from.
        layout_probability: of the layout among all, 1 where it was given.
        spans: where each lead was printed, and the seconds that it shows, in the order of the page; empty if unknown.
        limb_leads: checks of the limb leads against each other, before they were made consistent.
        chest_gain_mm_per_mv: gain of all but the limb leads, None if it is that of the limb leads.
        photos: those that the record was merged from, with the part of each; empty for a single photo.
        corrected: what a person corrected: attributes of `corrections.Corrections`, then the leads whose name or curve
            was changed.
        outline_px: corners of the area that was read, the rows with their margins, photo px: top left, top right,
            bottom right and bottom left of the upright page. Empty if unknown.
        px_per_mm: resolution of the photo on the page, px/mm (median), None if unknown.
    """

    signal_mv: Array
    fs: float
    lead_names: tuple[str, ...]
    layout: str
    paper_speed_mm_per_s: float
    gain_mm_per_mv: float
    quality: Array
    snr_db: Array
    warnings: tuple[PageWarning, ...] = ()
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    backend: str = ""
    weights: Mapping[str, str] = field(default_factory=dict)
    assumed: tuple[str, ...] = ()
    source: str = ""
    layout_probability: float = 1.0
    limb_leads: tuple[LimbLeadCheck, ...] = ()
    photos: tuple[MergedPhoto, ...] = ()
    chest_gain_mm_per_mv: float | None = None
    spans: tuple[LeadSpan, ...] = ()
    corrected: tuple[str, ...] = ()
    outline_px: tuple[tuple[float, float], ...] = ()
    px_per_mm: float | None = None

    def gain_of(self, lead: str) -> float:
        """Gain of a lead, mm/mV."""
        chest = self.chest_gain_mm_per_mv
        return self.gain_mm_per_mv if chest is None or lead in LIMB_LEADS else chest

    @property
    def gain_text(self) -> str:
        """Gain as a user reads it; that of the chest leads beside it where it differs."""
        chest = self.chest_gain_mm_per_mv
        others = "" if chest in (None, self.gain_mm_per_mv) else f", chest leads {chest:g} mm/mV"
        return f"{self.gain_mm_per_mv:g} mm/mV{others}"

    @property
    def is_digitized(self) -> bool:
        """False if the signal was taken from a file that holds it, so that layout and scales are those of no page."""
        return all(warning.code is not WarningCode.NOT_DIGITIZED for warning in self.warnings)

    @property
    def mean_quality(self) -> float:
        """Mean quality of the leads that are printed, NaN if none is."""
        printed = self.quality[np.isfinite(self.quality)]
        return float(printed.mean()) if printed.size else float("nan")

    def __contains__(self, lead: object) -> bool:
        """True if the record has a lead of this name."""
        return lead in self.lead_names

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the leads."""
        return iter(self.lead_names)

    def __getitem__(self, lead: str) -> Array:
        """Take one lead.

        Args:
            lead: one of `lead_names`, or as devices print it: D2 is II, C4 is V4, -aVR is aVR turned over.

        Returns:
            (n,) float32 mV, NaN where nothing is printed, or seen.

        Raises:
            KeyError: the record has no such lead.
        """
        name, factor = (lead, 1.0) if lead in self.lead_names else upright(spelled_lead(lead) or lead)
        if name not in self.lead_names:
            raise KeyError(f"There is no lead {lead}: the record has {', '.join(self.lead_names)}.")
        row = self.signal_mv[self.lead_names.index(name)]
        return row if factor == 1.0 else np.float32(factor) * row

    def to_array(
        self,
        leads: int | Sequence[str] | None = 12,
        samples: int | None = 5000,
        fs: float | None = 500.0,
        missing: str = "nan",
    ) -> Array:
        """Make the array that a model takes; see `io.writers.array.record_as_array` for how it is resampled.

        Args:
            leads: 12 for the twelve, 8 for I, II and V1 to V6, or names in the order of the rows; None for all.
            samples: of each lead; the end is cut, or missing. None for all.
            fs: samples a second; None for the record's.
            missing: what stands where nothing is printed or seen: "nan", "zero", or "repeat", which repeats the
                longest stretch of the lead without a gap.

        Returns:
            (leads, samples) float32 mV.

        Raises:
            OptionError: there are no such leads, samples, rate or policy.
            OutputError: the record has none of the leads.
        """
        from ecg_trt.io.writers.array import ArraySpec, leads_of, record_as_array

        names = None if leads is None else leads_of(leads)
        return record_as_array(self, ArraySpec(names, samples, fs, missing))

    def to_pandas(self) -> DataFrame:
        """Make a data frame: one float32 column a lead, mV, on an index ``time_s``."""
        from pandas import DataFrame, Index

        times = Index(np.arange(self.signal_mv.shape[1]) / self.fs, name="time_s")
        return DataFrame(self.signal_mv.T.copy(), index=times, columns=list(self.lead_names))

    def to_csv(self, path: str | Path) -> Path:
        """Write time_s and one column a lead, mV, blank where NaN. Return the path."""
        from ecg_trt.io.writers.csv import write_csv

        return write_csv(self, Path(path))

    def to_json(self, path: str | Path) -> Path:
        """Write everything except the samples. Return the path."""
        from ecg_trt.io.writers.json import write_json

        return write_json(self, Path(path))

    def to_wfdb(self, path: str | Path) -> Path:
        """Write a 16-bit WFDB record (header and .dat) in mV. Return the header's path."""
        from ecg_trt.io.writers.wfdb import write_wfdb

        return write_wfdb(self, Path(path))

    def save(self, path: str | Path, format: str | None = None, **options: object) -> Path:
        """Write the record in any format that `io.writers.WRITERS` knows.

        Args:
            path: the file, replaced if it is there.
            format: such as "csv", "json" or "wfdb"; by the path's suffix if None.
            options: of the format.

        Returns:
            The path of the file that is opened to read the record.

        Raises:
            OptionError: there is no such format, or it has no such option.
            OutputError: it could not be written, or no format has this suffix.
        """
        from ecg_trt.io.writers import write_record

        return write_record(self, path, format, **options)

    def plot(self, *, speed: float | None = None, gain: float | None = None) -> Figure:
        """Draw the leads as the page had them, on ECG paper to scale, with matplotlib (extra ``plot``).

        Args:
            speed: mm/s; that of the page if None.
            gain: mm/mV of all leads; those of the page if None.

        Raises:
            OptionError: a scale is not above zero.
            OutputError: matplotlib is not installed.
        """
        from ecg_trt.io.writers.plot import plot_record

        return plot_record(self, speed=speed, gain=gain)

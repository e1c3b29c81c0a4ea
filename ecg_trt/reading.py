"""From a page whose rows were traced to its record: names, scales and time as read, as given, or as corrected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ecg_trt.config import AUTO, ReadOptions
from ecg_trt.corrections import Corrections
from ecg_trt.errors import IncompletePageError, OptionError
from ecg_trt.geometry.grid import page_points, photo_points
from ecg_trt.page.candidate import LocatedPage
from ecg_trt.page.corrected import on_traced_rows, outline, renamed
from ecg_trt.page.naming import Naming
from ecg_trt.page.scales import Scales, ScaleSigns, read_scales
from ecg_trt.page.strips import part_columns
from ecg_trt.quality.features import Evidence, lead_features
from ecg_trt.quality.model import Calibration, quality_of
from ecg_trt.quality.warnings import reject_low_quality, reject_non_ecg, warnings_of
from ecg_trt.record import EcgRecord
from ecg_trt.signal.assemble import assemble, lead_spans, missing_fractions
from ecg_trt.signal.beat_speed import curve_height_mm, heights_mm, speed_log_likelihoods
from ecg_trt.signal.columns import continue_rows, place_columns
from ecg_trt.signal.corrected_rows import by_hand_warnings, changed_leads, corrected_trace, with_zero_lines
from ecg_trt.signal.settle import settle_avr, settle_order, settle_rhythm, settle_slant
from ecg_trt.stages.rectify import PageHeatmaps
from ecg_trt.thresholds import PageThresholds, load_thresholds
from ecg_trt.types import Array, GridWarp, PageAlignment, PhotoView, RectifiedPage, Strip, TraceMap, WarningCode

_LEAST_CONFIDENCE = 0.25


@dataclass(frozen=True, slots=True)
class TracedPage:
    """A page whose rows were traced; records of it differ by scales and corrections alone.

    Attributes:
        source: of the photo.
        located: grid, heatmaps, names and strips, in one frame.
        page: the flat page, in this frame; on the device of the pixel work until it is downloaded.
        trace: rows of the pen.
        signs: what the page shows of its speed and gain.
    """

    source: str
    located: LocatedPage
    page: RectifiedPage
    trace: TraceMap
    signs: ScaleSigns

    @classmethod
    def of(
        cls, source: str, located: LocatedPage, page: RectifiedPage, strips: Sequence[Strip], trace: TraceMap,
        signs: ScaleSigns,
    ) -> TracedPage:  # fmt: skip
        """Settle names and places of strips by their traces, and add the beats' signs of speed and gain."""
        strips = settle_order(page, strips, trace, [row[0] for row in located.naming.layout.rows])
        for settle in (settle_avr, settle_slant, settle_rhythm):
            strips = settle(page, strips, trace)
        height = heights_mm(page, strips, trace)
        beats = speed_log_likelihoods(height, page.px_per_mm[0])
        signs = replace(signs, beats=beats, height_mm=curve_height_mm(height))
        return cls(source, replace(located, naming=located.naming.with_strips(strips)), page, trace, signs)

    def renamed(self, located: LocatedPage) -> TracedPage | None:
        """Copy with strips that were found and named anew; None where their traces, or columns, are not known."""
        naming = replace(located.naming, legible=self.located.naming.legible)
        found = on_traced_rows(naming.strips, self.located.naming.strips) if naming.is_known else None
        if found is None:
            return None
        rows, strips = found
        trace = replace(self.trace, **{name: getattr(self.trace, name)[rows]
                                       for name in ("ridge_row", "confidence", "border")})  # fmt: skip
        signs = replace(self.signs, longest_mm=naming.longest_mm, record_s=naming.layout.seconds)
        strips = part_columns(strips, self.page, trace)
        return TracedPage.of(self.source, replace(located, naming=naming), self.page, strips, trace, signs)


@dataclass(frozen=True, slots=True)
class Reading:
    """Record, with the results of every stage that led to it.

    Grid, heatmaps, strips, page and trace share one frame of the page. A reading can be pickled, kept, and corrected by
    another process (`Digitizer.correct`).

    Attributes:
        record: the leads in millivolts.
        photo: the photo at a size for pictures.
        traced: the page before names, scales and rows were corrected.
        strips: named rows, as the record has them.
        trace: rows of the pen, as the record has them.
        limb_residual: of the leads before they were blended.
        features: (leads, F), those of the quality.
        options: by which it was read.
        corrections: by which it was corrected.
    """

    record: EcgRecord
    photo: PhotoView
    traced: TracedPage
    strips: tuple[Strip, ...]
    trace: TraceMap
    limb_residual: float
    features: Array
    options: ReadOptions
    corrections: Corrections

    @property
    def alignment(self) -> PageAlignment:
        """Position of the page in the photo, to first order."""
        return self.traced.located.alignment

    @property
    def grid(self) -> GridWarp:
        """The refined grid."""
        return self.traced.located.grid

    @property
    def heatmaps(self) -> PageHeatmaps:
        """Print on the page, as stage 1 sees it."""
        return self.traced.located.heatmaps

    @property
    def page(self) -> RectifiedPage:
        """The flat page."""
        return self.traced.page

    @property
    def scale_signs(self) -> ScaleSigns:
        """Signs of speed and gain."""
        return self.traced.signs

    def with_page(self, page: RectifiedPage) -> Reading:
        """Copy with another picture of the flat page."""
        return replace(self, traced=replace(self.traced, page=page))

    def photo_xy(self, xy_mm: Array) -> Array:
        """Map points (..., 2) of the page, page mm, through the grid to photo px; NaN outside the grid."""
        return photo_points(self.grid.node_xy, self.grid.mm_per_cell, xy_mm)

    def page_xy(self, xy_px: Array) -> Array:
        """Map points (..., 2) of the photo, px, through the grid to page mm; NaN outside the grid."""
        return page_points(self.grid.node_xy, self.grid.mm_per_cell, xy_px)


@dataclass(frozen=True, slots=True)
class RecordMaker:
    """Maker of records of traced pages.

    Attributes:
        calibration: what the quality rests on.
        backend: what ran the networks.
        weights: network to the beginning of its hash.
        thresholds: of the non-ECG score.
    """

    calibration: Calibration
    backend: str
    weights: Mapping[str, str]
    thresholds: PageThresholds = field(default_factory=lambda: load_thresholds().page)

    def __call__(self, traced: TracedPage, photo: PhotoView, options: ReadOptions, corrections: Corrections) -> Reading:
        """Make the record of a page.

        Args:
            traced: the page.
            photo: at a size for pictures.
            options: by which it was read.
            corrections: those of the page are in `traced` already; the others are applied.

        Raises:
            OptionError: a correction names a row, a column or a stretch that the page does not have.
            PageError: the traces could not be followed, are no ECG, or have too little quality.
        """
        given = corrections.over(options)
        page, scales = traced.page, scales_of(traced.signs, given)
        naming = renamed(traced.located.naming, corrections.names)
        strips = with_zero_lines(naming.strips, corrections.zero_lines)
        trace = corrected_trace(page, strips, traced.trace, corrections)
        # What was corrected of a trace does not change where its leads stand in time.
        strips = continue_rows(page, strips, traced.trace, scales.speed_mm_per_s)
        columns = place_columns(page, strips, traced.trace, scales.speed_mm_per_s)
        naming = naming.with_strips(columns.strips)
        record, residual, features = self._record(traced, naming, trace, scales, given)
        answered = _answered(corrections)
        warnings = (
            *columns.warnings, *(w for w in record.warnings if w.code not in answered),
            *by_hand_warnings(naming.strips, corrections, scales.speed_mm_per_s),
        )  # fmt: skip
        corrected = (*corrections.given, *changed_leads(naming.strips, corrections))
        record = replace(record, warnings=warnings, corrected=corrected)
        return Reading(record, photo, traced, naming.strips, trace, residual, features, options, corrections)

    def _record(
        self, traced: TracedPage, naming: Naming, trace: TraceMap, scales: Scales, options: ReadOptions
    ) -> tuple[EcgRecord, float, Array]:
        """The record, the `limb_residual` and the features of its quality."""
        page, speed = traced.page, scales.speed_mm_per_s
        signal, confidence, residual, checks = assemble(
            page, naming.strips, trace, leads=naming.leads, speed=speed, gain_of=scales.gain_of, fs=options.fs,
            seconds=naming.record_seconds(speed), blends_limb_leads=options.limb_blend,
        )  # fmt: skip
        if not np.isfinite(signal).any() or np.nanmean(confidence) < _LEAST_CONFIDENCE:
            raise IncompletePageError(
                f"the traces in {traced.source} could not be followed",
                got=f"a mean confidence of {np.nan_to_num(np.nanmean(confidence)):.2f}",
                expected=f"at least {_LEAST_CONFIDENCE}",
                hint="Take a sharper photo of the whole page, closer and without glare.",
            )
        evidence = Evidence(
            traced.located.alignment, traced.located.grid, page, naming, trace, scales,
            missing_fractions(signal, naming.strips, leads=naming.leads, speed=speed, fs=options.fs),
        )  # fmt: skip
        features = lead_features(evidence, naming.leads)
        non_ecg = self.calibration.non_ecg_score(features)
        if non_ecg > self.thresholds.upper:
            raise reject_non_ecg(features, traced.source)
        snr_db = self.calibration.snr_db(features).astype(np.float32)
        quality = quality_of(snr_db).astype(np.float32)
        seen_quality = quality_of(self.calibration.seen_snr_db(features))
        is_hardly_ecg = non_ecg > self.thresholds.lower
        warnings = warnings_of(
            evidence, quality, seen_quality, residual, leads=naming.leads, is_hardly_ecg=is_hardly_ecg
        )
        record = EcgRecord(
            signal_mv=signal, fs=options.fs, lead_names=naming.leads, layout=naming.layout.name,
            layout_probability=naming.probability, paper_speed_mm_per_s=speed, gain_mm_per_mv=scales.gain_mm_per_mv,
            chest_gain_mm_per_mv=scales.chest_gain_mm_per_mv, quality=quality,
            snr_db=snr_db, warnings=(*naming.warnings, *scales.warnings, *warnings), backend=self.backend,
            weights=dict(self.weights), assumed=scales.assumed, source=traced.source,
            limb_leads=checks, spans=lead_spans(naming.strips, speed),
            outline_px=outline(page, traced.located.grid), px_per_mm=page.photo_px_per_mm,
        )  # fmt: skip
        if not record.mean_quality >= options.min_quality:
            raise reject_low_quality(record.mean_quality, options.min_quality, traced.source)
        return record, residual, features


def photo_needed() -> OptionError:
    """Build the error for corrections that need the photo."""
    return OptionError("The page cannot be corrected", got="a reading without its photo", expected="its photo as well",
                       hint="Give the photo, as its corners, its way up or its rows are read anew.")  # fmt: skip


def first_reading_needed() -> OptionError:
    """Build the error for corrections of a reading in whose frame they are not."""
    return OptionError(
        "The page cannot be corrected", got="a reading that was corrected by another place, way up or layout",
        expected="the first reading of the photo", hint="Keep the first reading, and correct that.",
    )  # fmt: skip


def scales_of(signs: ScaleSigns, options: ReadOptions) -> Scales:
    """Speed and gain, as far as the user gives them by these."""
    speed, gain, chest_gain = (
        None if value == AUTO else float(value) for value in (options.speed, options.gain, options.chest_gain)
    )
    return read_scales(signs, speed=speed, gain=gain, chest_gain=chest_gain)


def _answered(corrections: Corrections) -> set[WarningCode]:
    """Codes of warnings that ask for what was corrected."""
    answered = set()
    if corrections.layout is not None or corrections.names:
        answered.add(WarningCode.LAYOUT_UNCERTAIN)
    if corrections.layout is not None:
        answered.add(WarningCode.LAYOUT_UNKNOWN)
    if corrections.mirrored is not None or corrections.corners is not None:
        answered.add(WarningCode.MIRRORED)
    return answered

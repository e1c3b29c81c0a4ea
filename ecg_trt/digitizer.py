"""Photo in, record out: the only place that knows the order of the stages."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import numpy as np

from ecg_trt.backends.select import open_runtime
from ecg_trt.clock import Clock
from ecg_trt.closing import Closing
from ecg_trt.config import Options
from ecg_trt.errors import DeviceError, IncompletePageError, PageError, ResolutionError
from ecg_trt.geometry.assemble import assemble
from ecg_trt.geometry.naming import name_boxes, name_strips
from ecg_trt.geometry.offsets import LinePlaces
from ecg_trt.geometry.pace import fast_odds, heights_mm
from ecg_trt.geometry.refine import (
    Refined,
    carried,
    follow_lines,
    follow_small_boxes,
    halved,
    refine_lattice,
    smooth_if_flat,
)
from ecg_trt.geometry.scales import Scales
from ecg_trt.geometry.settle import settle_avr, settle_rhythm, settle_slant
from ecg_trt.geometry.squared import squared
from ecg_trt.geometry.strips import ROW_MM, agree_on_span, find_strips, region_of, shift_to_pen
from ecg_trt.inference.views import Views
from ecg_trt.io.photo import EncodedPhoto, load_photo, read_photo
from ecg_trt.layout import RECORD_SECONDS
from ecg_trt.look import Look
from ecg_trt.quality.features import DOUBTFUL_LABELS, Evidence, lead_features
from ecg_trt.quality.model import Calibration, load_calibration, quality_of
from ecg_trt.quality.words import (
    refuse_foreign,
    refuse_low_quality,
    refuse_without_signs,
    refuse_without_strips,
    warnings_of,
)
from ecg_trt.runtime import NETWORKS, Runtime
from ecg_trt.stages.align import Align, may_go_on, realigned, turned, zoomed
from ecg_trt.stages.caption import Caption
from ecg_trt.stages.frames import TRACE_PX_PER_MM, trace_px_per_mm, trace_reach_mm
from ecg_trt.stages.rectify import PageMarks, Rectify
from ecg_trt.stages.scales import ReadScales
from ecg_trt.stages.trace import BEYOND_MM, TRACE_VIEWS, Trace
from ecg_trt.types import (
    Array,
    EcgRecord,
    GridWarp,
    PageAlignment,
    Photo,
    RectifiedPage,
    Strip,
    TraceMap,
)
from ecg_trt.weights import folder_of, list_weights

_log = logging.getLogger(__name__)

Source: TypeAlias = "str | os.PathLike[str] | bytes | Array | EncodedPhoto"

_LEAST_CONFIDENCE = 0.25
_HARDLY_LABELS = 0.05  # in none of four directions, and no grid: not worth another look
_MOST_SHEETS = 3  # of paper that are looked at each alone
_OTHER_SCALES, _OTHER_SCALE_GAIN = (0.8, 0.64, 1.25), 0.1  # and what they must gain where they show no lattice
# What each of the looks with what the one before taught must gain; they end when rows no longer grow by so much.
_LAST_GAINS, _GROWN = (0.0, 0.1, 0.1), 1.1
_TURNED = 0.05  # by which the names must be read better for the page to be taken as turned


@dataclass(frozen=True, slots=True)
class Reading:
    """A record and everything it was read from.

    `grid`, `strips`, `page` and `trace` share the page's final frame, `marks` are in that of the look before.
    `limb_residual` is that of the leads before they were blended, `features` (leads, F) what the quality rests on.
    """

    record: EcgRecord
    alignment: PageAlignment
    grid: GridWarp
    marks: PageMarks
    page: RectifiedPage
    strips: tuple[Strip, ...]
    trace: TraceMap
    limb_residual: float
    features: Array


class Digitizer(Closing):
    """Turns photos of paper ECGs into records; holds the networks open until closed.

    One photo at a time: a second one in flight needs a twin.

    Args:
        options: settings for every photo.
        threads: CPU threads of the networks, 0 for all cores.
        runtime: open networks and pixel work, closed by who opened them, after this; those of `options.backend` and
            `options.model` if None.
        calibration: what the quality rests on, the package's own if None.

    Raises:
        BackendError: a network or the calibration cannot be loaded.

    Example:
        >>> with Digitizer() as digitizer:  # doctest: +SKIP
        ...     record = digitizer("photo.jpg")
    """

    def __init__(
        self, options: Options | None = None, *, threads: int = 0, runtime: Runtime | None = None,
        calibration: Calibration | None = None,
    ) -> None:  # fmt: skip
        self.options = options or Options()
        self._calibration = calibration or load_calibration()
        self._is_owner = runtime is None
        self._twins: list[Digitizer] = []
        self.runtime = runtime or open_runtime(self.options.backend, model=self.options.model, threads=threads)
        networks = list_weights(folder_of(self.runtime.model))
        self._weights = {name: digest[:12] for name, digest in networks.items()}
        self._ops = ops = self.runtime.ops
        stage0, stage1, stage2, caption = (self.runtime.backends[name] for name in NETWORKS)
        if self.options.views > 1:
            stage2 = Views(stage2, TRACE_VIEWS[: self.options.views], ops=ops)
        self._align = Align(stage0, ops, self.options.min_px_per_mm)
        self._rectify, self._trace = Rectify(stage1, ops), Trace(stage2, ops)
        self._caption, self._scales = Caption(caption, ops), ReadScales(ops, self.options)

    @property
    def slots(self) -> int:
        """How many photos are worth having in flight, each in a digitizer of its own."""
        return self.runtime.slots

    def with_twins(self) -> tuple[Digitizer, ...]:
        """Itself and its twins: `slots` digitizers that share what can be shared, each for a thread of its own.

        Twins are opened at the first call and closed with this one. Where the GPU has no room for one, the log says
        so, and there are fewer.
        """
        while len(self._twins) < self.slots - 1:
            try:
                runtime = self.runtime.twin()
            except DeviceError as error:
                _log.info("only %d of %d photos in flight: %s", 1 + len(self._twins), self.slots, error)
                break
            twin = Digitizer(self.options, runtime=runtime, calibration=self._calibration)
            twin._is_owner = True
            self._twins.append(twin)
        return (self, *self._twins)

    def close(self) -> None:
        """Frees the twins, and the networks if they were opened here; more than once is fine."""
        while self._twins:
            self._twins.pop().close()
        if self._is_owner:
            self.runtime.close()

    def __call__(self, source: Source | Photo) -> EcgRecord:
        """Digitizes one photo.

        Args:
            source: a path, the bytes of an image file (`EncodedPhoto` if they have a name), a decoded `Photo`, or an
                (H, W, 3) uint8 RGB array.

        Raises:
            InputError: the source is no usable image.
            PageError: the image shows no ECG page that can be read.
        """
        return self._read(source).record

    def digitize_with_views(self, source: Source | Photo) -> Reading:
        """Digitizes one photo and keeps what every stage found. Raises as `__call__` does."""
        reading = self._read(source)
        image, seen = self._ops.download(reading.page.image, reading.page.seen)
        return replace(reading, page=replace(reading.page, image=image, seen=seen))

    def _read(self, source: Source | Photo) -> Reading:
        """The flat page stays where the pixel work left it."""
        clock = Clock()
        with clock("decode"):
            photo = source if isinstance(source, Photo) else self._decoded(source)
        with clock("upload"):
            photo = replace(photo, image=self._ops.upload(photo.image))
        look = self._find(photo, clock)
        assert look.naming is not None
        with clock("refine"):
            grid, strips, letters = look.refined or self._refine(photo, look)
        with clock("scales"):
            # Before there is a flat page, whose room it takes.
            said = {} if self._scales.are_given else self._caption(photo, look.grid, look.marks.label)
            page = self._flatten(photo, grid, strips)
            scales_by = self._scales(said, look.marks, look.naming, page, strips)
        with clock("flatten"):
            px_per_mm = trace_px_per_mm(scales_by(0.0).gain_mm_per_mv)
            if px_per_mm != page.px_per_mm:
                page = self._flatten(photo, grid, strips, px_per_mm, trace_reach_mm(px_per_mm))
        with clock("trace"):
            trace = self._trace(page, strips, letters)
            strips = shift_to_pen(strips, trace.confidence, page.origin_mm[0], page.px_per_mm[0], BEYOND_MM)
            for settle in (settle_avr, settle_slant, settle_rhythm):
                strips = settle(page, strips, trace)
        with clock("signal"):
            scales = scales_by(fast_odds(heights_mm(page, strips, trace), page.px_per_mm[0]))
            seen = replace(look, grid=grid, naming=replace(look.naming, strips=strips))
            record, residual, features = self._record(photo, page, seen, trace, scales)
        clock.ms["total"] = sum(clock.ms.values())
        record = replace(record, timings_ms={step: round(ms, 1) for step, ms in clock.ms.items()})
        return Reading(record, look.alignment, grid, look.marks, page, strips, trace, residual, features)

    def _decoded(self, source: Source) -> Photo:
        """The photo, decoded where the pixel work is done if that can be."""
        limits = {"max_pixels": self.options.max_pixels, "min_pixels": self.options.min_pixels}
        if self.runtime.decoder is not None:
            encoded = source if isinstance(source, EncodedPhoto) else load_photo(source)
            if encoded is not None:
                source = encoded
                image = self.runtime.decoder.decode(encoded.data, name=encoded.source, **limits)
                if image is not None:
                    return Photo(image, encoded.source)
        return read_photo(source, **limits)

    def _flatten(
        self, photo: Photo, grid: GridWarp, strips: Sequence[Strip], px_per_mm: tuple[float, float] = TRACE_PX_PER_MM,
        row_mm: float = ROW_MM,
    ) -> RectifiedPage:  # fmt: skip
        return self._rectify.flatten(photo, grid, px_per_mm, *region_of(strips, row_mm))

    def _refine(self, photo: Photo, look: Look) -> Refined:
        """The lattice after a closer look at the printed lines, or at the marks where there are none."""
        assert look.naming is not None
        grid, strips = look.grid, look.naming.strips
        letters = name_boxes(strips, look.marks.label)
        page = self._flatten(photo, grid, strips)
        if grid.is_seen:
            places = LinePlaces.of(grid, page.origin_mm)
            offsets = self._ops.line_offsets(page.image, page.px_per_mm, places)
            grid = halved(refine_lattice(grid, offsets, places, page.px_per_mm, page.seen.shape))
            page = self._flatten(photo, grid, strips)
            places = LinePlaces.of(grid, page.origin_mm, every=2)
            offsets = self._ops.line_offsets(page.image, page.px_per_mm, places)
            return Refined(smooth_if_flat(follow_lines(grid, offsets)), strips, letters)
        followed = follow_small_boxes(grid, replace(page, image=self._ops.download(page.image)[0]))
        if followed is None:
            return squared(grid, strips, letters, (look.marks.start, look.marks.end), zoom=look.zoom)
        return Refined(smooth_if_flat(followed[0]), carried(strips, followed[1], grid.mm_per_cell), letters)

    def _look(self, photo: Photo, alignment: PageAlignment, clock: Clock) -> Look:
        """Lattice, marks and named strips, as one alignment shows them."""
        with clock("rectify"):
            grid, marks = self._rectify(photo, alignment)
        with clock("layout"):
            strips = agree_on_span(find_strips(marks.zero), marks.start, marks.end, is_scaled=grid.is_seen)
            naming = name_strips(strips, marks.label, marks.start, layout=self.options.layout)
        return Look(alignment, grid, marks, naming)

    def _find(self, photo: Photo, clock: Clock) -> Look:
        """The look that shows most; where no page is found, or it is hardly read, it is sought in other views."""
        found: list[Look] = []
        aligned: list[PageAlignment] = []
        refused: list[PageError] = []
        for align in self._views(photo, found, aligned, clock):
            try:
                with clock("align"):
                    aligned.append(align())
                found.append(self._locate(photo, aligned[-1], clock))
            except PageError as error:
                if isinstance(error, ResolutionError) and not (found or refused):
                    raise
                refused.append(error)
            if found and found[-1].is_plain:
                return found[-1]
        if not found:
            raise refused[0]
        return max(found, key=lambda look: look.worth)

    def _views(
        self, photo: Photo, found: Sequence[Look], aligned: Sequence[PageAlignment], clock: Clock
    ) -> Iterator[Callable[[], PageAlignment]]:
        """Ways to find the page, one after the other: whole, stretched, from near, and each sheet of paper alone.

        What was `found`, and how the page was `aligned`, grows from one to the next.
        """
        yield partial(self._align, photo)
        yield partial(self._align, photo, stretched=True)
        if aligned:
            near = max(found, key=lambda look: look.worth).alignment if found else aligned[-1]
            yield partial(self._align, photo, near=near)
        with clock("align"):
            sheets = self._align.sheets(photo, _MOST_SHEETS)
        for sheet in sheets:
            yield partial(self._align, photo, sheet=sheet)

    def _locate(self, photo: Photo, alignment: PageAlignment, clock: Clock) -> Look:
        """The look that shows the page best.

        Where lead names cannot be read, the page is turned; where no lattice is seen, other scales are tried; where
        lattice, strips or names are still in doubt, last looks are taken with what the best one taught.
        """
        best = self._look(photo, alignment, clock)
        for quarters in (2, 1, 3):
            if best.is_upright:
                break
            look = self._look(photo, turned(alignment, quarters), clock)
            best = look if look.worth > best.worth + _TURNED else best
        if best.label_score < _HARDLY_LABELS and not best.grid.is_seen:
            raise (refuse_without_strips if best.naming is None else refuse_without_signs)(photo.source)
        first = best
        for factor in _OTHER_SCALES:
            if best.grid.is_seen:
                break
            look = replace(self._look(photo, zoomed(first.alignment, factor), clock), zoom=factor)
            shows_lattice = look.grid.is_seen and look.label_score > 0.5 * first.label_score
            best = look if shows_lattice or look.worth > best.worth + _OTHER_SCALE_GAIN else best
        best = self._look_closer(photo, best, clock)
        if best.naming is None:
            raise refuse_without_strips(photo.source)
        if best.label_score < DOUBTFUL_LABELS and not best.grid.is_seen:
            raise refuse_without_signs(photo.source)
        return best

    def _look_closer(self, photo: Photo, best: Look, clock: Clock) -> Look:
        """The best of the last looks, each taken with what the one before taught, until nothing is left in doubt."""
        for least_gain in _LAST_GAINS:
            if best.naming is None:
                break
            goes_on = may_go_on(best.naming, best.grid, photo.image.shape[:2])
            if best.settled and not goes_on:
                break
            more_rows = goes_on or bool(best.naming.missing)
            refined = self._refine(photo, best)
            best = replace(best, refined=refined)
            better = realigned(best.alignment, refined.grid, refined.strips, more_rows=more_rows)
            if better is None:
                break
            look = self._look(photo, better, clock)
            if look.roomier_worth <= best.roomier_worth + least_gain:
                break
            has_grown, best = look.length_mm > _GROWN * best.length_mm, look
            if not has_grown:
                break
        return best

    def _record(
        self, photo: Photo, page: RectifiedPage, look: Look, trace: TraceMap, scales: Scales
    ) -> tuple[EcgRecord, float, Array]:
        """The record, the `limb_residual` and the features of its quality."""
        naming = look.naming
        assert naming is not None
        speed, gain = scales.speed_mm_per_s, scales.gain_mm_per_mv
        signal, sure, residual = assemble(
            page, naming.strips, trace, leads=naming.leads, speed=speed, gain=gain, fs=self.options.fs,
            seconds=RECORD_SECONDS if naming.is_known else naming.longest_mm / speed,
        )  # fmt: skip
        if not np.isfinite(signal).any() or np.nanmean(sure) < _LEAST_CONFIDENCE:
            raise IncompletePageError(
                f"the traces in {photo.source} could not be followed",
                got=f"a mean confidence of {np.nan_to_num(np.nanmean(sure)):.2f}",
                expected=f"at least {_LEAST_CONFIDENCE}",
                mend="Take a sharper photo of the whole page, closer and without glare.",
            )
        evidence = Evidence(look.alignment, look.grid, page, naming, trace, scales.assumed)
        features = lead_features(evidence, naming.leads)
        if self._calibration.foreignness(features) > self._calibration.most_foreign:
            raise refuse_foreign(features, photo.source)
        snr_db = self._calibration.snr_db(features).astype(np.float32)
        quality = quality_of(snr_db).astype(np.float32)
        warnings = warnings_of(evidence, quality, residual, speed=speed, gain=gain, leads=naming.leads)
        record = EcgRecord(
            signal_mv=signal, fs=self.options.fs, lead_names=naming.leads, layout=naming.layout.name,
            layout_probability=naming.probability, paper_speed_mm_per_s=speed, gain_mm_per_mv=gain, quality=quality,
            snr_db=snr_db, warnings=(*naming.notes, *scales.notes, *warnings), backend=self.runtime.name,
            weights=dict(self._weights), assumed=scales.assumed, source=photo.source,
        )  # fmt: skip
        if not record.mean_quality >= self.options.min_quality:
            raise refuse_low_quality(record.mean_quality, self.options.min_quality, photo.source)
        return record, residual, features


def digitize(source: Source, **options: object) -> EcgRecord:
    """Digitizes one photo; opens and closes the networks for it.

    Args:
        source: a path, the bytes of an image file, or an (H, W, 3) uint8 RGB array.
        options: fields of `Options`.

    Raises:
        EcgTrtError: see `Digitizer`.
    """
    with Digitizer(Options(**options)) as digitizer:  # type: ignore[arg-type]
        return digitizer(source)

"""Photo in, record out: the only place that knows the order of the stages."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias, cast

import numpy as np

from ecg_trt.backends.runtime import Runtime
from ecg_trt.backends.select import open_runtime
from ecg_trt.blas import one_blas_thread
from ecg_trt.closeable import Closeable
from ecg_trt.config import AUTO, ReadOptions, RuntimeOptions
from ecg_trt.errors import DeviceError, EcgTrtError, IncompletePageError
from ecg_trt.inference.views import Views
from ecg_trt.io.readers.base import EncodedPhoto
from ecg_trt.io.readers.photo import choose_page, load_photo, read_photo, read_recording
from ecg_trt.layout import STRIPS
from ecg_trt.malloc import release_free_memory
from ecg_trt.merging import merge_answers, name_of
from ecg_trt.ops.photo_view import view_of
from ecg_trt.page.calibration import CalibrationReader
from ecg_trt.page.candidate import LocatedPage
from ecg_trt.page.lead_names import named_log_odds, read_names, with_shared_name
from ecg_trt.page.locator import PageLocator
from ecg_trt.page.scales import Scales, ScaleSigns, read_scales
from ecg_trt.page.strips import part_columns, shift_to_borders, split_rows
from ecg_trt.quality.features import Evidence, lead_features
from ecg_trt.quality.model import Calibration, load_calibration, quality_of
from ecg_trt.quality.warnings import reject_low_quality, reject_non_ecg, warnings_of
from ecg_trt.record import EcgRecord
from ecg_trt.recorded import record_of
from ecg_trt.signal.assemble import assemble, lead_spans, missing_fractions
from ecg_trt.signal.beat_speed import curve_height_mm, heights_mm, speed_log_likelihoods
from ecg_trt.signal.columns import continue_rows, place_columns
from ecg_trt.signal.settle import settle_avr, settle_order, settle_rhythm, settle_slant
from ecg_trt.signal.shared_ink import without_shared_ink
from ecg_trt.stages.align import Align
from ecg_trt.stages.caption import Caption, joined
from ecg_trt.stages.rectify import PageHeatmaps, Rectify
from ecg_trt.stages.scaling import trace_px_per_mm, trace_reach_mm
from ecg_trt.stages.trace import BEYOND_MM, TRACE_VIEWS, Trace
from ecg_trt.step_timer import StepTimer
from ecg_trt.types import Array, GridWarp, PageAlignment, Photo, PhotoView, RectifiedPage, Strip, TraceMap
from ecg_trt.weights import list_weights

_log = logging.getLogger(__name__)

Source: TypeAlias = "str | os.PathLike[str] | bytes | Array | EncodedPhoto"

READING_NETWORKS = ("stage0", "stage1", "stage2", "caption")  # those that a reading needs, of the registry
_LEAST_COLUMNS = -20.0  # Log-odds of columns by their borders, below which no names are searched for.
_CALIBRATION_TEXT, _OTHER_WAY = 4.0, 2.0  # Log-odds of legible calibration text, and against another way up.
_LEAST_CONFIDENCE = 0.25


def reading_weights() -> dict[str, str]:
    """Map the networks that a reading needs to their SHA-256, as far as the manifest has them."""
    known = list_weights()
    return {name: known[name] for name in READING_NETWORKS if name in known}


@dataclass(frozen=True, slots=True)
class Reading:
    """Record, with the results of every stage that led to it.

    `grid`, `heatmaps`, `strips`, `page` and `trace` share one frame of the page.
    `limb_residual` is that of the leads before they were blended, `features` (leads, F) are those of the quality, and
    `scale_signs` what speed and gain rest on. `photo` is the photo at a size for pictures.
    """

    record: EcgRecord
    photo: PhotoView
    alignment: PageAlignment
    grid: GridWarp
    heatmaps: PageHeatmaps
    page: RectifiedPage
    strips: tuple[Strip, ...]
    trace: TraceMap
    limb_residual: float
    features: Array
    scale_signs: ScaleSigns


class Digitizer(Closeable):
    """Digitizer of photos of paper ECGs; it holds the networks open until closed.

    One photo at a time: a second one in flight needs a replica.

    Args:
        runtime_options: what runs the networks.
        options: how photos are read that come without options of their own.
        runtime: open networks and pixel work, closed by who opened them, after this; those of `runtime_options` if
            None.
        calibration: what the quality rests on, the package's own if None.

    Raises:
        BackendError: a network or the calibration cannot be loaded.

    Example:
        >>> with Digitizer() as digitizer:  # doctest: +SKIP
        ...     record = digitizer("photo.jpg")
        ...     fine = digitizer("photo.jpg", ReadOptions(fs=1000))
    """

    def __init__(
        self, runtime_options: RuntimeOptions | None = None, *, options: ReadOptions | None = None,
        runtime: Runtime | None = None, calibration: Calibration | None = None,
    ) -> None:  # fmt: skip
        self.runtime_options, self.options = runtime_options or RuntimeOptions(), options or ReadOptions()
        self._calibration = calibration or load_calibration()
        self._is_owner = runtime is None
        self._replicas: list[Digitizer] = []
        chosen = self.runtime_options
        self.runtime = runtime or open_runtime(chosen.backend, networks=READING_NETWORKS, threads=chosen.threads)
        self._weights = {name: digest[:12] for name, digest in reading_weights().items()}
        self._ops = ops = self.runtime.ops
        stage0, stage1, stage2, caption = map(self.runtime.backend, READING_NETWORKS)
        if chosen.views > 1:
            stage2 = Views(stage2, TRACE_VIEWS[: chosen.views], ops=ops)
        self._rectify, self._trace = Rectify(stage1, ops), Trace(stage2, ops)
        self._find = PageLocator(Align(stage0, ops), self._rectify, ops)
        self._caption, self._calibration_reader = Caption(caption, ops), CalibrationReader(ops)

    @property
    def slots(self) -> int:
        """Number of photos worth having in flight, each in a digitizer of its own."""
        return self.runtime.slots

    def with_replicas(self) -> tuple[Digitizer, ...]:
        """Open `slots` digitizers, this one among them, that share what can be shared; each serves one thread.

        Replicas are opened at the first call and closed with this one. Where the GPU has too little memory, there
        are fewer, and the log holds the reason.
        """
        while len(self._replicas) < self.slots - 1:
            try:
                runtime = self.runtime.replica()
            except DeviceError as error:
                _log.info("only %d of %d photos in flight: %s", 1 + len(self._replicas), self.slots, error)
                break
            replica = Digitizer(
                self.runtime_options, options=self.options, runtime=runtime, calibration=self._calibration
            )
            replica._is_owner = True
            self._replicas.append(replica)
        return (self, *self._replicas)

    def close(self) -> None:
        """Free the replicas, and the networks if they were opened here; more than once is fine."""
        while self._replicas:
            self._replicas.pop().close()
        if self._is_owner:
            self.runtime.close()

    def __call__(
        self, source: Source | Photo, options: ReadOptions | None = None, *, page: int | None = None
    ) -> EcgRecord:
        """Digitize one photo.

        Args:
            source: a path, the bytes of an image file (`EncodedPhoto` if they have a name), a decoded `Photo`, or an
                (H, W, 3) uint8 RGB array. A file that holds the signal itself (DICOM) gives that.
            options: of this photo, those of the digitizer if None.
            page: number from 1; may be left out where the file has one page.

        Raises:
            InputError: the source is no usable image, or has several pages of which none is chosen.
            PageError: the image shows no ECG page that can be read.
        """
        try:
            with one_blas_thread():
                chosen = source if page is None else choose_page(source, page)
                recording = read_recording(chosen)
                if recording is not None:  # The signal itself: there is nothing to read it from.
                    return record_of(recording, (options or self.options).fs)
                return self._read(chosen, options or self.options).record
        finally:
            release_free_memory()

    def merge(self, sources: Sequence[Source | Photo], options: ReadOptions | None = None) -> EcgRecord:
        """Digitize several photos of one page, and merge them to one record; see `merging.merge_records`.

        Photos that cannot be read are left out, and a warning names them.

        Args:
            sources: photos of one page, each as `__call__` takes them.
            options: of all photos, those of the digitizer if None; `min_quality` is that of the merged record.

        Raises:
            DifferentPagesError: the photos do not show one page.
            InputError: no photo is a usable image; the error of the first.
            PageError: none shows an ECG page that can be read, likewise, or the merged record has too little quality.
        """
        chosen = options or self.options
        answers = (self._answer(source, replace(chosen, min_quality=0.0)) for source in sources)
        return merge_answers([name_of(source) for source in sources], answers, min_quality=chosen.min_quality)

    def _answer(self, source: Source | Photo, options: ReadOptions) -> EcgRecord | EcgTrtError:
        try:
            return self(source, options)
        except EcgTrtError as error:
            return error

    def read(self, source: Source | Photo, options: ReadOptions | None = None) -> Reading:
        """Digitize one photo and keep what every stage found. Raises as `__call__` does."""
        with one_blas_thread():
            reading = self._read(source, options or self.options)
        image, seen = self._ops.download(reading.page.image, reading.page.seen)
        photo = view_of(self._ops, reading.photo.image)
        release_free_memory()
        return replace(reading, photo=photo, page=replace(reading.page, image=image, seen=seen))

    def _read(self, source: Source | Photo, options: ReadOptions) -> Reading:
        """The photo, at its own size, and the flat page stay where the pixel work left them."""
        clock = StepTimer()
        with clock("decode"):
            photo = source if isinstance(source, Photo) else self._decoded(source, options)
        with clock("upload"):
            photo = replace(photo, image=self._ops.upload(photo.image))
        located = self._find(photo, options, clock)
        located = self._upright(photo, located, options, clock)
        grid, rows = located.grid, located.naming.strips
        with clock("scales"):
            signs = self._signs_of_scales(photo, located, options)
        with clock("flatten"):
            px_per_mm = trace_px_per_mm(_scales_of(signs, options).gain_mm_per_mv)
            flatten = partial(self._rectify.flatten_rows, photo, grid, rows, px_per_mm, trace_reach_mm(px_per_mm))
            page = flatten()
        with clock("trace"):
            strips, trace = self._traced(page, rows, located.text_mask)
            parted = self._split(photo, located, page, strips, trace, options)
            if parted is not located:
                located, strips, page = parted, parted.naming.strips, flatten()
            strips = settle_order(page, strips, trace, [row[0] for row in located.naming.layout.rows])
            for settle in (settle_avr, settle_slant, settle_rhythm):
                strips = settle(page, strips, trace)
        with clock("signal"):
            height = heights_mm(page, strips, trace)
            beats = speed_log_likelihoods(height, page.px_per_mm[0])
            signs = replace(signs, beats=beats, height_mm=curve_height_mm(height))
            scales = _scales_of(signs, options)
            strips = continue_rows(page, strips, trace, scales.speed_mm_per_s)
            columns = place_columns(page, strips, trace, scales.speed_mm_per_s)
            traced = replace(located, naming=located.naming.with_strips(columns.strips))
            record, residual, features = self._record(photo, page, traced, trace, scales, options)
            record = replace(record, warnings=(*columns.warnings, *record.warnings))
        clock.ms["total"] = sum(clock.ms.values())
        record = replace(record, timings_ms={step: round(ms, 1) for step, ms in clock.ms.items()})
        return Reading(
            record, PhotoView(photo.image, 1.0), located.alignment, grid, located.heatmaps, page, strips, trace,
            residual, features, signs,
        )  # fmt: skip

    def _traced(
        self, page: RectifiedPage, rows: tuple[Strip, ...], text_mask: Array
    ) -> tuple[tuple[Strip, ...], TraceMap]:
        """Trace the rows, and move them and their columns to the borders that the trace shows."""
        trace = without_shared_ink(page, self._trace(page, rows, text_mask))
        strips = shift_to_borders(rows, page, trace)
        if any(abs(a.x_mm[0] - b.x_mm[0]) > BEYOND_MM for a, b in zip(rows, strips, strict=True)):
            trace = without_shared_ink(page, self._trace(page, strips, text_mask))
        return part_columns(strips, page, trace), trace

    def _split(
        self, photo: Photo, located: LocatedPage, page: RectifiedPage, strips: tuple[Strip, ...], trace: TraceMap,
        options: ReadOptions,
    ) -> LocatedPage:  # fmt: skip
        """Split the rows of a page of no known layout into columns, if borders and names show any.

        On a GPU, this may use the flat page's memory; a page that is not split is given back as it is, unless names
        were looked for.
        """
        if located.naming.layout.name != STRIPS or any(len(s.segments) > 1 for s in strips):
            return located
        parted, log_odds = split_rows(strips, page, trace)
        if log_odds < _LEAST_COLUMNS:
            return located
        line_at = partial(self._caption.line_at, photo, located.grid)
        log_odds += named_log_odds(parted, located.heatmaps.label, line_at)
        naming = located.naming.with_strips(parted if log_odds > 0 else strips)
        return self._named(photo, replace(located, naming=naming), options)

    def _upright(self, photo: Photo, located: LocatedPage, options: ReadOptions, clock: StepTimer) -> LocatedPage:
        """Take a page the way up, mirrored or not, in which most of its print is legible, and read its names.

        Another way than that in which stage 1 sees the page upright is tried where its names are not legible, or make
        no known layout.
        """
        with clock("names"):
            named = self._named(photo, located, options)
            has_names = named.naming.legible > 0 and (named.naming.is_known or options.layout != AUTO)
            if has_names or self._has_calibration_text(photo, named):
                return named
        best, most = named, named.naming.legible + _OTHER_WAY
        for way in self._find.other_ways(photo, located, options, clock):
            with clock("names"):
                other = self._named(photo, way, options)
                legible = other.naming.legible + _CALIBRATION_TEXT * self._has_calibration_text(photo, other)
            if legible > most:
                best, most = other, legible
        return best

    def _has_calibration_text(self, photo: Photo, located: LocatedPage) -> bool:
        """Tell if calibration text is legible on a page or around it."""
        if self._caption(photo, located.grid, located.heatmaps.label):
            return True
        margins = self._find.search_margins(photo, located)
        return margins is not None and bool(self._caption(photo, margins[0], margins[1].label))

    def _named(self, photo: Photo, located: LocatedPage, options: ReadOptions) -> LocatedPage:
        """Read the names of the leads; on a GPU, this uses the flat page's memory."""
        label, is_given = located.heatmaps.label, options.layout != AUTO
        line_at = partial(self._caption.line_at, photo, located.grid)
        naming = read_names(located.naming, label, line_at, is_given=is_given)
        if naming.is_nameless and not is_given:
            naming = with_shared_name(naming, self._caption.lead_in_text(photo, located.grid, label))
        return replace(located, naming=naming)

    def _signs_of_scales(self, photo: Photo, located: LocatedPage, options: ReadOptions) -> ScaleSigns:
        """Find what the page shows of its scales; where it lacks one, print is searched for farther from the rows."""
        printed = self._caption(photo, located.grid, located.heatmaps.label)
        page = self._rectify.flatten_rows(photo, located.grid, located.naming.strips)
        signs = self._calibration_reader(printed, located.heatmaps, located.naming, page)
        margins = self._find.search_margins(photo, located) if _scales_of(signs, options).assumed else None
        if margins is None:
            return signs
        grid, heatmaps = margins
        return replace(signs, printed=joined(printed, self._caption(photo, grid, heatmaps.label)))

    def _decoded(self, source: Source, options: ReadOptions) -> Photo:
        """The photo, decoded where the pixel work is done if that can be."""
        limits = {"max_pixels": options.max_pixels, "min_pixels": options.min_pixels}
        if self.runtime.decoder is not None:
            encoded = source if isinstance(source, EncodedPhoto) else load_photo(source)
            source = source if encoded is None else encoded
            if encoded is not None and self.runtime.decoder.takes(encoded.data):
                image = self.runtime.decoder.decode(encoded.data, name=encoded.source, **limits)
                if image is not None:
                    return Photo(image, encoded.source)
        return read_photo(source, **limits)

    def _record(
        self,
        photo: Photo,
        page: RectifiedPage,
        located: LocatedPage,
        trace: TraceMap,
        scales: Scales,
        options: ReadOptions,
    ) -> tuple[EcgRecord, float, Array]:
        """The record, the `limb_residual` and the features of its quality."""
        naming = located.naming
        speed = scales.speed_mm_per_s
        signal, sure, residual, checks = assemble(
            page, naming.strips, trace, leads=naming.leads, speed=speed, gain_of=scales.gain_of, fs=options.fs,
            seconds=naming.record_seconds(speed), blends_limb_leads=options.limb_blend,
        )  # fmt: skip
        if not np.isfinite(signal).any() or np.nanmean(sure) < _LEAST_CONFIDENCE:
            raise IncompletePageError(
                f"the traces in {photo.source} could not be followed",
                got=f"a mean confidence of {np.nan_to_num(np.nanmean(sure)):.2f}",
                expected=f"at least {_LEAST_CONFIDENCE}",
                hint="Take a sharper photo of the whole page, closer and without glare.",
            )
        evidence = Evidence(
            located.alignment, located.grid, page, naming, trace, scales,
            missing_fractions(signal, naming.strips, leads=naming.leads, speed=speed, fs=options.fs),
        )  # fmt: skip
        features = lead_features(evidence, naming.leads)
        if self._calibration.non_ecg_score(features) > self._calibration.most_non_ecg:
            raise reject_non_ecg(features, photo.source)
        snr_db = self._calibration.snr_db(features).astype(np.float32)
        quality = quality_of(snr_db).astype(np.float32)
        seen_quality = quality_of(self._calibration.seen_snr_db(features))
        warnings = warnings_of(evidence, quality, seen_quality, residual, leads=naming.leads)
        record = EcgRecord(
            signal_mv=signal, fs=options.fs, lead_names=naming.leads, layout=naming.layout.name,
            layout_probability=naming.probability, paper_speed_mm_per_s=speed, gain_mm_per_mv=scales.gain_mm_per_mv,
            chest_gain_mm_per_mv=scales.chest_gain_mm_per_mv, quality=quality,
            snr_db=snr_db, warnings=(*naming.warnings, *scales.warnings, *warnings), backend=self.runtime.name,
            weights=dict(self._weights), assumed=scales.assumed, source=photo.source,
            limb_leads=checks, spans=lead_spans(naming.strips, speed),
        )  # fmt: skip
        if not record.mean_quality >= options.min_quality:
            raise reject_low_quality(record.mean_quality, options.min_quality, photo.source)
        return record, residual, features


def _scales_of(signs: ScaleSigns, options: ReadOptions) -> Scales:
    """Speed and gain, as far as the user gives them by these."""
    speed, gain = (None if value == AUTO else float(value) for value in (options.speed, options.gain))
    return read_scales(signs, speed=speed, gain=gain)


def digitize(
    source: Source | Sequence[Source], options: ReadOptions | None = None,
    runtime_options: RuntimeOptions | None = None, *, page: int | None = None,
) -> EcgRecord:  # fmt: skip
    """Digitize one photo, or several of one page; opens and closes the networks for it.

    Args:
        source: a path, the bytes of an image file, or an (H, W, 3) uint8 RGB array; a list or tuple of these is several
            photos of one page, which give one record (`Digitizer.merge`).
        options: how it is read.
        runtime_options: what runs the networks.
        page: number from 1; may be left out where the file has one page. Of several photos it is that of each.

    Raises:
        EcgTrtError: see `Digitizer`.
    """
    with Digitizer(runtime_options, options=options) as digitizer:
        if isinstance(source, (list, tuple)):
            return digitizer.merge([photo if page is None else choose_page(photo, page) for photo in source])
        return digitizer(cast("Source", source), page=page)

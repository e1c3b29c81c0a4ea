"""Photo in, record out: the only place that knows the order of the stages."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TypeAlias, cast

from ecg_trt.backends.runtime import Runtime
from ecg_trt.backends.select import open_runtime
from ecg_trt.blas import one_blas_thread
from ecg_trt.closeable import Closeable
from ecg_trt.config import ReadOptions, RuntimeOptions
from ecg_trt.corrections import Corrections
from ecg_trt.errors import DeviceError, EcgTrtError
from ecg_trt.inference.views import Views
from ecg_trt.io.readers.photo import PhotoSource, choose_page
from ecg_trt.layout import STRIPS
from ecg_trt.malloc import release_free_memory
from ecg_trt.merging import merge_answers, name_of
from ecg_trt.networks import READING_NETWORKS
from ecg_trt.ops.photo_view import view_of
from ecg_trt.page.calibration import CalibrationReader
from ecg_trt.page.candidate import LocatedPage
from ecg_trt.page.lead_names import named_log_odds
from ecg_trt.page.locator import PageLocator
from ecg_trt.page.page_print import PagePrint
from ecg_trt.page.scales import ScaleSigns
from ecg_trt.page.strips import part_columns, shift_to_borders, split_rows
from ecg_trt.page.without_grid import follow_borders
from ecg_trt.quality.model import Calibration, load_calibration
from ecg_trt.reading import Reading, RecordMaker, TracedPage, first_reading_needed, photo_needed, scales_of
from ecg_trt.record import EcgRecord
from ecg_trt.recorded import recorded_in
from ecg_trt.signal.shared_ink import without_shared_ink
from ecg_trt.stages.align import Align
from ecg_trt.stages.caption import Caption, joined
from ecg_trt.stages.rectify import Rectify
from ecg_trt.stages.scaling import trace_px_per_mm, trace_reach_mm
from ecg_trt.stages.trace import BEYOND_MM, TRACE_VIEWS, Trace
from ecg_trt.step_timer import StepTimer
from ecg_trt.types import Array, Photo, PhotoView, RectifiedPage, Strip, TraceMap
from ecg_trt.weights import list_weights

_log = logging.getLogger(__name__)

Source: TypeAlias = PhotoSource

_LEAST_COLUMNS = -20.0  # Log-odds of columns by their borders, below which no names are searched for.


def reading_weights() -> dict[str, str]:
    """Map the networks that a reading needs to their SHA-256, as far as the manifest has them."""
    known = list_weights()
    return {name: known[name] for name in READING_NETWORKS if name in known}


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
        self.runtime = runtime or open_runtime(chosen.backend, networks=tuple(READING_NETWORKS), threads=chosen.threads)
        weights = {name: digest[:12] for name, digest in reading_weights().items()}
        self._make_record = RecordMaker(self._calibration, self.runtime.name, weights)
        self._ops = ops = self.runtime.ops
        stage0, stage1, stage2, caption = map(self.runtime.backend, READING_NETWORKS)
        if chosen.views > 1:
            stage2 = Views(stage2, TRACE_VIEWS[: chosen.views], ops=ops)
        self._rectify, self._trace = Rectify(stage1, ops), Trace(stage2, ops)
        self._find = PageLocator(Align(stage0, ops), self._rectify, ops)
        self._caption, self._calibration_reader = Caption(caption, ops), CalibrationReader(ops)
        self._print = PagePrint(self._find, self._caption)

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
                how = options or self.options
                return recorded_in(chosen, how.fs) or self._read(chosen, how, Corrections()).record
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

    def read(
        self, source: Source | Photo, options: ReadOptions | None = None, corrections: Corrections | None = None
    ) -> Reading:
        """Digitize one photo and keep what every stage found.

        Args:
            source: of the photo, as `__call__` takes it.
            options: of this photo, those of the digitizer if None.
            corrections: of what is read; with `Corrections.corners` the page is not searched for, so that a photo can
                be read in which none is found.

        Raises:
            InputError: as `__call__` does, and for corrections as `correct` does.
            PageError: the image shows no ECG page that can be read.
        """
        with one_blas_thread():
            reading = self._read(source, options or self.options, corrections or Corrections())
        return self._downloaded(replace(reading, photo=view_of(self._ops, reading.photo.image)))

    def correct(self, reading: Reading, corrections: Corrections, photo: Source | Photo | None = None) -> Reading:
        """Apply a person's corrections, and read anew only what they change.

        Corrections are those of the first, uncorrected reading: all of them are given each time, and one that is left
        out is undone. A corrected reading serves as well, and saves time, as long as its `Corrections.of_page` stay.

        Args:
            reading: the first reading of a photo, or a corrected one; it stays as it is.
            corrections: all of them.
            photo: as `read` had it, needed where the page is aligned anew, or rows are traced that were not before.

        Raises:
            OptionError: a row, column or stretch that the page does not have; the photo, or the first reading, is
                needed; or as `Corrections` does.
            PageError: the page cannot be read as corrected.
        """
        with one_blas_thread():
            clock = StepTimer()
            traced = reading.traced
            if corrections.of_page != reading.corrections.of_page:
                if reading.corrections.of_page != Corrections():
                    raise first_reading_needed()
                opened = None if photo is None else self._opened(photo, reading.options, clock)
                traced = self._anew(traced, corrections.of_page, opened, reading.options, clock)
            corrected = self._timed(traced, reading.photo, reading.options, corrections, clock)
        return self._downloaded(corrected)

    def _downloaded(self, reading: Reading) -> Reading:
        """Copy the flat page to the host."""
        page = reading.page
        image, seen = self._ops.download(page.image, page.seen)
        release_free_memory()
        return reading.with_page(replace(page, image=image, seen=seen))

    def _read(self, source: Source | Photo, options: ReadOptions, corrections: Corrections) -> Reading:
        """The photo, at its own size, and the flat page stay where the pixel work left them."""
        clock = StepTimer()
        photo = self._opened(source, options, clock)
        traced = None
        if corrections.corners is None:
            located = self._print.upright(photo, self._find(photo, options, clock), options, clock)
            traced = self._traced_page(photo, located, options, clock)
        if traced is None or corrections.of_page != Corrections():
            traced = self._anew(traced, corrections.of_page, photo, options, clock)
        return self._timed(traced, PhotoView(photo.image, 1.0), options, corrections, clock)

    def _opened(self, source: Source | Photo, options: ReadOptions, clock: StepTimer) -> Photo:
        with clock("decode"):
            photo = self.runtime.decoded(source, max_pixels=options.max_pixels, min_pixels=options.min_pixels)
        with clock("upload"):
            return replace(photo, image=self._ops.upload(photo.image))

    def _timed(
        self, traced: TracedPage, photo: PhotoView, options: ReadOptions, corrections: Corrections, clock: StepTimer
    ) -> Reading:
        """Make the record, with the times of all steps."""
        with clock("signal"):
            reading = self._make_record(traced, photo, options, corrections)
        timings = {step: round(ms, 1) for step, ms in (clock.ms | {"total": sum(clock.ms.values())}).items()}
        return replace(reading, record=replace(reading.record, timings_ms=timings))

    def _anew(
        self, traced: TracedPage | None, corrections: Corrections, photo: Photo | None, options: ReadOptions,
        clock: StepTimer,
    ) -> TracedPage:  # fmt: skip
        """Read a page anew from where corrections of the page begin to matter.

        Args:
            traced: the page as it was read first; None only where `Corrections.corners` are given.
            corrections: of the page.
            photo: None if it is not at hand.
            options: of the first reading.
            clock: timer of the steps.
        """
        options = corrections.over(options)
        if traced is not None and not corrections.moves_page:
            with clock("layout"):
                located = self._find.named_as(traced.located, options.layout, traced.source)
                renamed = traced.renamed(located)
            if renamed is not None:
                return renamed
        if photo is None:
            raise photo_needed()
        if corrections.moves_page:
            first = None if traced is None else traced.located.alignment
            photo, located = self._find.locate_anew(photo, first, corrections, options, clock)
        with clock("names"):
            located = self._print.named(photo, located, options)
        return self._traced_page(photo, located, options, clock)

    def _traced_page(self, photo: Photo, located: LocatedPage, options: ReadOptions, clock: StepTimer) -> TracedPage:
        """Flatten a page with its names, and trace its rows."""
        rows = located.naming.strips
        with clock("scales"):
            signs = self._signs_of_scales(photo, located, options)
        with clock("flatten"):
            px_per_mm = trace_px_per_mm(scales_of(signs, options).gain_mm_per_mv)
            reach_mm = trace_reach_mm(px_per_mm)
            flatten = partial(self._rectify.flatten_rows, photo, strips=rows, px_per_mm=px_per_mm, row_mm=reach_mm)
            page = flatten(grid=located.grid)
        with clock("trace"):
            strips, trace = self._traced(page, rows, located.text_mask)
            followed = None if located.grid.is_seen else follow_borders(located.grid, rows, page, trace)
            if followed is not None:
                located = replace(located, grid=followed)
                page = flatten(grid=followed)
                strips, trace = self._traced(page, rows, located.text_mask)
            parted = self._split(photo, located, page, strips, trace, options)
            if parted is not located:
                located, strips, page = parted, parted.naming.strips, flatten(grid=parted.grid)
        with clock("signal"):
            return TracedPage.of(photo.source, located, page, strips, trace, signs)

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

        On a GPU, the search for names uses the flat page's memory; without one, the very `located` is given back.
        """
        if located.naming.layout.name != STRIPS or any(len(s.segments) > 1 for s in strips):
            return located
        parted, log_odds = split_rows(strips, page, trace)
        if log_odds < _LEAST_COLUMNS:
            return located
        line_at = partial(self._caption.line_at, photo, located.grid)
        log_odds += named_log_odds(parted, located.heatmaps.label, line_at)
        if log_odds <= 0:
            return replace(located, naming=located.naming.with_strips(strips))
        return self._print.named(photo, replace(located, naming=located.naming.with_strips(parted)), options)

    def _signs_of_scales(self, photo: Photo, located: LocatedPage, options: ReadOptions) -> ScaleSigns:
        """Find what the page shows of its scales; where it lacks one, print is searched for farther from the rows."""
        printed = self._caption(photo, located.grid, located.heatmaps.label)
        page = self._rectify.flatten_rows(photo, located.grid, located.naming.strips)
        signs = self._calibration_reader(printed, located, page)
        margins = self._find.search_margins(photo, located) if scales_of(signs, options).assumed else None
        if margins is None:
            return signs
        grid, heatmaps = margins
        return replace(signs, printed=joined(printed, self._caption(photo, grid, heatmaps.label)))


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

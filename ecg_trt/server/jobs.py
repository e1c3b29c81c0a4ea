"""Jobs of the worker processes: whatever decodes a client's bytes, digitizes, or analyzes.

Results are files in the folder of a record; what goes back to the server is small and plain.
"""

from __future__ import annotations

import json
import pickle
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ecg_trt.analysis import Analyzer
from ecg_trt.closeable import Closeable
from ecg_trt.config import ReadOptions, RuntimeOptions
from ecg_trt.corrections import Corrections
from ecg_trt.errors import EcgTrtError
from ecg_trt.io.atomic import atomic_path
from ecg_trt.io.readers.base import EncodedPhoto
from ecg_trt.io.readers.photo import pages_of, read_photo
from ecg_trt.io.writers.analysis_files import write_analysis
from ecg_trt.io.writers.image import fitted, write_image
from ecg_trt.io.writers.json import record_as_dict
from ecg_trt.io.writers.overlay import overlay_of
from ecg_trt.server.drawing import flat_page, frame_of, page_drawing, place_of
from ecg_trt.types import Photo

if TYPE_CHECKING:
    from ecg_trt.digitizer import Digitizer
    from ecg_trt.reading import Reading

FIRST, RECORD, DRAWING = "first.pickle", "record.pickle", "drawing.json"
PHOTO, FLAT, OVERLAY = "photo.jpg", "flat.jpg", "overlay.png"
ANALYSIS, ANALYSIS_STEM = "analysis", "record"  # Folder of the files of an analysis, and the stem of their names.
_MOST_SIDE_PX = 3000  # Of the photo as it is shown.
_PLACE = "place.json"  # Of the flat page that is there.


@dataclass(frozen=True, slots=True)
class ReadJob:
    """Decode a page and read it.

    Attributes:
        upload: path of the client's file.
        name: that the client gave it, for messages.
        page: number from 1; None for the first of a file whose pages are to be counted.
        folder: for the results.
        options: of the reading.
    """

    upload: Path
    name: str
    page: int | None
    folder: Path
    options: ReadOptions


@dataclass(frozen=True, slots=True)
class CorrectJob:
    """Correct a page; one that could not be read may be read with corrections.

    Attributes:
        read: job by which it was read, or failed.
        corrections: all of them.
    """

    read: ReadJob
    corrections: Corrections


@dataclass(frozen=True, slots=True)
class OverlayJob(CorrectJob):
    """Draw the overlay of a page with its corrections."""


@dataclass(frozen=True, slots=True)
class AnalyzeJob:
    """Analyze the record that a worker left in a folder.

    Attributes:
        folder: of the record; its subfolder `ANALYSIS` gets the files.
    """

    folder: Path


Job: TypeAlias = "ReadJob | CorrectJob | AnalyzeJob"


@dataclass(frozen=True, slots=True)
class JobResult:
    """Result of a job on a page.

    Attributes:
        pages: number of pages of its file.
        photo_px: (width, height) of the photo, None if it could not be decoded, or was not anew.
        summary: of the record, None if it could not be read.
        error: why it could not.
    """

    pages: int = 1
    photo_px: tuple[int, int] | None = None
    summary: dict[str, Any] | None = None
    error: EcgTrtError | None = None


class Worker(Closeable):
    """One worker process: an open digitizer, and the jobs that it does.

    The last reading is kept in memory, as one correction mostly follows another.

    Args:
        digitizer: closed with the worker.
    """

    def __init__(self, digitizer: Digitizer) -> None:
        self._digitizer = digitizer
        self._analyzer: Analyzer | None = None
        self._last: tuple[Path, Reading] | None = None

    def close(self) -> None:
        """Close the digitizer, and what analyzes."""
        self._digitizer.close()
        if self._analyzer is not None:
            self._analyzer.close()

    def __call__(self, job: Job) -> JobResult:
        """Do a job.

        Raises:
            EcgTrtError: a correction cannot be applied, or an overlay not be drawn.
        """
        if isinstance(job, ReadJob):
            return self._read(job)
        if isinstance(job, AnalyzeJob):
            return self._analyze(job.folder)
        reading, photo = self._corrected(job.read, job.corrections)
        if isinstance(job, OverlayJob):
            write_image(overlay_of(reading), job.read.folder / OVERLAY)
            return JobResult()
        return self._written(job.read, reading, photo)

    def _read(self, job: ReadJob) -> JobResult:
        pages, photo_px = job.page or 1, None
        _remove(job.folder, FIRST, RECORD, DRAWING, FLAT, _PLACE, OVERLAY)
        try:
            if job.page is None:
                pages = sum(1 for _ in pages_of(EncodedPhoto(job.upload.read_bytes(), job.name)))
            photo = _decoded(job)
            height, width = photo.image.shape[:2]
            photo_px = width, height
            write_image(fitted(photo.image, _MOST_SIDE_PX, _MOST_SIDE_PX), job.folder / PHOTO)
            reading = self._digitizer.read(photo, job.options)
            _store(reading, job.folder / FIRST)
            return replace(self._written(job, reading, photo), pages=pages, photo_px=photo_px)
        except EcgTrtError as error:
            return JobResult(pages, photo_px, error=error.with_traceback(None))

    def _analyze(self, folder: Path) -> JobResult:
        """Write the files of an analysis; its networks are opened at the first one, so that reading waits for none."""
        if self._analyzer is None:
            self._analyzer = Analyzer(runtime_options=self._digitizer.runtime_options)
        (folder / ANALYSIS).mkdir(exist_ok=True)
        write_analysis(self._analyzer(load_record(folder)), folder / ANALYSIS, ANALYSIS_STEM)
        return JobResult()

    def _corrected(self, read: ReadJob, corrections: Corrections) -> tuple[Reading, Photo | None]:
        """Correct a page; the photo is decoded, and given, only where the page is corrected otherwise than before."""
        known = self._reading_of(read, corrections.of_page)
        if known is not None:
            return self._digitizer.correct(known, corrections), None
        first, photo = read.folder / FIRST, _decoded(read)
        if first.exists():
            return self._digitizer.correct(_load(first), corrections, photo), photo
        return self._digitizer.read(photo, read.options, corrections), photo

    def _reading_of(self, read: ReadJob, of_page: Corrections) -> Reading | None:
        """Find a reading of a page with these corrections of the page: the last one, or the first; None for neither."""
        if self._last is not None and self._last[0] == read.folder:
            last = self._last[1]
            if last.options == read.options and last.corrections.of_page == of_page:
                return last
        first = read.folder / FIRST
        return _load(first) if of_page == Corrections() and first.exists() else None

    def _written(self, read: ReadJob, reading: Reading, photo: Photo | None) -> JobResult:
        """Write everything that is shown of a reading; the flat page only where another one is there, or none."""
        folder, frame = read.folder, frame_of(reading)
        place = json.loads(_text_of(folder / _PLACE) or "{}")
        if place.get("frame") != frame:
            flat = flat_page((photo or _decoded(read)).image, reading)
            place = {"frame": frame, **place_of(flat)}
            (folder / _PLACE).unlink(missing_ok=True)  # An end between the two files leaves none that contradict.
            write_image(flat.image, folder / FLAT)
            _write_text(json.dumps(place), folder / _PLACE)
        drawing = json.dumps(place | page_drawing(reading), allow_nan=False, separators=(",", ":"))
        _write_text(drawing, folder / DRAWING)
        _store(reading.record, folder / RECORD)
        _remove(folder, OVERLAY)
        self._last = folder, reading
        return JobResult(summary=record_as_dict(reading.record))


def open_worker(runtime_options: RuntimeOptions) -> Worker:
    """Open a worker, in its process.

    Raises:
        BackendError: the networks cannot be loaded.
    """
    from ecg_trt.digitizer import Digitizer

    return Worker(Digitizer(runtime_options))


def analysis_file(suffix: str) -> str:
    """Path of a file of the analysis within the folder of a record, by its suffix."""
    return f"{ANALYSIS}/{ANALYSIS_STEM}{suffix}"


def load_record(folder: Path) -> Any:
    """Load the `EcgRecord` that a worker left in a folder."""
    return _load(folder / RECORD)


def _decoded(job: ReadJob) -> Photo:
    photo = EncodedPhoto(job.upload.read_bytes(), job.name)
    options = job.options
    return read_photo(photo, page=job.page or 1, max_pixels=options.max_pixels, min_pixels=options.min_pixels)


def _remove(folder: Path, *names: str) -> None:
    """Remove the analysis of a record, and some of its files."""
    shutil.rmtree(folder / ANALYSIS, ignore_errors=True)
    for name in names:
        (folder / name).unlink(missing_ok=True)


def _text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _write_text(text: str, path: Path) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _store(content: object, path: Path) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(pickle.dumps(content, pickle.HIGHEST_PROTOCOL))


def _load(path: Path) -> Any:
    return pickle.loads(path.read_bytes())

"""Jobs of the worker processes: whatever decodes a client's bytes, or digitizes.

Results are files in the folder of a record; what goes back to the server is small and plain.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import cv2
import numpy as np

from ecg_trt.closeable import Closeable
from ecg_trt.config import ReadOptions, RuntimeOptions
from ecg_trt.corrections import Corrections, Point
from ecg_trt.errors import EcgTrtError
from ecg_trt.io.atomic import atomic_path
from ecg_trt.io.readers.base import EncodedPhoto
from ecg_trt.io.readers.photo import pages_of, read_photo
from ecg_trt.io.writers.json import record_as_dict
from ecg_trt.io.writers.overlay import draw_overlay, write_image
from ecg_trt.server.drawing import flat_page, page_drawing, shown_photo
from ecg_trt.types import Array, Photo

if TYPE_CHECKING:
    from ecg_trt.digitizer import Digitizer, Reading

FIRST, RECORD, DRAWING = "first.pickle", "record.pickle", "drawing.json"
PHOTO, FLAT, OVERLAY = "photo.jpg", "flat.jpg", "overlay.png"
_AREA = "area.png"  # Part of the photo that a person chose to be read, in the photo's place.
_LEAST_SIDE_PX = 64


@dataclass(frozen=True, slots=True)
class ReadJob:
    """Decode a page and read it.

    Attributes:
        upload: path of the client's file.
        name: that the client gave it, for messages.
        page: number from 1; None for the first of a file whose pages are to be counted.
        folder: for the results.
        options: of the reading.
        corners: of the area to be read alone: top left, top right, bottom right and bottom left, photo px.
    """

    upload: Path
    name: str
    page: int | None
    folder: Path
    options: ReadOptions
    corners: tuple[Point, ...] | None = None


@dataclass(frozen=True, slots=True)
class CorrectJob:
    """Correct a page that was read.

    Attributes:
        read: job by which it was read first.
        corrections: all of them.
    """

    read: ReadJob
    corrections: Corrections


@dataclass(frozen=True, slots=True)
class OverlayJob:
    """Draw the overlay of a page that was read.

    Attributes:
        read: job by which it was read first.
        corrections: all of them.
    """

    read: ReadJob
    corrections: Corrections


Job: TypeAlias = "ReadJob | CorrectJob | OverlayJob"


@dataclass(frozen=True, slots=True)
class PageResult:
    """What came of a page.

    Attributes:
        pages: number of pages of its file.
        summary: of the record, None if it could not be read.
        error: why it could not.
    """

    pages: int = 1
    summary: dict[str, Any] | None = None
    error: EcgTrtError | None = None


class Worker(Closeable):
    """One worker process: an open digitizer, and the jobs that it does.

    Args:
        digitizer: closed with the worker.
    """

    def __init__(self, digitizer: Digitizer) -> None:
        self._digitizer = digitizer

    def close(self) -> None:
        """Close the digitizer."""
        self._digitizer.close()

    def __call__(self, job: Job) -> PageResult:
        """Do a job.

        Raises:
            EcgTrtError: a correction cannot be applied, or an overlay not be drawn.
        """
        if isinstance(job, ReadJob):
            return self._read(job)
        photo = _decoded(job.read, EncodedPhoto(job.read.upload.read_bytes(), job.read.name), 1)
        reading = self._digitizer.correct(_load(job.read.folder / FIRST), job.corrections, photo)
        if isinstance(job, CorrectJob):
            return _written(job.read.folder, photo, reading)
        picture = draw_overlay(reading.page, reading.strips, reading.trace, reading.record)
        write_image(picture, job.read.folder / OVERLAY)
        return PageResult()

    def _read(self, job: ReadJob) -> PageResult:
        pages = job.page or 1
        try:
            encoded = EncodedPhoto(job.upload.read_bytes(), job.name)
            (job.folder / _AREA).unlink(missing_ok=True)
            if job.page is None:
                pages = sum(1 for _ in pages_of(encoded))
            photo = _decoded(job, encoded, pages)
            write_image(shown_photo(photo.image), job.folder / PHOTO)
            reading = self._digitizer.read(photo, job.options)
        except EcgTrtError as error:
            return PageResult(pages, error=error.with_traceback(None))
        _store(reading, job.folder / FIRST)
        return replace(_written(job.folder, photo, reading), pages=pages)


def open_worker(runtime_options: RuntimeOptions) -> Worker:
    """Open a worker, in its process.

    Raises:
        BackendError: the networks cannot be loaded.
    """
    from ecg_trt.digitizer import Digitizer

    return Worker(Digitizer(runtime_options))


def load_record(folder: Path) -> Any:
    """Load the `EcgRecord` that a worker left in a folder."""
    return _load(folder / RECORD)


def _decoded(job: ReadJob, encoded: EncodedPhoto, pages: int) -> Photo:
    """Decode the page, or the area of it that is to be read alone."""
    page = job.page or (1 if pages > 1 else None)
    limits = {"max_pixels": job.options.max_pixels, "min_pixels": job.options.min_pixels}
    area = job.folder / _AREA
    if job.corners is not None and area.exists():
        return replace(read_photo(area, max_pixels=job.options.max_pixels, min_pixels=1), source=job.name)
    photo = read_photo(encoded, page=page, **limits)
    if job.corners is None:
        return photo
    photo = replace(photo, image=_area(photo.image, job.corners))
    write_image(photo.image, area)
    return photo


def _area(image: Array, corners: Sequence[Point]) -> Array:
    """Cut an area out of a photo and flatten it, (H, W, 3) uint8, its sides as long as on average in the photo."""
    src = np.array(corners, np.float32)
    sides = np.linalg.norm(src - np.roll(src, -1, axis=0), axis=1)
    width, height = (max(_LEAST_SIDE_PX, round(float(sides[k] + sides[k + 2]) / 2)) for k in (0, 1))
    dst = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float32)
    warp = cv2.getPerspectiveTransform(src, dst)
    return cv2.warpPerspective(image, warp, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def _written(folder: Path, photo: Photo, reading: Reading) -> PageResult:
    """Write everything that is shown of a reading."""
    flat = flat_page(photo.image, reading)
    write_image(flat.image, folder / FLAT)
    drawing = json.dumps(page_drawing(reading, flat, photo.image.shape), allow_nan=False, separators=(",", ":"))
    with atomic_path(folder / DRAWING) as temporary:
        temporary.write_text(drawing, encoding="utf-8")
    _store(reading.record, folder / RECORD)
    (folder / OVERLAY).unlink(missing_ok=True)
    return PageResult(summary=record_as_dict(reading.record))


def _store(content: object, path: Path) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(pickle.dumps(content, pickle.HIGHEST_PROTOCOL))


def _load(path: Path) -> Any:
    return pickle.loads(path.read_bytes())

"""Pages of a PDF, by PDFium (extra ``pdf``).

A page is rendered at 300 dpi. Where it is one embedded scan, it is rendered at the resolution of that, so that neither
detail is lost nor pixels are invented.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ecg_trt.errors import InputError, NotAnImageError, TruncatedImageError
from ecg_trt.io.readers.base import MAX_SIDE_PX, MIN_SIDE_PX, EncodedPhoto, PixelLimits, check_size
from ecg_trt.types import Photo

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument, PdfPage

_POINTS_PER_INCH = 72.0  # Lengths in a PDF are in points.
_DPI = 300.0
_ROUNDING = 1e-6  # Relative error of lengths in PDFium, which are floats of 32 bits; it must not add a pixel.
_LEAST_COVER = 0.8  # Share of a page that a scan covers at least; scanners leave margins.

_pdfium = Lock()  # PDFium serves one thread at a time, whatever the number of documents.


def count_pages(file: BinaryIO) -> int:
    """Count the pages of an open file; see `Reader.count`."""
    from pypdfium2 import PdfDocument, PdfiumError

    with _pdfium:
        try:
            with PdfDocument(file) as document:
                return len(document)
        except PdfiumError:
            return 1


def read_page(photo: EncodedPhoto, number: int, limits: PixelLimits) -> Photo:
    """Render one page of a file; see `Reader.read`.

    A page that would have too many pixels is rendered with fewer, and a small drawing with more; a scan is never
    enlarged.
    """
    with _pdfium, _open(photo.data, photo.source) as document:
        page = document[number - 1]
        width_pt, height_pt = page.get_size()  # As it is shown, its own rotation included.
        dpi, is_scan = _resolution(page)
        scale = _scale_within(width_pt, height_pt, dpi / _POINTS_PER_INCH, limits, may_enlarge=not is_scan)
        check_size(math.ceil(width_pt * scale), math.ceil(height_pt * scale), photo.source, limits)
        bitmap = page.render(scale=scale, rev_byteorder=True)
        image = np.array(bitmap.to_numpy()[..., :3])
        bitmap.close()
    return Photo(image, photo.source, number)


@contextmanager
def _open(data: bytes, name: str) -> Iterator[PdfDocument]:
    """Open a document of one page or more, and close it at the end.

    Raises:
        NotAnImageError: it is protected by a password, or has no page.
        TruncatedImageError: it is damaged.
    """
    from pypdfium2 import PdfDocument, raw

    # PdfDocument would take a file without a page for damaged in the way of the last one that was.
    handle = raw.FPDF_LoadMemDocument64(data, len(data), None)
    if not handle:
        raise _not_opened(raw.FPDF_GetLastError() in (raw.FPDF_ERR_PASSWORD, raw.FPDF_ERR_SECURITY), name)
    with PdfDocument(handle) as document:
        if not len(document):
            raise NotAnImageError(
                f"{name} holds nothing to be read",
                got="a PDF without a page",
                expected="at least one page",
                hint="Export it once more.",
            )
        yield document


def _not_opened(is_locked: bool, name: str) -> InputError:
    if is_locked:
        return NotAnImageError(
            f"{name} cannot be opened",
            got="a PDF that is protected by a password",
            expected="one that opens without",
            hint="Open it in a viewer, print it to a new PDF, and pass that.",
        )
    return TruncatedImageError(
        f"{name} cannot be opened",
        got="a damaged or truncated PDF",
        expected="a whole one",
        hint="Copy or download it once more, and open it in a viewer to check.",
    )


def _resolution(page: PdfPage) -> tuple[float, bool]:
    """Choose the resolution of a page.

    Of several pictures that cover the page, as scanners write them for paper and print, the finest counts. Lines that
    are drawn beside a picture, such as a trace on a coarse picture of the grid, get 300 dpi at least.

    Returns:
        The resolution, dpi, and a flag that is true if the page is nothing but a scan, with or without text on it.
    """
    from pypdfium2.raw import FPDF_PAGEOBJ_IMAGE, FPDF_PAGEOBJ_PATH, FPDF_PAGEOBJ_SHADING

    finest, has_drawing = 0.0, False
    for item in page.get_objects():
        if item.type == FPDF_PAGEOBJ_IMAGE:
            matrix = _placement(item)
            if _cover(matrix, page.get_bbox()) >= _LEAST_COVER:
                finest = max(finest, _image_dpi(matrix, item.get_px_size()))
        has_drawing |= item.type in (FPDF_PAGEOBJ_PATH, FPDF_PAGEOBJ_SHADING)
    if not finest:
        return _DPI, False
    return (max(finest, _DPI), False) if has_drawing else (finest, True)


def _placement(item: Any) -> Any:
    """Matrix from the unit square of a picture to the page, points, through all forms that it lies in."""
    matrix = item.get_matrix()
    while (item := item.container) is not None:
        matrix = matrix.multiply(item.get_matrix())
    return matrix


def _cover(matrix: Any, page_box: tuple[float, float, float, float]) -> float:
    """Share of a page that the bounding box of a picture covers.

    Args:
        matrix: from the picture's unit square to the page.
        page_box: (left, bottom, right, top) of what is shown of the page, points.
    """
    corners = [matrix.on_point(x, y) for x in (0, 1) for y in (0, 1)]
    (left, right), (bottom, top) = ((min(values), max(values)) for values in zip(*corners, strict=True))
    page_left, page_bottom, page_right, page_top = page_box
    width = max(min(right, page_right) - max(left, page_left), 0.0)
    height = max(min(top, page_top) - max(bottom, page_bottom), 0.0)
    return width * height / ((page_right - page_left) * (page_top - page_bottom))


def _image_dpi(matrix: Any, size_px: tuple[int, int]) -> float:
    """Resolution of a picture along the finer of its axes."""
    across = math.hypot(matrix.a, matrix.b)
    down = math.hypot(matrix.c, matrix.d)
    return _POINTS_PER_INCH * max(size_px[0] / max(across, 1e-6), size_px[1] / max(down, 1e-6))


def _scale_within(width: float, height: float, scale: float, limits: PixelLimits, *, may_enlarge: bool) -> float:
    """Fit a scale to the limits of a picture, whose sides are then rounded up to whole pixels.

    Args:
        width: of the page, points.
        height: of the page, points.
        scale: wanted, px a point.
        limits: of the picture.
        may_enlarge: a page that would be too small.
    """
    area, half_girth = width * height, (width + height) / 2
    scale *= 1 - _ROUNDING
    if may_enlarge:
        scale = max(scale, math.sqrt(limits.least / area), MIN_SIDE_PX / min(width, height))
    # Root of (width * scale + 1) * (height * scale + 1) = limits.most.
    most = (math.sqrt(half_girth**2 + area * (limits.most - 1)) - half_girth) / area
    return min(scale, most, (MAX_SIDE_PX - 1) / max(width, height))

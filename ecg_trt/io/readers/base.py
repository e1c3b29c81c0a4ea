"""Parts of every reader, and its arguments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from ecg_trt.errors import PhotoSizeError

if TYPE_CHECKING:
    from ecg_trt.types import Photo, Recording

HEAD_BYTES = 256  # Number of first bytes that are sniffed; DICOM's mark stands at 128.

MIN_SIDE_PX = 64
MAX_SIDE_PX = 32766  # OpenCV's remap addresses its source with 16-bit coordinates.
MIN_PIXELS = 150_000
MAX_PIXELS = 50_000_000
MAX_PAGES = 1000  # Of one file; a number beyond is damage, or an attack.


class PixelLimits(NamedTuple):
    """Fewest and most pixels (H * W) that a page may have."""

    least: int = MIN_PIXELS
    most: int = MAX_PIXELS


class Signature(NamedTuple):
    """Bytes by which a kind of file is recognised."""

    offset: int
    magic: bytes
    kind: str

    def matches(self, head: bytes) -> bool:
        """Compare with a file's first bytes."""
        return head[self.offset : self.offset + len(self.magic)] == self.magic


@dataclass(frozen=True, slots=True)
class EncodedPhoto:
    """A file, or one page of it, not yet decoded.

    Attributes:
        data: all of the file.
        source: path or description, with the page's number if there are several; for messages.
        page: number from 1, None as long as nobody has chosen one.
    """

    data: bytes
    source: str
    page: int | None = None


@dataclass(frozen=True, slots=True)
class Reader:
    """One way to read files.

    Attributes:
        name: of the library, or of the format.
        formats: names for help texts and messages, such as "JPEG".
        suffixes: common ones, in lower case, with the dot. A file's content decides who reads it, not its suffix.
        media: MIME types.
        sniff: decides by the first `HEAD_BYTES` of a file if this reader takes it.
        read: decodes one page: (file, page number from 1, limits in pixels) to an upright 8-bit RGB picture. It checks
            the size before it decodes. Errors other than the package's become a `TruncatedImageError`.
        count: number of pages of an open file, found without decoding any; None for formats of one page. It is 1 for a
            damaged file, on which `read` reports.
        modules: top-level modules that it imports and that the package does not depend on.
        extra: the package's extra that installs these.
        record: takes the signal from a file that holds it in place of a picture, None from any other file; None for
            formats that hold pictures alone.
    """

    name: str
    formats: tuple[str, ...]
    suffixes: tuple[str, ...]
    media: tuple[str, ...]
    sniff: Callable[[bytes], bool]
    read: Callable[[EncodedPhoto, int, PixelLimits], Photo]
    count: Callable[[BinaryIO], int] | None = None
    modules: tuple[str, ...] = ()
    extra: str = ""
    record: Callable[[EncodedPhoto], Recording | None] | None = None


def check_size(width: int, height: int, name: str, limits: PixelLimits) -> None:
    """Reject sizes that cannot work, before anything is decoded.

    Raises:
        PhotoSizeError: too few or too many pixels, or a side beyond MIN_SIDE_PX .. MAX_SIDE_PX.
    """
    got = f"{width} x {height} pixels"
    if width * height > limits.most or max(width, height) > MAX_SIDE_PX:
        expected = f"at most {limits.most / 1e6:g} megapixels and {MAX_SIDE_PX} pixels a side"
        hint = "Scale it down; 9 to 12 megapixels are plenty for a page."
        raise PhotoSizeError(f"{name} is too large", got=got, expected=expected, hint=hint)
    if width * height < limits.least or min(width, height) < MIN_SIDE_PX:
        expected = f"at least {limits.least / 1e6:g} megapixels and {MIN_SIDE_PX} pixels a side"
        hint = "Take the photo anew from nearer, or use the original file rather than a thumbnail."
        raise PhotoSizeError(f"{name} is too small", got=got, expected=expected, hint=hint)

"""Pages of a TIFF.

Pages are the file's directories, without those of reduced copies and masks. Directories and their fields are those of
TIFF 6.0, section 2; files with 64-bit offsets (BigTIFF) have the same in wider numbers.
"""

from __future__ import annotations

import struct
from io import BytesIO
from typing import BinaryIO, NamedTuple

from ecg_trt.io.readers.base import MAX_PAGES, EncodedPhoto, PixelLimits
from ecg_trt.io.readers.pillow import decode, open_image
from ecg_trt.types import Photo

_NEW_SUBFILE_TYPE_TAG, _SUBFILE_TYPE_TAG = 254, 255
_REDUCED_OR_MASK = 0b101  # Bits of NewSubfileType.
_OLD_REDUCED = 2  # Value of SubfileType.
_SHORT = 3  # Type of a 16-bit number.
_MOST_ENTRIES = 4096  # Of a directory; pictures have some dozens.


class _Layout(NamedTuple):
    """Formats of a file's numbers, for `struct`: the number of entries, an entry, and the offset of a directory.

    An entry is tag, type, number of values, and the values or their offset.
    """

    n_entries: str
    entry: str
    offset: str


def count_pages(file: BinaryIO) -> int:
    """Count the pages of an open file; see `Reader.count`."""
    return len(_page_directories(file))


def read_page(photo: EncodedPhoto, number: int, limits: PixelLimits) -> Photo:
    """Decode one page of a file; see `Reader.read`."""
    file = BytesIO(photo.data)
    directory = _page_directories(file)[number - 1]
    file.seek(0)
    image = open_image(file, photo.source)
    image.seek(directory)
    return Photo(decode(image, photo.source, limits), photo.source, number)


def _page_directories(file: BinaryIO) -> list[int]:
    """List the numbers, from 0, of the directories that are pages.

    A directory that lies beyond the end of a truncated file counts, so that nobody takes what is left for the whole.

    Returns:
        At least one, even if the file is damaged: decoding it raises the error that explains why.
    """
    file.seek(0)
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    if head[2:4] in (b"+\0", b"\0+"):
        layout, at = _Layout(order + "Q", order + "HHQ8s", order + "Q"), head[8:16]
    else:
        layout, at = _Layout(order + "H", order + "HHI4s", order + "I"), head[4:8]
    pages: list[int] = []
    visited: set[int] = set()
    offset = _unpack(layout.offset, at)
    while offset and offset not in visited and len(visited) <= MAX_PAGES:
        visited.add(offset)
        is_page, following = _read_directory(file, offset, layout)
        if is_page:
            pages.append(len(visited) - 1)
        offset = following
    return pages or [0]


def _read_directory(file: BinaryIO, offset: int, layout: _Layout) -> tuple[bool, int]:
    """Read a directory: it may be a page, and the next one has an offset, 0 if there is none or it is unknown."""
    file.seek(offset)
    n_entries = _unpack(layout.n_entries, file.read(struct.calcsize(layout.n_entries)))
    if not 0 < n_entries <= _MOST_ENTRIES:
        return True, 0
    entries = file.read(n_entries * struct.calcsize(layout.entry))
    whole = len(entries) - len(entries) % struct.calcsize(layout.entry)
    is_page = True
    for tag, kind, _, value in struct.iter_unpack(layout.entry, entries[:whole]):
        number = _unpack(layout.entry[0] + ("H" if kind == _SHORT else "I"), value)
        if tag == _NEW_SUBFILE_TYPE_TAG and number & _REDUCED_OR_MASK:
            is_page = False
        if tag == _SUBFILE_TYPE_TAG and number == _OLD_REDUCED:
            is_page = False
    return is_page, _unpack(layout.offset, file.read(struct.calcsize(layout.offset)))


def _unpack(kind: str, data: bytes) -> int:
    """Read a number from the beginning of some bytes, 0 if there are too few of them."""
    size = struct.calcsize(kind)
    return int(struct.unpack(kind, data[:size])[0]) if len(data) >= size else 0

"""Parsing of a JPEG's markers, without decoding it.

The markers and their fields are those of ITU-T T.81, annex B; the colour transform is that of Adobe's APP14 block
(ITU-T T.872, 6.5.3).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

_SOI = b"\xff\xd8"
_EOI, _SOS, _APP1, _APP14 = 0xD9, 0xDA, 0xE1, 0xEE
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOFn; the three are DHT, JPG and DAC
# Within a scan, 0xff is followed by zero, by a restart marker, or by the marker that ends the scan.
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_END = bytes([0xFF, _EOI])
_TAIL_BYTES = 1 << 16  # Size of the end of a file in which the end marker is searched first.


class Component(NamedTuple):
    """A colour component: its number in the file, and its samples across and down for every block of pixels."""

    ident: int
    across: int
    down: int


@dataclass(frozen=True, slots=True)
class JpegMarkers:
    """Properties of a JPEG, from its markers.

    Attributes:
        process: n of the frame header SOFn: 0 baseline, 1 extended, 2 progressive, 9 and above arithmetic coding.
        bits: of a sample.
        components: in the order of the file.
        adobe_transform: 0 none, 1 YCbCr, 2 YCCK; None without Adobe's block.
        scans: number of them.
        whole: whether all is there up to the end marker.
    """

    process: int
    bits: int
    components: tuple[Component, ...]
    adobe_transform: int | None
    scans: int
    whole: bool


class _Segment(NamedTuple):
    """Marker, with the range of its bytes, the marker's own included and a scan's samples excluded."""

    marker: int
    start: int
    end: int


def read_markers(data: bytes) -> JpegMarkers | None:
    """Walk from marker to marker, in microseconds for most files.

    Where one scan holds everything, as in nearly all baseline photos, it is not walked over: no two bytes within it
    are an end marker, so one anywhere behind its header is the end of the scan. If none is found near the end of the
    file, and where there may be several scans, all of them are walked over: a millisecond or so for every megabyte.

    Args:
        data: an encoded picture of any kind. What follows the end marker, such as a second picture, is not read.

    Returns:
        Its properties; None if it is no JPEG, or has no frame header.
    """
    frame = b""
    process, adobe, scans, whole = 0, None, 0, False
    for marker, start, end in _segments(data):
        body = data[start + 4 : end]
        if marker in _FRAMES and not frame:
            process, frame = marker - 0xC0, body
        elif marker == _APP14 and body.startswith(b"Adobe") and len(body) >= 12:
            adobe = body[11]
        scans += marker == _SOS
        whole = marker == _EOI
        if marker == _SOS and scans == 1 and _holds_all(process, frame, body):
            whole = data.rfind(_END, max(end, len(data) - _TAIL_BYTES)) >= 0
            if whole:
                break
    if len(frame) < 6 or len(frame) < 6 + 3 * frame[5]:
        return None
    parts = (frame[6 + 3 * k : 9 + 3 * k] for k in range(frame[5]))
    components = tuple(Component(part[0], part[1] >> 4, part[1] & 15) for part in parts)
    return JpegMarkers(process, frame[0], components, adobe, scans, whole)


def _holds_all(process: int, frame: bytes, scan: bytes) -> bool:
    """Decide by its header if a scan holds all of every component: only a sequential one does."""
    return process in (0, 1) and len(frame) > 5 and bool(scan) and scan[0] == frame[5]


def with_orientation(data: bytes, orientation: int) -> bytes:
    """Strip a JPEG of its EXIF and XMP, except for the EXIF orientation; the picture itself stays as it is.

    Args:
        data: a JPEG.
        orientation: 1 to 8.
    """
    head = list(takewhile(lambda segment: segment.marker != _SOS, _segments(data)))
    view, scan = memoryview(data), head[-1].end if head else len(_SOI)
    kept = [view[start:end] for marker, start, end in head if marker != _APP1]
    # A TIFF header, one directory of one entry (tag 0x0112, one 16-bit number), and no further directory.
    tiff = struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    exif = b"Exif\0\0" + tiff
    return b"".join([_SOI, struct.pack(">BBH", 0xFF, _APP1, 2 + len(exif)), exif, *kept, view[scan:]])


def _segments(data: bytes) -> Iterator[_Segment]:
    """Yield every marker up to the end marker, or to where the file is truncated or is no JPEG."""
    at = len(_SOI) if data.startswith(_SOI) else len(data)
    while data[at : at + 1] == b"\xff":
        while data[at + 1 : at + 2] == b"\xff":  # fill bytes
            at += 1
        marker = data[at + 1] if at + 1 < len(data) else 0
        if marker == _EOI:
            yield _Segment(marker, at, at + 2)
            return
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if not at + 4 <= end <= len(data):
            return
        yield _Segment(marker, at, end)
        if marker == _SOS:
            found = _AFTER_SCAN.search(data, end)
            end = found.start() if found else len(data)
        at = end

"""Registry of the readers, and the kinds of files that are recognised only to be rejected.

A new input is one file in this folder and one entry in `READERS`; the command line, its help and the API follow.
"""

from __future__ import annotations

from ecg_trt.errors import NotAnImageError, install_hint
from ecg_trt.io.lazy import lazily, missing_module
from ecg_trt.io.readers.base import Reader, Signature

PILLOW_SIGNATURES = (
    Signature(0, b"\xff\xd8\xff", "JPEG"),
    Signature(0, b"\x89PNG", "PNG"),
    Signature(0, b"II*\x00", "TIFF"),
    Signature(0, b"MM\x00*", "TIFF"),
    Signature(0, b"II+\x00", "TIFF"),  # with 64-bit offsets
    Signature(0, b"MM\x00+", "TIFF"),
    Signature(0, b"BM", "BMP"),
    Signature(8, b"WEBP", "WebP"),
)

# The first reader in this order whose `sniff` agrees reads the file.
READERS: list[Reader] = [
    Reader(
        name="pillow",
        formats=("JPEG", "PNG", "TIFF", "BMP", "WebP"),
        suffixes=(".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"),
        media=("image/jpeg", "image/png", "image/tiff", "image/bmp", "image/webp"),
        sniff=lambda head: any(signature.matches(head) for signature in PILLOW_SIGNATURES),
        read=lazily("readers.pillow", "read_page"),
    )
]

# Kinds of files that users often pass, though no reader decodes them.
UNREADABLE = (
    Signature(4, b"ftypheic", "a HEIC photo"),
    Signature(4, b"ftypheix", "a HEIC photo"),
    Signature(4, b"ftypmif1", "a HEIF photo"),
    Signature(4, b"ftypavif", "an AVIF image"),
    Signature(0, b"%PDF", "a PDF document"),
    Signature(0, b"GIF8", "a GIF image"),
    Signature(128, b"DICM", "a DICOM file"),
    Signature(0, b"PK\x03\x04", "a ZIP archive or office document"),
    Signature(0, b"<svg", "an SVG drawing"),
    Signature(4, b"ftyp", "a film"),
)


def format_names(last: str = ", ") -> str:
    """List the formats that are read, for help texts: "JPEG, PNG, TIFF".

    Args:
        last: between the last two.
    """
    *others, final = (name for reader in READERS for name in reader.formats)
    return last.join(filter(None, (", ".join(others), final)))


def find_reader(head: bytes, size: int, name: str) -> Reader:
    """Find the reader of a file.

    Args:
        head: its first `HEAD_BYTES`.
        size: its length, bytes.
        name: path or description, for the message.

    Raises:
        NotAnImageError: no reader takes it, or what its reader needs is not installed.
    """
    reader = next((reader for reader in READERS if reader.sniff(head)), None)
    if reader is None:
        raise unreadable(head, size, name)
    missing = missing_module(reader.modules)
    if missing is not None:
        raise NotAnImageError(
            f"{name} cannot be read here",
            got=f"{' or '.join(reader.formats)}, and no package {missing}",
            expected=f"the extra {reader.extra}",
            hint=install_hint(reader.extra),
        )
    return reader


def unreadable(head: bytes, size: int, name: str, got: str = "") -> NotAnImageError:
    """Make the error of a file that no reader takes.

    Args:
        head: its first bytes.
        size: its length, bytes.
        name: path or description.
        got: what it is, if that is known; by its first bytes otherwise.
    """
    kind = next((signature.kind for signature in UNREADABLE if signature.matches(head)), None)
    hint = f"Convert it to {format_names(' or ')}."
    if size == 0:
        got, hint = "no bytes at all", "Copy or download it once more."
    got = got or kind or f"{size} bytes of an unknown kind, beginning with {head[:8]!r}"
    return NotAnImageError(
        f"{name} is not an image that can be read", got=got, expected=format_names(" or "), hint=hint
    )

"""Registry of the readers, and the kinds of files that are recognised only to be rejected.

A new input is one file in this folder and one entry in `READERS`; the command line, its help and the API follow.
"""

from __future__ import annotations

from ecg_trt.errors import NotAnImageError, UnknownFormatError, install_hint
from ecg_trt.io.lazy import lazily, missing_module
from ecg_trt.io.readers.base import Reader, Signature

PILLOW_SIGNATURES = (
    Signature(0, b"\xff\xd8\xff", "JPEG"),
    Signature(0, b"\x89PNG", "PNG"),
    Signature(0, b"BM", "BMP"),
    Signature(8, b"WEBP", "WebP"),
    Signature(0, b"GIF8", "GIF"),
    Signature(0, b"II*\x00", "TIFF"),
    Signature(0, b"MM\x00*", "TIFF"),
    Signature(0, b"II+\x00", "TIFF"),  # with 64-bit offsets
    Signature(0, b"MM\x00+", "TIFF"),
)

# Main brands of ISO base media files (ISO/IEC 23008-12, annex B; AV1 Image File Format, chapter 6). Files of the last
# two hold either kind of picture.
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_HEIF_BRANDS = frozenset({b"mif1", b"msf1"})


def is_avif(head: bytes) -> bool:
    """Recognise an AVIF picture by the first bytes of its file."""
    brands = _brands(head)
    return bool(brands) and brands[0] in _AVIF_BRANDS | _HEIF_BRANDS and not _AVIF_BRANDS.isdisjoint(brands)


def is_heif(head: bytes) -> bool:
    """Recognise a HEIC picture, or a HEIF of another kind than AVIF, by the first bytes of its file."""
    brands = _brands(head)
    return bool(brands) and brands[0] in _HEIC_BRANDS | _HEIF_BRANDS and not is_avif(head)


def _brands(head: bytes) -> tuple[bytes, ...]:
    """List the brands of an ISO base media file, its main brand first; none for any other file."""
    if head[4:8] != b"ftyp":
        return ()
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return (head[8:12], *(head[at : at + 4] for at in range(16, end, 4)))


def is_dicom(head: bytes) -> bool:
    """Recognise a DICOM file by its first bytes, of which 128 may be those of another format, such as TIFF."""
    return head[128:132] == b"DICM"


def _signed(head: bytes) -> str | None:
    """Name the kind of a file that Pillow knows by its signature."""
    if is_dicom(head):
        return None
    return next((signature.kind for signature in PILLOW_SIGNATURES if signature.matches(head)), None)


# The first reader in this order whose `sniff` agrees reads the file.
READERS: list[Reader] = [
    Reader(
        name="pillow",
        formats=("JPEG", "PNG", "BMP", "WebP", "GIF", "AVIF"),
        suffixes=(".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".avif"),
        media=("image/jpeg", "image/png", "image/bmp", "image/webp", "image/gif", "image/avif"),
        sniff=lambda head: _signed(head) not in (None, "TIFF") or is_avif(head),
        read=lazily("readers.pillow", "read_page"),
    ),
    Reader(
        name="tiff",
        formats=("TIFF",),
        suffixes=(".tif", ".tiff"),
        media=("image/tiff",),
        sniff=lambda head: _signed(head) == "TIFF",
        read=lazily("readers.tiff", "read_page"),
        count=lazily("readers.tiff", "count_pages"),
    ),
    Reader(
        name="heif",
        formats=("HEIC",),
        suffixes=(".heic", ".heif", ".hif"),
        media=("image/heic", "image/heif"),
        sniff=is_heif,
        read=lazily("readers.heif", "read_page"),
        modules=("pi_heif",),
        extra="heif",
    ),
    Reader(
        name="dicom",
        formats=("DICOM",),
        suffixes=(".dcm",),
        media=("application/dicom",),
        sniff=is_dicom,
        read=lazily("readers.dicom", "read_page"),
        count=lazily("readers.dicom", "count_pages"),
        modules=("pydicom",),
        extra="dicom",
        record=lazily("readers.dicom_waveform", "read_recording"),
    ),
    Reader(
        name="pdf",
        formats=("PDF",),
        suffixes=(".pdf",),
        media=("application/pdf",),
        sniff=lambda head: b"%PDF-" in head,  # Some programs write a few bytes before it.
        read=lazily("readers.pdf", "read_page"),
        count=lazily("readers.pdf", "count_pages"),
        modules=("pypdfium2",),
        extra="pdf",
    ),
]

# Kinds of files that users often pass, though no reader decodes them.
UNREADABLE = (
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
        UnknownFormatError: no reader takes it.
        NotAnImageError: what its reader needs is not installed.
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


def unreadable(head: bytes, size: int, name: str, got: str = "") -> UnknownFormatError:
    """Make the error of a file that no reader takes.

    Args:
        head: its first bytes.
        size: its length, bytes.
        name: path or description.
        got: what it is, if that is known; by its first bytes otherwise.
    """
    kind = next((signature.kind for signature in UNREADABLE if signature.matches(head)), None)
    hint = "Convert it to JPEG or PNG."
    if size == 0:
        got, hint = "no bytes at all", "Copy or download it once more."
    got = got or kind or f"{size} bytes of an unknown kind, beginning with {head[:8]!r}"
    return UnknownFormatError(
        f"{name} is not an image that can be read", got=got, expected=format_names(" or "), hint=hint
    )

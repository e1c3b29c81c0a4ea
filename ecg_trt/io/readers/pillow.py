"""Photos from paths, bytes and arrays, upright and in 8-bit RGB.

The header is read first, and an image is decoded only once its size has been found acceptable: a file of a
few kilobytes may claim gigapixels.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ecg_trt.errors import (
    NotAnImageError,
    OptionError,
    PhotoNotFoundError,
    PhotoSizeError,
    TruncatedImageError,
)
from ecg_trt.types import Array, Photo

if TYPE_CHECKING:
    from PIL import Image

MIN_SIDE_PX = 64
MAX_SIDE_PX = 32766  # OpenCV's remap addresses its source with 16-bit coordinates
MIN_PIXELS = 150_000
MAX_PIXELS = 50_000_000

_FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP")
_KINDS = "JPEG, PNG, TIFF, BMP or WebP"
_ORIENTATION_TAG = 0x0112
_PHOTOMETRIC_TAG = 262
_BITS_TAG = 258

# First bytes of files that people do hand over, though nothing here decodes them: (offset, bytes, name).
_FOREIGN = (
    (4, b"ftypheic", "a HEIC photo"),
    (4, b"ftypheix", "a HEIC photo"),
    (4, b"ftypmif1", "a HEIF photo"),
    (4, b"ftypavif", "an AVIF image"),
    (0, b"%PDF", "a PDF document"),
    (0, b"GIF8", "a GIF image"),
    (128, b"DICM", "a DICOM file"),
    (0, b"PK\x03\x04", "a ZIP archive or office document"),
    (0, b"<svg", "an SVG drawing"),
    (4, b"ftyp", "a film"),
)
_OURS = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG", "PNG"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (0, b"BM", "BMP"),
    (8, b"WEBP", "WebP"),
)


@dataclass(frozen=True, slots=True)
class PhotoHeader:
    """What a photo says of itself before it is decoded.

    Attributes:
        kind: Pillow's name of its format, such as JPEG or MPO (a JPEG that holds others), PNG, TIFF.
        width: px, as stored, before it is turned upright.
        height: px, likewise.
        orientation: of its EXIF, 1 (upright) to 8. Formats other than JPEG may tell it only once decoded.
    """

    kind: str
    width: int
    height: int
    orientation: int


def peek(
    data: bytes, *, name: str | None = None, max_pixels: int = MAX_PIXELS, min_pixels: int = MIN_PIXELS
) -> PhotoHeader:
    """Reads a photo's header and checks its size, as `read_photo` does before it decodes.

    Args:
        data: the encoded photo.
        name: of the photo, for messages; its size if None.
        max_pixels: most pixels (H * W) that will be decoded.
        min_pixels: fewest pixels that make sense.

    Returns:
        What it says of itself.

    Raises:
        NotAnImageError: empty, or of an unknown kind.
        TruncatedImageError: the header ends too early or is damaged.
        PhotoSizeError: too few or too many pixels, or a side beyond MIN_SIDE_PX .. MAX_SIDE_PX.
    """
    name = f"<{len(data)} bytes>" if name is None else name
    with _open_image(BytesIO(data), name) as image:
        _check_size(*image.size, name, (min_pixels, max_pixels))
        return PhotoHeader(image.format or "", *image.size, _orientation(image))


@dataclass(frozen=True, slots=True)
class EncodedPhoto:
    """A photo's file, not yet decoded.

    Attributes:
        data: all of it.
        source: path or description, for messages.
    """

    data: bytes
    source: str


def load_photo(source: object) -> EncodedPhoto | None:
    """The bytes of a path or of bytes, None of anything else.

    Raises:
        PhotoNotFoundError: no such file, a directory, or no right to read it.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        return EncodedPhoto(bytes(source), f"<{len(source)} bytes>")
    if isinstance(source, (str, os.PathLike)):
        with _open(Path(source)) as file:
            return EncodedPhoto(file.read(), os.fspath(source))
    return None


def read_photo(
    source: EncodedPhoto | str | os.PathLike[str] | bytes | bytearray | memoryview | Array,
    *,
    max_pixels: int = MAX_PIXELS,
    min_pixels: int = MIN_PIXELS,
) -> Photo:
    """Decodes a photo to upright 8-bit RGB.

    Colour modes: grey, grey with alpha, RGB, RGBA and palette (transparent parts become white paper), CMYK
    (JPEGs are taken as inverted, as Adobe writes them and Pillow assumes), 16 and 32 bits (scaled to 8),
    floats. Of a file with several pages the first is read.

    Args:
        source: path, encoded bytes, an `EncodedPhoto`, or (H, W, 3) uint8 RGB array, which is taken as it is.
        max_pixels: most pixels (H * W) that will be decoded.
        min_pixels: fewest pixels that make sense.

    Returns:
        The photo; its array may be read-only.

    Raises:
        PhotoNotFoundError: no such file, a directory, or no right to read it.
        NotAnImageError: empty, of an unknown kind, or an array of another shape or dtype.
        TruncatedImageError: the image ends too early or is damaged.
        PhotoSizeError: too few or too many pixels, or a side beyond MIN_SIDE_PX .. MAX_SIDE_PX.
        OptionError: a source of another type.
    """
    limits = (min_pixels, max_pixels)
    if isinstance(source, np.ndarray):
        return _from_array(source, limits)
    if isinstance(source, EncodedPhoto):
        return Photo(_decode(BytesIO(source.data), source.source, limits), source.source)
    if isinstance(source, (bytes, bytearray, memoryview)):
        name = f"<{len(source)} bytes>"
        return Photo(_decode(BytesIO(source), name, limits), name)
    if isinstance(source, (str, os.PathLike)):
        name = os.fspath(source)
        with _open(Path(source)) as file:
            return Photo(_decode(file, name, limits), name)
    raise OptionError(
        "This is no photo",
        got=f"an object of type {type(source).__name__}",
        expected="a path, bytes, or an (H, W, 3) uint8 RGB array",
        mend="Convert it first, a Pillow image for example with numpy.asarray(image.convert('RGB')).",
    )


def _from_array(array: Array, limits: tuple[int, int]) -> Photo:
    """Checks an array of the caller; contiguous ones are not copied."""
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
        raise NotAnImageError(
            "This array is no photo",
            got=f"shape {array.shape}, dtype {array.dtype}",
            expected="shape (H, W, 3), dtype uint8, channels red, green, blue",
            mend="Scale it to 0..255, convert it to uint8, and stack grey values three times.",
        )
    height, width = array.shape[:2]
    _check_size(width, height, "<array>", limits)
    return Photo(np.ascontiguousarray(array))


def _open(path: Path) -> BinaryIO:
    """Opens a regular file; everything that stands in the way becomes a PhotoNotFoundError."""
    mend = "Check the path; several photos may be given with a pattern such as folder/*.jpg."
    expected = "the path of an image file"
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            got = "a directory" if stat.S_ISDIR(mode) else "neither a file nor a directory"
            raise PhotoNotFoundError(f"{path} is not a photo", got=got, expected=expected, mend=mend)
        return path.open("rb")
    except PermissionError as error:
        mend = "Give yourself the right to read it (chmod u+r), or copy it elsewhere."
        raise PhotoNotFoundError(
            f"{path} cannot be read", got="permission denied", expected="a readable file", mend=mend
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL byte within the path
        got = "nothing there" if isinstance(error, FileNotFoundError) else str(error)
        raise PhotoNotFoundError(f"{path} cannot be opened", got=got, expected=expected, mend=mend) from error


def _decode(file: BinaryIO, name: str, limits: tuple[int, int]) -> Array:
    """(H, W, 3) uint8 RGB of an open file."""
    image = _open_image(file, name)
    with image:
        _check_size(*image.size, name, limits)
        try:
            image.load()
        except MemoryError:
            raise
        except Exception as error:  # decoders meet damaged bytes with errors of a dozen types
            raise TruncatedImageError(
                f"{name} cannot be decoded to its end",
                got=f"a damaged or truncated {image.format} image ({error})",
                expected="a whole image",
                mend="Copy or download it once more, and open it in a viewer to check.",
            ) from error
        return _as_rgb(_upright(image))


def _open_image(file: BinaryIO, name: str) -> Image.Image:
    """Reads the header alone."""
    from PIL import Image, UnidentifiedImageError

    head = file.read(256)
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    try:
        return Image.open(file, formats=_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PhotoSizeError(
            f"{name} is too large",
            got=str(error),
            expected="a photo of at most 50 megapixels",
            mend="Scale it down; 9 to 12 megapixels are plenty for a page.",
        ) from error
    except (UnidentifiedImageError, OSError, ValueError, OverflowError, KeyError) as error:
        raise _why_unknown(head, size, name) from error


def _why_unknown(head: bytes, size: int, name: str) -> NotAnImageError | TruncatedImageError:
    """Tells an empty file, a cut header, a foreign format and plain nonsense apart."""
    ours = next((kind for at, magic, kind in _OURS if head[at : at + len(magic)] == magic), None)
    foreign = next((kind for at, magic, kind in _FOREIGN if head[at : at + len(magic)] == magic), None)
    mend = f"Convert it to {_KINDS}."
    if size == 0:
        got, mend = "no bytes at all", "Copy or download it once more."
    elif ours == "TIFF" and int.from_bytes(head[4:8], "little" if head[:2] == b"II" else "big") < size > 8:
        got = "a TIFF of a kind that cannot be decoded"  # its directory is there, so nothing was cut off
    elif ours:
        return TruncatedImageError(
            f"{name} cannot be decoded",
            got=f"a {ours} image whose header is damaged or cut after {size} bytes",
            expected="a whole image",
            mend="Copy or download it once more, and open it in a viewer to check.",
        )
    else:
        got = foreign or f"{size} bytes of an unknown kind, beginning with {head[:8]!r}"
    return NotAnImageError(f"{name} is not an image that can be read", got=got, expected=_KINDS, mend=mend)


def _check_size(width: int, height: int, name: str, limits: tuple[int, int]) -> None:
    """Refuses sizes that cannot work before anything is decoded."""
    low, high = limits
    got = f"{width} x {height} pixels"
    if width * height > high or max(width, height) > MAX_SIDE_PX:
        expected = f"at most {high / 1e6:g} megapixels and {MAX_SIDE_PX} pixels a side"
        mend = "Scale it down; 9 to 12 megapixels are plenty for a page."
        raise PhotoSizeError(f"{name} is too large", got=got, expected=expected, mend=mend)
    if width * height < low or min(width, height) < MIN_SIDE_PX:
        expected = f"at least {low / 1e6:g} megapixels and {MIN_SIDE_PX} pixels a side"
        mend = "Take the photo anew from nearer, or use the original file rather than a thumbnail."
        raise PhotoSizeError(f"{name} is too small", got=got, expected=expected, mend=mend)


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 where there is none that makes sense."""
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # a photo is worth more than its broken metadata
        return 1
    return int(orientation) if orientation in range(1, 9) else 1


def _upright(image: Image.Image) -> Image.Image:
    """Turns the picture as its EXIF orientation says; TIFFs are turned by Pillow while loading."""
    from PIL.Image import Transpose

    turn = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }.get(_orientation(image))
    if turn is None:
        return image
    upright = image.transpose(turn)
    upright.info = image.info  # holds the colour key of transparent PNGs
    if hasattr(image, "tag_v2"):
        upright.tag_v2 = image.tag_v2  # type: ignore[attr-defined]
    return upright


def _as_rgb(image: Image.Image) -> Array:
    """(H, W, 3) uint8 from any mode."""
    from PIL import Image

    mode = image.mode
    if mode == "RGB" and "transparency" not in image.info:
        return np.asarray(image)
    if mode.startswith(("I", "F")):
        grey = _to_8_bits(np.asarray(image), getattr(image, "tag_v2", {}))
        return np.repeat(grey[..., None], 3, axis=2)
    if "transparency" in image.info or mode in ("LA", "La", "PA", "RGBA", "RGBa"):
        front = image.convert("RGBA")
        paper = Image.new("RGBA", front.size, "white")
        return np.asarray(Image.alpha_composite(paper, front).convert("RGB"))
    return np.asarray(image.convert("RGB"))


def _to_8_bits(values: Array, tags: Any) -> Array:
    """Scales deep grey values to 0..255.

    White is the full scale of the bits used: cameras and scanners often keep 8, 12 or 16 bits in a wider
    container, so the narrowest of the usual scales that holds the brightest pixel is taken. Floats may also
    run from 0 to 1.

    Args:
        values: (H, W) unsigned, signed or floating; NaN becomes white paper, negative values black.
        tags: TIFF tags, for the number of bits and for scans in which 0 is white.
    """
    is_float = values.dtype.kind == "f"
    scales: tuple[float, ...] = (255.0, 4095.0, 65535.0, 2.0**31 - 1)
    bits = tags.get(_BITS_TAG, (0,))[0]
    if is_float:
        peak = float(np.max(values, where=np.isfinite(values), initial=0.0))
        values = np.nan_to_num(values, nan=peak, posinf=peak, neginf=0.0)
        scales = (1.0, *scales[:-1], peak)
    else:
        peak = float(values.max())
        scales = (float(2**bits - 1),) if 8 < bits < 16 else scales
    white = next((scale for scale in scales if peak <= scale), peak)
    grey = np.multiply(values, 255.0 / max(white, 1e-30), dtype=np.float32)
    grey = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
    # Pillow honours "0 is white" for 8 bits and fewer only.
    return 255 - grey if tags.get(_PHOTOMETRIC_TAG) == 0 and values.dtype.kind == "u" else grey

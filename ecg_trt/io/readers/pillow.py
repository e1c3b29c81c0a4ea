"""Pictures by Pillow, upright and in 8-bit RGB.

The header is read first, and an image is decoded only once its size has been found acceptable: a file of a
few kilobytes may claim gigapixels.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ecg_trt.errors import NotAnImageError, PhotoSizeError, TruncatedImageError
from ecg_trt.io.readers import PILLOW_SIGNATURES, is_avif, unreadable
from ecg_trt.io.readers.base import (
    HEAD_BYTES,
    MAX_PIXELS,
    MIN_PIXELS,
    EncodedPhoto,
    PixelLimits,
    check_size,
)
from ecg_trt.types import Array, Photo

if TYPE_CHECKING:
    from PIL import Image

_FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF", "AVIF")
_ORIENTATION_TAG = 0x0112
_PHOTOMETRIC_TAG = 262
_BITS_TAG = 258


@dataclass(frozen=True, slots=True)
class PhotoHeader:
    """Properties of a photo, from its header.

    Attributes:
        kind: Pillow's name of its format, such as JPEG or MPO (a JPEG that holds others), PNG, TIFF.
        width: px, as stored, before it is turned upright.
        height: px, likewise.
        orientation: of its EXIF, 1 (upright) to 8. Other formats than JPEG may reveal it only once decoded.
    """

    kind: str
    width: int
    height: int
    orientation: int


def peek(
    data: bytes, *, name: str | None = None, max_pixels: int = MAX_PIXELS, min_pixels: int = MIN_PIXELS
) -> PhotoHeader:
    """Read a photo's header and check its size, as `read_photo` does before it decodes.

    Args:
        data: the encoded photo.
        name: of the photo, for messages; its size if None.
        max_pixels: most pixels (H * W) that will be decoded.
        min_pixels: fewest pixels that make sense.

    Returns:
        Its properties.

    Raises:
        NotAnImageError: empty, or of an unknown kind.
        TruncatedImageError: the header ends too early or is damaged.
        PhotoSizeError: too few or too many pixels, or a side beyond MIN_SIDE_PX .. MAX_SIDE_PX.
    """
    name = f"<{len(data)} bytes>" if name is None else name
    with open_image(BytesIO(data), name) as image:
        check_size(*image.size, name, PixelLimits(min_pixels, max_pixels))
        return PhotoHeader(image.format or "", *image.size, _orientation(image))


def read_page(photo: EncodedPhoto, number: int, limits: PixelLimits) -> Photo:
    """Decode the first picture of a file; see `Reader.read`."""
    image = open_image(BytesIO(photo.data), photo.source)
    return Photo(decode(image, photo.source, limits), photo.source, number)


def decode(image: Image.Image, name: str, limits: PixelLimits) -> Array:
    """Decode an open picture, at the page that it stands at, and close it.

    Phones write HEIC and AVIF in the wide colours of their cameras; these are converted to sRGB. Other formats keep
    their numbers, as the decoder of the GPU leaves them too.

    Args:
        image: its header read, its pixels not yet.
        name: of the photo, for messages.
        limits: of its size.

    Returns:
        (H, W, 3) uint8 RGB, upright.

    Raises:
        PhotoSizeError: too few or too many pixels.
        TruncatedImageError: the image ends too early or is damaged.
    """
    with image:
        check_size(*image.size, name, limits)
        try:
            image.load()
        except MemoryError:
            raise
        except Exception as error:  # Decoders raise errors of a dozen types on damaged bytes.
            raise TruncatedImageError(
                f"{name} cannot be decoded to its end",
                got=f"a damaged or truncated {image.format} image ({' '.join(str(error).split())})",
                expected="a whole image",
                hint="Copy or download it once more, and open it in a viewer to check.",
            ) from error
        upright = _upright(image)
        return _as_rgb(_as_srgb(upright) if image.format in ("AVIF", "HEIF") else upright)


def open_image(file: BinaryIO, name: str) -> Image.Image:
    """Open a file and read its header alone.

    Raises:
        NotAnImageError: empty, or of an unknown kind.
        TruncatedImageError: the header ends too early or is damaged.
        PhotoSizeError: far too many pixels.
    """
    from PIL import Image

    head = file.read(HEAD_BYTES)
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    try:
        return Image.open(file, formats=_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PhotoSizeError(
            f"{name} is too large",
            got=str(error),
            expected="a photo of at most 50 megapixels",
            hint="Scale it down; 9 to 12 megapixels are plenty for a page.",
        ) from error
    except Exception as error:  # Parsers of headers raise errors of a dozen types too.
        raise _why_unknown(head, size, name) from error


def _why_unknown(head: bytes, size: int, name: str) -> NotAnImageError | TruncatedImageError:
    """Tell a truncated header and a TIFF of a rare kind from bytes that are no picture at all."""
    ours = next((signature.kind for signature in PILLOW_SIGNATURES if signature.matches(head)), None)
    if ours is None and not is_avif(head):
        return unreadable(head, size, name)
    if ours is None and not _decodes_avif():
        return unreadable(head, size, name, got="an AVIF image, and a Pillow that was built without AVIF")
    if ours == "TIFF" and int.from_bytes(head[4:8], "little" if head[:2] == b"II" else "big") < size > 8:
        # Its directory is there, so the file is not truncated.
        return unreadable(head, size, name, got="a TIFF of a kind that cannot be decoded")
    return TruncatedImageError(
        f"{name} cannot be decoded",
        got=f"{ours or 'AVIF'} whose header is damaged or truncated after {size} bytes",
        expected="a whole image",
        hint="Copy or download it once more, and open it in a viewer to check.",
    )


def _decodes_avif() -> bool:
    from PIL import features

    return bool(features.check("avif"))


def _orientation(image: Image.Image) -> int:
    """Read the EXIF orientation, 1 to 8; 1 where there is no valid one."""
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # Broken metadata must not prevent the reading of a photo.
        return 1
    return int(orientation) if orientation in range(1, 9) else 1


def _upright(image: Image.Image) -> Image.Image:
    """Rotate the picture by its EXIF orientation; TIFFs are rotated by Pillow while loading."""
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
    upright.info = image.info  # It holds the colour key of transparent PNGs.
    if hasattr(image, "tag_v2"):
        upright.tag_v2 = image.tag_v2  # type: ignore[attr-defined]
    return upright


def _as_srgb(image: Image.Image) -> Image.Image:
    """Convert the colours of an RGB picture with an embedded profile; any other picture stays as it is."""
    from PIL import ImageCms

    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "RGBA"):
        return image
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB")) or image
    except (OSError, ImageCms.PyCMSError):  # A broken profile must not prevent the reading of a photo.
        return image


def _as_rgb(image: Image.Image) -> Array:
    """Convert a picture of any mode to (H, W, 3) uint8."""
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
    """Scale deep grey values to 0..255.

    White is the full scale of the bits used: cameras and scanners often keep 8, 12 or 16 bits in a wider
    container, so the narrowest of the common scales that holds the brightest pixel is taken. Floats may also
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
    # Pillow honours "0 is white" only for 8 bits and fewer.
    return 255 - grey if tags.get(_PHOTOMETRIC_TAG) == 0 and values.dtype.kind == "u" else grey

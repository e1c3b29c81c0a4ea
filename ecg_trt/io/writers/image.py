"""Pictures as files, and as bytes that other files hold. No metadata of a photo goes along."""

from __future__ import annotations

from pathlib import Path

import cv2

from ecg_trt.errors import OutputError
from ecg_trt.io.atomic import atomic_path
from ecg_trt.types import Array

_SUFFIXES = (".png", ".jpg", ".jpeg")
_PNG_COMPRESSION, _JPEG_QUALITY = 3, 92


def write_image(image: Array, path: str | Path, *, jpeg_quality: int = _JPEG_QUALITY) -> Path:
    """Write a picture; the suffix (.png, .jpg, .jpeg) decides on the format.

    Args:
        image: (H, W, 3) uint8 RGB.
        path: the file, replaced if it is there.
        jpeg_quality: 0 to 100.

    Returns:
        The path.

    Raises:
        OutputError: it could not be written.
    """
    path = Path(path)
    if path.suffix.lower() not in _SUFFIXES:
        raise OutputError(
            f"{path} cannot be written",
            got=f"the suffix {path.suffix!r}",
            expected=".png, .jpg or .jpeg",
            hint="Choose another name.",
        )
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded(image, path.suffix.lower(), jpeg_quality=jpeg_quality))
    return path


def encoded(image: Array, suffix: str, *, jpeg_quality: int = _JPEG_QUALITY) -> bytes:
    """Encode (H, W, 3) uint8 RGB as ``.png``, ``.jpg`` or ``.jpeg``."""
    setting = (
        [cv2.IMWRITE_PNG_COMPRESSION, _PNG_COMPRESSION]
        if suffix == ".png"
        else [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality]
    )
    _, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), setting)
    return bytes(data)


def fitted(image: Array, width: int, height: int) -> Array:
    """Scale a picture down, if it is larger, to fit into a width and a height, px."""
    scale = min(1.0, width / image.shape[1], height / image.shape[0])
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return image if scale == 1.0 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)

"""Photos of phones in HEIC, by libheif (extra ``heif``).

libheif rotates and mirrors a picture as its file prescribes. The EXIF orientation repeats that, and is ignored, as
ISO/IEC 23008-12 demands.
"""

from __future__ import annotations

from io import BytesIO

from ecg_trt.errors import TruncatedImageError
from ecg_trt.io.readers.base import EncodedPhoto, PixelLimits
from ecg_trt.io.readers.pillow import decode
from ecg_trt.types import Photo


def read_page(photo: EncodedPhoto, number: int, limits: PixelLimits) -> Photo:
    """Decode the primary picture of a file; see `Reader.read`."""
    from pi_heif import HeifImageFile

    try:
        image = HeifImageFile(BytesIO(photo.data))
    except SyntaxError as error:
        raise TruncatedImageError(
            f"{photo.source} cannot be decoded",
            got=f"a HEIC photo that is damaged, truncated or of a rare kind ({' '.join(str(error).split())})",
            expected="a whole photo",
            hint="Copy or download it once more, or export it as JPEG.",
        ) from error
    return Photo(decode(image, photo.source, limits), photo.source, number)

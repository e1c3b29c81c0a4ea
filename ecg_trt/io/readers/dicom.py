"""Pictures in DICOM files, and PDFs that these enclose (extra ``dicom``).

Attributes are those of DICOM PS3.3: the image pixel module (C.7.6.3), the window (C.11.2.1.2), and the encapsulated
document (C.24.2).
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ecg_trt.errors import InputError, NotAnImageError, install_hint
from ecg_trt.io.readers import find_reader
from ecg_trt.io.readers.base import HEAD_BYTES, EncodedPhoto, PixelLimits, Reader, check_size
from ecg_trt.types import Array, Photo

if TYPE_CHECKING:
    from pydicom import Dataset

_GREY = ("MONOCHROME1", "MONOCHROME2")
_WHITE_IS_LOW = "MONOCHROME1"
_PALETTE = "PALETTE COLOR"
_DEFLATED = b"1.2.840.10008.1.2.1.99"
META_BYTES = 2048  # Number of first bytes of a file in which its transfer syntax stands.


def count_pages(file: BinaryIO) -> int:
    """Count the frames of an open file, or the pages of the document in it; see `Reader.count`."""
    from pydicom import dcmread

    if is_deflated(file.read(META_BYTES)):
        return 1
    file.seek(0)
    dataset = dcmread(file, stop_before_pixels=True)
    document = dataset.get("EncapsulatedDocument")
    if document is None:
        return max(int(dataset.get("NumberOfFrames") or 1), 1)
    try:
        reader = _reader_of(document, "")
    except InputError:
        return 1
    return 1 if reader.count is None else reader.count(BytesIO(document))


def read_page(photo: EncodedPhoto, number: int, limits: PixelLimits) -> Photo:
    """Decode one frame of a file, or one page of the document in it; see `Reader.read`."""
    from pydicom import dcmread

    if is_deflated(photo.data[:META_BYTES]):
        raise NotAnImageError(
            f"{photo.source} cannot be decoded here",
            got="a deflated DICOM file, whose size is not known before it is inflated",
            expected="one that is not deflated",
            hint="Export it uncompressed, or as JPEG 2000.",
        )
    dataset = dcmread(BytesIO(photo.data))
    document = dataset.get("EncapsulatedDocument")
    if document is not None:
        reader = _reader_of(document, photo.source)
        return reader.read(EncodedPhoto(document, photo.source, photo.page), number, limits)
    if "PixelData" not in dataset:
        raise _no_picture(dataset, photo.source)
    channels = int(dataset.get("SamplesPerPixel", 1))
    if channels not in (1, 3):
        raise NotAnImageError(f"{photo.source} cannot be decoded here", got=f"{channels} values a pixel",
                              expected="1 or 3", hint="Export the page as a picture or a PDF.")  # fmt: skip
    check_size(int(dataset.Columns), int(dataset.Rows), photo.source, limits)
    return Photo(_as_rgb(_decode_frame(dataset, number, photo.source), dataset), photo.source, number)


def is_deflated(head: bytes) -> bool:
    """Decide by its meta information if a file is deflated as a whole (PS3.5, A.5)."""
    return _DEFLATED in head


def _reader_of(document: bytes, name: str) -> Reader:
    return find_reader(document[:HEAD_BYTES], len(document), f"The document in {name}")


def _no_picture(dataset: Dataset, name: str) -> NotAnImageError:
    """Make the error of a file without a picture; one that holds the signal itself needs no picture."""
    groups = dataset.get("WaveformSequence")
    if groups:
        return NotAnImageError(
            f"{name} holds no picture",
            got=f"a DICOM file with the signal itself, {groups[0].NumberOfWaveformChannels} channels at "
            f"{float(groups[0].SamplingFrequency):g} Hz",
            expected="a picture of a paper ECG",
            hint="It needs no digitizing: `ecg-trt run` and `ecg_trt.digitize` take the leads of a resting ECG, "
            "pydicom's waveform_array takes any others.",
        )
    kind = dataset.get("SOPClassUID")
    return NotAnImageError(
        f"{name} holds no picture",
        got=f"a DICOM file of the kind {kind.name if kind else 'unknown'}",
        expected="one with a picture or a PDF",
        hint="Export the page as a picture or a PDF.",
    )


def _decode_frame(dataset: Dataset, number: int, name: str) -> Array:
    """Decode one frame.

    Returns:
        (H, W) grey or palette index, or (H, W, 3) RGB, of the file's own depth.

    Raises:
        NotAnImageError: nothing that is installed can decompress it.
    """
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.pixels.utils import pixel_array

    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        is_available = get_decoder(syntax).is_available
    except NotImplementedError:  # Videos, and whatever comes after this version of pydicom.
        is_available = False
    if not is_available:
        raise NotAnImageError(
            f"{name} cannot be decoded here",
            got=f"pictures compressed as {syntax.name}",
            expected="uncompressed ones, RLE, JPEG or JPEG 2000",
            hint=f"{install_hint('dicom')}. If that is done, pip install python-gdcm, which knows rarer kinds.",
        )
    return pixel_array(dataset, index=number - 1)


def _as_rgb(values: Array, dataset: Dataset) -> Array:
    """Convert a decoded frame to (H, W, 3) uint8 RGB."""
    photometric = dataset.PhotometricInterpretation
    if photometric in _GREY:
        grey = _windowed(values, dataset)
        grey = 255 - grey if photometric == _WHITE_IS_LOW else grey
        return np.repeat(grey[..., None], 3, axis=2)
    bits = int(dataset.BitsStored)
    if photometric == _PALETTE:
        from pydicom.pixels.processing import apply_color_lut

        values = apply_color_lut(values, dataset)
        bits = 8 * values.dtype.itemsize
    return np.ascontiguousarray(values[..., :3] >> max(bits - 8, 0)).astype(np.uint8, copy=False)


def _windowed(values: Array, dataset: Dataset) -> Array:
    """Scale grey values to 0..255: black and white are the ends of the file's window.

    Without a window they are those of 8 bits, or the darkest and the brightest pixel of a deeper picture.

    Args:
        values: (H, W), as stored.
        dataset: for the window, and for the linear scale on which it is given.
    """
    scaled = values.astype(np.float32)
    scaled = scaled * float(dataset.get("RescaleSlope", 1)) + float(dataset.get("RescaleIntercept", 0))
    centre, width = _first(dataset.get("WindowCenter")), _first(dataset.get("WindowWidth"))
    if centre is not None and width:
        black, white = centre - width / 2, centre + width / 2
    elif dataset.BitsStored <= 8:
        black, white = 0.0, float((1 << dataset.BitsStored) - 1)
    else:
        black, white = float(scaled.min()), float(scaled.max())
    grey = (scaled - black) * (255 / max(white - black, 1e-6))
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)


def _first(value: Any) -> float | None:
    """Take the first of one or several numbers, or none: a file may offer several windows."""
    if value is None:
        return None
    return float(value) if isinstance(value, (str, float, int)) else float(next(iter(value)))

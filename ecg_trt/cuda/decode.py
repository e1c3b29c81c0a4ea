"""Decoding of photos on the GPU by nvImageCodec, where it is installed; other formats are decoded on the CPU.

nvImageCodec works through CUDA's runtime API, which means a GPU's primary context: the one that our drivers hold too.
Nobody makes another. Its messages go to stderr past Python's logging, so they are turned off, unless the environment
sets PYNVIMGCODEC_VERBOSITY; two lines about codecs that it was not given (JPEG 2000, TIFF) cannot be.
"""

from __future__ import annotations

import ctypes
import logging
import os
from contextlib import ExitStack
from io import BytesIO
from typing import Any

import numpy as np

from ecg_trt.closeable import Closeable
from ecg_trt.cuda.driver import Driver
from ecg_trt.cuda.memory import DeviceArray, Workspace
from ecg_trt.cuda.stream import Event, Stream
from ecg_trt.errors import BackendError, BackendUnavailableError, install_hint
from ecg_trt.io.readers import find_reader
from ecg_trt.io.readers.base import HEAD_BYTES, MAX_PIXELS, MIN_PIXELS
from ecg_trt.io.readers.jpeg import JpegMarkers, read_markers, with_orientation
from ecg_trt.io.readers.photo import read_photo
from ecg_trt.io.readers.pillow import PhotoHeader, peek

_log = logging.getLogger(__name__)

_MEMORY = "decoded photo"
# CPU_ONLY is left out, as io.readers.pillow decodes on the host. HW_GPU_ONLY is left out, as that engine is made for
# batches, and its results would differ from one GPU to the next.
_BACKENDS = ("GPU_ONLY", "HYBRID_CPU_GPU")
_OPTIONS = ":fancy_upsampling=1"  # Interpolate chroma as libjpeg-turbo does; nvJPEG repeats it by default.
_SAMPLINGS = frozenset({(1, 1), (2, 1), (1, 2), (2, 2)})  # 4:4:4, 4:2:2, 4:4:0, 4:2:0
_RGB = (ord("R"), ord("G"), ord("B"))
_TOLERANCE = 4.0  # Mean difference allowed for the trial picture, grey levels.


class GpuDecoder(Closeable):
    """Decoder of JPEGs on the GPU, one at a time and from one thread at a time.

    Pixels differ from those of `read_photo` by a few grey levels, more at the edges of colours: nvJPEG rounds its
    inverse cosine transform and interpolates its chroma differently from libjpeg-turbo.

    Args:
        driver: of the GPU; stays open when this is closed.
        stream: for which photos are ready; stays open too, and must outlive this.
        photo_px: pixels of the largest expected photo, for which memory is allocated now.

    Raises:
        BackendUnavailableError: nvImageCodec or its nvJPEG is not installed, or it cannot decode a trial picture here.
        DeviceError: the GPU cannot serve; nothing stays allocated.
    """

    def __init__(self, driver: Driver, stream: Stream, *, photo_px: int = 12_600_000) -> None:
        self._driver, self._stream = driver, stream
        self._image: Any = None  # nvImageCodec's last one, which lives until it has been copied
        self._extra = "nvimgcodec" if driver.device.driver_version >= (13, 0) else "nvimgcodec12"
        self._codec = self._import()
        with ExitStack() as stack:
            self._copied = stack.enter_context(Event(driver))
            self._memory = Workspace(driver, stream, {_MEMORY: 3 * photo_px}, {})
            stack.callback(self._memory.close)
            self._enter()
            self._decoder = self._open(driver.device.ordinal)
            stack.callback(self._release)
            self._try_out()
            self._stack = stack.pop_all()

    def takes(self, data: bytes) -> bool:
        """Decide by its markers if a photo is of the kind that is decoded here; from any thread, at any time."""
        return not _why_not(read_markers(data))

    def decode(
        self, data: bytes, *, name: str | None = None, max_pixels: int = MAX_PIXELS, min_pixels: int = MIN_PIXELS
    ) -> DeviceArray | None:
        """Queue the decoding of a photo; work that is queued on the stream from here on finds it decoded.

        The header is read on the host, by the same code as `read_photo` has, so that a photo that it would reject is
        rejected before the GPU is used. The host's share, which for photos below a megapixel includes the Huffman
        decoding, is done on return. It cannot be captured into a graph.

        Args:
            data: an encoded photo of any kind.
            name: of the photo, for messages; its size if None.
            max_pixels: most pixels (H * W) that will be decoded.
            min_pixels: fewest pixels that make sense.

        Returns:
            (H, W, 3) uint8 RGB, upright per EXIF, there until the next call. None if `read_photo` must decode it:
            all but whole, baseline, 8-bit YCbCr JPEGs, and what nvImageCodec fails at.

        Raises:
            NotAnImageError: empty, or of an unknown kind.
            TruncatedImageError: the header ends too early or is damaged.
            PhotoSizeError: too few or too many pixels, or a side beyond what `read_photo` takes.
            BackendError: this is closed.
            DeviceError: the GPU failed.
        """
        if self._decoder is None:
            raise BackendError(
                "A photo cannot be decoded on the GPU",
                got="a closed decoder",
                expected="an open one",
                hint="Use it inside its with block.",
            )
        name = f"<{len(data)} bytes>" if name is None else name
        photo, why = None, _why_not(read_markers(data))
        if find_reader(data[:HEAD_BYTES], len(data), name).name == "pillow":
            header = peek(data, name=name, max_pixels=max_pixels, min_pixels=min_pixels)
            if not why:
                photo = self._photo_buffer(header)
                why = self._fill(photo, data, header.orientation)
        if why:
            _log.debug("%s is left to the CPU: %s", name, why)
        return None if why else photo

    def close(self) -> None:
        """Free everything; more than once is fine."""
        self._stack.close()

    def _import(self) -> Any:
        os.environ.setdefault("PYNVIMGCODEC_VERBOSITY", "0")  # read once, at import
        try:
            from nvidia import nvimgcodec
        except ImportError as error:
            raise self._unavailable(f"nvImageCodec, which cannot be imported ({error})") from error
        return nvimgcodec

    def _open(self, ordinal: int) -> Any:
        """Open nvImageCodec's decoder; its threads are for batches, so one is enough."""
        codec = self._codec
        try:
            backends = [codec.Backend(getattr(codec.BackendKind, kind)) for kind in _BACKENDS]
            return codec.Decoder(device_id=ordinal, max_num_cpu_threads=1, backends=backends, options=_OPTIONS)
        except Exception as error:  # C++ errors have several types, and an API may have changed.
            raise self._unavailable(f"an nvImageCodec that makes no decoder ({error})") from error

    def _try_out(self) -> None:
        """Decode a picture whose pixels are known: without nvJPEG a decoder opens all the same, but decodes nothing.

        The picture is not symmetric, is of another height than width and lies on its side, so that swapped channels,
        a wrong turn, and memory that was never written are all found out.
        """
        data = _trial_picture()
        expected = read_photo(data, min_pixels=1).image
        photo = self._photo_buffer(peek(data, min_pixels=1))
        why = self._fill(photo, data, 6)
        if not why:
            (got,) = self._memory.download(photo)
            off = float(np.abs(got.astype(np.int16) - expected).mean())
            why = "" if off <= _TOLERANCE else f"it is {off:.0f} grey levels off on average"
        if why:
            raise self._unavailable(f"an nvImageCodec that fails at a trial picture ({why})")

    def _enter(self) -> None:
        """Wait for the copy of the last photo; and make the primary context current in this thread.

        Every call of the driver makes it current. Without a current context the runtime API would open that of the
        first GPU, which may be another one.
        """
        self._copied.sync()

    def _photo_buffer(self, header: PhotoHeader) -> DeviceArray:
        """Allocate (H, W, 3) uint8 for the upright photo."""
        size = (header.height, header.width) if header.orientation < 5 else (header.width, header.height)
        return self._memory.array(_MEMORY, (*size, 3), np.uint8)

    def _fill(self, photo: DeviceArray, data: bytes, orientation: int) -> str:
        """Queue the decoding of a JPEG into our memory. Return the reason if that cannot be done, else an empty string.

        nvImageCodec decodes into memory of its own alone, out of which the photo is copied. It works on a stream of its
        own, which waits for ours before and for which ours waits after. It reads the EXIF itself, so it is given one
        that is unambiguous: the orientation that Pillow has read.
        """
        self._enter()
        self._image = None
        codec, stream = self._codec, self._stream.handle
        is_rotated = orientation != 1
        try:
            source = codec.CodeStream(with_orientation(data, orientation) if is_rotated else data)
            params = codec.DecodeParams(apply_exif_orientation=is_rotated, color_spec=codec.ColorSpec.SRGB)
            self._image = self._decoder.decode(source, params=params, cuda_stream=stream)
            found = None if self._image is None else self._image.__cuda_array_interface__
        except Exception as error:  # C++ errors have several types; the CPU decoder finds the fault.
            return f"nvImageCodec reports: {error}"
        if found is None:
            return "nvImageCodec or its nvJPEG does not decode it"
        if tuple(found["shape"]) != photo.shape or found.get("strides"):
            return f"nvImageCodec made it {found['shape']} instead of {photo.shape}, or left gaps between its rows"
        self._driver.copy_on_device(photo.address, found["data"][0], photo.nbytes, stream)
        self._copied.record(self._stream)
        return ""

    def _release(self) -> None:
        """Free nvImageCodec's decoder once all that it queued is done."""
        try:
            self._stream.sync()
        except BackendError as error:  # A closed stream is among them; it must not hide an earlier error.
            _log.warning("the photo decoder was closed in the midst of work: %s", error)
            # Freeing an image without its stream, or after a fault, ends the process: this one is never freed.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._image))
        self._image = None
        self._decoder.__exit__(None, None, None)
        self._decoder = None

    def _unavailable(self, got: str) -> BackendUnavailableError:
        return BackendUnavailableError(
            "Photos cannot be decoded on the GPU",
            got=got,
            expected="nvImageCodec with nvJPEG, for this driver",
            hint=f"{install_hint(self._extra)}; without it, photos are decoded on the CPU.",
        )


def open_gpu_decoder(driver: Driver, stream: Stream) -> GpuDecoder | None:
    """Open a decoder for the GPU, None where that is impossible; the log holds the reason.

    Args:
        driver: of the GPU.
        stream: for which photos are ready.

    Returns:
        The decoder, for the caller to close; None where the package is missing or does not work here.

    Raises:
        DeviceError: the GPU cannot serve.
    """
    try:
        return GpuDecoder(driver, stream)
    except BackendUnavailableError as error:
        _log.info("%s", error)
        return None


def _why_not(markers: JpegMarkers | None) -> str:
    """Find the reason why a file is not decoded on the GPU; empty if it is.

    nvJPEG knows neither 12 bits nor arithmetic coding, takes three components for YCbCr whatever the file states, and
    has a fast path for baseline alone. It may take a truncated file for a whole one.
    """
    if markers is None:
        return "no JPEG"
    if markers.process or markers.bits != 8 or markers.scans != 1:
        return f"process {markers.process} of {markers.bits} bits in {markers.scans} scans, not a baseline JPEG"
    luma, *chroma = markers.components or ((0, 0, 0),)
    if len(chroma) != 2:
        return f"{1 + len(chroma)} components, not 3"
    if markers.adobe_transform not in (None, 1) or tuple(part.ident for part in markers.components) == _RGB:
        return "RGB, not YCbCr"
    if luma[1:] not in _SAMPLINGS or any(part[1:] != (1, 1) for part in chroma):
        return "a subsampling that it does not decode"
    return "" if markers.whole else "it is truncated"


def _trial_picture() -> bytes:
    """Encode a JPEG of 96 x 64 pixels on its left side, with red rising to the right and green to the bottom."""
    from PIL import Image

    across, down = np.meshgrid(np.linspace(0, 255, 96), np.linspace(0, 255, 64))
    image = Image.fromarray(np.stack([across, down, np.full_like(down, 60)], axis=2).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    file = BytesIO()
    image.save(file, "JPEG", quality=90, exif=exif)
    return file.getvalue()

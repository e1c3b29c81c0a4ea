"""`nvidia.nvimgcodec` 0.9 as Python sees it, as far as it is used: Pillow for nvJPEG, a fake driver for CUDA.

Signatures, results and errors are those that the real package was seen to have, or that its sources say.
"""

from __future__ import annotations

import ctypes
import sys
from enum import Enum
from io import BytesIO
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import ImageOps

from tests.cuda.fake_driver import FakeDriver

BackendKind = Enum("BackendKind", "CPU_ONLY GPU_ONLY HYBRID_CPU_GPU HW_GPU_ONLY")
ColorSpec = Enum("ColorSpec", "UNKNOWN SRGB GRAY SYCC")


class Backend:
    def __init__(self, backend_kind: Any) -> None:
        self.backend_kind = backend_kind


class DecodeParams:
    def __init__(self, apply_exif_orientation: bool = True, color_spec: Any = ColorSpec.SRGB) -> None:
        self.apply_exif_orientation, self.color_spec = apply_exif_orientation, color_spec


class CodeStream:
    def __init__(self, bytes: bytes) -> None:
        if not bytes.startswith(b"\xff\xd8"):
            raise RuntimeError("Failed to get image info")
        self.bytes = bytes


class Image:
    """Pixels in memory of the library's own, which it gives back at once when nobody holds the image any more."""

    def __init__(self, driver: FakeDriver, pixels: np.ndarray, stream: int) -> None:
        self.driver = driver
        self.address = address = driver._allocate("device memory", pixels.nbytes)
        driver.queue_on(stream, lambda: ctypes.memmove(address, pixels.ctypes.data, pixels.nbytes))
        self.__cuda_array_interface__ = {
            "shape": pixels.shape, "strides": None, "typestr": "|u1", "data": (address, False), "version": 3,
            "stream": stream,
        }  # fmt: skip

    def __del__(self) -> None:
        if self.driver._queue:
            self.driver.faults.append("an image given back while work is queued that may use it")
        self.driver._end("device memory", self.address)


class FakeCodec(ModuleType):
    """The module.

    Args:
        driver: whose memory and queue it uses.
        fault: what is wrong with it: "no decoder", "no nvjpeg", "bgr", "unturned", "strided", "raises",
            "tiny" (decodes the trial picture alone); "" for nothing.
    """

    Backend, BackendKind, ColorSpec = Backend, BackendKind, ColorSpec
    CodeStream, DecodeParams = CodeStream, DecodeParams

    def __init__(self, driver: FakeDriver, fault: str = "") -> None:
        super().__init__("nvidia.nvimgcodec")
        self.driver, self.fault = driver, fault
        self.decoders: list[dict[str, Any]] = []
        self.sources: list[bytes] = []
        self.streams: list[int] = []
        self.open = 0

    def install(self, monkeypatch: pytest.MonkeyPatch) -> FakeCodec:
        package = ModuleType("nvidia")
        package.nvimgcodec = self  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "nvidia", package)
        monkeypatch.setitem(sys.modules, "nvidia.nvimgcodec", self)
        monkeypatch.setenv("PYNVIMGCODEC_VERBOSITY", "0")
        return self

    def Decoder(self, **options: Any) -> Decoder:
        self.driver.calls.append("Decoder")
        if self.fault == "no decoder":
            raise RuntimeError("Internal error - Could not create decoder. Code: 8")
        self.decoders.append(options)
        self.open += 1
        return Decoder(self)


class Decoder:
    def __init__(self, codec: FakeCodec) -> None:
        self.codec: FakeCodec | None = codec

    def __exit__(self, kind: Any = None, error: Any = None, trace: Any = None) -> None:
        assert self.codec is not None
        self.codec.driver.calls.append("Decoder.__exit__")
        self.codec.open -= 1
        self.codec = None

    def decode(self, src: CodeStream, *, params: DecodeParams, cuda_stream: int = 0) -> Image | None:
        codec = self.codec
        if codec is None:
            return None
        codec.driver.calls.append("decode")
        codec.driver._use("stream", cuda_stream)
        assert params.color_spec is ColorSpec.SRGB
        codec.sources.append(src.bytes)
        codec.streams.append(cuda_stream)
        if codec.fault == "raises":
            raise RuntimeError("nvJPEG failure: '#6'")
        if codec.fault == "no nvjpeg" or (codec.fault == "tiny" and len(codec.sources) > 1):
            return None
        return self._image(codec, src.bytes, params, cuda_stream)

    def _image(self, codec: FakeCodec, data: bytes, params: DecodeParams, stream: int) -> Image:
        picture: PillowImage.Image = PillowImage.open(BytesIO(data))
        if params.apply_exif_orientation and codec.fault != "unturned":
            picture = ImageOps.exif_transpose(picture)
        pixels = np.asarray(picture.convert("RGB"))
        pixels = np.ascontiguousarray(pixels[..., ::-1] if codec.fault == "bgr" else pixels)
        image = Image(codec.driver, pixels, stream)
        if codec.fault == "strided":
            image.__cuda_array_interface__["strides"] = (pixels.strides[0] + 64, 3, 1)
        return image

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
    def __init__(self, interface: dict[str, Any]) -> None:
        self.__cuda_array_interface__ = interface


class FakeCodec(ModuleType):
    """The module.

    Args:
        driver: whose memory and queue it uses.
        fault: what is wrong with it: "no decoder", "no nvjpeg", "bgr", "unturned", "elsewhere", "raises",
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

    def as_image(self, source: Any, cuda_stream: int = 0) -> Image:
        self.driver.calls.append("as_image")
        interface = source.__cuda_array_interface__
        if interface["version"] < 2 or interface["stream"] == 0:
            raise RuntimeError("Invalid for stream to be 0")
        assert interface["typestr"] == "|u1"
        assert interface["stream"] == cuda_stream
        faults = len(self.driver.faults)
        self.driver.check_range("device memory", interface["data"][0], int(np.prod(interface["shape"])))
        if len(self.driver.faults) != faults:
            raise RuntimeError("Buffer is not CUDA-accessible")
        return Image(dict(interface))

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

    def decode(self, src: CodeStream, *, image: Image, params: DecodeParams, cuda_stream: int = 0) -> Image | None:
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
        return self._write(codec, src.bytes, image, params, cuda_stream)

    def _write(self, codec: FakeCodec, data: bytes, image: Image, params: DecodeParams, stream: int) -> Image:
        picture: PillowImage.Image = PillowImage.open(BytesIO(data))
        if params.apply_exif_orientation and codec.fault != "unturned":
            picture = ImageOps.exif_transpose(picture)
        pixels = np.asarray(picture.convert("RGB"))
        pixels = np.ascontiguousarray(pixels[..., ::-1] if codec.fault == "bgr" else pixels)
        interface = image.__cuda_array_interface__
        if pixels.nbytes > np.prod(interface["shape"]):
            raise ValueError("Existing buffer is too small to fit new image")
        address = interface["data"][0]
        codec.driver.queue_on(stream, lambda: ctypes.memmove(address, pixels.ctypes.data, pixels.nbytes))
        interface["shape"] = pixels.shape
        if codec.fault == "elsewhere":
            interface["data"] = (address + 64, False)
        return image

"""Photos decoded on the GPU: on fakes of the driver and of nvImageCodec, and on the real ones where they are."""

from __future__ import annotations

import importlib.util
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ecg_trt.cuda.decode import GpuDecoder, open_gpu_decoder
from ecg_trt.cuda.device import DeviceInfo, probe
from ecg_trt.cuda.memory import DeviceArray, PinnedBuffer
from ecg_trt.cuda.select import open_driver
from ecg_trt.cuda.stream import Stream
from ecg_trt.errors import (
    BackendError,
    BackendUnavailableError,
    DeviceError,
    EcgTrtError,
    PhotoSizeError,
    TruncatedImageError,
    UnknownFormatError,
)
from ecg_trt.io.readers.photo import read_photo
from ecg_trt.types import Array
from tests.cuda.fake_driver import FakeDriver
from tests.cuda.fake_nvimgcodec import BackendKind, FakeCodec

SMALL = 96 * 64


def encode(kind: str = "JPEG", orientation: int = 1, mode: str = "RGB", size: tuple[int, int] = (120, 80),
           **options: Any) -> bytes:  # fmt: skip
    across, down = np.meshgrid(np.linspace(0, 255, size[0]), np.linspace(255, 0, size[1]))
    image = Image.fromarray(np.stack([across, down, across * down / 255], axis=2).astype(np.uint8))
    if orientation != 1:
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = orientation
    file = BytesIO()
    image.convert(mode).save(file, kind, **options)
    return file.getvalue()


def download(driver: Any, stream: Stream, photo: DeviceArray) -> Array:
    with PinnedBuffer(driver, photo.nbytes) as host:
        driver.copy_to_host(host.handle, photo.address, photo.nbytes, stream.handle)
        stream.sync()
        return host.array.reshape(photo.shape).copy()


@pytest.fixture
def driver() -> FakeDriver:
    return FakeDriver()


@pytest.fixture
def stream(driver: FakeDriver) -> Iterator[Stream]:
    with Stream(driver) as stream:
        yield stream
    assert driver.live == {}
    assert driver.faults == []


@pytest.fixture
def codec(driver: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> FakeCodec:
    return FakeCodec(driver).install(monkeypatch)


@pytest.fixture
def gpu(driver: FakeDriver, stream: Stream, codec: FakeCodec) -> Iterator[GpuDecoder]:
    with GpuDecoder(driver, stream, photo_px=SMALL) as gpu:
        yield gpu
    assert codec.open == 0


def refusal(call: Callable[[], object]) -> tuple[type[EcgTrtError], str]:
    with pytest.raises(EcgTrtError) as caught:
        call()
    return caught.type, str(caught.value)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_lies_upright_in_our_memory(
    orientation: int, gpu: GpuDecoder, driver: FakeDriver, stream: Stream, codec: FakeCodec
) -> None:
    data = encode(orientation=orientation)
    photo = gpu.decode(data, min_pixels=1)
    assert photo is not None
    expected = read_photo(data, min_pixels=1).image
    assert (photo.shape, photo.dtype) == (expected.shape, np.dtype(np.uint8))
    assert np.array_equal(download(driver, stream, photo), expected)
    assert codec.streams == [stream.handle] * 2
    assert (codec.sources[-1] is data) == (orientation == 1)  # an upright one is not copied


def test_the_orientation_is_the_one_that_pillow_reads(gpu: GpuDecoder, driver: FakeDriver, stream: Stream) -> None:
    """From XMP where there is no EXIF; and numbers that mean nothing are no orientation."""
    for options in ({"xmp": b'<x tiff:Orientation="6"/>'}, {"orientation": 9}, {"orientation": 0}):
        data = encode(**options)  # type: ignore[arg-type]
        photo = gpu.decode(data, min_pixels=1)
        assert photo is not None
        assert np.array_equal(download(driver, stream, photo), read_photo(data, min_pixels=1).image)


def test_order_of_calls(driver: FakeDriver, stream: Stream, codec: FakeCodec) -> None:
    with GpuDecoder(driver, stream, photo_px=SMALL) as gpu:
        (options,) = codec.decoders
        assert [backend.backend_kind for backend in options.pop("backends")] == [
            BackendKind.GPU_ONLY, BackendKind.HYBRID_CPU_GPU
        ]  # fmt: skip
        assert options == {"device_id": 0, "max_num_cpu_threads": 1, "options": ":fancy_upsampling=1"}
        start = driver.calls.index("Decoder")
        assert driver.calls[start - 1] == "sync_event"  # the context is current by then
        del driver.calls[:]
        gpu.decode(encode(size=(90, 64)), min_pixels=1)
        # Nothing is allocated, and nothing but the copy of the photo before is waited for.
        assert driver.calls == ["sync_event", "decode", "copy_on_device", "record_event"]
        del driver.calls[:]
    assert driver.calls[:2] == ["sync_stream", "Decoder.__exit__"]
    assert set(driver.calls[2:]) == {"destroy_event", "free", "free_host"}
    gpu.close()


def test_memory_is_used_again_and_grows(gpu: GpuDecoder, driver: FakeDriver, stream: Stream) -> None:
    small = gpu.decode(encode(size=(70, 80)), min_pixels=1)
    again = gpu.decode(encode(size=(80, 64)), min_pixels=1)
    data = encode(size=(200, 160))
    large = gpu.decode(data, min_pixels=1)
    assert small is not None
    assert again is not None
    assert large is not None
    assert small.address == again.address
    assert np.array_equal(download(driver, stream, large), read_photo(data, min_pixels=1).image)


def patched(data: bytes, marker: int, at: int, byte: int) -> bytes:
    """Another byte at some place after a marker."""
    where = data.index(bytes([0xFF, marker])) + at
    return data[:where] + bytes([byte]) + data[where + 1 :]


OTHERS = {
    "png": encode("PNG"),
    "tiff": encode("TIFF"),
    "webp": encode("WEBP"),
    "avif": encode("AVIF"),
    "pdf": encode("PDF"),
    "progressive": encode(progressive=True),
    "extended": patched(encode(), 0xC0, 1, 0xC1),
    "grey": encode(mode="L"),
    "cmyk": encode(mode="CMYK"),
    "rgb": encode(keep_rgb=True),
    "4:1:1": patched(encode(), 0xC0, 11, 0x41),
    "cut": encode()[:-200],
    "no end": encode()[:-2],
}


@pytest.mark.parametrize("data", OTHERS.values(), ids=OTHERS)
def test_the_rest_is_left_to_the_cpu(
    data: bytes, gpu: GpuDecoder, codec: FakeCodec, caplog: pytest.LogCaptureFixture
) -> None:
    assert not gpu.takes(data)
    with caplog.at_level(logging.DEBUG, "ecg_trt.cuda.decode"):
        assert gpu.decode(data, min_pixels=1) is None
    assert "is left to the CPU: " in caplog.text
    assert len(codec.sources) == 1  # the trial picture


@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_usual_subsamplings(sampling: str, gpu: GpuDecoder) -> None:
    data = encode(subsampling=sampling)
    assert gpu.takes(data)
    assert gpu.decode(data, min_pixels=1) is not None


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"hello"])
def test_what_is_no_photo_is_not_taken(data: bytes, gpu: GpuDecoder, driver: FakeDriver) -> None:
    del driver.calls[:]
    assert not gpu.takes(data)
    assert driver.calls == []  # any thread may ask


def test_a_jpeg_that_holds_others_and_one_with_a_tail(gpu: GpuDecoder) -> None:
    file = BytesIO()
    first, second = (Image.open(BytesIO(encode(size=size))) for size in ((120, 80), (60, 40)))
    first.save(file, "MPO", save_all=True, append_images=[second])
    for data in (file.getvalue(), encode() + b"\0" * 999):
        photo = gpu.decode(data, min_pixels=1)
        assert photo is not None
        assert photo.shape == (80, 120, 3)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", UnknownFormatError),
        (b"PK\3\4 and so on", UnknownFormatError),
        (b"hello " * 99, UnknownFormatError),
        (encode()[:30], TruncatedImageError),
        (patched(encode(), 0xC0, 4, 12), TruncatedImageError),  # 12 bits
        (encode(size=(4000, 60)), PhotoSizeError),
        (encode(size=(70, 65)), PhotoSizeError),
        (encode("PNG", size=(400, 400)), PhotoSizeError),
    ],
    ids=["empty", "zip", "nonsense", "cut header", "12 bits", "low", "small", "large png"],
)
def test_errors_are_those_of_the_cpu(data: bytes, error: type[EcgTrtError], gpu: GpuDecoder, codec: FakeCodec) -> None:
    limits: dict[str, Any] = {"min_pixels": 5000, "max_pixels": 150_000}
    got = refusal(lambda: gpu.decode(data, **limits))
    assert got == refusal(lambda: read_photo(data, **limits))
    assert got[0] is error
    assert len(codec.sources) == 1
    assert refusal(lambda: gpu.decode(data, name="a.jpg", **limits))[1].startswith("a.jpg ")


def test_the_limits_are_those_of_the_cpu_if_none_are_given(gpu: GpuDecoder) -> None:
    data = encode()
    assert refusal(lambda: gpu.decode(data)) == refusal(lambda: read_photo(data))


@pytest.mark.parametrize("fault", ["raises", "tiny", "strided"])
def test_what_nvimagecodec_fails_at_is_left_to_the_cpu(gpu: GpuDecoder, codec: FakeCodec, fault: str) -> None:
    codec.fault = fault
    assert gpu.decode(encode(), min_pixels=1) is None
    codec.fault = ""
    assert gpu.decode(encode(), min_pixels=1) is not None


def test_another_shape_is_found_out(gpu: GpuDecoder, codec: FakeCodec) -> None:
    codec.fault = "unturned"
    assert gpu.decode(encode(orientation=6), min_pixels=1) is None


def test_a_closed_decoder_says_so(gpu: GpuDecoder) -> None:
    gpu.close()
    with pytest.raises(BackendError, match="a closed decoder"):
        gpu.decode(encode(), min_pixels=1)


def test_closing_after_the_stream_is_told(
    driver: FakeDriver, codec: FakeCodec, caplog: pytest.LogCaptureFixture
) -> None:
    with Stream(driver) as stream:
        gpu = GpuDecoder(driver, stream, photo_px=SMALL)
    gpu.close()
    assert "in the midst of work" in caplog.text
    assert codec.open == 0
    assert list(driver.live.values()) == ["device memory"], "nvImageCodec's image, which cannot be freed any more"


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("no decoder", "makes no decoder .*Code: 8"),
        ("no nvjpeg", "does not decode it"),
        ("raises", "nvJPEG failure"),
        ("bgr", "grey levels off"),
        ("unturned", r"\(64, 96, 3\) instead of \(96, 64, 3\)"),
        ("strided", "left gaps between its rows"),
    ],
)
def test_what_does_not_work_is_told_before_the_first_photo(
    fault: str, why: str, driver: FakeDriver, stream: Stream, codec: FakeCodec, caplog: pytest.LogCaptureFixture
) -> None:
    codec.fault = fault
    with pytest.raises(BackendUnavailableError, match=why) as caught:
        GpuDecoder(driver, stream, photo_px=SMALL)
    assert 'pip install -e ".[nvimgcodec]"' in str(caught.value)
    assert codec.open == 0
    with caplog.at_level(logging.INFO, "ecg_trt.cuda.decode"):
        assert open_gpu_decoder(driver, stream) is None
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert str(caught.value) == record.message


@pytest.mark.parametrize(("version", "extra"), [((13, 0), "nvimgcodec"), ((12, 9), "nvimgcodec12")])
def test_without_the_package(
    version: tuple[int, int], extra: str, driver: FakeDriver, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nvidia.nvimgcodec", None)
    monkeypatch.setenv("PYNVIMGCODEC_VERBOSITY", "1")
    driver.device = DeviceInfo(0, "an older one", (8, 9), 1 << 30, version)
    with pytest.raises(BackendUnavailableError, match=rf'cannot be imported.*pip install -e "\.\[{extra}\]"'):
        GpuDecoder(driver, stream)
    assert open_gpu_decoder(driver, stream) is None
    assert driver.calls == ["create_stream"]


def test_a_decoder_is_opened_with_room_for_a_usual_photo(driver: FakeDriver, stream: Stream, codec: FakeCodec) -> None:
    gpu = open_gpu_decoder(driver, stream)
    assert gpu is not None
    del driver.calls[:]
    assert gpu.decode(encode(size=(800, 600))) is not None
    assert "malloc" not in driver.calls
    gpu.close()


def test_whichever_call_fails_nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def everything(driver: FakeDriver) -> FakeCodec:
        codec = FakeCodec(driver).install(monkeypatch)
        with Stream(driver) as stream, GpuDecoder(driver, stream, photo_px=SMALL) as gpu:
            gpu.decode(encode(size=(200, 160)), min_pixels=1)
        return codec

    whole = FakeDriver()
    everything(whole)
    gentle = {"free", "free_host", "destroy_stream", "destroy_event"}
    last_sync = len(whole.calls) - whole.calls[::-1].index("sync_stream")  # of the closing, which only tells
    for k, name in enumerate(whole.calls, 1):
        if name in {"Decoder", "decode", "Decoder.__exit__"}:
            continue
        driver = FakeDriver(fail_at=k)
        if name in gentle or k == last_sync:
            everything(driver)
        else:
            with pytest.raises(DeviceError, match=name):
                everything(driver)
        kept = ["device memory"] if k == last_sync else []  # nvImageCodec's image: its freeing would end the process
        assert list(driver.live.values()) == kept, name
        assert driver.faults == [] or k == last_sync, name  # of a GPU that failed, memory is given back all the same


def has_codec() -> bool:
    return bool(importlib.util.find_spec("nvidia") and importlib.util.find_spec("nvidia.nvimgcodec"))


@pytest.mark.skipif(not has_codec(), reason="nvImageCodec is not installed")
@pytest.mark.skipif(isinstance(probe(), DeviceInfo), reason="there is a GPU")
def test_the_real_package_without_a_driver() -> None:
    """In a process of its own: it writes to stderr, and must neither crash nor hang."""
    code = """
import logging, sys
from ecg_trt.cuda.decode import open_gpu_decoder
from ecg_trt.cuda.stream import Stream
from tests.cuda.fake_driver import FakeDriver
logging.basicConfig(level=logging.INFO)
driver = FakeDriver()
with Stream(driver) as stream:
    found = open_gpu_decoder(driver, stream)
print(found, driver.live, driver.faults, "nvidia.nvimgcodec" in sys.modules)
"""
    root = Path(__file__).resolve().parents[2]
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False, timeout=120
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout == "None {} [] True\n"
    assert "INFO:ecg_trt.cuda.decode:Photos cannot be decoded on the GPU: got" in run.stderr


@pytest.mark.gpu
@pytest.mark.skipif(not has_codec(), reason="nvImageCodec is not installed")
@pytest.mark.skipif(not isinstance(probe(), DeviceInfo), reason="no GPU")
@pytest.mark.parametrize("size", [(400, 300), (1600, 1200)], ids=["Huffman on the host", "Huffman on the GPU"])
def test_on_a_gpu(size: tuple[int, int]) -> None:
    driver = open_driver()
    with Stream(driver) as stream, GpuDecoder(driver, stream) as gpu:
        for orientation in range(1, 9):
            for sampling in ("4:4:4", "4:2:2", "4:2:0"):
                data = encode(orientation=orientation, size=size, subsampling=sampling)
                photo = gpu.decode(data, min_pixels=1)
                assert photo is not None
                got, expected = download(driver, stream, photo), read_photo(data, min_pixels=1).image
                assert got.shape == expected.shape
                off = np.abs(got.astype(int) - expected)
                assert off.mean() < 1
                assert off.max() <= 12
        assert gpu.decode(encode(size=size)[:-200], min_pixels=1) is None
    driver.close()

"""Bad input gets a clear answer of the right kind, costs nothing and leaves nothing behind."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from ecg_trt.cli import main
from ecg_trt.errors import (
    EcgTrtError,
    NotAnImageError,
    OptionError,
    PageError,
    PhotoNotFoundError,
    PhotoSizeError,
    TruncatedImageError,
    UnknownFormatError,
)
from ecg_trt.io.readers.photo import read_photo
from tests.marks import slow_but

Make = Callable[[SimpleNamespace, Path], Any]


def cut(kind: str, share: float, **options: Any) -> Make:
    """A photo whose file ends too early."""

    def make(tools: SimpleNamespace, _: Path) -> bytes:
        data = tools.encode(tools.picture(), kind, **options)
        return data[: int(len(data) * share)]

    return make


def blank(width: int, height: int, kind: str = "PNG") -> Make:
    return lambda tools, _: tools.encode(Image.new("L", (width, height), 255), kind)


def png_bomb(width: int, height: int) -> Make:
    """A PNG of some dozen bytes that claims to be huge."""
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return lambda *_: b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def foreign(head: bytes) -> Make:
    return lambda *_: head + bytes(300)


def flipped_png(tools: SimpleNamespace, _: Path) -> bytes:
    data = bytearray(tools.encode(tools.picture()))
    data[len(data) // 2] ^= 0xFF
    return bytes(data)


def fifo(_: SimpleNamespace, folder: Path) -> Path:
    os.mkfifo(folder / "pipe.jpg")
    return folder / "pipe.jpg"


def array(shape: tuple[int, ...], dtype: type = np.uint8) -> Make:
    return lambda *_: np.zeros(shape, dtype)


# name: (maker of the source, error, words of the message)
FILES: dict[str, tuple[Make, type[EcgTrtError], str]] = {
    "no such file": (lambda _, folder: folder / "no.jpg", PhotoNotFoundError, "nothing there"),
    "no such folder": (lambda _, folder: folder / "no" / "no.jpg", PhotoNotFoundError, "nothing there"),
    "a directory": (lambda _, folder: folder, PhotoNotFoundError, "a directory"),
    "a pipe": (fifo, PhotoNotFoundError, "neither a file nor a directory"),
    "too long a name": (lambda _, folder: folder / ("x" * 300), PhotoNotFoundError, "cannot be opened"),
    "zero bytes": (lambda *_: b"", UnknownFormatError, "no bytes at all"),
    "one byte": (lambda *_: b"\xff", UnknownFormatError, "unknown kind"),
    "text": (lambda *_: b"time_s,I,II\n0,1,2\n" * 99, UnknownFormatError, "unknown kind"),
    "zeros": (lambda *_: bytes(5000), UnknownFormatError, "unknown kind"),
    "noise": (lambda *_: np.random.default_rng(0).bytes(5000), UnknownFormatError, "unknown kind"),
    "PDF cut in the header": (foreign(b"%PDF-1.7\n"), TruncatedImageError, "damaged or truncated PDF"),
    "HEIC cut in the header": (foreign(b"\0\0\0\x18ftypheic"), TruncatedImageError, "a HEIC photo that is damaged"),
    "HEIF cut in the header": (foreign(b"\0\0\0\x18ftypmif1"), TruncatedImageError, "a HEIC photo that is damaged"),
    "AVIF cut in the header": (foreign(b"\0\0\0\x18ftypavif"), TruncatedImageError, "AVIF whose header"),
    "a film": (foreign(b"\0\0\0\x18ftypmp42"), UnknownFormatError, "a film"),
    "GIF cut": (cut("GIF", 0.5), TruncatedImageError, "truncated"),
    "AVIF cut": (cut("AVIF", 0.5), TruncatedImageError, "truncated"),
    "a DICOM of nothing": (foreign(bytes(128) + b"DICM"), NotAnImageError, "holds no picture"),
    "a ZIP": (foreign(b"PK\x03\x04"), UnknownFormatError, "a ZIP archive"),
    "an SVG": (foreign(b"<svg xmlns="), UnknownFormatError, "an SVG drawing"),
    "a TIFF of another kind": (foreign(b"II*\0\x08\0\0\0"), UnknownFormatError, "a TIFF of a kind"),
    "JPEG cut in the header": (cut("JPEG", 0.005), TruncatedImageError, "header"),
    "JPEG cut early": (cut("JPEG", 0.3), TruncatedImageError, "truncated"),
    "JPEG cut late": (cut("JPEG", 0.95), TruncatedImageError, "truncated"),
    "progressive JPEG cut": (cut("JPEG", 0.5, progressive=True), TruncatedImageError, "truncated"),
    "PNG cut in the header": (cut("PNG", 0.0001), TruncatedImageError, "header"),
    "PNG cut": (cut("PNG", 0.6), TruncatedImageError, "truncated"),
    "PNG damaged": (flipped_png, TruncatedImageError, "damaged"),
    "TIFF cut in the header": (lambda *_: b"II*\0\xff\xff", TruncatedImageError, "header"),
    "TIFF cut": (cut("TIFF", 0.5), TruncatedImageError, "truncated"),
    "BMP cut": (cut("BMP", 0.5), TruncatedImageError, "truncated"),
    "BMP cut in the header": (lambda *_: b"BM\0\0", TruncatedImageError, "header"),
    "WebP cut": (cut("WEBP", 0.5), TruncatedImageError, "truncated"),
    "too few pixels": (blank(480, 300), PhotoSizeError, "too small"),
    "a thumbnail": (blank(160, 120, "JPEG"), PhotoSizeError, "160 x 120"),
    "one pixel": (blank(1, 1), PhotoSizeError, "1 x 1"),
    "a sliver": (blank(30, 20000), PhotoSizeError, "64 pixels a side"),
    "too many pixels": (png_bomb(8000, 6300), PhotoSizeError, "too large"),
    "too long": (png_bomb(40000, 1000), PhotoSizeError, "32766 pixels a side"),
    "a bomb": (png_bomb(13000, 13000), PhotoSizeError, "13000 x 13000"),
    "a larger bomb": (png_bomb(60000, 60000), PhotoSizeError, "too large"),
    "the largest bomb": (png_bomb(2**31 - 1, 2**31 - 1), PhotoSizeError, "too large"),
}

OBJECTS: dict[str, tuple[Make, type[EcgTrtError], str]] = {
    "a NUL in the path": (lambda *_: "a\0b.jpg", PhotoNotFoundError, "cannot be opened"),
    "an empty path": (lambda *_: "", PhotoNotFoundError, "a directory"),
    "None": (lambda *_: None, OptionError, "NoneType"),
    "a number": (lambda *_: 7, OptionError, "int"),
    "a list": (lambda *_: [[0]], OptionError, "list"),
    "a Pillow image": (lambda *_: Image.new("RGB", (700, 500)), OptionError, "numpy.asarray"),
    "a grey array": (array((500, 700)), NotAnImageError, r"\(500, 700\)"),
    "an RGBA array": (array((500, 700, 4)), NotAnImageError, r"\(500, 700, 4\)"),
    "channels first": (array((3, 500, 700)), NotAnImageError, r"\(3, 500, 700\)"),
    "a stack": (array((1, 500, 700, 3)), NotAnImageError, r"\(1, 500, 700, 3\)"),
    "floats": (array((500, 700, 3), np.float32), NotAnImageError, "float32"),
    "16 bits": (array((500, 700, 3), np.uint16), NotAnImageError, "uint16"),
    "truth values": (array((500, 700, 3), np.bool_), NotAnImageError, "bool"),
    "objects": (array((500, 700, 3), object), NotAnImageError, "object"),
    "an empty array": (array((0, 0, 3)), PhotoSizeError, "0 x 0"),
    "a small array": (array((100, 100, 3)), PhotoSizeError, "100 x 100"),
    "a sliver of an array": (array((63, 9000, 3)), PhotoSizeError, "9000 x 63"),
}


@pytest.mark.parametrize("case", [*FILES, *OBJECTS])
def test_the_error_is_of_its_kind_and_says_why(case, tools, tmp_path):
    make, kind, words = {**FILES, **OBJECTS}[case]
    with pytest.raises(kind, match=words) as caught:
        read_photo(make(tools, tmp_path))
    assert type(caught.value) is kind
    assert caught.value.hint


@pytest.mark.parametrize("case", FILES)
def test_the_command_answers_with_exit_code_2_and_no_files(case, tools, tmp_path, fake_digitizer):
    source = FILES[case][0](tools, tmp_path)
    if isinstance(source, bytes):
        (tmp_path / "bad.jpg").write_bytes(source)
        source = tmp_path / "bad.jpg"
    out = tmp_path / "out"
    result = CliRunner().invoke(main, ["run", str(source), "-o", str(out)])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.stderr
    assert list(out.iterdir()) == []


def test_no_permission_to_read(photo_path, monkeypatch):
    """Root may read anything, so the refusal is simulated."""

    def refuse(*_args, **_kwargs):
        raise PermissionError

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(PhotoNotFoundError, match="permission denied"):
        read_photo(photo_path)


def canvas(fill: int = 255) -> np.ndarray:
    return np.full((1000, 1400, 3), fill, np.uint8)


def written_page() -> np.ndarray:
    page = canvas()
    for row in range(60, 960, 40):
        line = "The quick brown fox jumps over the lazy dog " * 2
        cv2.putText(page, line, (40, row), 0, 0.8, (20, 20, 20), 2)
    return page


def photograph() -> np.ndarray:
    small = np.random.default_rng(3).integers(0, 255, (9, 12, 3), np.uint8)
    return cv2.resize(small, (1400, 1000), interpolation=cv2.INTER_CUBIC)


def checkerboard() -> np.ndarray:
    rows, columns = np.mgrid[:1000, :1400] // 100
    return np.repeat((255 * ((rows + columns) % 2)).astype(np.uint8)[..., None], 3, 2)


def discs() -> np.ndarray:
    rng, page = np.random.default_rng(5), canvas(90)
    for _ in range(80):
        x, y, radius = (int(v) for v in rng.integers((0, 0, 10), (1400, 1000, 120)))
        colour = rng.integers(0, 255, 3).tolist()
        cv2.circle(page, (x, y), radius, colour, -1, cv2.LINE_AA)
    return page


def gradient() -> np.ndarray:
    return np.repeat(np.tile(np.linspace(0, 255, 1400).astype(np.uint8), (1000, 1))[..., None], 3, 2)


def grid_paper() -> np.ndarray:
    """ECG paper on which nothing was printed."""
    page = canvas()
    for step, colour in ((5, (255, 220, 215)), (25, (240, 160, 150))):
        page[::step] = page[:, ::step] = colour
    return page


NO_ECG: dict[str, Callable[[], np.ndarray]] = {
    "white": canvas,
    "black": lambda: canvas(0),
    "grey": lambda: canvas(127),
    "noise": lambda: np.random.default_rng(1).integers(0, 256, (1000, 1400, 3), np.uint8),
    "a gradient": gradient,
    "blurred colours": photograph,
    "a page of text": written_page,
    "a checkerboard": checkerboard,
    "discs": discs,
    "empty grid paper": grid_paper,
}


@pytest.mark.parametrize("case", slow_but(["white", "black", "grey", "a page of text", "empty grid paper"], NO_ECG))
def test_pictures_without_an_ecg_are_refused(case, digitizer):
    with pytest.raises(PageError):
        digitizer(NO_ECG[case]())


def test_there_are_enough_cases():
    assert len(FILES) + len(OBJECTS) + len(NO_ECG) >= 60

"""Every format, mode, depth and orientation comes out as upright 8-bit RGB."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile
from PIL.Image import Transpose

from ecg_trt.errors import EcgTrtError, PhotoSizeError
from ecg_trt.io.readers.photo import pages_of, read_photo
from ecg_trt.io.readers.pillow import PhotoHeader, peek

WIDTH, HEIGHT = 120, 80


@pytest.fixture
def rgb(tools):
    return tools.picture(WIDTH, HEIGHT)


def read(data, **limits):
    return read_photo(data, min_pixels=1, **limits).image


def close(got, expected, tolerance):
    assert got.shape == expected.shape
    assert got.dtype == np.uint8
    return np.abs(got.astype(int) - expected).mean() <= tolerance


@pytest.mark.parametrize(
    ("kind", "options", "tolerance"),
    [
        ("JPEG", {"quality": 95}, 2),
        ("JPEG", {"quality": 95, "progressive": True}, 2),
        ("PNG", {}, 0),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("TIFF", {"compression": "jpeg"}, 6),
        ("BMP", {}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("WEBP", {"quality": 95}, 4),
        ("GIF", {}, 6),
        ("AVIF", {"quality": 95}, 4),
    ],
)
def test_formats(rgb, tools, kind, options, tolerance):
    assert close(read(tools.encode(rgb, kind, **options)), rgb, tolerance)


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA", "CMYK", "YCbCr", "LAB"])
def test_modes(rgb, tools, mode):
    """Modes without transparency show the same picture, as far as they can."""
    image = Image.fromarray(rgb)
    if mode == "LAB":
        lab = ImageCms.createProfile("LAB")
        converted = ImageCms.profileToProfile(image, ImageCms.createProfile("sRGB"), lab, outputMode="LAB")
        assert converted is not None
        image = converted
    else:
        image = image.convert(mode)
    kind = {"CMYK": "TIFF", "LAB": "TIFF", "YCbCr": "JPEG"}.get(mode, "PNG")
    options = {"quality": 95} if kind == "JPEG" else {}
    assert close(read(tools.encode(image, kind, **options)), np.asarray(image.convert("RGB")), 2)


def test_cmyk_jpeg_is_not_inverted(rgb, tools):
    image = Image.fromarray(rgb).convert("CMYK")
    data = tools.encode(image, "JPEG", quality=95)
    assert b"Adobe" in data
    assert close(read(data), rgb, 4)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparent_parts_become_white_paper(rgb, tools, mode):
    image = Image.fromarray(rgb).convert(mode)
    alpha = np.tile(np.where(np.arange(WIDTH) < 60, 0, 255).astype(np.uint8), (HEIGHT, 1))
    image.putalpha(Image.fromarray(alpha))
    out = read(tools.encode(image))
    assert (out[:, :60] == 255).all()
    assert close(out[:, 60:], np.asarray(image.convert("RGB"))[:, 60:], 0)


def test_half_transparent_black_is_grey(tools):
    out = read(tools.encode(Image.new("RGBA", (WIDTH, HEIGHT), (0, 0, 0, 128))))
    assert np.abs(out.astype(int) - 127).max() <= 1


def test_palette_with_a_transparent_colour(tools):
    image = Image.new("P", (WIDTH, HEIGHT), 1)
    image.putpalette([0, 0, 0, 200, 30, 30, 30, 30, 200])
    image.paste(2, (0, 0, 60, HEIGHT))
    out = read(tools.encode(image, transparency=2))
    assert (out[:, :60] == 255).all()
    assert (out[:, 60:] == (200, 30, 30)).all()


def test_colour_key_of_an_rgb_png(rgb, tools):
    rgb = rgb.copy()
    rgb[:10] = (1, 2, 3)
    out = read(tools.encode(rgb, transparency=(1, 2, 3)))
    assert (out[:10] == 255).all()
    assert (out[10:] == rgb[10:]).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey(tools, kind):
    deep = np.linspace(0, 65535, WIDTH * HEIGHT).reshape(HEIGHT, WIDTH).astype(np.uint16)
    out = read(tools.encode(deep, kind))
    assert close(out, np.rint(deep / 257.0)[..., None].repeat(3, 2), 0)


def test_12_bits_in_16(tools):
    deep = np.linspace(0, 4095, WIDTH * HEIGHT).reshape(HEIGHT, WIDTH).astype(np.uint16)
    assert read(tools.encode(deep, "TIFF")).max() == 255


def test_16_bit_grey_in_which_0_is_white(tools):
    deep = np.linspace(0, 65535, WIDTH * HEIGHT).reshape(HEIGHT, WIDTH).astype(np.uint16)
    data = bytearray(tools.encode(deep, "TIFF"))
    at = data.index(struct.pack("<HHI", 262, 3, 1))  # the photometric tag
    data[at + 8 : at + 10] = struct.pack("<H", 0)
    out = read(bytes(data))
    assert (out[0, 0] == 255).all()
    assert (out[-1, -1] == 0).all()


def test_16_bit_rgb_png(rgb):
    """Pillow writes none, so the file is put together here."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    deep = (rgb.astype(np.uint16) * 257).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in deep)
    data = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    assert close(read(data), rgb, 0)


@pytest.mark.parametrize("scale", [1.0, 255.0, 65535.0, 3.0e6])
def test_floats(tools, scale):
    grey = np.linspace(0, scale, WIDTH * HEIGHT, dtype=np.float32).reshape(HEIGHT, WIDTH)
    grey[0, 0] = np.nan
    out = read(tools.encode(Image.fromarray(grey), "TIFF"))
    assert (out[0, 0] == 255).all()
    assert np.abs(out[1:, :, 0] - grey[1:] / scale * 255).max() <= 0.51


def test_32_bit_integers(tools):
    grey = np.linspace(-5, 65535, WIDTH * HEIGHT).reshape(HEIGHT, WIDTH).astype(np.int32)
    out = read(tools.encode(Image.fromarray(grey), "TIFF"))
    assert out.min() == 0
    assert out.max() == 255


TURNS = {
    1: None,
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_90,  # the file's pixels are turned the other way
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF"])
def test_exif_orientation(rgb, tools, kind, orientation):
    stored, turn = Image.fromarray(rgb), TURNS[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = stored if turn is None else stored.transpose(turn)
    options = {"quality": 95} if kind in ("JPEG", "AVIF") else {"lossless": True} if kind == "WEBP" else {}
    tolerance = {"JPEG": 2, "AVIF": 4}.get(kind, 0)
    assert close(read(tools.encode(stored, kind, exif=exif, **options)), rgb, tolerance)


def test_orientation_of_grey_16_bit_and_transparent_pictures(rgb, tools):
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = Image.fromarray(rgb[..., 0].astype(np.uint16) * 257)
    assert read(tools.encode(deep, exif=exif)).shape == (WIDTH, HEIGHT, 3)
    assert read(tools.encode(deep, "TIFF", exif=exif)).shape == (WIDTH, HEIGHT, 3)
    keyed = tools.encode(Image.new("RGB", (WIDTH, HEIGHT), (1, 2, 3)), transparency=(1, 2, 3), exif=exif)
    assert (read(keyed) == 255).all()


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_does_no_harm(rgb, tools):
    data = tools.encode(rgb, "JPEG", quality=95, exif=b"Exif\0\0II*\0\xff\xff\xff\x7fnonsense")
    assert close(read(data), rgb, 2)


def test_an_animated_gif_is_its_first_picture(rgb, tools):
    others = [Image.fromarray(255 - rgb), Image.fromarray(rgb[::-1])]
    data = tools.encode(rgb, "GIF", save_all=True, append_images=others, duration=100)
    assert Image.open(BytesIO(data)).n_frames == 3  # type: ignore[attr-defined]
    assert list(pages_of(data)) == [data]
    assert close(read(data), rgb, 6)


def test_sources(rgb, tools, tmp_path):
    path = tmp_path / "ü b.png"
    path.write_bytes(tools.encode(rgb))
    data = path.read_bytes()
    for source in (path, str(path), data, bytearray(data), memoryview(data), rgb):
        assert (read(source) == rgb).all()
    assert read_photo(path, min_pixels=1).source == str(path)
    assert read_photo(rgb, min_pixels=1).image is rgb, "arrays are not copied"
    assert read(rgb[:, ::-1]).flags.c_contiguous


def test_suffix_does_not_matter(rgb, tools, tmp_path):
    path = tmp_path / "photo.txt"
    path.write_bytes(tools.encode(rgb, "BMP"))
    assert (read(path) == rgb).all()


def test_size_is_checked_on_the_header(tools, monkeypatch):
    """A bomb is refused before it goes off."""
    data = tools.encode(Image.new("1", (12000, 12000)))
    assert len(data) < 100_000

    def decode(_image):
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", decode)
    with pytest.raises(PhotoSizeError, match="12000 x 12000"):
        read_photo(data)


def test_limits_are_inclusive(rgb):
    assert read_photo(rgb, min_pixels=rgb.size // 3, max_pixels=rgb.size // 3)


@settings(max_examples=40, deadline=None)
@given(
    cut=st.integers(0, 3000),
    flips=st.lists(st.tuples(st.integers(0, 2999), st.integers(1, 255)), max_size=6),
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF", "AVIF"])
@pytest.mark.filterwarnings("ignore")  # Pillow grumbles about broken metadata
def test_damaged_files_raise_our_errors_alone(kind, cut, flips, damaged):
    """Whatever happens to the bytes: a picture or one of our errors."""
    data = bytearray(damaged[kind])
    for at, bits in flips:
        data[at % len(data)] ^= bits
    try:
        image = read_photo(bytes(data[: len(data) - cut % len(data)]), min_pixels=1, max_pixels=10**6).image
    except EcgTrtError:
        return
    assert image.ndim == 3


@pytest.fixture(scope="module")
def damaged():
    """Sound files that the test then damages."""
    files = {}
    for kind in ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF", "AVIF"):
        buffer = BytesIO()
        Image.effect_noise((80, 70), 60).convert("RGB").save(buffer, kind)
        files[kind] = buffer.getvalue()
    return files


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_header_alone(rgb, tools, kind):
    exif = Image.Exif()
    exif[0x0112] = 6
    header = peek(tools.encode(rgb, kind, exif=exif), min_pixels=1)
    assert header == PhotoHeader(kind, WIDTH, HEIGHT, 6)
    exif[0x0112] = 77
    assert peek(tools.encode(rgb, kind, exif=exif), min_pixels=1).orientation == 1


def test_a_header_is_refused_like_the_photo(rgb, tools):
    data = tools.encode(rgb, "PNG")
    for broken, limits in ((b"", {}), (b"PK\3\4", {}), (data[:20], {}), (data, {}), (data, {"max_pixels": 99})):
        with pytest.raises(EcgTrtError) as whole:
            read_photo(broken, **limits)
        with pytest.raises(EcgTrtError) as header:
            peek(broken, **limits)  # type: ignore[arg-type]
        assert (header.type, str(header.value)) == (whole.type, str(whole.value))
    with pytest.raises(PhotoSizeError, match=r"^page\.png is too small"):
        peek(data, name="page.png")

"""Photos in HEIC and AVIF: upright, in sRGB, and told apart from each other and from films."""

from __future__ import annotations

import struct
from io import BytesIO

import numpy as np
import pi_heif
import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features
from PIL.Image import Transpose

from ecg_trt.errors import EcgTrtError, NotAnImageError, PhotoSizeError, TruncatedImageError
from ecg_trt.io import readers
from ecg_trt.io.readers import READERS
from ecg_trt.io.readers.photo import pages_of, read_photo
from tests.conftest import encode, picture

WIDTH, HEIGHT = 120, 80
# Those by which a viewer turns the stored picture upright.
UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT, 3: Transpose.ROTATE_180, 4: Transpose.FLIP_TOP_BOTTOM, 5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270, 7: Transpose.TRANSVERSE, 8: Transpose.ROTATE_90,
}  # fmt: skip


def heic(image: np.ndarray, mode: str = "RGB", **options: object) -> bytes:
    buffer = BytesIO()
    pillow_heif.from_pillow(Image.fromarray(image).convert(mode)).save(buffer, quality=95, **options)
    return buffer.getvalue()


def read(data: bytes, **limits: int) -> np.ndarray:
    return read_photo(data, **{"min_pixels": 1, **limits}).image


def difference(got: np.ndarray, expected: np.ndarray) -> float:
    assert got.shape == expected.shape and got.dtype == np.uint8
    return float(np.abs(got.astype(int) - expected).mean())


def make(kind: str, image: np.ndarray, **options: object) -> bytes:
    return heic(image, **options) if kind == "HEIC" else encode(image, "AVIF", quality=95, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_modes(mode):
    image = picture(WIDTH, HEIGHT)
    assert difference(read(heic(image, mode)), np.asarray(Image.fromarray(image).convert(mode).convert("RGB"))) < 3


def test_transparent_parts_become_white_paper():
    image = Image.fromarray(picture(WIDTH, HEIGHT)).convert("RGBA")
    image.putalpha(0)
    buffer = BytesIO()
    pillow_heif.from_pillow(image).save(buffer)
    assert (read(buffer.getvalue()) == 255).all()


def test_ten_bits():
    image = picture(WIDTH, HEIGHT).astype(np.uint16)
    data = BytesIO()
    pillow_heif.encode("RGB;16", (WIDTH, HEIGHT), (image * 257).tobytes(), data, quality=95)
    assert pi_heif.open_heif(data, convert_hdr_to_8bit=False).info["bit_depth"] > 8
    assert difference(read(data.getvalue()), image) < 3


@pytest.mark.parametrize("kind", ["HEIC", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_turned_once(kind, orientation):
    """Phones write the turn twice: as a property of the picture, which counts, and in the EXIF."""
    image = picture(WIDTH, HEIGHT)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = make(kind, image, exif=exif.tobytes())
    assert kind == "AVIF" or b"Exif" in data
    assert (b"irot" in data or b"imir" in data) == (orientation != 1)
    upright = Image.fromarray(image)
    if orientation != 1:
        upright = upright.transpose(UPRIGHT[orientation])
    assert difference(read(data), np.asarray(upright)) < 3


def test_a_turn_in_the_exif_alone_is_not_done():
    """As viewers do, by ISO/IEC 23008-12: other programs turn the picture and forget the EXIF."""
    image = picture(WIDTH, HEIGHT)
    exif = Image.Exif()
    exif[0x0112] = 6
    data = heic(image, exif=exif.tobytes()).replace(b"irot", b"free")
    assert pi_heif.open_heif(BytesIO(data)).info["exif"] is not None
    assert difference(read(data), image) < 3


def display_p3() -> bytes:
    """A colour profile of the primaries of Display P3 (SMPTE EG 432-1, adapted to D50), with a gamma of 2.2."""

    def fixed(*values: float) -> bytes:
        return struct.pack(f">{len(values)}i", *(round(65536 * value) for value in values))

    def point(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + fixed(*values)

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256)) + b"\0\0"
    text = b"text\0\0\0\0none\0\0\0\0"
    name = b"desc\0\0\0\0" + struct.pack(">I", 3) + b"P3\0" + bytes(78) + b"\0\0\0"
    tags = {
        b"desc": name, b"cprt": text, b"wtpt": point(0.9642, 1.0, 0.8249),
        b"rXYZ": point(0.51512, 0.24120, -0.00105), b"gXYZ": point(0.29198, 0.69225, 0.04189),
        b"bXYZ": point(0.15710, 0.06657, 0.78407), b"rTRC": curve, b"gTRC": curve, b"bTRC": curve,
    }  # fmt: skip
    at = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for tag, value in tags.items():
        table += tag + struct.pack(">II", at + len(body), len(value))
        body += value
    head = struct.pack(">I4sI4s4s4s", at + len(body), b"lcms", 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    head += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + fixed(0.9642, 1.0, 0.8249)
    return head.ljust(128, b"\0") + table + body


def srgb_of_p3(colour: tuple[int, int, int]) -> np.ndarray:
    """Colour in sRGB of one in Display P3 (gamma 2.2), by the matrices of both."""
    p3 = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
    srgb = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
    linear = np.clip(np.linalg.solve(srgb, p3 @ (np.array(colour) / 255) ** 2.2), 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("kind", ["HEIC", "AVIF"])
@pytest.mark.parametrize("colour", [(200, 120, 110), (90, 160, 90), (60, 60, 160), (250, 250, 250), (20, 20, 20)])
def test_wide_colours_become_srgb(kind, colour):
    image = np.full((HEIGHT, WIDTH, 3), colour, np.uint8)
    got = read(make(kind, image, icc_profile=display_p3())).reshape(-1, 3).mean(0)
    assert np.abs(got - srgb_of_p3(colour)).max() < 4
    if colour == (200, 120, 110):
        assert np.abs(got - colour).max() > 8


@pytest.mark.parametrize("kind", ["HEIC", "AVIF"])
def test_a_broken_profile_does_no_harm(kind):
    image = picture(WIDTH, HEIGHT)
    assert difference(read(make(kind, image, icc_profile=b"nonsense" * 40)), image) < 3


def test_of_several_pictures_the_primary_is_read():
    pictures = [picture(WIDTH, HEIGHT, seed) for seed in range(3)]
    photo = pillow_heif.from_pillow(Image.fromarray(pictures[0]))
    for other in pictures[1:]:
        photo.add_from_pillow(Image.fromarray(other))
    buffer = BytesIO()
    photo.save(buffer, primary_index=1, quality=95)
    data = buffer.getvalue()
    assert list(pages_of(data)) == [data]
    assert difference(read(data), pictures[1]) < 3


@pytest.mark.parametrize("kind", ["HEIC", "AVIF"])
def test_the_size_is_checked_before_it_is_decoded(kind, monkeypatch):
    data = make(kind, picture(700, 500))

    def decode(_image):
        raise AssertionError("decoded")

    monkeypatch.setattr(pi_heif.HeifImageFile, "load", decode)
    monkeypatch.setattr("PIL.AvifImagePlugin.AvifImageFile.load", decode)
    with pytest.raises(PhotoSizeError, match="700 x 500"):
        read(data, max_pixels=1000)


@pytest.mark.parametrize("brand", [b"mif1", b"msf1"])
@pytest.mark.parametrize("kind", ["HEIC", "AVIF"])
def test_files_of_a_general_brand(kind, brand):
    """Their further brands tell one kind from the other."""
    image = picture(WIDTH, HEIGHT)
    data = make(kind, image)
    assert difference(read(data[:8] + brand + data[12:]), image) < 3


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"ftypheic\0\0\0\0mif1heic", "heif"),
        (b"ftypheix\0\0\0\0mif1heix", "heif"),
        (b"ftypmif1\0\0\0\0mif1heic", "heif"),
        (b"ftypmif1\0\0\0\0mif1avif", "pillow"),
        (b"ftypavif\0\0\0\0mif1miaf", "pillow"),
        (b"ftypavis\0\0\0\0msf1avis", "pillow"),
        (b"ftypmp42\0\0\0\0isomavc1", None),
        (b"ftypqt  \0\0\0\0qt  heic", None),
    ],
)
def test_brands(head, name):
    whole = struct.pack(">I", 4 + len(head)) + head + b"avif" * 9  # What follows the brands is none of them.
    assert next((reader.name for reader in READERS if reader.sniff(whole)), None) == name


def test_a_pillow_without_avif_is_named(monkeypatch):
    monkeypatch.setattr(features, "check", lambda _feature: False)
    with pytest.raises(NotAnImageError, match="a Pillow that was built without AVIF"):
        read(b"\0\0\0\x18ftypavif\0\0\0\0avifmif1" + bytes(99))


def test_without_its_package_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(readers, "missing_module", lambda modules: next(iter(modules), None))
    with pytest.raises(NotAnImageError, match=r'got HEIC, and no package pi_heif; .*"\.\[heif\]"'):
        read(heic(picture(WIDTH, HEIGHT)))


@pytest.fixture(scope="module")
def whole() -> bytes:
    return heic(picture(80, 70))


@pytest.mark.parametrize("share", [0.03, 0.3, 0.6, 0.99])
def test_a_truncated_photo(whole, share):
    with pytest.raises(TruncatedImageError, match="a whole"):
        read(whole[: int(len(whole) * share)])


@settings(max_examples=60)
@given(cut=st.integers(0, 3000), flips=st.lists(st.tuples(st.integers(0, 2999), st.integers(1, 255)), max_size=6))
def test_damaged_files_raise_our_errors_alone(cut, flips, whole):
    data = bytearray(whole)
    for at, bits in flips:
        data[at % len(data)] ^= bits
    try:
        image = read(bytes(data[: len(data) - cut % len(data)]), max_pixels=10**6)
    except EcgTrtError:
        return
    assert image.ndim == 3

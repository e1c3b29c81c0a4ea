"""Every page of a TIFF is read, and only pages are."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from ecg_trt.errors import EcgTrtError, NotAnImageError, OptionError, PhotoSizeError, TruncatedImageError
from ecg_trt.io.readers.photo import pages_of, read_photo
from ecg_trt.io.readers.tiff import count_pages

WIDTH, HEIGHT = 90, 70
REDUCED, PAGE_OF_MANY, MASK = 1, 2, 4  # Bits of NewSubfileType.
LAYOUTS = ["<", ">", "<big"]  # Of ">big" Pillow 13 reads no page.


@dataclass(frozen=True)
class Part:
    """A directory of the file: grey everywhere, so that it can be told from the others."""

    grey: int
    subfile_type: int | None = None
    old_subfile_type: int | None = None
    size: tuple[int, int] = (WIDTH, HEIGHT)


def make_tiff(parts: list[Part], layout: str = "<", last: int | None = None) -> bytes:
    """Put an uncompressed file together.

    Args:
        parts: its directories, in order.
        layout: byte order, and "big" for 64-bit offsets.
        last: of the directories, to which the last one points as its next; None for the end.
    """
    order, is_big = layout[0], layout.endswith("big")
    offset, count, n_values, value_bytes = ("Q", "Q", "Q", 8) if is_big else ("I", "H", "I", 4)
    mark = b"II" if order == "<" else b"MM"
    pixels = [bytes([part.grey]) * (WIDTH * HEIGHT) for part in parts]

    def entry(tag: int, kind: int, value: int) -> bytes:
        number = struct.pack(order + {3: "H", 4: "I"}[kind], value)
        return struct.pack(f"{order}HH{n_values}", tag, kind, 1) + number.ljust(value_bytes, b"\0")

    def directory(part: Part, at: int, following: int) -> bytes:
        fields = {
            254: (4, part.subfile_type), 255: (3, part.old_subfile_type), 256: (4, part.size[0]),
            257: (4, part.size[1]), 258: (3, 8), 259: (3, 1), 262: (3, 1), 273: (4, at), 277: (3, 1),
            278: (4, part.size[1]), 279: (4, WIDTH * HEIGHT),
        }  # fmt: skip
        entries = [entry(tag, kind, value) for tag, (kind, value) in fields.items() if value is not None]
        return struct.pack(order + count, len(entries)) + b"".join(entries) + struct.pack(order + offset, following)

    start = 16 if is_big else 8
    sizes = [len(directory(part, 0, 0)) for part in parts]
    starts = [start + sum(sizes[:k]) + sum(map(len, pixels[:k])) for k in range(len(parts))]
    header = struct.pack(order + "HHHQ", 43, 8, 0, start) if is_big else struct.pack(order + "HI", 42, start)
    data = mark + header
    for k, part in enumerate(parts):
        following = starts[k + 1] if k + 1 < len(parts) else 0 if last is None else starts[last]
        data += directory(part, starts[k] + sizes[k], following) + pixels[k]
    return data


def greys(data: bytes) -> list[int]:
    """Grey of each page, as read."""
    return [int(read_photo(page, min_pixels=1).image[0, 0, 0]) for page in pages_of(data)]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_page_is_read(layout):
    assert greys(make_tiff([Part(10), Part(20, PAGE_OF_MANY), Part(30)], layout)) == [10, 20, 30]
    assert greys(make_tiff([Part(40)], layout)) == [40]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("other", [REDUCED, MASK, REDUCED | MASK, REDUCED | PAGE_OF_MANY])
def test_reduced_copies_and_masks_are_no_pages(layout, other):
    parts = [Part(1, other), Part(2), Part(3, other), Part(4, 0), Part(5, other)]
    assert greys(make_tiff(parts, layout)) == [2, 4]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_copy_reduced_in_the_old_way_is_no_page(layout):
    parts = [Part(1, old_subfile_type=1), Part(2, old_subfile_type=2), Part(3, old_subfile_type=3)]
    assert greys(make_tiff(parts, layout)) == [1, 3]


@pytest.mark.parametrize("layout", [*LAYOUTS, ">big"])
def test_pages_are_counted(layout):
    parts = [Part(1), Part(2, REDUCED), Part(3, PAGE_OF_MANY), Part(4, MASK)]
    assert count_pages(BytesIO(make_tiff(parts, layout))) == 2


def test_a_page_beside_its_copy_is_no_file_of_several_pages(tmp_path):
    path = tmp_path / "page.tif"
    path.write_bytes(make_tiff([Part(7), Part(8, REDUCED)]))
    assert list(pages_of(path)) == [path]
    assert read_photo(path, min_pixels=1).source == str(path)


def test_a_file_of_nothing_but_a_copy_gives_that():
    assert greys(make_tiff([Part(9, REDUCED)])) == [9]


def test_more_pages_than_any_file_has_are_damage():
    part = Part(100)
    with pytest.raises(NotAnImageError, match="expected at most 1000"):
        read_photo(make_tiff([part] * 1001))


def test_a_circle_of_directories_ends():
    assert greys(make_tiff([Part(1), Part(2)], last=0)) == [1, 2]


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "jpeg", "group4"])
def test_pages_of_every_mode_and_size(tools, compression):
    pages = [tools.picture(120, 80, seed) for seed in range(3)]
    images = [Image.fromarray(page) for page in pages]
    images[1] = images[1].resize((90, 150))
    if compression == "group4":
        images = [image.convert("1") for image in images]
    data = tools.encode(images[0], "TIFF", save_all=True, append_images=images[1:], compression=compression)
    read = [read_photo(page, min_pixels=1) for page in pages_of(data)]
    assert [photo.page for photo in read] == [1, 2, 3]
    for photo, image in zip(read, images, strict=True):
        expected = np.asarray(image.convert("RGB")).astype(int)
        assert photo.image.shape == expected.shape
        assert np.abs(photo.image - expected).mean() <= (6 if compression == "jpeg" else 0)


def test_each_page_has_an_orientation_of_its_own(tools):
    image = Image.fromarray(tools.picture(120, 80))
    turned = image.copy()
    turned.getexif()[0x0112] = 6
    first, second = tools.encode(image, "TIFF"), tools.encode(turned, "TIFF", exif=turned.getexif())
    for one, other, expected in ((first, second, (120, 80, 3)), (second, first, (80, 120, 3))):
        pages = list(pages_of(joined(one, other)))
        assert len(pages) == 2
        assert read_photo(pages[1], min_pixels=1).image.shape == expected
    upright = read_photo(list(pages_of(joined(first, second)))[1], min_pixels=1).image
    assert (upright == np.rot90(np.asarray(image), -1)).all()


def joined(first: bytes, second: bytes) -> bytes:
    """Append the directory of one little-endian TIFF, all of whose offsets are moved, to another."""
    data, base = bytearray(first + b"\0" * (len(first) % 2)), len(first) + len(first) % 2
    moved = bytearray(second)
    at = struct.unpack_from("<I", moved, 4)[0]
    count = struct.unpack_from("<H", moved, at)[0]
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind, n = struct.unpack_from("<HHI", moved, entry)
        size = n * {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1}[kind]
        value = struct.unpack_from("<I", moved, entry + 8)[0]
        if size > 4 or tag == 273:
            struct.pack_into("<I", moved, entry + 8, value + base)
    last = struct.unpack_from("<I", data, 4)[0]
    end = last + 2 + 12 * struct.unpack_from("<H", data, last)[0]
    struct.pack_into("<I", data, end, at + base)
    return bytes(data + moved)


def test_pages_are_counted_without_decoding_or_reading_them(tools, tmp_path, monkeypatch):
    path = tmp_path / "page.tif"
    path.write_bytes(tools.encode(tools.picture(1400, 1000), "TIFF"))

    def fail(*_args):
        raise AssertionError("opened")

    monkeypatch.setattr(ImageFile.ImageFile, "__init__", fail)
    monkeypatch.setattr("ecg_trt.io.readers.photo.load_photo", fail)
    assert list(pages_of(path)) == [path]


def test_a_file_cut_between_its_pages_does_not_pass_for_a_whole_one():
    data = make_tiff([Part(1), Part(2), Part(3)])
    pages = list(pages_of(data[: len(data) * 2 // 5]))
    assert len(pages) == 3
    assert read_photo(pages[0], min_pixels=1).image[0, 0, 0] == 1
    for page in pages[1:]:
        with pytest.raises(TruncatedImageError, match=rf"\(page {page.page}\) cannot be decoded"):
            read_photo(page, min_pixels=1)


def test_a_page_may_be_too_large_and_another_not():
    pages = list(pages_of(make_tiff([Part(1), Part(2, size=(9000, 9000)), Part(3, size=(90000, 90000))])))
    assert read_photo(pages[0], min_pixels=1).image.shape == (HEIGHT, WIDTH, 3)
    for page in pages[1:]:
        with pytest.raises(PhotoSizeError, match="too large"):
            read_photo(page, min_pixels=1)


def test_a_page_must_be_chosen():
    data = make_tiff([Part(1), Part(2)])
    with pytest.raises(OptionError, match="pages 1 to 2"):
        read_photo(data)
    assert read_photo(data, page=2, min_pixels=1).image[0, 0, 0] == 2


@settings(max_examples=60)
@given(
    cut=st.integers(0, 20000),
    flips=st.lists(st.tuples(st.integers(0, 600), st.integers(1, 255)), max_size=6),
    layout=st.sampled_from(LAYOUTS),
)
@pytest.mark.filterwarnings("ignore")  # Pillow grumbles about broken metadata
def test_damaged_files_raise_our_errors_alone(cut, flips, layout):
    data = bytearray(make_tiff([Part(1), Part(2, REDUCED), Part(3)], layout))
    for at, bits in flips:
        data[at] ^= bits
    for page in pages_of(bytes(data[: len(data) - cut % len(data)])):
        try:
            image = read_photo(page, min_pixels=1, max_pixels=10**6).image
        except EcgTrtError:
            continue
        assert image.ndim == 3 and image.dtype == np.uint8

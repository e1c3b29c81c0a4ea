"""Pages of PDFs: their resolution, their limits, and files that cannot be read."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ecg_trt.errors import EcgTrtError, NotAnImageError, OptionError, PhotoSizeError, TruncatedImageError
from ecg_trt.io.readers.base import MAX_SIDE_PX, MIN_PIXELS
from ecg_trt.io.readers.photo import pages_of, read_photo
from tests.conftest import encode, picture

INCH = 72  # points
LEFT_HALF = b"0 0 0 rg 0 0 %d %d re f"


@dataclass(frozen=True)
class Page:
    """A page: what it draws, its size in points, and more entries of its dictionary."""

    content: bytes = b""
    size: tuple[float, float] = (4 * INCH, 3 * INCH)
    more: bytes = b""


def make_pdf(pages: list[Page], objects: dict[int, bytes] | None = None, trailer: bytes = b"") -> bytes:
    """Put a file together: object 1 is the catalogue, 2 the list of pages, 10 and 11 the first page and its content.

    Args:
        pages: with /Im, object 90, and /Fm, object 91, at hand.
        objects: more of them, by number.
        trailer: more entries of it.
    """
    kids = b" ".join(b"%d 0 R" % (10 + 2 * k) for k in range(len(pages)))
    everything = {
        1: b"<</Type/Catalog/Pages 2 0 R>>",
        2: b"<</Type/Pages/Count %d/Kids[%s]>>" % (len(pages), kids),
        **(objects or {}),
    }
    for k, page in enumerate(pages):
        box = b"/MediaBox[0 0 %f %f]" % page.size
        everything[10 + 2 * k] = (
            b"<</Type/Page/Parent 2 0 R/Contents %d 0 R%s%s/Resources<</XObject<</Im 90 0 R/Fm 91 0 R>>>>>>"
            % (11 + 2 * k, box, page.more)
        )
        everything[11 + 2 * k] = stream(page.content)
    data, starts = b"%PDF-1.7\n", {}
    for number, body in sorted(everything.items()):
        starts[number] = len(data)
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%d 1\n%010d 00000 n \n" % item for item in starts.items())
    end = b"trailer<</Size 99/Root 1 0 R%s>>\nstartxref\n%d\n%%%%EOF\n" % (trailer, len(data))
    return data + b"xref\n0 1\n0000000000 65535 f \n" + table + end


def stream(content: bytes, more: bytes = b"") -> bytes:
    return b"<</Length %d%s>>\nstream\n%s\nendstream" % (len(content), more, content)


def image_object(image: np.ndarray) -> bytes:
    """The picture as an object, without loss."""
    size = b"/Width %d/Height %d" % (image.shape[1], image.shape[0])
    return stream(image.tobytes(), b"/Type/XObject/Subtype/Image/ColorSpace/DeviceRGB/BitsPerComponent 8" + size)


def scan(image: np.ndarray, size: tuple[float, float], **page: bytes) -> bytes:
    """A page that is one picture."""
    draw = b"q %f 0 0 %f 0 0 cm /Im Do Q" % size
    return make_pdf([Page(draw, size, **page)], {90: image_object(image)})


def read(data: bytes, **options: int) -> np.ndarray:
    return read_photo(data, **{"min_pixels": 1, **options}).image


def test_a_drawing_is_rendered_at_300_dpi():
    image = read(make_pdf([Page(LEFT_HALF % (2 * INCH, 3 * INCH))]))
    assert image.shape == (900, 1200, 3) and image.dtype == np.uint8
    assert (image[:, :599] == 0).all() and (image[:, 601:] == 255).all()


def test_colours_are_in_order():
    red = read(make_pdf([Page(b"1 0 0 rg 0 0 999 999 re f")]))
    assert (red == (255, 0, 0)).all()


@pytest.mark.parametrize("dpi", [72, 100, 150.5, 600])
def test_a_scan_keeps_its_pixels(dpi):
    image = picture(700, 500)
    size = (700 * INCH / dpi, 500 * INCH / dpi)
    got = read(scan(image, size))
    assert got.shape == image.shape
    assert np.abs(got.astype(int) - image).mean() <= (0.5 if dpi == 150.5 else 0)


def test_a_scan_by_pillow_keeps_its_pixels():
    image = picture(700, 500)
    got = read(encode(image, "PDF", resolution=150.0))
    assert got.shape == image.shape
    assert np.abs(got.astype(int) - image).mean() < 3


@pytest.mark.parametrize("turns", range(4))
def test_rotated_pages(turns):
    image = picture(700, 500)
    more = b"/Rotate %d" % (90 * turns)
    assert (read(scan(image, (350, 250), more=more)) == np.rot90(image, -turns)).all()
    drawing = Page(LEFT_HALF % (2 * INCH, INCH), more=more)  # Black at the bottom left.
    upright = read(make_pdf([Page(drawing.content)]))
    got = read(make_pdf([drawing]))
    expected = np.rot90(upright, -turns)
    assert got.shape == expected.shape
    assert (np.abs(got.astype(int) - expected) > 100).mean() < 0.01


def test_a_scan_that_was_placed_sideways():
    """Some scanners turn the picture by its matrix rather than by the page's entry."""
    image = picture(700, 500)
    data = make_pdf([Page(b"q 0 350 -250 0 250 0 cm /Im Do Q", (250, 350))], {90: image_object(image)})
    assert (read(data) == np.rot90(image)).all()


def test_a_scan_with_margins_and_text():
    image = picture(700, 500)
    draw = b"q 336 0 0 240 7 5 cm /Im Do Q BT 3 Tr 20 20 Td (I II III) Tj ET"
    got = read(make_pdf([Page(draw, (350, 250))], {90: image_object(image)}))
    assert got.shape == (np.ceil(250 * 500 / 240), np.ceil(350 * 700 / 336), 3)


def test_a_scan_in_a_form():
    image = picture(700, 500)
    form = stream(b"q .5 0 0 .5 0 0 cm /Im Do Q", b"/Type/XObject/Subtype/Form/BBox[0 0 1 1]/Resources<</XObject"
                  b"<</Im 90 0 R>>>>")  # fmt: skip
    data = make_pdf([Page(b"q 700 0 0 500 0 0 cm /Fm Do Q", (350, 250))], {90: image_object(image), 91: form})
    assert (read(data) == image).all()


def test_a_cropped_scan_keeps_its_resolution():
    image = picture(700, 500)
    got = read(scan(image, (350, 250), more=b"/CropBox[175 0 350 250]"))
    assert (got == image[:, 350:]).all()


def test_a_small_picture_on_a_drawing_does_not_count():
    data = make_pdf([Page(b"q 50 0 0 30 0 0 cm /Im Do Q")], {90: image_object(picture(70, 50))})
    assert read(data).shape == (900, 1200, 3)


def test_a_trace_drawn_on_a_coarse_picture_is_not_coarse():
    draw = b"q 288 0 0 216 0 0 cm /Im Do Q 0 0 m 288 216 l S"
    data = make_pdf([Page(draw)], {90: image_object(picture(288, 216))})
    assert read(data).shape == (900, 1200, 3)


@pytest.mark.parametrize("size", [(20000, 10000), (1000, 14400), (72, 14400)])
def test_a_large_drawing_is_rendered_smaller(size):
    height, width, _ = read(make_pdf([Page(b"0 0 99999 99999 re f", size)]), max_pixels=10**6).shape
    assert height * width <= 10**6 and max(height, width) <= MAX_SIDE_PX
    scale = min(width / size[0], height / size[1])
    assert scale == pytest.approx(min((10**6 / size[0] / size[1]) ** 0.5, MAX_SIDE_PX / max(size)), rel=0.05)


def test_a_large_scan_is_rendered_smaller():
    image = picture(700, 500)
    got = read(scan(image, (350, 250)), max_pixels=87_500)
    assert got.shape[0] * got.shape[1] == pytest.approx(87_500, rel=0.01)
    small = np.asarray(Image.fromarray(image).resize(got.shape[1::-1], Image.Resampling.BOX))
    assert np.abs(got.astype(int) - small).mean() < 2


def test_a_small_drawing_is_rendered_larger_but_a_small_scan_is_rejected():
    image = read_photo(make_pdf([Page(LEFT_HALF % (36, 36), (72, 36))])).image
    assert MIN_PIXELS <= image.shape[0] * image.shape[1] < 1.01 * MIN_PIXELS
    with pytest.raises(PhotoSizeError, match="160 x 120 pixels"):
        read_photo(scan(picture(160, 120), (800, 600)))
    with pytest.raises(PhotoSizeError, match="too small"):
        read_photo(make_pdf([Page(size=(14000, 1))]))


@settings(max_examples=80)
@given(
    width=st.floats(1, 14400), height=st.floats(1, 14400), most=st.integers(20_000, 300_000),
    least=st.integers(1, 10_000),
)  # fmt: skip
def test_every_drawing_fits_the_limits(width, height, most, least):
    data = make_pdf([Page(size=(width, height))])
    try:
        shape = read(data, min_pixels=least, max_pixels=most).shape
    except PhotoSizeError:
        assert max(width, height) / min(width, height) > most / 80**2
    else:
        assert least <= shape[0] * shape[1] <= most


def test_every_page_is_read(tmp_path):
    path = tmp_path / "report.pdf"
    greys = (0.0, 0.2, 0.6)
    path.write_bytes(make_pdf([Page(b"%f g 0 0 999 999 re f" % grey) for grey in greys]))
    photos = [read_photo(page) for page in pages_of(path)]
    assert [photo.image[0, 0, 0] for photo in photos] == [round(255 * grey) for grey in greys]
    assert [photo.page for photo in photos] == [1, 2, 3]
    assert photos[1].source == f"{path} (page 2)"
    with pytest.raises(OptionError, match="pages 1 to 3"):
        read_photo(path)
    with pytest.raises(OptionError, match="has no page 4"):
        read_photo(path, page=4)


def test_bytes_before_the_header_do_no_harm():
    assert read(b"\xef\xbb\xbf\r\n" + make_pdf([Page()])).shape == (900, 1200, 3)


def test_one_thread_at_a_time():
    """PDFium crashes when two threads use it, even on files of their own."""
    data = [make_pdf([Page(b"%f g 0 0 999 999 re f" % (k / 15))]) for k in range(16)]
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda one: [read(page).mean() for page in pages_of(one)], data))
    assert got == [[round(255 * k / 15)] for k in range(16)]


ENCRYPTED = b"/Encrypt<</Filter/Standard/V 1/R 2/P -4/O<%s>/U<%s>>>/ID[<00><00>]" % (b"ab" * 32, b"cd" * 32)
BROKEN = {
    "password": (make_pdf([Page()], trailer=ENCRYPTED), NotAnImageError, "protected by a password"),
    "no page": (make_pdf([]), NotAnImageError, "without a page"),
    "header alone": (b"%PDF-1.7\n%%EOF", TruncatedImageError, "damaged or truncated PDF"),
    "cut": (make_pdf([Page()])[:60], TruncatedImageError, "damaged or truncated PDF"),
    "no picture": (b"%PDF-" + bytes(9999), TruncatedImageError, "damaged or truncated PDF"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_files_that_cannot_be_read(case, tmp_path):
    data, kind, words = BROKEN[case]
    path = tmp_path / "report.pdf"
    path.write_bytes(data)
    assert list(pages_of(path)) == [path]
    with pytest.raises(kind, match=words) as caught:
        read_photo(path)
    assert type(caught.value) is kind
    assert str(path) in caught.value.what


@settings(max_examples=60)
@given(cut=st.integers(0, 3000), flips=st.lists(st.tuples(st.integers(0, 2999), st.integers(1, 255)), max_size=6))
def test_damaged_files_raise_our_errors_alone(cut, flips):
    whole = encode(picture(100, 80), "PDF", save_all=True, append_images=[Image.fromarray(picture(90, 80))])
    data = bytearray(whole)
    for at, bits in flips:
        data[at % len(data)] ^= bits
    for page in pages_of(bytes(data[: len(data) - cut % len(data)])):
        try:
            image = read_photo(page, min_pixels=1, max_pixels=10**5).image
        except EcgTrtError:
            continue
        assert image.ndim == 3 and image.shape[0] * image.shape[1] <= 10**5

"""Pictures of every kind in DICOM files, documents in them, and files that hold no picture."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import Dataset, FileMetaDataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.pixels.utils import set_pixel_data
from pydicom.sequence import Sequence
from pydicom.uid import (
    MPEG4HP41,
    UID,
    DeflatedExplicitVRLittleEndian,
    EncapsulatedPDFStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    RLELossless,
    TwelveLeadECGWaveformStorage,
)

from ecg_trt.errors import EcgTrtError, NotAnImageError, OptionError, PhotoSizeError, TruncatedImageError
from ecg_trt.io import readers
from ecg_trt.io.readers.photo import pages_of, read_photo
from tests.conftest import encode, picture

WIDTH, HEIGHT = 120, 80
SIZE = (HEIGHT, WIDTH)


def make(syntax: UID = ExplicitVRLittleEndian, **attributes: Any) -> Dataset:
    """A file without a picture."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID = MultiFrameTrueColorSecondaryCaptureImageStorage
    dataset.SOPInstanceUID = "1.2.3"
    for name, value in attributes.items():
        setattr(dataset, name, value)
    return dataset


def with_pixels(values: np.ndarray, photometric: str, bits: int, **attributes: Any) -> Dataset:
    dataset = make()
    set_pixel_data(dataset, values, photometric, bits)
    for name, value in attributes.items():
        setattr(dataset, name, value)
    return dataset


def encoded(dataset: Dataset) -> bytes:
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def read(data: bytes, **options: int) -> np.ndarray:
    return read_photo(data, **{"min_pixels": 1, **options}).image


def ramp(dtype: type, low: int, high: int) -> np.ndarray:
    return np.linspace(low, high, WIDTH * HEIGHT).reshape(SIZE).astype(dtype)


def as_rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, 2)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_colours(syntax):
    image = picture(WIDTH, HEIGHT)
    dataset = with_pixels(image, "RGB", 8)
    dataset.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        dataset["PixelData"].VR = "OB"
    got = read(encoded(dataset))
    assert (got == image).all() and got.dtype == np.uint8


def test_planes_of_colours():
    image = picture(WIDTH, HEIGHT)
    dataset = with_pixels(image, "RGB", 8, PlanarConfiguration=1)
    dataset.PixelData = image.transpose(2, 0, 1).tobytes()
    assert (read(encoded(dataset)) == image).all()


def test_sixteen_bits_of_colour():
    image = picture(WIDTH, HEIGHT)
    assert (read(encoded(with_pixels(image.astype(np.uint16) * 257, "RGB", 16))) == image).all()


def test_luminance_and_chroma():
    image = picture(WIDTH, HEIGHT)
    ycbcr = np.asarray(Image.fromarray(image).convert("YCbCr"))
    got = read(encoded(with_pixels(ycbcr, "YBR_FULL", 8)))
    assert np.abs(got.astype(int) - image).max() <= 3


@pytest.mark.parametrize("depth", [8, 16])
def test_palettes(depth):
    indices = (np.arange(WIDTH * HEIGHT).reshape(SIZE) // 99 % 256).astype(np.uint8)
    palette = np.random.default_rng(0).integers(0, 256, (256, 3), np.uint8)
    dataset = with_pixels(indices, "MONOCHROME2", 8, PhotometricInterpretation="PALETTE COLOR")
    for name, values in zip(("Red", "Green", "Blue"), palette.T, strict=True):
        setattr(dataset, f"{name}PaletteColorLookupTableDescriptor", [256, 0, depth])
        entries = values.tobytes() if depth == 8 else (values.astype("<u2") << 8).tobytes()
        setattr(dataset, f"{name}PaletteColorLookupTableData", entries)
    assert (read(encoded(dataset)) == palette[indices]).all()


@pytest.mark.parametrize(("photometric", "sign"), [("MONOCHROME1", -1), ("MONOCHROME2", 1)])
def test_grey(photometric, sign):
    grey = picture(WIDTH, HEIGHT)[..., 0]
    expected = as_rgb(grey if sign == 1 else 255 - grey)
    assert (read(encoded(with_pixels(grey, photometric, 8))) == expected).all()


@pytest.mark.parametrize(("dtype", "bits", "low", "high"), [(np.uint16, 12, 100, 3000), (np.int16, 16, -900, 1800)])
def test_deep_grey_without_a_window_spans_all(dtype, bits, low, high):
    got = read(encoded(with_pixels(ramp(dtype, low, high), "MONOCHROME2", bits)))
    assert np.abs(got[..., 0] - np.linspace(0, 255, WIDTH * HEIGHT).reshape(SIZE)).max() <= 1
    assert (got == got[..., :1]).all()


@pytest.mark.parametrize("several", [False, True])
def test_the_window_counts(several):
    """It is given on the scale of the rescaled values; of several the first is taken."""
    values = ramp(np.uint16, 0, 4000)
    centre, width = ([-500, 7], [400, 9]) if several else (-500, 400)
    window = {"WindowCenter": centre, "WindowWidth": width, "RescaleSlope": "0.5", "RescaleIntercept": "-1000"}
    got = read(encoded(with_pixels(values, "MONOCHROME2", 12, **window)))[..., 0]
    expected = np.clip((values * 0.5 - 1000 + 700) / 400 * 255, 0, 255)
    assert np.abs(got - expected).max() <= 0.51


def test_one_grey_everywhere():
    flat = np.full(SIZE, 700, np.uint16)
    assert (read(encoded(with_pixels(flat, "MONOCHROME2", 12))) == 0).all()


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
@pytest.mark.parametrize("photometric", ["RGB", "MONOCHROME2"])
def test_lossless_compression(syntax, photometric):
    image = picture(WIDTH, HEIGHT)
    dataset = with_pixels(image if photometric == "RGB" else image[..., 0], photometric, 8)
    dataset.compress(syntax, generate_instance_uid=False)
    assert (read(encoded(dataset)) == (image if photometric == "RGB" else as_rgb(image[..., 0]))).all()


def test_jpeg():
    image = picture(WIDTH, HEIGHT)
    dataset = with_pixels(image, "RGB", 8, PhotometricInterpretation="YBR_FULL_422")
    dataset.PixelData = encapsulate([encode(image, "JPEG", quality=95)])
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    assert np.abs(read(encoded(dataset)).astype(int) - image).mean() < 3


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_each_frame_is_a_page(tmp_path, syntax):
    frames = np.stack([picture(WIDTH, HEIGHT, seed) for seed in range(3)])
    dataset = with_pixels(frames, "RGB", 8)
    if syntax == RLELossless:
        dataset.compress(syntax, generate_instance_uid=False)
    path = tmp_path / "frames.dcm"
    path.write_bytes(encoded(dataset))
    photos = [read_photo(page, min_pixels=1) for page in pages_of(path)]
    assert [photo.page for photo in photos] == [1, 2, 3]
    assert photos[2].source == f"{path} (page 3)"
    for photo, frame in zip(photos, frames, strict=True):
        assert (photo.image == frame).all()
    with pytest.raises(OptionError, match="pages 1 to 3"):
        read_photo(path)


def test_one_frame_is_as_a_photo(tmp_path):
    path = tmp_path / "scan.dcm"
    path.write_bytes(encoded(with_pixels(picture(WIDTH, HEIGHT)[None], "RGB", 8, NumberOfFrames=1)))
    assert list(pages_of(path)) == [path]
    assert read_photo(path, min_pixels=1).source == str(path)


def test_a_file_that_begins_as_a_tiff_is_no_tiff():
    """PS3.10, 7.1: the first 128 bytes are free, and often let a TIFF viewer open the file too."""
    image = picture(WIDTH, HEIGHT)
    data = encoded(with_pixels(image, "RGB", 8))
    assert (read(b"II*\0\x08\0\0\0" + data[8:]) == image).all()


def test_the_size_is_checked_before_it_is_decoded(monkeypatch):
    dataset = with_pixels(picture(WIDTH, HEIGHT), "RGB", 8, Rows=60000, Columns=60000)
    with pytest.raises(PhotoSizeError, match="60000 x 60000"):
        read_photo(encoded(dataset))
    with pytest.raises(PhotoSizeError, match="120 x 80"):
        read_photo(encoded(with_pixels(picture(WIDTH, HEIGHT), "RGB", 8)))


def test_a_deflated_file_is_not_inflated(monkeypatch):
    dataset = with_pixels(picture(WIDTH, HEIGHT), "RGB", 8)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    data = encoded(dataset)
    monkeypatch.setattr("pydicom.dcmread", None)
    assert list(pages_of(data)) == [data]
    with pytest.raises(NotAnImageError, match="a deflated DICOM file"):
        read_photo(data)


def test_more_pages_than_any_file_has_are_damage():
    data = encoded(with_pixels(picture(WIDTH, HEIGHT), "RGB", 8, NumberOfFrames=2_147_483_647))
    assert list(pages_of(data)) == [data], "the error is that of reading it"
    with pytest.raises(NotAnImageError, match="got 2147483647 pages; expected at most 1000"):
        read_photo(data)


def test_pixels_of_more_values_than_a_colour_has_are_rejected():
    with pytest.raises(NotAnImageError, match="got 4 values a pixel"):
        read(encoded(with_pixels(picture(WIDTH, HEIGHT), "RGB", 8, SamplesPerPixel=4)))


def enclosing(document: bytes) -> bytes:
    dataset = make(SOPClassUID=EncapsulatedPDFStorage, MIMETypeOfEncapsulatedDocument="application/pdf")
    dataset.EncapsulatedDocument = document + b"\0" * (len(document) % 2)
    return encoded(dataset)


def test_a_pdf_in_it_is_read():
    pictures = [picture(700, 500, seed) for seed in range(2)]
    images = [Image.fromarray(one) for one in pictures]
    data = enclosing(encode(images[0], "PDF", resolution=100.0, save_all=True, append_images=images[1:]))
    pages = list(pages_of(data))
    assert len(pages) == 2
    for page, expected in zip(pages, pictures, strict=True):
        assert np.abs(read_photo(page).image.astype(int) - expected).mean() < 3
    single = enclosing(encode(images[0], "PDF", resolution=100.0))
    assert list(pages_of(single)) == [single]
    assert read_photo(single).image.shape == (500, 700, 3)


def test_a_pdf_in_it_that_cannot_be_read(monkeypatch):
    with pytest.raises(TruncatedImageError, match="damaged or truncated PDF"):
        read_photo(enclosing(b"%PDF-1.7 nothing"))
    with pytest.raises(NotAnImageError, match=r"The document in .* is not an image"):
        read_photo(enclosing(b"<ClinicalDocument/>"))
    missing = {("pypdfium2",): "pypdfium2"}
    monkeypatch.setattr(readers, "missing_module", missing.get)
    with pytest.raises(NotAnImageError, match=r'got PDF, and no package pypdfium2; .*"\.\[pdf\]"'):
        read_photo(enclosing(b"%PDF-1.7 nothing"))


def test_a_waveform_is_no_picture():
    group = Dataset()
    group.NumberOfWaveformChannels, group.SamplingFrequency = 12, "500.0"
    data = encoded(make(SOPClassUID=TwelveLeadECGWaveformStorage, WaveformSequence=Sequence([group])))
    assert list(pages_of(data)) == [data]
    with pytest.raises(NotAnImageError, match=r"the signal itself, 12 channels at 500 Hz; .* needs no digitizing"):
        read_photo(data)


def test_other_files_hold_no_picture():
    with pytest.raises(NotAnImageError, match="of the kind Basic Text SR Storage"):
        read_photo(encoded(make(SOPClassUID=UID("1.2.840.10008.5.1.4.1.1.88.11"))))


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, MPEG4HP41])
def test_a_compression_that_nothing_here_decodes(syntax, monkeypatch):
    monkeypatch.setattr("pydicom.pixels.decoders.base.Decoder.is_available", False)
    dataset = with_pixels(picture(WIDTH, HEIGHT), "RGB", 8)
    dataset.PixelData = encapsulate([b"\xff\xd8\xff\xd9"])
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = syntax
    with pytest.raises(NotAnImageError, match=rf'compressed as {syntax.name[:8]}.*"\.\[dicom\]"'):
        read(encoded(dataset))


def test_without_its_package_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(readers, "missing_module", lambda modules: next(iter(modules), None))
    with pytest.raises(NotAnImageError, match=r'got DICOM, and no package pydicom; .*"\.\[dicom\]"'):
        read(encoded(make()))


@pytest.fixture(scope="module")
def whole() -> bytes:
    return encoded(with_pixels(picture(80, 70), "RGB", 8))


def test_a_truncated_file(whole):
    with pytest.raises(TruncatedImageError, match="damaged file"):
        read(whole[:9000])


@settings(max_examples=80)
@given(cut=st.integers(0, 20000), flips=st.lists(st.tuples(st.integers(0, 700), st.integers(1, 255)), max_size=6))
@pytest.mark.filterwarnings("ignore")  # pydicom grumbles about odd values
def test_damaged_files_raise_our_errors_alone(cut, flips, whole):
    assert dcmread(BytesIO(whole)).Rows == 70
    data = bytearray(whole)
    for at, bits in flips:
        data[at] ^= bits
    for page in list(pages_of(bytes(data[: len(data) - cut % len(data)])))[:3]:
        try:
            image = read_photo(page, min_pixels=1, max_pixels=10**6).image
        except EcgTrtError:
            continue
        assert image.ndim == 3 and image.dtype == np.uint8

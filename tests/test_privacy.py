"""Outputs without what a file holds beside its picture, and without the names in it."""

from __future__ import annotations

import base64
import json
import re
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, PngImagePlugin
from pydicom import Dataset, FileMetaDataset
from pydicom.pixels.utils import set_pixel_data
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from ecg_trt.cli import main
from ecg_trt.io.readers.photo import read_photo
from tests.conftest import picture

SECRET = "Quixote"
FORMATS = ("csv", "json", "wfdb", "edf", "dicom", "aecg", "fhir", "parquet", "npz", "npy")
ROOT = Path(__file__).parents[1]


def exif() -> Image.Exif:
    """EXIF with names and a place."""
    tags = Image.Exif()
    for tag in (0x010E, 0x013B, 0x8298):  # Description, artist, copyright.
        tags[tag] = SECRET
    tags.get_ifd(0x8769)[0x9286] = SECRET.encode()  # Comment.
    place = tags.get_ifd(0x8825)
    place[1], place[2], place[29] = "N", (48.0, 8.0, 15.0), SECRET
    return tags


def jpeg() -> bytes:
    buffer = BytesIO()
    Image.fromarray(picture()).save(buffer, "JPEG", exif=exif(), comment=SECRET.encode(), xmp=SECRET.encode())
    return buffer.getvalue()


def png() -> bytes:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Author", SECRET)
    texts.add_itxt("XML:com.adobe.xmp", SECRET)
    buffer = BytesIO()
    Image.fromarray(picture()).save(buffer, "PNG", pnginfo=texts, exif=exif())
    return buffer.getvalue()


def dicom() -> bytes:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    dataset.PatientName = dataset.PatientID = dataset.InstitutionName = dataset.StudyDescription = SECRET
    set_pixel_data(dataset, picture(), "RGB", 8)
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def holds(path: Path, word: str) -> bool:
    """Tell if a word stands anywhere in a file, or in one that is in it."""
    data = path.read_bytes()
    inner = [base64.b64decode(text) for text in re.findall(rb"base64,([A-Za-z0-9+/=]+)", data)]
    needles = [word.encode(code) for code in ("utf-8", "utf-16-le", "utf-16-be")]
    return any(needle in part for part in (data, *inner) for needle in needles)


@pytest.mark.usefixtures("fake_digitizer")
@pytest.mark.parametrize(("suffix", "make"), [("jpg", jpeg), ("png", png), ("dcm", dicom)])
def test_metadata_of_a_photo_reach_no_output(tmp_path, suffix, make):
    path = tmp_path / "in" / f"photo.{suffix}"
    path.parent.mkdir()
    path.write_bytes(make())
    assert holds(path, SECRET), "the photo itself has it"
    wanted = [part for name in FORMATS for part in ("--format", name)]
    result = CliRunner().invoke(main, ["run", str(path), "-o", str(tmp_path / "out"), "--overlay", "--report", *wanted])
    assert result.exit_code == 0, result.output
    written = sorted((tmp_path / "out").iterdir())
    assert len(written) >= 14
    assert not [file.name for file in written if holds(file, SECRET)]
    for file in written:
        if file.suffix in (".png", ".jpg"):
            with Image.open(file) as image:
                assert not image.getexif() and not image.info.keys() & {"exif", "xmp", "comment", "Author"}


@pytest.mark.usefixtures("fake_digitizer")
def test_names_of_photos_are_dropped(tmp_path):
    folder = tmp_path / SECRET
    folder.mkdir()
    (folder / "photo.jpg").write_bytes(jpeg())
    out = tmp_path / "out"
    arguments = ["run", str(folder / "photo.jpg"), "-o", str(out), "--overlay", "--report"]
    assert CliRunner().invoke(main, [*arguments, "--deidentify"]).exit_code == 0
    named = [file.name for file in out.iterdir() if holds(file, SECRET)]
    assert set(named) <= {"results.csv", "results.parquet"}, "the table of results, by which a batch goes on"
    assert "source" not in json.loads((out / "photo.json").read_text("utf-8"))
    other = tmp_path / "other"
    assert CliRunner().invoke(main, [*arguments[:3], str(other), *arguments[4:]]).exit_code == 0
    assert json.loads((other / "photo.json").read_text("utf-8"))["source"] == "photo.jpg", "folders may say more"


@pytest.mark.slow
def test_a_real_page_is_blanked_but_for_its_rows(digitizer):
    from ecg_trt.io.writers.deidentify import deidentified

    photo = read_photo(ROOT / "examples" / "photo.jpg")
    reading = digitizer.read(photo)
    clean = deidentified(reading)
    page, blanked = reading.page, clean.page
    colours, counts = np.unique(blanked.image.reshape(-1, 3), axis=0, return_counts=True)
    paper = colours[counts.argmax()]
    same = (blanked.image == page.image).all(-1)
    assert ((blanked.image == paper).all(-1) | same).all(), "a pixel is the page's, or paper"
    assert 0.5 < 1 - same.mean() < 0.95
    for strip, ridge, confidence in zip(reading.strips, reading.trace.ridge_row, reading.trace.confidence, strict=True):
        seen = np.isfinite(ridge) & (confidence > 0.5)
        seen &= (page.x_mm(np.arange(ridge.size)) > strip.x_mm[0]) & (page.x_mm(np.arange(ridge.size)) < strip.x_mm[1])
        columns = np.flatnonzero(seen)
        assert same[ridge[columns].round().astype(int), columns].all(), "the curve is kept"
    # The footer of this photo, with its print and a scribble, is blank, and so is the table that it lies on.
    height, width = clean.photo.image.shape[:2]
    for part in (np.s_[int(0.86 * height) :, :], np.s_[: int(0.07 * height), :]):
        assert np.ptp(clean.photo.image[part].reshape(-1, 3), axis=0).max() == 0
    assert width == reading.photo.image.shape[1]

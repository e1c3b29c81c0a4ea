"""A toy format in, a toy format out, and every format that is registered."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from ecg_trt.batch import digitize_many
from ecg_trt.cli import main
from ecg_trt.digitizer import Digitizer
from ecg_trt.errors import (
    NOTICE,
    EcgTrtError,
    InputError,
    NotAnImageError,
    OptionError,
    OutputError,
    PhotoSizeError,
    TruncatedImageError,
)
from ecg_trt.io import readers
from ecg_trt.io.readers import READERS, UNREADABLE, format_names
from ecg_trt.io.readers.base import EncodedPhoto, PixelLimits, Reader, Signature, check_size
from ecg_trt.io.readers.photo import choose_page, load_photo, pages_of, read_photo
from ecg_trt.io.writers import WRITERS
from ecg_trt.io.writers.base import Writer
from ecg_trt.record import EcgRecord
from ecg_trt.types import Photo

# The toy input: "TOY" and a byte a page, by which the page's noise is seeded; 0 is blank, 255 cannot be decoded.
BROKEN = 255
WIDTH, HEIGHT = 700, 500


def read_toy(photo: EncodedPhoto, number: int, limits: PixelLimits) -> Photo:
    check_size(WIDTH, HEIGHT, photo.source, limits)
    seed = photo.data[2 + number]
    if seed == BROKEN:
        raise ValueError("bad page")
    image = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    image = image if seed else np.full_like(image, 200)
    return Photo(image, photo.source, number, {"seed": seed})


TOY_READER = Reader(
    name="toy", formats=("Toy",), suffixes=(".toy",), media=("image/x-toy",), sniff=lambda head: head[:3] == b"TOY",
    read=read_toy, count=lambda file: len(file.read()) - 3,
)  # fmt: skip


def write_toy(record: EcgRecord, path: Path, decimals: int = 1) -> Path:
    path.write_text("\n".join(f"{value:.{decimals}f}" for value in record.signal_mv[1]), "ascii")
    return path


@pytest.fixture
def toy_reader(monkeypatch):
    monkeypatch.setattr(readers, "READERS", [*READERS, TOY_READER])


@pytest.fixture
def toy_writer(monkeypatch):
    writer = Writer("toy", (".toy",), "lead II alone", write_toy, {"decimals": "of a millivolt"})
    monkeypatch.setitem(WRITERS, "toy", writer)


@pytest.fixture
def scan(tmp_path):
    path = tmp_path / "scan.toy"
    path.write_bytes(b"TOY\x01\x02\x03")
    return path


TABLES = ["results.csv", "results.parquet"]


def run(*arguments: object):
    return CliRunner().invoke(main, ["run", *map(str, arguments)])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.usefixtures("toy_reader")
class TestToyReader:
    def test_each_page_is_a_record_of_the_command(self, scan, photo_path, tmp_path, fake_digitizer):
        result = run(scan, photo_path, "-o", tmp_path / "out")
        assert result.exit_code == 0, result.output
        stems = ["photo", "scan.p1", "scan.p2", "scan.p3"]
        files = [f"{stem}.{kind}" for stem in stems for kind in ("csv", "json")]
        assert names(tmp_path / "out") == sorted([*files, *TABLES])
        lines = result.stdout.splitlines()
        assert [line.split("  ")[0] for line in lines] == [f"{scan} (page {k})" for k in (1, 2, 3)] + [str(photo_path)]
        assert str(tmp_path / "out" / "scan.p2.csv") in lines[1]

    def test_errors_name_the_page_and_harm_no_other(self, tmp_path, fake_digitizer):
        scan = tmp_path / "scan.toy"
        scan.write_bytes(bytes((*b"TOY", 1, BROKEN, 0, 4)))
        result = run(scan, "-o", tmp_path / "out")
        assert result.exit_code == 1
        assert {"scan.p1.csv", "scan.p4.csv"} < set(names(tmp_path / "out"))
        assert "1 of 4 pages failed:" in result.stderr
        assert "scan.toy (page 2) cannot be decoded: got a damaged file (ValueError: bad page)" in result.stderr
        assert "scan.toy (page 3): skipped: no ECG found on this page" in result.stderr
        assert "NoEcgFoundError" not in result.stderr

    def test_a_cover_is_skipped(self, tmp_path, photo_path, fake_digitizer):
        scan = tmp_path / "scan.toy"
        scan.write_bytes(bytes((*b"TOY", 0, 1, 0)))
        result = run(scan, photo_path, "-o", tmp_path / "out", "--overlay")
        assert result.exit_code == 0, result.output
        assert {"scan.p2.csv", "photo.csv"} < set(names(tmp_path / "out"))
        assert [line.split(": ")[:2] for line in result.stderr.splitlines() if ": skipped: " in line] == [
            [f"{scan} (page {page})", "skipped"] for page in (1, 3)
        ]
        assert "failed" not in result.stderr

    @pytest.mark.parametrize("pages", [(0, 0), (0, BROKEN)])
    def test_a_file_without_any_ecg_failed(self, tmp_path, photo_path, fake_digitizer, pages):
        scan = tmp_path / "scan.toy"
        scan.write_bytes(bytes((*b"TOY", *pages)))
        result = run(photo_path, scan, "-o", tmp_path / "out")
        assert result.exit_code == 1
        assert "2 of 3 pages failed:" in result.stderr
        assert "NoEcgFoundError" in result.stderr and "skipped" not in result.stderr
        assert names(tmp_path / "out") == ["photo.csv", "photo.json", *TABLES]

    def test_a_file_of_another_photo_does_not_count(self, tmp_path, photo_path, tools, fake_digitizer):
        """A page without an ECG is skipped for an ECG in its own file alone."""
        blank = tmp_path / "blank.png"
        blank.write_bytes(tools.encode(np.full((HEIGHT, WIDTH, 3), 200, np.uint8)))
        result = run(photo_path, blank, "-o", tmp_path / "out")
        assert result.exit_code == 1 and "1 of 2 photos failed:" in result.stderr

    @pytest.mark.parametrize("data", [b"TOY\x01", b"TOY\x00\x02"])
    def test_standard_input(self, tmp_path, fake_digitizer, data):
        out = tmp_path / "out"
        result = CliRunner().invoke(main, ["run", "-", "-o", str(out)], input=data)
        assert result.exit_code == 0, result.output
        stem = "stdin" if len(data) == 4 else "stdin.p2"
        assert names(out) == [f"{stem}.csv", f"{stem}.json"]
        assert result.stdout.startswith("stdin" if len(data) == 4 else "stdin (page 2)")
        assert json.loads((out / f"{stem}.json").read_text())["source"].startswith("stdin")

    def test_standard_input_beside_files(self, scan, photo_path, tmp_path, fake_digitizer):
        arguments = ["run", str(photo_path), "-", "-o", str(tmp_path / "out")]
        result = CliRunner().invoke(main, arguments, input=photo_path.read_bytes())
        assert result.exit_code == 0, result.output
        assert names(tmp_path / "out") == ["photo.csv", "photo.json", *TABLES, "stdin.csv", "stdin.json"]

    def test_standard_input_may_be_one_of_several_photos_of_a_page(self, photo_path, tmp_path, fake_digitizer):
        arguments = ["run", "--merge", "-", str(photo_path), "-o", str(tmp_path / "out")]
        result = CliRunner().invoke(main, arguments, input=photo_path.read_bytes())
        assert result.exit_code == 0, result.output
        assert names(tmp_path / "out") == ["stdin.csv", "stdin.json"]
        photos = json.loads((tmp_path / "out" / "stdin.json").read_text("utf-8"))["photos"]
        assert [photo["source"] for photo in photos] == ["stdin", photo_path.name]

    @pytest.mark.parametrize(("data", "words"), [(b"", "got no bytes at all"), (b"text", "stdin is not an image")])
    def test_standard_input_without_a_picture(self, tmp_path, fake_digitizer, data, words):
        result = CliRunner().invoke(main, ["run", "-", "-o", str(tmp_path)], input=data)
        assert result.exit_code == 2 and words in result.stderr

    def test_standard_input_holds_one_file(self, tmp_path, fake_digitizer):
        result = CliRunner().invoke(main, ["run", "-", "-", "-o", str(tmp_path)], input=b"TOY\x01")
        assert result.exit_code == 2 and "may be given once" in result.stderr

    def test_only_files_of_several_pages_are_read_ahead(self, scan, photo_path, monkeypatch):
        loaded = []

        def load(path):
            loaded.append(path)
            return load_photo(path)

        monkeypatch.setattr("ecg_trt.io.readers.photo.load_photo", load)
        single = scan.with_name("single.toy")
        single.write_bytes(b"TOY\x01")
        assert list(pages_of(photo_path)) == [photo_path]
        assert list(pages_of(single)) == [single]
        assert len(list(pages_of(scan))) == 3
        assert loaded == [scan]

    def test_bytes_with_a_name_are_split_too_but_a_page_is_not(self):
        pages = list(pages_of(EncodedPhoto(b"TOY\x01\x02", "upload")))
        assert [page.source for page in pages] == ["upload (page 1)", "upload (page 2)"]
        assert list(pages_of(pages[1])) == [pages[1]]

    def test_names_that_meet_get_a_number(self, scan, photo_path, tmp_path, fake_digitizer):
        other = photo_path.with_name("scan.p2.jpg")
        other.write_bytes(photo_path.read_bytes())
        result = run(other, scan, "-o", tmp_path / "out", "--format", "json")
        assert result.exit_code == 0, result.output
        assert names(tmp_path / "out") == [
            *TABLES, "scan.p1.json", "scan.p2-2.json", "scan.p2.json", "scan.p3.json"]  # fmt: skip

    @pytest.mark.parametrize("slots", [1, 2])
    def test_many_photos_may_have_many_pages(self, scan, photo_path, fake_digitizer, monkeypatch, slots):
        monkeypatch.setattr(fake_digitizer, "slots", slots)
        empty = b"TOY"
        results = list(digitize_many([photo_path, scan, empty, scan.read_bytes(), scan.with_name("no.toy")]))
        assert [isinstance(result, EcgRecord) for result in results] == [True] * 4 + [False] + [True] * 3 + [False]
        sources = [result.source for result in results[1:4] if isinstance(result, EcgRecord)]
        assert sources == [f"{scan} (page {k})" for k in (1, 2, 3)]
        assert "without a page" in str(results[4])

    def test_a_file_of_several_pages_must_be_asked_for_one(self, scan):
        with pytest.raises(OptionError, match=r"scan\.toy has several pages: got pages 1 to 3.*page="):
            read_photo(scan)
        photo = read_photo(scan, page=2)
        assert (photo.page, photo.metadata, photo.source) == (2, {"seed": 2}, f"{scan} (page 2)")
        for page in (0, 4):
            with pytest.raises(OptionError, match="1 to 3"):
                read_photo(scan, page=page)
        with pytest.raises(OptionError, match="no photo"):
            choose_page(7, 1)

    def test_the_digitizer_takes_one_page(self, scan, monkeypatch):
        seen = []

        def stop(_self, photo, _options, _clock):
            seen.append(photo)
            raise TruncatedImageError("Stop", got="enough", expected="no more", hint="Go on.")

        monkeypatch.setattr("ecg_trt.page.locator.PageLocator.__call__", stop)
        with Digitizer() as digitizer:
            with pytest.raises(OptionError, match="several pages"):
                digitizer(scan)
            with pytest.raises(TruncatedImageError, match="Stop"):
                digitizer(scan, page=3)
        assert [photo.page for photo in seen] == [3]

    def test_one_page_is_as_a_photo(self, tmp_path, fake_digitizer):
        path = tmp_path / "scan.toy"
        path.write_bytes(b"TOY\x01")
        assert list(pages_of(path)) == [path]
        assert read_photo(path).source == read_photo(path, page=1).source == str(path)
        assert run(path, "-o", tmp_path / "out").exit_code == 0
        assert names(tmp_path / "out") == ["scan.csv", "scan.json"]

    def test_formats_are_listed(self, tmp_path):
        assert format_names(" or ").endswith("PDF or Toy")
        with pytest.raises(NotAnImageError, match=r"expected JPEG, PNG, .* PDF or Toy"):
            read_photo(b"nothing of the kind")

    def test_limits_reach_the_reader(self, scan):
        with pytest.raises(PhotoSizeError, match="page 1"):
            read_photo(scan, page=1, max_pixels=1000)


def test_a_reader_whose_package_is_missing_names_its_extra(monkeypatch):
    missing = Reader(
        "pdf", ("PDF",), (".pdf",), (), lambda head: head[:4] == b"%PDF", read_toy, None, ("no_pdf",), "pdf"
    )
    monkeypatch.setattr(readers, "READERS", [missing, *READERS])
    with pytest.raises(NotAnImageError, match=r'got PDF, and no package no_pdf; expected the extra pdf.*"\.\[pdf\]"'):
        read_photo(b"%PDF-1.7")


@pytest.mark.parametrize(
    ("error", "kind"),
    [(ValueError, TruncatedImageError), (MemoryError, PhotoSizeError), (OptionError, None)],
)
def test_no_foreign_error_leaves_a_reader(tools, monkeypatch, error, kind):
    """Decoding may succeed, and the conversion to RGB fail, as happened to one of 40,000 mutated files."""

    def fail(_image):
        raise error("conversion") if kind else error("x", got="x", expected="y", hint="z")

    monkeypatch.setattr("ecg_trt.io.readers.pillow._as_rgb", fail)
    with pytest.raises(EcgTrtError) as caught:
        read_photo(tools.encode(tools.picture()))
    assert isinstance(caught.value, InputError)
    assert type(caught.value) is (kind or error)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_readers_are_complete(reader):
    assert reader.formats and reader.suffixes and reader.media
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in reader.suffixes)
    assert bool(reader.modules) == bool(reader.extra)
    assert not reader.sniff(b"")
    help_text = CliRunner().invoke(main, ["run", "--help"]).output
    assert all(name in help_text for name in reader.formats)


def test_unreadable_files_are_not_those_of_a_reader():
    for signature in UNREADABLE:
        assert isinstance(signature, Signature)
        head = bytes(signature.offset) + signature.magic
        assert not any(reader.sniff(head) for reader in READERS), f"{signature.kind} is read: take it off the table"


@pytest.mark.usefixtures("toy_writer")
class TestWriters:
    def test_every_format_is_written_by_the_command(self, photo_path, tmp_path, fake_digitizer):
        result = run(photo_path, "-o", tmp_path / "out", *(f"--format={name}" for name in WRITERS))
        assert result.exit_code == 0, result.output
        suffixes = sorted(suffix for writer in WRITERS.values() for suffix in writer.suffixes)
        assert names(tmp_path / "out") == [f"photo{suffix}" for suffix in suffixes]
        assert all(name in CliRunner().invoke(main, ["run", "--help"]).output for name in WRITERS)

    def test_every_format_is_saved_by_its_suffixes(self, record, tmp_path):
        record = replace(record, fs=500.0)  # DICOM allows no 100 samples a second.
        for writer in WRITERS.values():
            for suffix in writer.suffixes:
                folder = tmp_path / f"{writer.name}{suffix}"
                folder.mkdir()
                path = record.save(folder / f"r{suffix.upper()}")
                assert path.is_file() and path.parent == folder
                assert len(names(folder)) == len(writer.suffixes)
            named = record.save(tmp_path / f"named{writer.suffixes[0]}", writer.name)
            assert named.read_bytes()
            assert NOTICE.encode() in named.read_bytes() or writer.name in ("csv", "npy", "toy")

    def test_options_reach_the_writer(self, record, tmp_path):
        path = record.save(tmp_path / "r.toy", decimals=3)
        assert path.read_text().splitlines()[1] == f"{record.signal_mv[1, 1]:.3f}"
        with pytest.raises(OptionError, match=r"toy has no such option: got digits; expected one of decimals"):
            record.save(tmp_path / "r.toy", digits=3)
        with pytest.raises(OptionError, match="expected none"):
            record.save(tmp_path / "r.csv", decimals=3)

    def test_the_longest_suffix_decides(self, record, tmp_path):
        kinds = {name: record.save(tmp_path / f"r{name}") for name in (".json", ".fhir.json", ".FHIR.JSON")}
        is_fhir = {name: "resourceType" in path.read_text("utf-8") for name, path in kinds.items()}
        assert is_fhir == {".json": False, ".fhir.json": True, ".FHIR.JSON": True}

    def test_options_reach_the_writer_from_the_command(self, photo_path, tmp_path, fake_digitizer):
        options = ("--format", "npy", "--format", "csv", "--array", "12x30@250", "--missing", "zero")
        result = run(photo_path, "-o", tmp_path / "out", *options)
        assert result.exit_code == 0, result.output
        array = np.load(tmp_path / "out" / "photo.npy")
        assert array.shape == (12, 30) and np.isfinite(array).all()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (("--array", "12x30@250"), "--array has no effect: got --format csv; expected --format npz or npy"),
            (("--format", "npz", "--array", "12x30"), "Unknown array: got '12x30'"),
            (("--format", "npz", "--missing", "none"), "'none'; expected one of nan, zero, repeat"),
        ],
    )
    def test_wrong_options_are_reported_before_the_first_photo(
        self, photo_path, tmp_path, fake_digitizer, options, message
    ):
        result = run(photo_path, "-o", tmp_path / "out", *options)
        assert result.exit_code == 2 and message in result.stderr
        assert not list(tmp_path.glob("out/*"))

    def test_unknown_formats(self, record, tmp_path, photo_path, fake_digitizer):
        with pytest.raises(OptionError, match=r"'xml'; expected one of csv, json, .*, npy, toy"):
            record.save(tmp_path / "r.csv", "xml")
        with pytest.raises(OutputError, match=r"'\.xml'; expected one of \.csv, \.json"):
            record.save(tmp_path / "r.xml")
        result = run(photo_path, "-o", tmp_path / "out", "--format", "xml")
        assert result.exit_code == 2 and "'toy'" in result.stderr

    def test_a_missing_package_is_told_before_the_first_photo(
        self, record, tmp_path, photo_path, fake_digitizer, monkeypatch
    ):
        monkeypatch.setitem(WRITERS, "edf", Writer("edf", (".edf",), "", write_toy, {}, ("no_edf",), "edf"))
        with pytest.raises(OutputError, match=r'no package no_edf; expected the extra edf.*"\.\[edf\]"'):
            record.save(tmp_path / "r.edf")
        result = run(photo_path, "-o", tmp_path / "out", "--format", "edf")
        assert result.exit_code == 2 and "no_edf" in result.stderr
        assert names(tmp_path / "out") == []


def test_names_without_latin_letters_do_not_meet(photo_path, tmp_path, fake_digitizer):
    photos = ("心电图.jpg", "患者一.jpg", "Пациент.jpg", "Ötzi.jpg", "Otzi.jpg")
    others = [photo_path.with_name(name) for name in photos]
    for other in others:
        other.write_bytes(photo_path.read_bytes())
    result = run(*others, "-o", tmp_path / "out", "--format", "wfdb")
    assert result.exit_code == 0, result.output
    assert "another photo" not in result.stderr
    headers = {name for name in names(tmp_path / "out") if name.endswith(".hea")}
    assert len(headers) == 5 and "Otzi.hea" in headers
    assert all(name.isascii() for name in headers)


def test_suffixes_of_several_parts_do_not_meet(photo_path, tmp_path, fake_digitizer):
    other = photo_path.with_name("photo.fhir.jpg")
    other.write_bytes(photo_path.read_bytes())
    result = run(photo_path, other, "-o", tmp_path / "out", "--format", "fhir")
    assert result.exit_code == 0, result.output
    stems = ("photo", "photo.fhir-2")
    files = [f"{stem}{kind}" for stem in stems for kind in (".json", ".fhir.json")]
    assert names(tmp_path / "out") == sorted([*files, *TABLES])

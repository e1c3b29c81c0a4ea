"""Reports of an archive through the command: beside each record, and one of all pages."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from ecg_trt.cli import main
from tests.fake_workers import FakePageWorker
from tests.io.test_report import Parsed

FAILS = "2.png"


@pytest.fixture
def scans(tmp_path, tools):
    """Photos in a folder and one below it; one holds no ECG."""
    folder = tmp_path / "scans"
    (folder / "ward").mkdir(parents=True)
    for number, name in enumerate(("0.png", "1.png", "ward/3.png")):
        (folder / name).write_bytes(tools.encode(tools.picture(seed=number)))
    (folder / FAILS).write_bytes(tools.encode(np.full((500, 700, 3), 200, np.uint8)))
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["run", *map(str, arguments)])


def pages(out: Path) -> dict[str, str]:
    """Map the stems in the report on all pages to their status, in its order."""
    page = Parsed((out / "report.html").read_bytes())
    statuses = [str(row["data-status"]) for row in page.all("tr") if "data-status" in row]
    names = [
        word for word, tag in zip(page.words, page.tags, strict=True) if tag.endswith(("th", "th a")) and word.strip()
    ]
    return dict(zip(names[-len(statuses) :], statuses, strict=True))


@pytest.mark.usefixtures("fake_digitizer")
def test_every_page_has_a_report_and_all_have_one(scans, tmp_path):
    out = tmp_path / "out"
    assert run(scans, "-r", "-o", out, "--report", "--overlay", "--format", "wfdb").exit_code == 1
    assert pages(out) == {"2": "failed", "0": "ok", "1": "ok", "ward/3": "ok"}
    table = Parsed((out / "report.html").read_bytes())
    addresses = [str(a["href"]) for a in table.all("a")] + [str(a["src"]) for a in table.all("img")]
    assert "./ward/3.report.html" in addresses and "./ward/3.thumb.jpg" in addresses
    own = Parsed((out / "ward" / "3.report.html").read_bytes())
    links = [str(a["href"]) for a in own.all("a")]
    assert links == ["./3.hea", "./3.overlay.png", "./3.json"]
    assert all((out / address).is_file() for address in addresses)
    assert all((out / "ward" / link).is_file() for link in links)
    assert len(own.all("img")) == 2


@pytest.mark.usefixtures("fake_digitizer")
def test_a_run_that_goes_on_reports_on_all_pages(scans, tmp_path, tools):
    out = tmp_path / "out"
    run(scans, "-o", out, "--report")
    (out / "report.html").unlink()
    (scans / "4.png").write_bytes(tools.encode(tools.picture(seed=4)))
    assert run(scans, "-o", out, "--report", "--resume").exit_code == 1
    assert pages(out) == {"2": "failed", "0": "ok", "1": "ok", "4": "ok"}


@pytest.mark.usefixtures("fake_digitizer")
def test_processes_report_alike(scans, tmp_path, monkeypatch):
    monkeypatch.setattr("ecg_trt.archive.archive.PageWorker", FakePageWorker)
    one, two = tmp_path / "one", tmp_path / "two"
    run(scans, "-r", "-o", one, "--report", "--deidentify")
    run(scans, "-r", "-o", two, "--report", "--deidentify", "--jobs", 2)
    assert pages(one) == pages(two)
    assert (one / "0.thumb.jpg").read_bytes() == (two / "0.thumb.jpg").read_bytes()


@pytest.mark.usefixtures("fake_digitizer")
def test_a_single_photo_has_no_report_on_all(photo_path, tmp_path):
    assert run(photo_path, "-o", tmp_path / "out", "--report").exit_code == 0
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["photo.csv", "photo.json", "photo.report.html", "photo.thumb.jpg"]


@pytest.mark.usefixtures("fake_digitizer")
def test_merged_photos_have_a_report_without_pictures(scans, tmp_path):
    out = tmp_path / "out"
    result = run(scans / "0.png", scans / "1.png", scans / FAILS, "--merge", "-o", out, "--report", "--deidentify")
    assert result.exit_code == 0, result.output
    page = Parsed((out / "0.report.html").read_bytes())
    assert not page.all("img") and "A photo of the page was left out." in page.text
    photos = json.loads((out / "0.json").read_text("utf-8"))["photos"]
    assert len(photos) == 3 and not any("source" in photo for photo in photos)
    assert not [path.name for path in out.iterdir() if str(scans).encode() in path.read_bytes()]

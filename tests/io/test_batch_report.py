"""The table of a batch: its order, its links, what it leaves out, and its filters."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from ecg_trt.errors import NOTICE, OutputError
from ecg_trt.io.writers.batch_report import write_batch_report
from ecg_trt.results import PageResult, PageStatus
from tests.io.test_report import EVIL, Parsed

GOOD = PageResult(
    "in/good.jpg", 1, PageStatus.OK, layout="3x4+1", speed_mm_per_s=25.0, gain_mm_per_mv=10.0, quality=0.95, stem="good"
)
POOR = replace(
    GOOD, file="in/poor.pdf", page=2, quality=0.3, stem="sub/poor.p2", chest_gain_mm_per_mv=5.0, assumed=("speed",),
    warnings=("speed-assumed", "unreliable-page"),
)  # fmt: skip
COVER = PageResult("in/poor.pdf", 1, PageStatus.SKIPPED, error="NoEcgFoundError", message="a cover", stem="sub/poor.p1")
BAD = PageResult("in/Doe.jpg", 1, PageStatus.FAILED, error="PhotoSizeError", message="in/Doe.jpg: 3 px", stem="bad")
PAGES = [GOOD, COVER, POOR, BAD]


def table(results, folder, **options) -> Parsed:
    return Parsed(write_batch_report(results, folder, **options).read_bytes())


def rows(page: Parsed) -> list[dict[str, str | None]]:
    return [row for row in page.all("tr") if "data-status" in row]


def test_the_worst_comes_first(tmp_path):
    page = table(PAGES, tmp_path)
    assert [row["data-status"] for row in rows(page)] == ["failed", "ok", "ok", "skipped"]
    assert [row["data-quality"] for row in rows(page)] == ["", "0.3000", "0.9500", ""]
    assert rows(page)[1]["data-warnings"] == "speed-assumed unreliable-page"
    words = page.text
    order = [words.index(name) for name in ("bad", "sub/poor.p2", "good", "sub/poor.p1")]
    assert order == sorted(order)
    for part in ("PhotoSizeError: in/Doe.jpg: 3 px", "poor.pdf, page 2", "0.30 poor", "0.95 good", "10, chest leads 5",
                 "speed-assumed", NOTICE):  # fmt: skip
        assert part in words, part


def test_links_lead_to_the_files_that_are_there(tmp_path):
    (tmp_path / "sub").mkdir()
    files = ["good.csv", "good.json", "good.thumb.jpg", "good.report.html", "sub/poor.p2.fhir.json", "other.csv",
             "sub/poor.p2.overlay.png"]  # fmt: skip
    for name in files:
        (tmp_path / name).write_text("")
    page = table(PAGES, tmp_path)
    (link,) = {str(a["href"]) for a in page.all("a") if "report" in str(a["href"])}
    assert link == "./good.report.html"
    assert {str(a["href"])[2:] for a in page.all("a")} == {*files} - {"good.thumb.jpg", "other.csv"}
    (thumbnail,) = page.all("img")
    assert thumbnail["src"] == "./good.thumb.jpg" and thumbnail["loading"] == "lazy"
    for address in [a["href"] for a in page.all("a")] + [thumbnail["src"]]:
        assert (tmp_path / str(address)).is_file()


def test_names_of_photos_are_left_out(tmp_path):
    page = table(PAGES, tmp_path, names_files=False)
    assert "Doe" not in page.text and "poor.pdf" not in page.text
    assert "PhotoSizeError" in page.text


def test_text_from_outside_is_text(tmp_path):
    evil = PageResult(EVIL, 1, PageStatus.FAILED, EVIL, EVIL, EVIL, assumed=(EVIL,), warnings=(EVIL,), stem=EVIL[:-2])
    page = table([evil], tmp_path)
    (script,) = page.all("script")
    assert not script and not page.all("img")
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert "alert(1)" in page.text


def test_it_stands_alone(tmp_path):
    path = write_batch_report(PAGES, tmp_path)
    text = path.read_text()
    assert path == tmp_path / "report.html"
    assert not re.search(r"url\((?!#)|@import|https?://", text)
    page = Parsed(path.read_bytes())
    (policy,) = (a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and "default-src 'none'" in policy
    (form,) = page.all("form")
    assert "hidden" in form, "filters show only where a script makes them work"
    values = [option.get("value") for option in page.all("option")]
    assert values.count("") == 2
    assert "unreliable-page" in page.text
    assert len(page.all("label")) == len(page.all("select")) + len(page.all("input"))


def test_a_batch_without_pages(tmp_path):
    assert "0 pages" in table([], tmp_path).text


def test_a_folder_that_is_missing(tmp_path):
    with pytest.raises(OutputError):
        write_batch_report(PAGES, Path(tmp_path) / "missing")

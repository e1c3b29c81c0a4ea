"""The report of a record: whole in itself, safe with any text from outside, and true to the record."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ecg_trt.errors import NOTICE, OutputError
from ecg_trt.io.writers.report import pictures_of, write_report
from ecg_trt.layout import LEADS
from ecg_trt.types import LeadSpan, MergedPhoto, PageWarning, WarningCode

# Elements that HTML closes by itself.
VOID = {"img", "meta", "input", "br", "link"}


class Parsed(HTMLParser):
    """A page's elements, its words, and whether every element that is opened is closed."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.tags: list[str] = []  # Of each of the words, all that are open.
        self.open: list[str] = []
        self.feed(page.decode())
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words.append(data)
            self.tags.append(" ".join(self.open))

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def loaded(page: Parsed) -> list[str]:
    """Addresses that a browser loads by itself."""
    from_links = [a["href"] for a in page.all("link")]
    return [
        value for _, a in page.elements for name, value in a.items() if name in ("src", "srcset", "data") and value
    ] + from_links  # type: ignore[operator]


def report(record, tmp_path, **changes) -> Parsed:
    return Parsed(write_report(record, tmp_path / "page.report.html", **changes).read_bytes())


def test_it_says_what_the_record_says(record, tmp_path):
    page = report(record, tmp_path, files=["page.csv", "page.json"])
    words = page.text
    assert words.count(NOTICE) >= 3, "at the top, on the paper and at the bottom"
    for part in ("page", "photo.jpg", "3x4+1", "25 mm/s", "10 mm/mV, assumed", "gain: neither read nor given",
                 "Lead V6 is not printed.", "leads-missing", "Übergröße: 5 µV", "gain-assumed", "0.95 good",
                 "0.50 fair", "0.45 poor", "not printed", "17.5", "I, II, III", "0.062", "0123456789ab",
                 "onnxruntime"):  # fmt: skip
        assert part in words, part
    assert [a["href"] for a in page.all("a")] == ["./page.csv", "./page.json"]
    assert page.all("html")[0]["lang"] == "en"


def test_it_needs_no_other_file(record, tools, tmp_path):
    view = tools.reading(record)
    path = write_report(record, tmp_path / "page.report.html", pictures=pictures_of(view))
    page = Parsed(path.read_bytes())
    sources = loaded(page)
    assert len(sources) == 2 and all(source.startswith("data:image/jpeg;base64,") for source in sources)
    for source in sources:
        with Image.open(BytesIO(base64.b64decode(source.partition(",")[2]))) as image:
            assert max(image.size) <= 1800
            assert not image.getexif()
    text = path.read_text()
    assert not re.search(r"url\((?!#)|@import|https?://", text)
    (policy,) = (a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and "default-src 'none'" in policy and "http" not in policy
    assert not page.all("script")
    with Image.open(tmp_path / "page.thumb.jpg") as thumbnail:
        assert max(thumbnail.size) == 240


def test_it_is_accessible(record, tools, tmp_path):
    page = report(record, tmp_path, pictures=pictures_of(tools.reading(record)))
    assert all(image["alt"] for image in page.all("img"))
    assert all(drawing["role"] == "img" and drawing["aria-label"] for drawing in page.all("svg"))
    assert all(cell["scope"] in ("row", "col") for cell in page.all("th"))
    assert len(page.all("table")) == len(page.all("caption"))
    assert len(page.all("h1")) == len(page.all("main")) == 1
    style = next(Path("ecg_trt/io/writers").glob("report.css")).read_text()
    assert "prefers-color-scheme: dark" in style and "@media print" in style


EVIL = '"><script>alert(1)</script><img src=http://x.y/z onerror=alert(1)>&amp;\x00\udcff'


def test_text_from_outside_is_text(record, tmp_path):
    photos = (
        MergedPhoto(EVIL, np.full(12, 0.5), np.zeros(12)),
        MergedPhoto("b", np.full(12, np.nan), np.zeros(12), EVIL),
    )
    evil = replace(
        record, source=EVIL, backend=EVIL, layout=EVIL, assumed=(EVIL,), lead_names=(EVIL, *LEADS[1:]), photos=photos,
        warnings=(PageWarning(WarningCode.NO_GRID, EVIL),), weights={EVIL: EVIL},
    )  # fmt: skip
    page = report(evil, tmp_path, files=[EVIL.replace("/", "-")])
    assert not page.all("script") and not page.all("img")
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    (link,) = page.all("a")
    assert link["href"] is not None and re.fullmatch(r"\./[\w%.~-]+", link["href"])
    assert page.text.count("alert(1)") > 8


def points_of(data: str) -> list[np.ndarray]:
    """Polylines of path data."""
    return [np.array(run.replace("L", " ").split(), float).reshape(-1, 2) for run in data.split("M") if run.strip()]


def test_leads_are_drawn_to_scale(record, tmp_path):
    t = np.arange(1000) / record.fs
    signal = np.stack([np.sin(t * (3 + row)) for row in range(12)]).astype(np.float32)
    signal[1, 400:450] = np.nan
    drawn = replace(record, signal_mv=signal, spans=(LeadSpan("II", 0, 0.0, 10.0), LeadSpan("V1", 1, 5.0, 7.5)))
    page = report(drawn, tmp_path)
    (svg,) = page.all("svg")
    assert svg["viewbox"] == f"0 0 {str(svg['width'])[:-2]} {str(svg['height'])[:-2]}"
    paths = [points_of(str(a["d"])) for a in page.all("path") if a["class"] == "ink"]
    (pulse,), (before, after), _, (v1,) = paths
    assert np.ptp(pulse, axis=0)[1] == pytest.approx(10.0)
    zero = pulse[0, 1]
    for run, samples in ((before, slice(0, 400)), (after, slice(450, 1000))):
        x = before[0, 0] + 25.0 * t[samples]
        expected = zero - 10.0 * signal[1, samples]
        np.testing.assert_allclose(np.interp(x, run[:, 0], run[:, 1]), expected, atol=0.05)
        assert len(run) < 0.5 * len(x), "points that make no difference are left out"
    assert v1[0, 0] == pytest.approx(before[0, 0], abs=0.01), "the row begins where the others do"
    assert np.ptp(v1[:, 0]) == pytest.approx(25.0 * 2.49, abs=0.02)


def test_a_record_that_shows_nothing(record, tmp_path):
    blank = np.full_like(record.signal_mv, np.nan)
    nothing = replace(record, signal_mv=blank, quality=blank[:, 0], snr_db=blank[:, 0], warnings=(), limb_leads=())
    words = report(nothing, tmp_path).text
    assert "No limb leads are printed together" in words and "nothing read" not in words


def test_a_report_that_cannot_be_written(record, tmp_path):
    with pytest.raises(OutputError):
        write_report(record, tmp_path / "missing" / "page.report.html")


@pytest.mark.slow
def test_a_report_on_a_photo(digitizer, tmp_path):
    reading = digitizer.read(Path(__file__).parents[2] / "examples" / "photo.jpg")
    path = write_report(reading.record, tmp_path / "photo.report.html", pictures=pictures_of(reading))
    page = Parsed(path.read_bytes())
    assert 2e5 < path.stat().st_size < 1.5e6
    assert len(page.all("img")) == 2
    (svg,) = page.all("svg")
    assert str(svg["aria-label"]).startswith("photo: I, aVR, V1, V4, II")
    assert 250 < float(str(svg["width"]).removesuffix("mm")) < 281, "it fits on A4, to scale"
    curves = [points_of(str(a["d"])) for a in page.all("path") if a["class"] == "ink"]
    assert len(curves) == 4 + 13, "a pulse a row, and three rows of four leads above a rhythm strip"
    widths = [curve[-1][-1, 0] - curve[0][0, 0] for curve in curves[-1:]]
    assert widths == [pytest.approx(250.0, abs=1.0)]

"""All pages of a batch for a person to read: one HTML table, the worst pages first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element

from ecg_trt.errors import NOTICE
from ecg_trt.io.atomic import atomic_path
from ecg_trt.io.writers import WRITERS
from ecg_trt.io.writers.html import BESIDE, element, html_page, link, picture_beside, row, table
from ecg_trt.io.writers.overlay import OVERLAY_SUFFIX
from ecg_trt.io.writers.report import REPORT_SUFFIX, THUMBNAIL_SUFFIX, facts, graded

if TYPE_CHECKING:
    from ecg_trt.results import PageResult

NAME = "report.html"
"""Name of the file in the folder of a batch."""
_ORDER = ("failed", "ok", "skipped")
_HEADS = ("Page", "Picture", "Status", "Quality", "Layout", "Speed, mm/s", "Gain, mm/mV", "Assumed", "Warnings",
          "Error", "Files")  # fmt: skip


def write_batch_report(results: Sequence[PageResult], folder: str | Path, *, names_files: bool = True) -> Path:
    """Write the table of a batch beside its files, which it links to.

    Args:
        results: of all pages.
        folder: where the files are; of each page those that are there are linked.
        names_files: show the names of the photos, and messages, which hold them; else their stems and codes alone.

    Returns:
        The path of the table.

    Raises:
        OutputError: it could not be written.
    """
    path = Path(folder) / NAME
    several = {file for file, count in Counter(page.file for page in results).items() if count > 1}
    rows = [
        _row(page, _files_of(page.stem, path.parent), _source(page, several) if names_files else "")
        for page in sorted(results, key=_badness)
    ]
    body = (
        element("h1", "ECG pages"),
        element("p", "The worst pages come first. ", element("strong", f"{NOTICE}."), class_="notice"),
        _counts(results),
        _filters(results),
        element("p", f"{len(results)} pages", id="count", role="status"),
        table("Pages of this batch, the worst first", _HEADS, rows),
    )
    with atomic_path(path) as temporary:
        temporary.write_bytes(html_page("ECG pages", *body, script="batch_report.js", images=BESIDE))
    return path


def _badness(page: PageResult) -> tuple[int, float, str]:
    """Sort what failed before what was read, by quality, and that before what was skipped."""
    return _ORDER.index(page.status), -1.0 if page.quality is None else page.quality, page.stem


def _files_of(stem: str, folder: Path) -> dict[str, str]:
    """Map the suffixes of a page's files that are there to their paths below the folder."""
    parent, name = PurePosixPath(stem).parent, PurePosixPath(stem).name
    written = {suffix: writer.stem_on_disk(name) + suffix for writer in WRITERS.values() for suffix in writer.suffixes}
    pictures = {suffix: name + suffix for suffix in (REPORT_SUFFIX, THUMBNAIL_SUFFIX, OVERLAY_SUFFIX)}
    paths = {suffix: str(parent / file) for suffix, file in (written | pictures).items()}
    return {suffix: path for suffix, path in paths.items() if (folder / path).is_file()}


def _source(page: PageResult, several: set[str]) -> str:
    """Name the photo, and its page if the table has several of its file."""
    name = PurePath(page.file).name
    return f"{name}, page {page.page}" if page.file in several else name


def _counts(results: Sequence[PageResult]) -> Element:
    counts = Counter(str(page.status) for page in results)
    return facts([(status, str(counts[status])) for status in _ORDER if counts[status]])


def _filters(results: Sequence[PageResult]) -> Element:
    """Make the form that hides rows; without scripts it stays hidden itself."""
    warnings = sorted({code for page in results for code in page.warnings})
    statuses = [status for status in _ORDER if any(page.status == status for page in results)]
    return element(
        "form",
        _labelled("Words", element("input", type="search", name="words")),
        _labelled("Status", _choice("status", statuses)),
        _labelled("Warning", _choice("warning", warnings)),
        _labelled("Quality at most", element("input", type="number", name="quality", min="0", max="1", step="0.05")),
        element("button", "Show all", type="reset"),
        class_="filters", hidden="",
    )  # fmt: skip


def _labelled(text: str, field: Element) -> Element:
    return element("label", text, field)


def _choice(name: str, values: Iterable[str]) -> Element:
    return element(
        "select", element("option", "any", value=""), [element("option", value) for value in values], name=name
    )


def _row(page: PageResult, files: Mapping[str, str], source: str) -> Element:
    """Make the row of a page; without a source, its name and the message, which holds it, are left out."""
    title = link(files[REPORT_SUFFIX], page.stem) if REPORT_SUFFIX in files else page.stem
    links = (
        link(path, suffix[1:]) for suffix, path in files.items() if suffix not in (REPORT_SUFFIX, THUMBNAIL_SUFFIX)
    )
    return row(
        [title, element("div", source, class_="notice")],
        picture_beside(files[THUMBNAIL_SUFFIX]) if THUMBNAIL_SUFFIX in files else "",
        str(page.status),
        "" if page.quality is None else graded(page.quality),
        page.layout,
        _number(page.speed_mm_per_s),
        _gains(page),
        ", ".join(page.assumed),
        chain.from_iterable((element("code", code), " ") for code in page.warnings),
        element("div", f"{page.error}: {page.message}" if page.error and source else page.error, class_="words"),
        chain.from_iterable((part, " ") for part in links),
        data_status=str(page.status),
        data_quality="" if page.quality is None else f"{page.quality:.4f}",
        data_warnings=" ".join(page.warnings),
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _gains(page: PageResult) -> str:
    limb, chest = _number(page.gain_mm_per_mv), _number(page.chest_gain_mm_per_mv)
    return f"{limb}, chest leads {chest}" if chest not in ("", limb) else limb

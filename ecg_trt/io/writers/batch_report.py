"""All pages of a batch for a person to read: one HTML table, the worst pages first."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element

from ecg_trt.errors import NOTICE
from ecg_trt.io.atomic import atomic_path
from ecg_trt.io.writers import WRITERS
from ecg_trt.io.writers.html import BESIDE, element, html_page, link, picture_beside, row, table
from ecg_trt.io.writers.report import SUFFIX, THUMBNAIL_SUFFIX, facts, graded

if TYPE_CHECKING:
    from ecg_trt.results import PageResult

NAME = "report.html"
"""Name of the file in the folder of a batch."""
_FAILED, _OK, _SKIPPED = "failed", "ok", "skipped"
_ORDER = {_FAILED: 0, _OK: 1, _SKIPPED: 2}
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
    present = frozenset(file.name for file in path.parent.iterdir()) if path.parent.is_dir() else frozenset()
    ordered = sorted(results, key=_badness)
    body = (
        element("h1", "ECG pages"),
        element("p", "The worst pages come first. ", element("strong", f"{NOTICE}."), class_="notice"),
        _counts(results),
        _filters(results),
        element("p", f"{len(results)} pages", id="count", role="status"),
        table("Pages of this batch, the worst first", _HEADS, [_row(page, present, names_files) for page in ordered]),
    )
    with atomic_path(path) as temporary:
        temporary.write_bytes(html_page("ECG pages", *body, script="batch_report.js", images=BESIDE))
    return path


def _badness(page: PageResult) -> tuple[int, float, str]:
    """Sort what failed before what was read, by quality, and that before what was skipped."""
    quality = _quality(page)
    return _ORDER.get(page.status, 0), quality if math.isfinite(quality) else -1.0, page.stem


def _quality(page: PageResult) -> float:
    return math.nan if page.quality is None else page.quality


def _counts(results: Sequence[PageResult]) -> Element:
    counts = Counter(page.status for page in results)
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


def _row(page: PageResult, present: frozenset[str], names_files: bool) -> Element:
    files = [name for name in _file_names(page.stem) if name in present]
    report, thumbnail = page.stem + SUFFIX, page.stem + THUMBNAIL_SUFFIX
    is_read = page.status == _OK
    title = page.stem or PurePath(page.file).stem
    heading: list[Element | str] = [link(report, title) if report in files else title]
    if names_files:
        heading.append(element("div", _source(page), class_="notice"))
    error = f"{page.error}: {page.message}" if names_files and page.message else page.error
    quality = _quality(page)
    return row(
        heading,
        picture_beside(thumbnail) if thumbnail in present else "",
        page.status,
        graded(quality) if is_read else "",
        page.layout if is_read else "",
        _number(page.speed_mm_per_s) if is_read else "",
        _gains(page) if is_read else "",
        ", ".join(page.assumed),
        ", ".join(page.warnings),
        error,
        [part for name in files for part in (link(name, name.removeprefix(page.stem).lstrip(".")), " ")],
        data_status=page.status,
        data_quality=f"{quality:.4f}" if math.isfinite(quality) else "",
        data_warnings=" ".join(page.warnings),
    )


def _file_names(stem: str) -> list[str]:
    """List the files that a page may have."""
    written = [writer.stem_on_disk(stem) + suffix for writer in WRITERS.values() for suffix in writer.suffixes]
    return [stem + SUFFIX, *written, f"{stem}.overlay.png"] if stem else []


def _source(page: PageResult) -> str:
    name = PurePath(page.file).name
    return name if page.page is None else f"{name}, page {page.page}"


def _number(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:g}"


def _gains(page: PageResult) -> str:
    limb, chest = _number(page.gain_mm_per_mv), _number(page.chest_gain_mm_per_mv)
    return f"{limb}, chest leads {chest}" if chest not in ("", limb) else limb

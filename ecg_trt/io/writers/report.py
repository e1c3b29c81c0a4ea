"""A record for a person to read: one HTML file that needs no other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePath
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element

import numpy as np

from ecg_trt.errors import NO_DIAGNOSIS, NOTICE
from ecg_trt.io.atomic import atomic_path
from ecg_trt.io.writers.analysis import TITLES, classes_in_words, titled
from ecg_trt.io.writers.html import Content, element, html_page, link, picture, row, table
from ecg_trt.io.writers.image import encoded, fitted, write_image
from ecg_trt.io.writers.json import versions
from ecg_trt.io.writers.leads_svg import leads_svg
from ecg_trt.io.writers.legend import grade_of
from ecg_trt.io.writers.overlay import draw_overlay
from ecg_trt.io.writers.paper import printed_rows
from ecg_trt.io.writers.photo_picture import draw_photo
from ecg_trt.types import Array

if TYPE_CHECKING:
    from ecg_trt.analysis import Analysis
    from ecg_trt.io.writers.analysis_files import Drawn
    from ecg_trt.reading import Reading
    from ecg_trt.record import EcgRecord

REPORT_SUFFIX, THUMBNAIL_SUFFIX = ".report.html", ".thumb.jpg"
_PHOTO_PX, _OVERLAY_PX, _THUMBNAIL_PX = 1000, 1800, 240  # Longer sides of the pictures at most.
_JPEG_QUALITY, _THUMBNAIL_QUALITY = 82, 75


@dataclass(frozen=True, slots=True)
class Pictures:
    """Pictures of a reading.

    Attributes:
        photo: (h, w, 3) uint8 RGB, with the outline of the flat page.
        overlay: (h, w, 3) uint8 RGB, see `draw_overlay`; without the photo.
    """

    photo: Array
    overlay: Array


def pictures_of(reading: Reading) -> Pictures:
    """Draw the pictures of a report."""
    photo = draw_photo(reading.photo, reading.grid, reading.page)
    return Pictures(photo, draw_overlay(reading.page, reading.strips, reading.trace, reading.record))


def write_report(
    record: EcgRecord,
    path: str | Path,
    *,
    pictures: Pictures | None = None,
    files: Sequence[str] = (),
    analysis: Analysis | None = None,
    drawn: Sequence[Drawn] = (),
) -> Path:
    """Write a report; with pictures, a thumbnail beside it, which the table of a batch shows.

    Args:
        record: what to report on.
        path: ends in `REPORT_SUFFIX`, replaced if it is there; what stands before the suffix is the title.
        pictures: of the reading, left out for a record of several photos.
        files: names of the record's other files, in the same folder, to link to.
        analysis: of the record, left out if None.
        drawn: its pictures.

    Returns:
        The path.

    Raises:
        OutputError: it could not be written.
    """
    path = Path(path)
    title = path.name.removesuffix(REPORT_SUFFIX)
    sections = (
        *_summary(record, title),
        _section("Warnings", _warnings(record)),
        _section("Files", element("ul", [element("li", link(name)) for name in files], class_="files")),
        _section("Leads", _leads(record, title), class_="leads"),
        *_analysis(analysis, drawn),
        *_pictures(pictures),
        _section("Quality", _quality(record)),
        _section("Checks", _checks(record)),
        _section("Versions", _versions(record)),
    )
    if pictures is not None:
        thumbnail = fitted(pictures.photo, _THUMBNAIL_PX, _THUMBNAIL_PX)
        write_image(thumbnail, path.with_name(title + THUMBNAIL_SUFFIX), jpeg_quality=_THUMBNAIL_QUALITY)
    with atomic_path(path) as temporary:
        temporary.write_bytes(html_page(f"{title}: ECG report", *sections))
    return path


def graded(quality: float) -> Element:
    """Write a quality with its grade."""
    if not np.isfinite(quality):
        return element("span", "not printed", class_="none")
    return element("span", f"{quality:.2f} {grade_of(quality)}", class_=grade_of(quality))


def facts(pairs: Sequence[tuple[str, Element | str]]) -> Element:
    """List names with their values."""
    return element(
        "dl", [element("div", element("dt", name), element("dd", value)) for name, value in pairs], class_="facts"
    )


def _section(heading: str, *content: Content, class_: str = "") -> Element:
    return element("section", element("h2", heading), *content, **({"class_": class_} if class_ else {}))


def _summary(record: EcgRecord, title: str) -> Iterator[Element]:
    yield element("h1", title)
    origin = "Digitized" if record.is_digitized else "Taken as it is"
    origin += f" from {PurePath(record.source).name} by ecg_trt. " if record.source else " by ecg_trt. "
    yield element("p", origin, element("strong", f"{NOTICE}."), class_="notice")
    length = "Record", f"{record.signal_mv.shape[1] / record.fs:g} s at {record.fs:g} Hz"
    if not record.is_digitized:
        yield facts([length])
        return
    assumed = ", ".join(record.assumed)
    yield facts(
        [
            ("Mean quality", graded(record.mean_quality)),
            ("Layout", f"{record.layout} (probability {record.layout_probability:.2f})"),
            ("Paper speed", f"{record.paper_speed_mm_per_s:g} mm/s" + ", assumed" * ("speed" in record.assumed)),
            ("Gain", record.gain_text + ", assumed" * ("gain" in record.assumed)),
            length,
            (
                "Assumed",
                f"{assumed}: neither read nor given" if assumed else "nothing: speed and gain were read or given",
            ),
        ]
    )


def _warnings(record: EcgRecord) -> Element:
    if not record.warnings:
        return element("p", "None.")
    items = [element("li", warning.text, " ", element("code", str(warning.code))) for warning in record.warnings]
    return element("ul", items, class_="warnings")


def _leads(record: EcgRecord, title: str) -> Element:
    drawing = leads_svg(record, title)
    label = "Leads to scale: printed at 100 %, a millimetre is a millimetre."
    return element("div", drawing, class_="scroll", tabindex="0", role="region", aria_label=label)


def _pictures(pictures: Pictures | None) -> Iterator[Element]:
    if pictures is None:
        return
    yield _section(
        "What was read",
        _figure(pictures.overlay, _OVERLAY_PX, "The flattened page with the traces that were read drawn on it.",
                "Does the trace lie on the ink, do the names stand at their leads, is the bar of 1 mV as high as the "
                "printed pulse?"),
    )  # fmt: skip
    yield _section(
        "Photo",
        _figure(pictures.photo, _PHOTO_PX, "The photo, with the outline of the part of the page that was read.",
                "The outline is the part of the page that is shown above."),
    )  # fmt: skip


def _figure(image: Array, side_px: int, text: str, caption: str) -> Element:
    data = encoded(fitted(image, side_px, side_px), ".jpg", jpeg_quality=_JPEG_QUALITY)
    return element("figure", picture(data, "image/jpeg", text), element("figcaption", caption))


def _analysis(analysis: Analysis | None, drawn: Sequence[Drawn]) -> Iterator[Element]:
    if analysis is None:
        return
    heads = ("Figure", "Value", "Confidence", "Leads", "Beats")
    rows = (
        row(TITLES[m.name], f"{m.value:.0f} {m.unit}", f"{m.confidence:.2f}", ", ".join(m.leads), str(len(m.beats)))
        for m in titled(analysis)
    )
    left_out = [element("li", TITLES.get(o.name, o.name), ": ", o.text) for o in analysis.omissions]
    yield _section(
        "Analysis",
        element("p", element("strong", NO_DIAGNOSIS), class_="notice"),
        table(
            f"{len(analysis.beats.r_s)} beats, {analysis.beats.regularity or 'too few to judge the rhythm'}",
            heads,
            rows,
        ),
        element("p", "" if analysis.classes is None else classes_in_words(analysis.classes)),
        [element("figure", picture(data, "image/png", drawing.text)) for drawing, data in drawn],
        element("p", "Left out:") if left_out else "",
        element("ul", left_out),
    )


def _quality(record: EcgRecord) -> Element:
    heads = ("Lead", "Quality", "Expected SNR, dB", "Gain, mm/mV", "Printed, s", "Seen, s")
    printed = _printed_s(record)
    rows = (
        row(lead, graded(float(quality)), _number(snr_db, 1), f"{record.gain_of(lead):g}", _number(printed[lead], 2),
            _number(np.isfinite(signal).sum() / record.fs, 2))
        for lead, quality, snr_db, signal in zip(
            record.lead_names, record.quality, record.snr_db, record.signal_mv, strict=True
        )
    )  # fmt: skip
    return table("Quality of each lead, 0 to 1: 0.5 stands for an expected SNR of 10 dB.", heads, rows)


def _printed_s(record: EcgRecord) -> dict[str, float]:
    """Measure for how long each lead is printed, s; a time that is printed twice counts once."""
    masks = {lead: np.zeros(record.signal_mv.shape[1], bool) for lead in record.lead_names}
    for span in chain.from_iterable(printed_rows(record)):
        masks[span.lead][max(round(span.start_s * record.fs), 0) : max(round(span.end_s * record.fs), 0)] = True
    return {lead: float(mask.sum()) / record.fs for lead, mask in masks.items()}


def _number(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}" if np.isfinite(value) else "-"


def _checks(record: EcgRecord) -> Iterator[Element]:
    if record.limb_leads:
        rows = (
            row(", ".join(check.leads), f"{check.start_s:.2f} to {check.end_s:.2f}", f"{check.residual:.3f}",
                "yes" if check.is_blended else "no")
            for check in record.limb_leads
        )  # fmt: skip
        caption = (
            "Einthoven residual: how far limb leads that are printed together contradict Einthoven's and Goldberger's "
            "laws, before they were made consistent. 0 is not at all, 1 is what unrelated leads do."
        )
        yield table(caption, ("Leads", "Seconds", "Residual", "Made consistent"), rows)
    else:
        yield element("p", "No limb leads are printed together that could be compared.")
    if record.photos:
        caption = "Photos that the record was merged from, with their mean share."
        photos = (
            row(PurePath(photo.source).name or f"photo {k}", _number(_mean(photo.weight), 2), photo.left_out)
            for k, photo in enumerate(record.photos, 1)
        )
        yield table(caption, ("Photo", "Share", "Left out"), photos)


def _mean(values: Array) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else float("nan")


def _versions(record: EcgRecord) -> Element:
    weights = [(f"network {name}", digest) for name, digest in record.weights.items()]
    return facts([*versions().items(), ("backend", record.backend or "none"), *weights])

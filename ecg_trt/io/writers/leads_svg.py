"""Leads as an SVG drawing on ECG paper, to scale: 1 mm of paper is 1 mm of the drawing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element

import cv2
import numpy as np

from ecg_trt.io.writers.html import element
from ecg_trt.io.writers.paper import CAPITAL, NAME_HEIGHT_MM, TEXT_HEIGHT_MM, PaperRow, lay_out
from ecg_trt.layout import LARGE_BOX_MM, SMALL_BOX_MM
from ecg_trt.types import Array

if TYPE_CHECKING:
    from ecg_trt.record import EcgRecord

_TOLERANCE_MM = 0.02  # Points of a curve nearer than this to the line through their neighbours are left out.


def leads_svg(record: EcgRecord, title: str) -> Element:
    """Draw a record as its page had it.

    Args:
        record: what to draw.
        title: read out in place of the drawing, and written at its top.
    """
    paper = lay_out(record)
    width, height = (f"{side:g}" for side in paper.size_mm)
    text = f"{title}: {', '.join(dict.fromkeys(lead.name for row in paper.rows for lead in row.leads))}"
    return element(
        "svg",
        element("title", text),
        element("defs", _grid("small", SMALL_BOX_MM, None), _grid("large", LARGE_BOX_MM, "small")),
        element("rect", width=width, height=height, class_="sheet"),
        element("rect", width=width, height=height, fill="url(#large)"),
        [_row(row) for row in paper.rows],
        _text(paper.title_at, title, TEXT_HEIGHT_MM),
        _text(paper.footer_at, paper.footer, TEXT_HEIGHT_MM),
        role="img", aria_label=text, width=f"{width}mm", height=f"{height}mm", viewBox=f"0 0 {width} {height}",
        class_="paper",
    )  # fmt: skip


def _grid(name: str, step_mm: float, below: str | None) -> Element:
    """Make a pattern of boxes, on another pattern where one is given."""
    side = f"{step_mm:g}"
    ground = [element("rect", width=side, height=side, fill=f"url(#{below})")] if below else []
    lines = element("path", d=f"M {side} 0 H 0 V {side}", class_=f"{name} grid")
    return element("pattern", ground, lines, id=name, width=side, height=side, patternUnits="userSpaceOnUse")


def _row(row: PaperRow) -> Element:
    pulses = [element("path", d=_path(pulse), class_="ink") for pulse in row.pulses]
    curves, names = [], []
    for lead in row.leads:
        points = np.stack((lead.x_mm, lead.y_mm), -1)
        data = " ".join(_path(_simplified(run)) for run in _runs(points))
        curves.append(element("path", d=data, class_="ink"))
        names.append(_text(row.name_at(lead), lead.name, NAME_HEIGHT_MM, class_="name"))
    return element("g", pulses, curves, names)


def _runs(points: Array) -> Iterator[Array]:
    """Split a curve (n, 2) at its gaps."""
    finite = np.isfinite(points).all(-1)
    edges = np.flatnonzero(np.diff(finite)) + 1
    return (run for run in np.split(points, edges) if run.size and np.isfinite(run[0]).all())


def _simplified(points: Array) -> Array:
    """Leave out the points of a curve (n, 2) that make no difference on paper."""
    return np.asarray(cv2.approxPolyDP(points.astype(np.float32)[:, None], _TOLERANCE_MM, False))[:, 0]


def _path(points: Array) -> str:
    """Write a polyline (n, 2) as path data, in hundredths of a millimetre."""
    first, *rest = (f"{x:.2f} {y:.2f}" for x, y in points)
    return f"M {first} L {' '.join(rest or [first])}"


def _text(at: tuple[float, float], text: str, height_mm: float, **attributes: str) -> Element:
    x, y = (f"{side:g}" for side in at)
    return element("text", text, x=x, y=y, font_size=f"{height_mm / CAPITAL:.2f}", **attributes)

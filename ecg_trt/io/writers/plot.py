"""A record as a matplotlib figure: ECG paper to scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ecg_trt.io.writers.figure import blank_figure
from ecg_trt.io.writers.paper import CAPITAL, NAME_HEIGHT_MM, TEXT_HEIGHT_MM, Paper, lay_out
from ecg_trt.layout import LARGE_BOX_MM, SMALL_BOX_MM

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ecg_trt.record import EcgRecord

_INCH_MM, _POINT_MM = 25.4, 25.4 / 72
_GRIDS = ((SMALL_BOX_MM, "#f8dcd8", 0.1), (LARGE_BOX_MM, "#eeb0a8", 0.2))  # Spacing, mm; colour; width of lines, mm.
_INK, _PEN_MM = "#10243e", 0.3


def plot_record(record: EcgRecord, *, speed: float | None = None, gain: float | None = None) -> Figure:
    """Draw the record as its page had it, 1 mm of paper on 1 mm of the figure.

    The figure belongs to nobody: no window, no global state. `figure.savefig("leads.pdf")` writes it. Data coordinates
    of its one panel are mm on the paper, see `io.writers.paper`.

    Args:
        record: what to draw.
        speed: mm/s; that of the page if None.
        gain: mm/mV of all leads; those of the page if None.

    Returns:
        The figure.

    Raises:
        OptionError: a scale is not above zero.
        OutputError: matplotlib is not installed.
    """
    paper = lay_out(record, speed=speed, gain=gain)
    width, height = paper.size_mm
    figure = blank_figure("The record cannot be drawn", width / _INCH_MM, height / _INCH_MM)
    panel = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    panel.set_xlim(0.0, width)
    panel.set_ylim(height, 0.0)
    panel.set_axis_off()
    # The lines are collections: a tick for each of them would take ten times as long to draw.
    for step, colour, line_mm in _GRIDS:
        pen = line_mm / _POINT_MM
        panel.vlines(np.arange(0.0, width + 1e-6, step), 0.0, height, colors=colour, linewidths=pen, zorder=0)
        panel.hlines(np.arange(0.0, height + 1e-6, step), 0.0, width, colors=colour, linewidths=pen, zorder=0)
    _draw_rows(panel, paper)
    _text(panel, paper.title_at, paper.title, TEXT_HEIGHT_MM)
    _text(panel, paper.footer_at, paper.footer, TEXT_HEIGHT_MM)
    return figure


def _draw_rows(panel: Axes, paper: Paper) -> None:
    """Draw pulses, curves and names; NaN breaks a curve."""
    pen = _PEN_MM / _POINT_MM
    for row in paper.rows:
        for pulse in row.pulses:
            panel.plot(pulse[:, 0], pulse[:, 1], color=_INK, linewidth=pen)
        for lead in row.leads:
            panel.plot(lead.x_mm, lead.y_mm, label=lead.name, color=_INK, linewidth=pen, solid_joinstyle="round")
            _text(panel, row.name_at(lead), lead.name, NAME_HEIGHT_MM, weight="bold")


def _text(panel: Axes, at: tuple[float, float], text: str, height_mm: float, weight: str = "normal") -> None:
    """Write a line of text from its left end on, with capitals of a height."""
    # A name of a file may hold what no font has, and a dollar sign is no formula.
    shown = "".join(c if c.isprintable() else "?" for c in text)
    panel.text(*at, shown, fontsize=height_mm / CAPITAL / _POINT_MM, color=_INK, weight=weight, parse_math=False)

"""Analysis as a matplotlib figure: median beats with their fiducials, and the intervals between beats."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ecg_trt.errors import NO_DIAGNOSIS
from ecg_trt.io.writers.analysis import lines_of
from ecg_trt.io.writers.figure import blank_figure
from ecg_trt.types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ecg_trt.analysis import Analysis, BeatClasses

_COLUMNS, _PANEL_IN, _FOOT_IN = 4, (2.6, 1.7), 2.8
_INK, _PALE, _EARLY = "#10243e", "#9aa7b8", "#c2410c"
_WAVES = {"P": "#15803d", "QRS": "#b91c1c", "T": "#1d4ed8"}
_CLASSES = {"N": _INK, "S": "#b45309", "V": "#b91c1c", "F": "#7e22ce", "Q": _INK}
_MOST_LETTERS, _CLASS_ROW = 40, 0.93  # Beats that are marked by letters; height of these in the panel, 0..1.
_CLASS_ROWS = np.linspace(0.975, 0.815, len(_CLASSES))  # Heights of the ticks of more beats, a row a class.
_MOST_JOINED = 150  # Beats up to which intervals are joined by a line, and time is in seconds.
_MARGIN_S = 0.3
_SIZE = 8


def plot_analysis(analysis: Analysis) -> Figure:
    """Draw the median beat of each lead with onsets and ends of its waves, the tachogram and the figures.

    Args:
        analysis: what to draw.

    Returns:
        The figure, which belongs to no window.

    Raises:
        OutputError: matplotlib is not installed.
    """
    median = analysis.beats.median
    shown = [row for row, beat in enumerate(median.mv) if np.isfinite(beat).any()]
    rows = max(1, -(-len(shown) // _COLUMNS))
    width, height = _COLUMNS * _PANEL_IN[0], rows * _PANEL_IN[1] + _FOOT_IN
    figure = blank_figure("The analysis cannot be drawn", width, height, layout="constrained")
    parts = figure.subfigures(2, 1, squeeze=False, height_ratios=(rows * _PANEL_IN[1], _FOOT_IN))
    above, below = parts[:, 0]
    panels = above.subplots(rows, _COLUMNS, sharex=True, squeeze=False).ravel()
    for panel in panels[len(shown) :]:
        panel.set_axis_off()
    for panel, row in zip(panels, shown, strict=False):
        _draw_beat(panel, analysis, row)
    tachogram, text = below.subplots(1, 2, width_ratios=(3, 2))
    _draw_intervals(tachogram, analysis)
    text.set_axis_off()
    text.text(0, 1, "\n".join(lines_of(analysis)), va="top", family="monospace", size=_SIZE, parse_math=False)
    above.supxlabel("ms from R; P green, QRS red, T blue", size=_SIZE)
    above.supylabel("mV", size=_SIZE)
    figure.supxlabel(NO_DIAGNOSIS, size=_SIZE + 1, weight="bold")
    return figure


def _draw_beat(panel: Axes, analysis: Analysis, row: int) -> None:
    """Draw the median beat of a lead, pale where no interval rests on it."""
    median, intervals = analysis.beats.median, analysis.intervals
    is_used = intervals is not None and median.leads[row] in intervals.leads
    panel.plot(1e3 * median.time_s, median.mv[row], color=_INK if is_used else _PALE, linewidth=0.9)
    if intervals is not None:
        for wave, span in intervals.spans.items():
            for at in (span.onset_s, span.end_s):
                if np.isfinite(at):
                    panel.axvline(1e3 * at, color=_WAVES[wave.value], linewidth=0.7)
    panel.set_title(f"{median.leads[row]}, {len(median.beats[row])} beats", size=_SIZE, loc="left", pad=2)
    panel.tick_params(labelsize=_SIZE - 2)
    panel.grid(linewidth=0.3)


def _draw_intervals(panel: Axes, analysis: Analysis) -> None:
    """Draw the interval that each beat ends, at its time; a gap where no lead shows it."""
    beats = analysis.beats
    is_long = len(beats.r_s) > _MOST_JOINED
    unit, unit_s, line, size = ("min", 60.0, 0.0, 2.0) if is_long else ("s", 1.0, 0.9, 4.0)
    at, ms, early = beats.r_s / unit_s, 1e3 * beats.rr_s, beats.is_early[1:]
    panel.plot(at[1:], ms, "o-", color=_INK, markersize=size, linewidth=line, markeredgewidth=0)
    panel.plot(at[1:][early], ms[early], "o", color=_EARLY, markersize=size, markeredgewidth=0)
    title = "Interval before each beat, ms" + ", early beats orange" * bool(early.any())
    if analysis.classes is not None and analysis.classes.lead:
        _draw_classes(panel, at, analysis.classes)
        title += f"; class of each beat on {analysis.classes.lead}"
    panel.set_title(title, size=_SIZE, loc="left")
    if len(at):
        panel.set_xlim(at[0] - _MARGIN_S / unit_s, at[-1] + _MARGIN_S / unit_s)  # Also where no interval ends.
    panel.set_xlabel(unit, size=_SIZE)
    panel.tick_params(labelsize=_SIZE - 2)
    panel.grid(linewidth=0.3)
    panel.margins(y=0.3)
    panel.set_ylim(bottom=max(0.0, panel.get_ylim()[0]))


def _draw_classes(panel: Axes, at: Array, classes: BeatClasses) -> None:
    """Mark each beat that was judged above the intervals: by its letter where there is room, else in a row a class."""
    is_roomy = len(classes.names) <= _MOST_LETTERS
    above = panel.get_xaxis_transform()
    for (name, colour), row in zip(_CLASSES.items(), _CLASS_ROWS, strict=True):
        own = at[[found == name for found in classes.names]]
        if is_roomy:
            for x in own:
                panel.text(x, _CLASS_ROW, name, transform=above, color=colour, size=_SIZE, ha="center", va="center",
                           weight="normal" if name == "N" else "bold")  # fmt: skip
        elif len(own):
            panel.plot(own, np.full(len(own), row), "|", transform=above, color=colour, markersize=4)
            panel.text(1.005, row, name, transform=panel.transAxes, color=colour, size=_SIZE - 2, va="center")

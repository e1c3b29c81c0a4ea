"""Analysis as a matplotlib figure: median beats with their fiducials, and the intervals between beats."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ecg_trt.errors import NO_DIAGNOSIS
from ecg_trt.io.writers.analysis import lines_of
from ecg_trt.io.writers.figure import blank_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ecg_trt.analysis import Analysis, BeatClasses

_COLUMNS, _PANEL_IN, _FOOT_IN = 4, (2.6, 1.7), 2.8
_INK, _PALE, _EARLY = "#10243e", "#9aa7b8", "#c2410c"
_WAVES = {"P": "#15803d", "QRS": "#b91c1c", "T": "#1d4ed8"}
_CLASSES = {"N": (_INK, "o"), "S": ("#b45309", "^"), "V": ("#b91c1c", "s"), "F": ("#7e22ce", "D"), "Q": (_INK, "x")}
_MOST_LETTERS, _CLASS_ROW = 40, 0.93  # Beats that are marked by letters; height of the marks in the panel, 0..1.
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
    panel.plot(beats.r_s[1:], 1e3 * beats.rr_s, color=_INK, marker="o", markersize=3, linewidth=0.9)
    early = beats.is_early[1:]
    panel.plot(beats.r_s[1:][early], 1e3 * beats.rr_s[early], "o", color=_EARLY, markersize=4)
    title = "Interval before each beat, ms" + ", early beats orange" * bool(early.any())
    if analysis.classes is not None and analysis.classes.lead:
        _draw_classes(panel, analysis, analysis.classes)
        title += f"; class of each beat on {analysis.classes.lead}"
    panel.set_title(title, size=_SIZE, loc="left")
    if len(beats.r_s):
        panel.set_xlim(beats.r_s[0] - _MARGIN_S, beats.r_s[-1] + _MARGIN_S)  # Also where no interval ends.
    panel.set_xlabel("s", size=_SIZE)
    panel.tick_params(labelsize=_SIZE - 2)
    panel.grid(linewidth=0.3)
    panel.margins(y=0.3)


def _draw_classes(panel: Axes, analysis: Analysis, classes: BeatClasses) -> None:
    """Mark each beat that was judged above the intervals, at its time; by its letter where there is room."""
    is_roomy = len(classes.names) <= _MOST_LETTERS
    above = panel.get_xaxis_transform()
    for name, (colour, mark) in _CLASSES.items():
        at_s = analysis.beats.r_s[[found == name for found in classes.names]]
        if is_roomy:
            for at in at_s:
                panel.text(at, _CLASS_ROW, name, transform=above, color=colour, size=_SIZE, ha="center", va="center",
                           weight="normal" if name == "N" else "bold")  # fmt: skip
        elif len(at_s):
            panel.plot(at_s, np.full(len(at_s), _CLASS_ROW), mark, transform=above, color=colour, markersize=3,
                       label=name)  # fmt: skip
    if not is_roomy:
        panel.legend(fontsize=_SIZE - 2, loc="lower left", ncols=len(_CLASSES))

"""A record as a matplotlib figure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ecg_trt.errors import NOTICE, OutputError, install_hint

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ecg_trt.record import EcgRecord

_ROWS = 6
_LARGE_BOX_S, _LARGE_BOX_MV = 0.2, 0.5
_GRID, _INK = "#f3b6b0", "#10243e"


def plot_record(record: EcgRecord) -> Figure:
    """Draw a panel for each lead, in columns of six, on large boxes of 0.2 s by 0.5 mV.

    The figure belongs to nobody: no window, no global state. `figure.savefig("leads.pdf")` writes it.

    Args:
        record: what to draw.

    Returns:
        The figure.

    Raises:
        OutputError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise OutputError(
            "The record cannot be drawn",
            got="no matplotlib",
            expected="the extra plot",
            hint=install_hint("plot"),
        ) from error
    figure = Figure(figsize=(14.0, 9.0), layout="constrained")
    rows = min(_ROWS, len(record.lead_names))
    columns = math.ceil(len(record.lead_names) / rows)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    limits = _limits_mv(record)
    for row, (name, panel) in enumerate(zip(record.lead_names, panels.T.ravel(), strict=False)):
        _draw_lead(panel, record, row, limits)
        quality = record.quality[row]
        note = f"quality {quality:.2f}" if np.isfinite(quality) else "not printed"
        panel.set_title(f"{name}   {note}", loc="left", fontsize=9)
    for panel in panels.T.ravel()[len(record.lead_names) :]:
        panel.set_axis_off()
    for panel in panels[-1]:
        panel.set_xlabel("s")
    for panel in panels[:, 0]:
        panel.set_ylabel("mV")
    figure.suptitle(
        f"{record.source}   {record.layout}, {record.paper_speed_mm_per_s:g} mm/s, {record.gain_text}   ({NOTICE})",
        fontsize=10,
    )
    return figure


def _limits_mv(record: EcgRecord) -> tuple[float, float]:
    """Find the limits, in whole large boxes, that hold every lead, at least -1 .. 1 mV."""
    finite = np.isfinite(record.signal_mv)
    low = float(np.min(record.signal_mv, where=finite, initial=-1.0))
    high = float(np.max(record.signal_mv, where=finite, initial=1.0))
    return (
        math.floor(low / _LARGE_BOX_MV - 1e-6) * _LARGE_BOX_MV,
        math.ceil(high / _LARGE_BOX_MV + 1e-6) * _LARGE_BOX_MV,
    )


def _draw_lead(panel: Axes, record: EcgRecord, row: int, limits: tuple[float, float]) -> None:
    """Draw one lead on its grid; NaN breaks the line."""
    signal = record.signal_mv[row]
    duration = signal.size / record.fs
    low, high = limits
    # The lines are two collections: a tick for each of them would take ten times as long to draw.
    panel.vlines(np.arange(0.0, duration + 1e-6, _LARGE_BOX_S), low, high, colors=_GRID, linewidths=0.4)
    panel.hlines(np.arange(low, high + 1e-6, _LARGE_BOX_MV), 0.0, duration, colors=_GRID, linewidths=0.4)
    panel.plot(np.arange(signal.size) / record.fs, signal, color=_INK, linewidth=0.8)
    panel.set_xlim(0.0, duration)
    panel.set_ylim(low, high)
    panel.spines[["top", "right"]].set_visible(False)

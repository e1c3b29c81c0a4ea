"""Figures of matplotlib, and their bytes."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Literal

from ecg_trt.errors import OutputError, install_hint

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 130


def blank_figure(
    what: str, width_in: float, height_in: float, *, layout: Literal["constrained"] | None = None
) -> Figure:
    """Make a figure that belongs to no window; `figure.savefig` writes it.

    Args:
        what: is not done without matplotlib, for the error.
        width_in: inches.
        height_in: inches.
        layout: "constrained" leaves room for all labels.

    Raises:
        OutputError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise OutputError(what, got="no matplotlib", expected="the extra plot", hint=install_hint("plot")) from error
    return Figure(figsize=(width_in, height_in), layout=layout)


def figure_png(figure: Figure) -> bytes:
    """Draw a figure as the bytes of a PNG."""
    data = BytesIO()
    figure.savefig(data, format="png", dpi=_DPI, metadata={"Software": None})
    return data.getvalue()

"""Maps of the heart as matplotlib figures: a bull's-eye, views from four sides, and potentials over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ecg_trt.errors import NO_DIAGNOSIS
from ecg_trt.io.writers.figure import blank_figure
from ecg_trt.io.writers.heart_map import on_surface
from ecg_trt.types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.figure import Figure

    from ecg_trt.analysis.electrophysiology import HeartGeometry, HeartMap

_UNDRAWN = "The heart cannot be drawn"
_INK, _PALE = "#10243e", "#9aa7b8"
_COLOURS = "turbo_r"  # early is red, late is blue, as in maps of electrophysiology
_LIMITS = "Different activations can give one ECG: the map is likely among simulated hearts, not measured."
# Rings of the bull's-eye (American Heart Association, Circulation 105, 2002): inner and outer radius, first segment,
# degrees at which it begins, degrees of each; segments follow counter-clockwise from the anterior wall.
_RINGS = (
    (0.75, 1.0, 1, 60.0, 60.0), (0.5, 0.75, 7, 60.0, 60.0), (0.25, 0.5, 13, 45.0, 90.0), (0.0, 0.25, 17, 0.0, 360.0),
)  # fmt: skip
_MARGIN_MM = 2.0


@dataclass(frozen=True, slots=True)
class _View:
    """A side from which the heart is seen: the axes that point right and towards the viewer."""

    title: str
    right: tuple[float, float, float]
    near: tuple[float, float, float]


_VIEWS = (
    _View("anterior", (1, 0, 0), (0, -1, 0)),
    _View("left lateral", (0, 1, 0), (1, 0, 0)),
    _View("inferior", (-1, 0, 0), (0, 1, 0)),
    _View("right lateral", (0, -1, 0), (-1, 0, 0)),
)
_UP = (0.0, 0.0, 1.0)


def plot_activation(heart_map: HeartMap, note: str = "") -> Figure:
    """Draw the activation as a bull's-eye of the left ventricle and on the surface from four sides.

    The figure belongs to no window; `figure.savefig` writes it.

    Args:
        heart_map: what to draw.
        note: a sentence on it, for the title.

    Raises:
        OutputError: matplotlib is not installed.
    """
    figure = blank_figure(_UNDRAWN, 12.0, 5.8, layout="constrained")
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    norm = Normalize(float(heart_map.activation_ms.min()), float(heart_map.activation_ms.max()))
    colours = colormaps[_COLOURS]
    left, right = np.asarray(figure.subfigures(1, 2, width_ratios=(1, 1.15)))
    eye = left.subplots()
    _draw_bulls_eye(eye, heart_map, norm, colours)
    values = on_surface(heart_map, heart_map.activation_ms)
    panels = right.subplots(2, 2).ravel()
    for panel, view in zip(panels, _VIEWS, strict=True):
        _draw_view(panel, heart_map.geometry, values, view, norm, colours)
    bar = right.colorbar(ScalarMappable(norm, colours), ax=list(panels), shrink=0.8)
    bar.set_label("activation, ms after the onset of the QRS complex", color=_INK)
    _sign(figure, heart_map, "Activation of the heart", note)
    return figure


def plot_potentials(heart_map: HeartMap, note: str = "") -> Figure:
    """Draw the transmembrane potentials of the points on the endocardium and in the septum, a panel each.

    Args:
        heart_map: what to draw.
        note: a sentence on it, for the title.

    Raises:
        OptionError: the map has no potentials.
        OutputError: matplotlib is not installed.
    """
    potentials = heart_map.require_potentials()
    figure = blank_figure(_UNDRAWN, 12.0, 8.0, layout="constrained")
    shown = [k for k, name in enumerate(heart_map.geometry.names) if "_" not in name]
    panels = figure.subplots(5, 6, sharex=True, sharey=True).ravel()
    for panel, k in zip(panels, shown, strict=True):
        panel.plot(heart_map.times_ms, potentials[k], color=_INK, linewidth=0.9)
        panel.axvline(heart_map.activation_ms[k], color="#b91c1c", linewidth=0.7)
        panel.axhline(0.0, color=_PALE, linewidth=0.5)
        panel.set_title(heart_map.geometry.names[k], fontsize=8, color=_INK, pad=2)
        panel.tick_params(labelsize=7)
    figure.supxlabel("ms after the onset of the QRS complex", fontsize=8)
    figure.supylabel("mV", fontsize=8)
    _sign(figure, heart_map, "Transmembrane potentials; red: activation", note)
    return figure


def _sign(figure: Figure, heart_map: HeartMap, title: str, note: str) -> None:
    """Write the title, and below it what a reader must know."""
    missing = "" if len(heart_map.leads) == 12 else f"From {len(heart_map.leads)} leads."
    heading = " ".join(filter(None, (f"{title}.", missing, note)))
    figure.suptitle(f"{heading}\n{NO_DIAGNOSIS} {_LIMITS}", fontsize=9, color=_INK)


def _draw_bulls_eye(panel: Axes, heart_map: HeartMap, norm: Normalize, colours: Colormap) -> None:
    """Draw the 17 segments, apex in the middle, anterior above, lateral on the right."""
    from matplotlib.patches import Wedge

    times = dict(zip(heart_map.geometry.names, heart_map.activation_ms.tolist(), strict=True))
    for inner, outer, first, begin, width in _RINGS:
        for k in range(round(360 / width)):
            start, segment = begin + k * width, first + k
            ms = times[f"AHA{segment:02d}"]
            colour = colours(norm(ms))
            panel.add_patch(Wedge((0, 0), outer, start, start + width, width=outer - inner, facecolor=colour,
                                  edgecolor="white", linewidth=1.5))  # fmt: skip
            radius, middle = ((inner + outer) / 2 if inner else 0.0), np.radians(start + width / 2)
            luminance = np.dot(colour[:3], (0.299, 0.587, 0.114))
            panel.text(radius * np.cos(middle), radius * np.sin(middle), f"{segment}\n{ms:.0f} ms", ha="center",
                       va="center", fontsize=8, color="black" if luminance > 0.5 else "white")  # fmt: skip
    for words, x, y in (("anterior", 0, 1.07), ("inferior", 0, -1.07), ("septal", -1.12, 0), ("lateral", 1.12, 0)):
        panel.text(x, y, words, ha="center", va="center", fontsize=9, color=_INK, rotation=90 if x else 0)
    panel.set(xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), aspect="equal")
    panel.set_axis_off()
    panel.set_title("endocardium of the left ventricle", fontsize=9, color=_INK)


def _draw_view(
    panel: Axes, geometry: HeartGeometry, values: Array, view: _View, norm: Normalize, colours: Colormap
) -> None:
    """Draw the surface as it is seen from far away, the far faces first."""
    from matplotlib.collections import PolyCollection

    right, up, near = np.array(view.right), np.array(_UP), np.array(view.near)
    corners = geometry.vertices_mm[geometry.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    facing = normals @ near / np.maximum(np.linalg.norm(normals, axis=1), 1e-9)
    order = np.argsort(corners.mean(axis=1) @ near)
    order = order[facing[order] > 0]
    light = 0.55 + 0.45 * facing[order, None]
    shade = colours(norm(values[geometry.faces[order]].mean(axis=1)))[:, :3] * light
    flat = np.stack([corners[order] @ right, corners[order] @ up], axis=-1)
    panel.add_collection(PolyCollection(list(flat), facecolors=shade, edgecolors=shade, linewidths=0.3))
    seen = geometry.places_mm @ near > np.median(geometry.vertices_mm @ near)
    outer = np.array([name.startswith("EPI") for name in geometry.names])
    marks = geometry.places_mm[seen & outer]
    panel.plot(marks @ right, marks @ up, ".", color="black", markersize=3)
    # One scale for all sides.
    half = np.ptp(geometry.vertices_mm[:, :2], axis=0).max() / 2 + _MARGIN_MM
    middle = (geometry.vertices_mm @ right).min() / 2 + (geometry.vertices_mm @ right).max() / 2
    heights = geometry.vertices_mm[:, 2]
    panel.set(xlim=(middle - half, middle + half), ylim=(heights.min() - _MARGIN_MM, heights.max() + _MARGIN_MM))
    panel.set_aspect("equal")
    panel.set_axis_off()
    panel.set_title(view.title, fontsize=9, color=_INK)

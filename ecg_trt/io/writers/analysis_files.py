"""All files of an analysis."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ecg_trt.errors import install_hint
from ecg_trt.io.atomic import atomic_path
from ecg_trt.io.lazy import missing_module
from ecg_trt.io.writers.analysis import write_analysis_csv, write_analysis_json
from ecg_trt.io.writers.analysis_plot import plot_analysis
from ecg_trt.io.writers.figure import figure_png
from ecg_trt.io.writers.heart_map import write_activation, write_potentials, write_vtk
from ecg_trt.io.writers.heart_plot import plot_activation, plot_potentials

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ecg_trt.analysis import Analysis
    from ecg_trt.analysis.electrophysiology import HeartMap

JSON_SUFFIX, _CSV_SUFFIX = ".analysis.json", ".analysis.csv"
_ACTIVATION_SUFFIX, _POTENTIALS_SUFFIX, _MESH_SUFFIX = ".activation.csv", ".potentials.npy", ".heart.vtk"
_POTENTIALS_AT_MS = (0.0, 50.0, 100.0, 200.0, 300.0)  # In the mesh, after the onset of the QRS complex.
_PLOT, _VTK = ("matplotlib",), ("meshio",)  # Modules that the extras of these names bring.


@dataclass(frozen=True, slots=True)
class Drawing:
    """One of the pictures of an analysis.

    Attributes:
        suffix: behind the stem of its file's name.
        draw: makes the figure of an analysis, or of its `HeartMap` and a note if it shows a part of the heart.
        text: read out in place of the picture.
        part: of the heart that it shows, "" for the picture of beats and intervals.
    """

    suffix: str
    draw: Callable[..., Figure]
    text: str
    part: str = ""


DRAWINGS = (
    Drawing(".analysis.png", plot_analysis, "Median beats of the leads, and the intervals between beats."),
    Drawing(".activation.png", plot_activation, "Activation of the heart, as a bull's-eye and from four sides.",
            "activation"),
    Drawing(".potentials.png", plot_potentials, "Transmembrane potentials of points of the heart.", "potentials"),
)  # fmt: skip
"""Pictures of an analysis."""
SUFFIXES = (JSON_SUFFIX, _CSV_SUFFIX, _ACTIVATION_SUFFIX, _POTENTIALS_SUFFIX, _MESH_SUFFIX,
            *(drawing.suffix for drawing in DRAWINGS))  # fmt: skip
"""Behind the stem, of all files that an analysis may have."""

Drawn: TypeAlias = tuple[Drawing, bytes]
"""Picture, and the bytes of its PNG."""


def draw_analysis(analysis: Analysis) -> list[Drawn]:
    """Draw each picture of an analysis; none without matplotlib."""
    drawn: list[Drawn] = []
    if missing_module(_PLOT) is not None:
        return drawn
    heart = analysis.heart
    for drawing in DRAWINGS:
        if not drawing.part:
            drawn.append((drawing, figure_png(drawing.draw(analysis))))
        elif heart is not None and heart.heart_map is not None and drawing.part in heart.parts:
            note = f"Median of {len(heart.beats)} beats, confidence {heart.confidence:.2f}."
            drawn.append((drawing, figure_png(drawing.draw(heart.heart_map, note))))
    return drawn


def write_analysis(analysis: Analysis, folder: Path, stem: str, drawn: Sequence[Drawn] | None = None) -> list[Path]:
    """Write all files of an analysis but those that need what is not installed, see `missing_files`.

    Args:
        analysis: what to write.
        folder: where they go; it is there.
        stem: of their names.
        drawn: its pictures; drawn here if None.

    Returns:
        Their paths, that of the JSON last.

    Raises:
        OutputError: they could not be written.
    """
    paths = [write_analysis_csv(analysis, folder / f"{stem}{_CSV_SUFFIX}")]
    if analysis.heart is not None and analysis.heart.heart_map is not None:
        paths += _write_map(analysis.heart.heart_map, analysis.heart.parts, folder, stem)
    for drawing, data in draw_analysis(analysis) if drawn is None else drawn:
        paths.append(folder / f"{stem}{drawing.suffix}")
        with atomic_path(paths[-1]) as temporary:
            temporary.write_bytes(data)
    return [*paths, write_analysis_json(analysis, folder / f"{stem}{JSON_SUFFIX}")]


def _write_map(heart_map: HeartMap, parts: tuple[str, ...], folder: Path, stem: str) -> Iterator[Path]:
    """Write tables and mesh of the parts of a map that were asked for."""
    if "activation" in parts:
        yield write_activation(heart_map, folder / f"{stem}{_ACTIVATION_SUFFIX}")
    if "potentials" in parts:
        yield write_potentials(heart_map, folder / f"{stem}{_POTENTIALS_SUFFIX}")
    if missing_module(_VTK) is None:
        yield write_vtk(heart_map, folder / f"{stem}{_MESH_SUFFIX}", _POTENTIALS_AT_MS if "potentials" in parts else ())


def missing_files(parts: Collection[str]) -> list[str]:
    """Say which files of some parts of an analysis cannot be written here, and how they can: a sentence an extra."""
    pictures = ", ".join(drawing.suffix for drawing in DRAWINGS if not drawing.part or drawing.part in parts)
    wanted = [("plot", _PLOT, pictures)]
    if {drawing.part for drawing in DRAWINGS} & set(parts):
        wanted.append(("vtk", _VTK, _MESH_SUFFIX))
    return [f"Without {modules[0]} there is no {files}. {install_hint(extra)}"
            for extra, modules, files in wanted if missing_module(modules) is not None]  # fmt: skip

"""Maps of the heart as tables, arrays and meshes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecg_trt.errors import NO_DIAGNOSIS, OutputError, install_hint
from ecg_trt.io.atomic import atomic_path
from ecg_trt.types import Array

if TYPE_CHECKING:
    from ecg_trt.analysis.electrophysiology import HeartMap

_POWER = 4.0  # of the distance, with the least error over the nodes of simulated hearts: 7.2 ms


def write_activation(heart_map: HeartMap, path: str | Path) -> Path:
    """Write a CSV table: number, name and place in mm of each point, ms after the onset of the QRS complex, and a note.

    Raises:
        OutputError: the file cannot be written.
    """
    geometry = heart_map.geometry
    rows = zip(geometry.names, geometry.places_mm, heart_map.activation_ms, strict=True)
    lines = [
        f'{k},{name},{x:.2f},{y:.2f},{z:.2f},{ms:.1f},"{NO_DIAGNOSIS}"'
        for k, (name, (x, y, z), ms) in enumerate(rows, 1)
    ]
    with atomic_path(Path(path)) as part:
        part.write_text("\n".join(["point,name,x,y,z,ms,note", *lines, ""]), encoding="utf-8", newline="\n")
    return Path(path)


def write_potentials(heart_map: HeartMap, path: str | Path) -> Path:
    """Write the potentials, (75, 500) float32 mV at 1 kHz from 20 ms before the onset of the QRS complex, as ``.npy``.

    Raises:
        OptionError: the map has none.
        OutputError: the file cannot be written.
    """
    potentials = heart_map.require_potentials()
    with atomic_path(Path(path)) as part, part.open("wb") as file:
        np.save(file, potentials.astype(np.float32))
    return Path(path)


def write_vtk(heart_map: HeartMap, path: str | Path, potentials_at_ms: tuple[float, ...] = ()) -> Path:
    """Write the surface of the heart with interpolated values, for ParaView and other viewers.

    Args:
        heart_map: what to write.
        path: of the file; its suffix chooses the format, ``.vtk`` or ``.vtu``.
        potentials_at_ms: times after the onset of the QRS complex at which potentials are written, too.

    Raises:
        OptionError: a time outside the beat, or one at all for a map without potentials.
        OutputError: meshio is not installed, or the file cannot be written.
    """
    try:
        import meshio
    except ImportError as error:
        raise OutputError("The heart cannot be written as a mesh", got="no meshio", expected="the extra vtk",
                          hint=install_hint("vtk")) from error  # fmt: skip
    geometry = heart_map.geometry
    fields = {"activation_ms": heart_map.activation_ms}
    fields |= {f"potential_mv_at_{ms:g}_ms": heart_map.potentials_at(ms) for ms in potentials_at_ms}
    mesh = meshio.Mesh(
        geometry.vertices_mm, [("triangle", geometry.faces)],
        point_data={name: on_surface(heart_map, values) for name, values in fields.items()},
    )  # fmt: skip
    with atomic_path(Path(path)) as part:
        mesh.write(part)
    return Path(path)


def on_surface(heart_map: HeartMap, values: Array) -> Array:
    """Spread values of the points over the vertices of the surface.

    Args:
        heart_map: whose geometry it is.
        values: (75,) of the points.

    Returns:
        (v,) by Shepard's interpolation (1968): means weighted by a negative power of the distance.
    """
    geometry = heart_map.geometry
    way = np.linalg.norm(geometry.vertices_mm[:, None] - geometry.places_mm, axis=-1)
    weight = np.maximum(way, 1e-6) ** -_POWER
    return np.asarray(weight @ values / weight.sum(axis=1))

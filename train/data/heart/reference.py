"""The heart that maps are shown on: `python -m train.data.heart.reference` writes it into the package."""

from __future__ import annotations

import numpy as np

from ecg_trt.analysis.electrophysiology import POINTS_FILE, SURFACE_FILE
from ecg_trt.types import Array
from train.data.heart.anatomy import mean_anatomy
from train.data.heart.mesh import heart_mesh
from train.data.heart.points import point_weights, recording_points


def surface() -> tuple[Array, Array]:
    """Vertices (v, 3) in mm of the mean heart, and its boundary as triangles (f, 3) that are seen from outside."""
    tets, points = heart_mesh().tets, mean_anatomy().points
    faces = np.concatenate([np.delete(tets, k, axis=1) for k in range(4)])
    opposite = np.concatenate([tets[:, k] for k in range(4)])
    _, first, count = np.unique(np.sort(faces, axis=1), axis=0, return_index=True, return_counts=True)
    faces, opposite = faces[first[count == 1]], opposite[first[count == 1]]
    a, b, c = (points[faces[:, k]] for k in range(3))
    is_inward = np.einsum("fi,fi->f", np.cross(b - a, c - a), points[opposite] - a) > 0
    faces[is_inward] = faces[is_inward][:, ::-1]
    used, numbers = np.unique(faces, return_inverse=True)
    return points[used], numbers.reshape(faces.shape)


def main() -> None:
    """Write points and surface of the mean heart."""
    rows = zip(recording_points(), point_weights() @ mean_anatomy().points, strict=True)
    lines = [f"{point.name},{x:.2f},{y:.2f},{z:.2f}\n" for point, (x, y, z) in rows]
    POINTS_FILE.write_text("name,x_mm,y_mm,z_mm\n" + "".join(lines), encoding="utf-8")
    vertices, faces = surface()
    np.savez_compressed(SURFACE_FILE, vertices_mm=vertices.astype(np.float16), faces=faces.astype(np.uint16))


if __name__ == "__main__":
    main()

"""One mesh of tetrahedra for all anatomies: rows, columns and layers of the left ventricle, and the right one's wall.

The left ventricle is a grid of layers (endocardium first), rows (apex first) and columns (around, anterior insertion of
the right ventricle first), whose lowest row is one node a layer. The free wall of the right ventricle is one layer of
cells over the columns of the septum. Along its borders its endocardium shares the nodes of the left epicardium, and its
epicardium the nodes one further out, so that the wall lands on the left ventricle as broad as it is thick.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations

import numpy as np

from ecg_trt.types import Array

LAYERS, ROWS = 4, 23  # of the left ventricle; row 0 is the apex
SEPTAL_COLUMNS, OTHER_COLUMNS = 24, 34
COLUMNS = SEPTAL_COLUMNS + OTHER_COLUMNS
LOWEST_RV_ROW = 6  # where the cavity of the right ventricle ends


@dataclass(frozen=True, slots=True)
class HeartMesh:
    """Connectivity, the same in every anatomy.

    Attributes:
        lv: (layers, rows, columns) node numbers of the left ventricle.
        rv: (2, rows, columns) node numbers of the right ventricle's wall, endocardium and epicardium, shared ones too.
        nodes: number of nodes.
        tets: (m, 4) corners.
        depth: (m, 4) of each corner in its own wall, 0 at the endocardium of that ventricle, 1 at the other side.
        height: (m, 4) row of each corner over the number of rows, 0 at the apex, 1 at the base.
    """

    lv: Array
    rv: Array
    nodes: int
    tets: Array
    depth: Array
    height: Array

    @property
    def rv_inner(self) -> Array:
        """Numbers of the nodes of the right ventricle's wall that it does not share: (2, rows - 1, columns - 2)."""
        return self.rv[:, 1:, 1:-1]


@lru_cache(maxsize=1)
def heart_mesh() -> HeartMesh:
    """Build the connectivity."""
    lv = np.arange(LAYERS * ROWS * COLUMNS).reshape(LAYERS, ROWS, COLUMNS)
    lv[:, 0] = lv[:, 0, :1]
    outer, rows = lv[-1], ROWS - LOWEST_RV_ROW
    rv = np.stack([outer[LOWEST_RV_ROW:, : SEPTAL_COLUMNS + 1]] * 2)
    rv[1, :, 0], rv[1, :, -1] = outer[LOWEST_RV_ROW:, -1], outer[LOWEST_RV_ROW:, SEPTAL_COLUMNS + 1]
    rv[1, 0] = outer[LOWEST_RV_ROW - 1, np.arange(-1, SEPTAL_COLUMNS + 2)[[0, *range(2, SEPTAL_COLUMNS + 1), -1]]]
    inner = (2, rows - 1, SEPTAL_COLUMNS - 1)
    rv[:, 1:, 1:-1] = lv.size + np.arange(np.prod(inner)).reshape(inner)
    closed = np.concatenate([lv, lv[:, :, :1]], axis=2)
    left, right = _tetrahedra(closed, 0), _tetrahedra(rv, LOWEST_RV_ROW)
    tets, depth, height = (np.concatenate(parts) for parts in zip(left, right, strict=True))
    is_solid = np.array([len(set(tet)) == 4 for tet in tets.tolist()])
    used, numbers = np.unique(tets[is_solid], return_inverse=True)
    renumbered = np.zeros(lv.size + rv[:, 1:, 1:-1].size, int)
    renumbered[used] = np.arange(len(used))
    return HeartMesh(renumbered[lv], renumbered[rv], len(used), numbers.reshape(-1, 4), depth[is_solid],
                     height[is_solid])  # fmt: skip


def _tetrahedra(nodes: Array, lowest_row: int) -> tuple[Array, Array, Array]:
    """Cut every cell of a grid (layers, rows, columns) into six; give corners, depths and heights, each (m, 4)."""
    layers, rows, columns = nodes.shape
    depth, height = np.broadcast_arrays(
        np.linspace(0, 1, layers)[:, None, None], ((lowest_row + np.arange(rows)) / (ROWS - 1))[None, :, None]
    )
    fields = [nodes, *(np.broadcast_to(field, nodes.shape) for field in (depth, height))]
    cut: list[list[Array]] = [[], [], []]
    for order in permutations(range(3)):
        corner, path = np.zeros(3, int), [np.zeros(3, int)]
        for axis in order:
            corner = corner + np.eye(3, dtype=int)[axis]
            path.append(corner)
        for field, parts in zip(fields, cut, strict=True):
            parts.append(np.stack([
                field[a : layers - 1 + a, b : rows - 1 + b, c : columns - 1 + c].ravel() for a, b, c in path
            ], axis=1))  # fmt: skip
    return np.concatenate(cut[0]), np.concatenate(cut[1]), np.concatenate(cut[2])

"""Quadratic energies on a small regular grid, solved exactly by banded Cholesky.

A grid of 45 x 57 nodes gives a matrix of bandwidth 2 x 45: some 20 MFLOP, less than any iteration would need.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ecg_trt.types import Array

Offset = tuple[int, int]


class GridEnergy:
    """Quadratic energy of a field u on a regular grid.

    E(u) = sum over operators and cells of weight * (sum_j coef_j u[cell + offset_j] - target)^2.

    Args:
        rows: of the grid.
        cols: of the grid.
        reach: greatest offset that any operator will use along one axis.
        channels: of the unknown u.
    """

    def __init__(self, rows: int, cols: int, *, reach: int, channels: int = 2) -> None:
        self._swap = cols > rows  # The shorter side runs fastest, which makes the matrix's band narrow.
        outer, inner = (cols, rows) if self._swap else (rows, cols)
        self._shape, self._inner = (outer, inner), inner
        band = max(reach * inner, inner + 1) if outer > 1 else reach
        self._bands = np.zeros((min(band, outer * inner - 1) + 1, outer, inner))
        self._rhs = np.zeros((outer, inner, channels))

    def add(
        self,
        offsets: Sequence[Offset],
        coefs: Sequence[float],
        weight: Array | float,
        target: Array | None = None,
    ) -> None:
        """Add one operator.

        Args:
            offsets: (row, col) of each term, none negative.
            coefs: factor of each term.
            weight: of each cell at which all terms lie inside the grid, shape (rows - max row offset,
                cols - max col offset), or a number.
            target: same shape with channels added, or None for zero.
        """
        places = [(c, r) if self._swap else (r, c) for r, c in offsets]
        extent = tuple(self._shape[k] - max(p[k] for p in places) for k in (0, 1))
        if min(extent) <= 0:
            return
        w = np.asarray(weight, np.float64)
        w = np.broadcast_to(w.T if self._swap and w.ndim else w, extent)
        for p, a in zip(places, coefs, strict=True):
            here = tuple(slice(p[k], p[k] + extent[k]) for k in (0, 1))
            if target is not None:
                t = target.swapaxes(0, 1) if self._swap else target
                self._rhs[here] += (a * w)[..., None] * t
            for q, b in zip(places, coefs, strict=True):
                lag = (q[0] - p[0]) * self._inner + q[1] - p[1]
                if lag >= 0:  # The matrix is symmetric, so that its lower half is enough.
                    self._bands[lag][here] += a * b * w

    def minimise(self) -> Array:
        """Solve for the u of least energy, (rows, cols, channels) float64; the energy must fix every cell."""
        from scipy.linalg import solveh_banded

        bands = self._bands.reshape(len(self._bands), -1)
        rhs = self._rhs.reshape(bands.shape[1], -1)
        u = solveh_banded(bands, rhs, lower=True, check_finite=False).reshape(self._rhs.shape)
        return np.ascontiguousarray(u.swapaxes(0, 1) if self._swap else u)


def add_bending(energy: GridEnergy, weight: float) -> None:
    """Add weight * (u_xx^2 + 2 u_xy^2 + u_yy^2), the thin plate's energy."""
    energy.add([(0, 0), (0, 1), (0, 2)], [1.0, -2.0, 1.0], weight)
    energy.add([(0, 0), (1, 0), (2, 0)], [1.0, -2.0, 1.0], weight)
    energy.add([(0, 0), (0, 1), (1, 0), (1, 1)], [1.0, -1.0, -1.0, 1.0], 2.0 * weight)


def add_stretch(energy: GridEnergy, weight: float) -> None:
    """Add weight * (u_x^2 + u_y^2), the membrane's energy."""
    energy.add([(0, 0), (0, 1)], [-1.0, 1.0], weight)
    energy.add([(0, 0), (1, 0)], [-1.0, 1.0], weight)

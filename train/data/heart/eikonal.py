"""First arrival of a wave in a mesh of tetrahedra whose speed depends on place and direction.

Arrival times obey the anisotropic eikonal equation: across a tetrahedron of metric M the wave takes sqrt(d' M d) ms
for a way d. The update of a corner from the face before it is that of a plane wave (Qian, Zhang and Zhao, Fast
Sweeping Methods for Eikonal Equations on Triangular Meshes, SIAM J. Numer. Anal. 45, 2007). As there is one point
source, the front at time t is bent like a sphere of radius t between the corners of the face: at barycentric l it is
there at sqrt(sum l_i t_i^2 - sum l_i l_j d_ij^2), which is exact where the metric is constant. Corners are updated in
the order of a heap, again whenever a neighbour arrives earlier: along anisotropic fibres one pass does not do.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from numba import njit  # type: ignore[import-not-found]

from ecg_trt.types import Array

_LEAST_GAIN_MS = 1e-4  # improvements below this are not handed on
_LEAST_SHARE = 0.5  # of a way that is counted whatever the curvature of the front
_START_RINGS = 2  # neighbours of neighbours of a source get straight ways: a point source is no plane wave


@dataclass(frozen=True, slots=True)
class EikonalMesh:
    """A mesh prepared for any number of sources.

    Attributes:
        points: (n, 3) nodes, mm.
        tets: (m, 4) corners of tetrahedra.
        local: (m, 4, 3) corners in coordinates whose lengths are travel times, ms.
        first, incident: the tetrahedra of node k are ``incident[first[k]:first[k + 1]]``.
        metric: (n, 3, 3) mean metric around each node, ms2/mm2.
    """

    points: Array
    tets: Array
    local: Array
    first: Array
    incident: Array
    metric: Array

    @staticmethod
    def build(points: Array, tets: Array, metric: Array) -> EikonalMesh:
        """Prepare a mesh.

        Args:
            points: (n, 3) mm.
            tets: (m, 4) node numbers.
            metric: (m, 3, 3) symmetric and positive, ms2/mm2.
        """
        lower = np.linalg.cholesky(metric)
        local = np.einsum("mij,mki->mkj", lower, points[tets])
        order = np.argsort(tets.ravel(), kind="stable")
        counts = np.bincount(tets.ravel(), minlength=len(points))
        mean = np.zeros((len(points), 3, 3))
        np.add.at(mean, tets.ravel(), np.repeat(metric, 4, axis=0))
        return EikonalMesh(
            points=points, tets=tets.astype(np.int32), local=np.ascontiguousarray(local),
            first=np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
            incident=(order // 4).astype(np.int32), metric=mean / np.maximum(counts, 1)[:, None, None],
        )  # fmt: skip

    def arrival(self, source: int) -> Array:
        """Compute the (n,) times in ms at which a wave from one node arrives."""
        near = np.array([source])
        for _ in range(_START_RINGS):
            rings = [self.incident[self.first[k] : self.first[k + 1]] for k in near]
            near = np.unique(self.tets[np.concatenate(rings)])
        way = self.points[near] - self.points[source]
        metric = (self.metric[near] + self.metric[source]) / 2
        times = np.full(len(self.points), np.inf)
        times[near] = np.sqrt(np.einsum("ki,kij,kj->k", way, metric, way))
        times[source] = 0.0
        _propagate(times, near, self.tets, self.local, self.first, self.incident)
        return times


@njit(cache=True)  # type: ignore[untyped-decorator]
def _propagate(times: Array, begun: Array, tets: Array, local: Array, first: Array, incident: Array) -> None:
    """Lower `times` in place until no corner can be reached earlier."""
    heap = [(times[k], k) for k in begun]
    heapq.heapify(heap)
    while heap:
        time, node = heapq.heappop(heap)
        if time > times[node]:
            continue
        for tet in incident[first[node] : first[node + 1]]:
            corners = tets[tet]
            for k in range(4):
                other = corners[k]
                if other == node or times[other] <= time:
                    continue
                found = _across(times, corners, local[tet], k)
                if found < times[other] - _LEAST_GAIN_MS:
                    times[other] = found
                    heapq.heappush(heap, (found, other))


@njit(cache=True)  # type: ignore[untyped-decorator]
def _across(times: Array, corners: Array, y: Array, k: int) -> float:
    """Earliest arrival at corner `k` of a tetrahedron through the opposite face, its edges and corners, ms."""
    a, b, c = (k + 1) % 4, (k + 2) % 4, (k + 3) % 4
    ta, tb, tc = times[corners[a]], times[corners[b]], times[corners[c]]
    best = min(_along(ta, tb, y, a, b, k), _along(tb, tc, y, b, c, k), _along(tc, ta, y, c, a, k))
    if not (ta < np.inf and tb < np.inf and tc < np.inf):
        return best
    uu, uv, vv = _dot(y, a, a, c), _dot(y, a, b, c), _dot(y, b, b, c)
    wu, wv, ww = _dot(y, k, a, c), _dot(y, k, b, c), _dot(y, k, k, c)
    area = uu * vv - uv * uv
    du, dv = ta - tc, tb - tc
    # The part of the slowness within the face follows from the times of its corners; the rest points at the corner.
    p, q = (vv * du - uv * dv) / area, (uu * dv - uv * du) / area
    rest = 1.0 - (p * du + q * dv)
    if not rest > 0.0:
        return best
    foot_u, foot_v = (vv * wu - uv * wv) / area, (uu * wv - uv * wu) / area
    height = np.sqrt(max(ww - foot_u * wu - foot_v * wv, 0.0))
    # The ray from the corner back along the slowness must meet the face inside.
    back = height / np.sqrt(rest)
    la, lb = foot_u - back * p, foot_v - back * q
    lc = 1.0 - la - lb
    if la < 0.0 or lb < 0.0 or lc < 0.0:
        return best
    spread = la * lc * uu + lb * lc * vv + la * lb * (uu - 2.0 * uv + vv)
    square = la * ta * ta + lb * tb * tb + lc * tc * tc - spread
    return min(best, _arrive(la * ta + lb * tb + lc * tc, square, back))


@njit(cache=True)  # type: ignore[untyped-decorator]
def _along(ta: float, tb: float, y: Array, a: int, b: int, k: int) -> float:
    """Earliest arrival at corner `k` through the edge from corner `a` to `b`, ms."""
    if not (ta < np.inf and tb < np.inf):
        nearer = a if ta < np.inf else b
        return min(ta, tb) + np.sqrt(_dot(y, k, k, nearer))
    square, along, way = _dot(y, b, b, a), _dot(y, k, b, a), _dot(y, k, k, a)
    length = np.sqrt(square)
    foot = along / length
    height = np.sqrt(max(way - foot * foot, 0.0))
    slope = (tb - ta) / length
    if abs(slope) >= 1.0:
        place = 0.0 if slope > 0.0 else length
    else:
        place = min(max(foot - height * slope / np.sqrt(1.0 - slope * slope), 0.0), length)
    share = place / length
    front = (1.0 - share) * ta * ta + share * tb * tb - share * (1.0 - share) * square
    return _arrive(ta + slope * place, front, np.sqrt((foot - place) ** 2 + height * height))


@njit(cache=True)  # type: ignore[untyped-decorator]
def _arrive(plane: float, square: float, way: float) -> float:
    """Time at the end of a way of `way` ms, given the plane front's time at its beginning and the sphere's, squared."""
    front = min(plane, np.sqrt(square)) if square > 0.0 else plane
    # More than half of the way is never taken off, or slivers would lower their own corners in a circle.
    return max(front + way, plane + _LEAST_SHARE * way)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _dot(y: Array, a: int, b: int, origin: int) -> float:
    """Scalar product of the ways from corner `origin` to the corners `a` and `b`, ms2."""
    total = 0.0
    for axis in range(3):
        total += (y[a, axis] - y[origin, axis]) * (y[b, axis] - y[origin, axis])
    return total

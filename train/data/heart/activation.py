"""Activation drawn by lot: paced beats, and beats that the conduction system brings to the endocardium.

Whatever the pacing, a node is activated by the wave that is there first, so that the activation is the minimum of
arrival times that were computed once, each shifted by the time at which its wave starts.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import njit  # type: ignore[import-not-found]

from ecg_trt.types import Array
from train.data.heart.action_potential import MEAN_DURATION_MS
from train.data.heart.anatomy import column_degrees
from train.data.heart.heart import Heart
from train.data.heart.mesh import heart_mesh

FIRST_MS = 20.0  # of the record, at which the first node is activated
# Where Purkinje fibres reach the endocardium first (Durrer et al., Circulation 41, 1970): height from apex to base,
# angle as in `anatomy.column_degrees`, ms.
_LEFT_FOCI = ((0.45, -150.0, 0.0), (0.40, 180.0, 0.0), (0.45, 105.0, 2.0), (0.35, -60.0, 2.0))
_RIGHT_FOCI = ((0.35, 0.35, 5.0), (0.55, 0.6, 8.0))  # height, place along the free wall, ms
_PURKINJE_M_PER_S = (1.8, 3.2)

Starts = dict[str, tuple[Array, Array]]  # wall to the numbers of its sites, and the times at which their waves start


def draw_activation(heart: Heart, rng: np.random.Generator) -> tuple[Array, Array]:
    """Draw activation times and durations of all nodes, (n,) each, ms.

    Half of the beats are paced at one to three sites, half begin as sinus beats do, in many places of the endocardium,
    of both ventricles or of one.
    """
    starts = _pacing(heart, rng) if rng.random() < 0.5 else _sinus(heart, rng)
    times = np.full(len(heart.anatomy.points), np.inf, np.float32)
    slowness = np.exp(rng.normal(0, 0.08))
    for wall, (chosen, start_ms) in starts.items():
        _lower(times, heart.arrivals[wall], chosen, start_ms, slowness)
    times += FIRST_MS + rng.normal(0, 2.0) - times.min()
    return times, _durations(heart, times, rng)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _lower(times: Array, arrivals: Array, chosen: Array, start_ms: Array, slowness: float) -> None:
    """Lower times (n,) in place to those of the chosen waves that arrive earlier."""
    for wave, start in zip(chosen, start_ms):  # noqa: B905 - numba knows no strict
        for node in range(len(times)):
            times[node] = min(times[node], np.float32(start + slowness * arrivals[wave, node]))


def _pacing(heart: Heart, rng: np.random.Generator) -> Starts:
    """Pace one to three sites of any wall, within 40 ms."""
    sites = {wall: len(nodes) for wall, nodes in heart.sites.items()}
    shares = np.array(list(sites.values())) / sum(sites.values())
    starts: Starts = {}
    for wall, count in zip(sites, rng.multinomial(rng.integers(1, 4), shares), strict=True):
        if count:
            starts[wall] = (rng.choice(sites[wall], count, replace=False), rng.uniform(0, 40, count))
    return starts


def _sinus(heart: Heart, rng: np.random.Generator) -> Starts:
    """Start waves all over the endocardium, in the order in which the conduction system reaches it."""
    points = heart.anatomy.points
    block = rng.choice(["none", "left", "right"], p=[0.7, 0.15, 0.15])
    foci = {"lv_endo": _left_foci(points, rng), "rv_endo": _right_foci(points, rng)}
    starts: Starts = {}
    speed = rng.uniform(*_PURKINJE_M_PER_S)
    for wall, found in foci.items():
        if block == {"lv_endo": "left", "rv_endo": "right"}[wall]:
            continue
        way = points[heart.sites[wall]][:, None] - np.array([place for place, _ in found])
        ms = np.linalg.norm(way, axis=-1) / speed + np.array([late for _, late in found])
        reached = np.flatnonzero(rng.random(len(way)) < rng.uniform(0.4, 1.0))
        starts[wall] = (reached, ms.min(axis=1)[reached])
    return starts


Focus = tuple[Array, float]  # a place (3,), mm, and the time at which it is activated, ms


def _left_foci(points: Array, rng: np.random.Generator) -> list[Focus]:
    wall, degrees = heart_mesh().lv[0], column_degrees()
    foci = []
    for height, degree, ms in _LEFT_FOCI:
        column = int(np.argmin(np.abs((degrees - degree + rng.normal(0, 15) + 180) % 360 - 180)))
        foci.append((points[wall[_near(height, len(wall), rng), column]], ms + rng.normal(0, 3)))
    return foci


def _right_foci(points: Array, rng: np.random.Generator) -> list[Focus]:
    wall = heart_mesh().rv[0]
    return [
        (points[wall[_near(height, wall.shape[0], rng), _near(place, wall.shape[1], rng)]], ms + rng.normal(0, 3))
        for height, place, ms in _RIGHT_FOCI
    ]


def _near(share: float, count: int, rng: np.random.Generator) -> int:
    """Draw a row or column near a share of all, borders left out."""
    return int(np.clip(round((share + rng.normal(0, 0.08)) * count), 1, count - 2))


def _durations(heart: Heart, times: Array, rng: np.random.Generator) -> Array:
    """Durations of the action potentials, (n,) ms: longer inside, at the base and on the left, shorter where late."""
    depth, height, is_left = _wall_fields()
    mean = MEAN_DURATION_MS + rng.normal(0, 12)
    return np.asarray(
        mean
        - rng.normal(20, 6) * (depth - 0.5)
        + rng.normal(10, 6) * (height - 0.5)
        + rng.normal(10, 6) * (is_left - 0.5)
        - rng.uniform(0, 0.4) * (times - times.mean())
    )


@lru_cache(maxsize=1)
def _wall_fields() -> tuple[Array, Array, Array]:
    """Depth in the wall, height from apex to base, and 1 for the left ventricle or 0 for the right one; (n,) each."""
    mesh = heart_mesh()
    depth, height, is_left = np.zeros(mesh.nodes), np.zeros(mesh.nodes), np.zeros(mesh.nodes)
    depth[mesh.tets.ravel()], height[mesh.tets.ravel()] = mesh.depth.ravel(), mesh.height.ravel()
    depth[mesh.lv] = np.linspace(0, 1, len(mesh.lv))[:, None, None]
    is_left[mesh.lv] = 1.0
    return depth, height, is_left

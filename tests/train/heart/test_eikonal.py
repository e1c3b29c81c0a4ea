"""Arrival times against those that are known: a slab of one fibre direction, several sources, nodes that repeat."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

pytest.importorskip("numba")

from train.data.heart.eikonal import EikonalMesh

ALONG, ACROSS, STEP_MM = 0.65, 0.30, 3.0


def slab(shape: tuple[int, int, int], fibre: np.ndarray) -> EikonalMesh:
    """A slab of cubes, each cut into six tetrahedra, of one metric."""
    points = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1).reshape(-1, 3) * STEP_MM
    numbers = np.arange(len(points)).reshape(shape)
    tets = []
    for order in permutations(np.eye(3, dtype=int)):
        path = np.cumsum([np.zeros(3, int), *order], axis=0)
        tets.append(np.stack([
            numbers[a : shape[0] - 1 + a, b : shape[1] - 1 + b, c : shape[2] - 1 + c].ravel() for a, b, c in path
        ], axis=1))  # fmt: skip
    metric = np.outer(fibre, fibre) / ALONG**2 + (np.eye(3) - np.outer(fibre, fibre)) / ACROSS**2
    whole = np.concatenate(tets)
    return EikonalMesh.build(points, whole, np.broadcast_to(metric, (len(whole), 3, 3)))


@pytest.mark.parametrize("angle", [0.0, 0.6, 1.3])
def test_an_anisotropic_slab_is_crossed_in_the_known_time(angle: float) -> None:
    mesh = slab((17, 17, 6), np.array([np.cos(angle), np.sin(angle), 0.0]))
    source = len(mesh.points) // 2
    way = mesh.points - mesh.points[source]
    exact = np.sqrt(np.einsum("ki,ij,kj->k", way, mesh.metric[source], way))
    error = mesh.arrival(source) - exact
    assert exact.max() > 90
    assert np.abs(error).mean() < 0.3 and np.abs(error).max() < 1.0  # ms, at steps of 3 mm, 10 ms across fibres


def test_a_wave_takes_as_long_there_as_back() -> None:
    mesh = slab((9, 9, 5), np.array([0.6, 0.8, 0.0]))
    there, back = mesh.arrival(0), mesh.arrival(len(mesh.points) - 1)
    assert there[-1] == pytest.approx(back[0], abs=0.2)


def test_what_is_not_connected_is_never_reached() -> None:
    mesh = slab((4, 4, 4), np.array([1.0, 0.0, 0.0]))
    far = mesh.points + 100.0
    both = EikonalMesh.build(
        np.concatenate([mesh.points, far]), np.concatenate([mesh.tets, mesh.tets + len(far)]),
        np.broadcast_to(np.eye(3), (2 * len(mesh.tets), 3, 3)),
    )  # fmt: skip
    times = both.arrival(3)
    assert np.isfinite(times[: len(far)]).all() and np.isinf(times[len(far) :]).all()

"""Simulated beats: waves that are precomputed, and an ECG that is the sum over all cells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")

from train.data.heart.action_potential import potentials
from train.data.heart.activation import FIRST_MS, draw_activation
from train.data.heart.anatomy import mean_anatomy
from train.data.heart.eikonal import EikonalMesh
from train.data.heart.electrodes import Torso, twelve_leads
from train.data.heart.heart import Heart
from train.data.heart.mesh import heart_mesh
from train.data.heart.simulator import Simulator


@pytest.fixture(scope="module")
def heart() -> Heart:
    few = {"lv_endo": 12, "rv_endo": 6, "lv_epi": 4, "rv_epi": 3}
    return Heart.of(mean_anatomy(), np.random.default_rng(0), few)


@pytest.fixture(scope="module")
def simulated(heart: Heart) -> Simulator:
    return Simulator(heart, Torso.draw(np.random.default_rng(0)))


def test_waves_start_on_the_wall_that_is_named(heart: Heart) -> None:
    mesh = heart_mesh()
    assert np.isin(heart.sites["lv_endo"], mesh.lv[0]).all()
    assert np.isin(heart.sites["rv_epi"], mesh.rv_inner[1]).all()
    assert not np.isin(heart.sites["rv_endo"], mesh.lv[:-1]).any()
    for wall, nodes in heart.sites.items():
        assert len(set(nodes.tolist())) == len(nodes)
        assert (heart.arrivals[wall][np.arange(len(nodes)), nodes] == 0).all()
        assert np.isfinite(heart.arrivals[wall]).all()


def test_a_saved_heart_is_the_same(heart: Heart, tmp_path: Path) -> None:
    heart.save(tmp_path / "deep" / "1.npz")
    again = Heart.load(tmp_path / "deep" / "1.npz")
    np.testing.assert_array_equal(again.anatomy.fibres, heart.anatomy.fibres)
    assert all(np.array_equal(again.arrivals[wall], heart.arrivals[wall]) for wall in heart.sites)


def test_neighbours_are_reached_no_faster_than_along_fibres(heart: Heart) -> None:
    mesh = EikonalMesh.build(heart.anatomy.points, heart_mesh().tets, heart.anatomy.metric())
    times = mesh.arrival(int(heart.sites["lv_endo"][0]))
    pairs = np.concatenate([mesh.tets[:, [0, k]] for k in (1, 2, 3)])
    way = np.linalg.norm(np.diff(mesh.points[pairs], axis=1)[:, 0], axis=1)
    assert (np.abs(np.diff(times[pairs], axis=1)[:, 0]) <= way / 0.30 + 0.5).all()
    assert 120 < times.max() < 300


def test_any_beat_begins_where_the_record_has_it_and_reaches_all(heart: Heart) -> None:
    for seed in range(20):
        times, durations = draw_activation(heart, np.random.default_rng(seed))
        assert abs(times.min() - FIRST_MS) < 10 and times.max() < 350
        assert durations.min() > 180 and durations.max() < 420


def test_the_ecg_is_the_sum_over_all_cells(simulated: Simulator) -> None:
    rng = np.random.default_rng(3)
    points = simulated.heart.anatomy.points
    # A front so slow that it is smooth on the mesh, as the direct sum over nodes needs.
    times = 40 + 1.2 * (points[:, 2] - points[:, 2].min()) + rng.normal(0, 0.1, len(points))
    durations = 240 + 0.3 * points[:, 0]
    volts = potentials(times, durations, np.arange(500.0))
    direct = np.einsum("mke,mkt->et", simulated.field, volts[heart_mesh().tets])
    got = simulated.electrodes(times, durations)
    assert got.shape == (10, 500)
    late = slice(250, 460)  # the repolarisation, which the mesh resolves
    scale = np.abs(direct[:, late]).max()
    assert np.abs(got - direct)[:, late].max() < 0.03 * scale
    early = np.cumsum(got - direct, axis=1)[:, 200]  # the front's jumps from node to node cancel in the sum
    assert np.abs(early).max() < 0.05 * np.abs(np.cumsum(direct, axis=1)).max()


def test_a_beat_has_the_data_set_s_shapes(simulated: Simulator) -> None:
    beat = simulated.draw(np.random.default_rng(4))
    assert beat.electrodes.shape == (10, 500) and beat.potentials.shape == (75, 500) and beat.activation.shape == (75,)
    first = np.argmax(beat.potentials > 0, axis=1)
    assert (first - beat.activation).min() >= 0 and (first - beat.activation).max() <= 1
    assert 0.1 < np.abs(twelve_leads(beat.electrodes)).max() < 6  # mV
    again = simulated.draw(np.random.default_rng(4))
    np.testing.assert_array_equal(again.electrodes, beat.electrodes)

"""Anatomies, recording points, action potentials and lead fields of the simulated hearts."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")

from train.data.heart import action_potential as cell
from train.data.heart.anatomy import HELIX_DEG, Anatomy, draw_anatomy, mean_anatomy
from train.data.heart.electrodes import ACROSS, ALONG, ELECTRODES, Torso, lead_field, twelve_leads
from train.data.heart.mesh import heart_mesh
from train.data.heart.points import point_weights, recording_points

REFERENCE = Path(__file__).resolve().parents[4] / "shared" / "data" / "heart" / "points.csv"


@pytest.mark.parametrize("seed", range(4))
def test_every_anatomy_is_a_sound_mesh(seed: int) -> None:
    mesh, heart, mean = heart_mesh(), draw_anatomy(np.random.default_rng(seed)), mean_anatomy()
    assert 60e3 < heart.volumes.sum() < 280e3  # mm3
    assert heart.volumes.min() > 0.01

    def signs(anatomy: Anatomy) -> np.ndarray:
        corners = anatomy.points[mesh.tets]
        return np.sign(np.linalg.det(corners[:, 1:] - corners[:, :1]))

    assert (signs(heart) == signs(mean)).all(), "a warp has turned a tetrahedron inside out"
    np.testing.assert_allclose(np.linalg.norm(heart.fibres, axis=1), 1, atol=1e-9)
    assert np.abs(heart.points - mean.points).max() > 2


def test_the_faces_of_the_mesh_belong_to_two_tetrahedra_at_most() -> None:
    faces = Counter(tuple(sorted(np.delete(tet, k).tolist())) for tet in heart_mesh().tets for k in range(4))
    assert set(faces.values()) == {1, 2}


def test_fibres_turn_from_one_wall_to_the_other() -> None:
    mesh, heart = heart_mesh(), mean_anatomy()
    centres, depth = heart.points[mesh.tets].mean(axis=1), mesh.depth.mean(axis=1)
    # On the lateral wall around runs along y, up along z: the helix is right-handed inside and left-handed outside.
    lateral = (centres[:, 0] > 20) & (np.abs(centres[:, 1]) < 6) & (np.abs(centres[:, 2]) < 10)
    fibres = heart.fibres[lateral] * np.sign(heart.fibres[lateral, 1:2])
    angle = np.degrees(np.arctan2(fibres[:, 2], fibres[:, 1]))
    np.testing.assert_allclose(angle, HELIX_DEG * (1 - 2 * depth[lateral]), atol=12)


def test_recording_points_lie_where_their_names_say() -> None:
    names = [point.name for point in recording_points()]
    places = dict(zip(names, point_weights() @ mean_anatomy().points, strict=True))
    assert len(set(names)) == 75
    assert places["AHA01"][1] < -15 and places["AHA04"][1] > 15, "anterior and inferior"
    assert places["AHA05"][0] > 10 > -10 > places["AHA02"][0], "lateral and septal"
    assert places["RV01"][0] < places["RV05"][0] < places["AHA02"][0], "free wall, septum, left cavity"
    assert places["AHA17"][2] < places["AHA13"][2] < places["AHA07"][2] < places["AHA01"][2]
    np.testing.assert_allclose(places["MID_RV06"], (places["RV06"] + places["EPI_RV06"]) / 2)
    np.testing.assert_allclose(places["SEPTM_AHA14_RV13"], (places["AHA14"] + places["RV13"]) / 2)
    assert np.linalg.norm(places["EPI_AHA05"]) > np.linalg.norm(places["AHA05"])


def test_recording_points_are_those_of_the_public_data_set() -> None:
    if not REFERENCE.exists():
        pytest.skip("the points of the public data set are not here")
    rows = list(csv.reader(REFERENCE.read_text(encoding="utf-8").splitlines()))[1:]
    assert [point.name for point in recording_points()] == [row[3].strip("'") for row in rows]
    there, ours = np.array([row[:3] for row in rows], float), point_weights() @ mean_anatomy().points
    there, ours = there - there.mean(axis=0), ours - ours.mean(axis=0)
    u, _, v = np.linalg.svd(ours.T @ there)
    turn = u @ np.diag([1, 1, np.linalg.det(u @ v)]) @ v
    assert np.sqrt(np.mean(np.sum((ours @ turn - there) ** 2, axis=1))) < 12  # mm, after the rotation that fits best
    assert np.degrees(np.arccos((np.trace(turn) - 1) / 2)) < 40


def test_an_action_potential_passes_zero_when_it_is_activated_and_ends_after_its_duration() -> None:
    times = np.arange(-50.0, 500.0)
    (volts,) = cell.potentials(np.array([0.0]), np.array([300.0]), times)
    assert np.flatnonzero(volts > 0)[0] == np.flatnonzero(times > 0)[0]
    assert volts[0] == pytest.approx(cell.REST_MV, abs=0.5) and volts[-1] == pytest.approx(cell.REST_MV, abs=0.5)
    assert 25 < volts.max() < 50
    fallen = volts[times == 300.0][0] - cell.REST_MV
    assert fallen == pytest.approx(0.1 * (15 - cell.REST_MV), abs=4)


def test_a_heart_at_one_potential_is_silent_and_a_gradient_is_a_dipole() -> None:
    heart, torso = mean_anatomy(), Torso.draw(np.random.default_rng(0), turn_deg=0, shift_mm=0, size=0)
    torso = Torso(20 * torso.places)  # so far away that only the dipole is left
    field, tets = lead_field(heart, torso), heart_mesh().tets
    assert np.abs(field.sum(axis=1)).max() < 1e-4 * np.abs(field).max()
    slope = np.array([0.3, -0.2, 0.5])
    got = np.einsum("mke,mk->e", field, (heart.points @ slope)[tets])
    gradient = np.broadcast_to(slope, heart.fibres.shape)
    along = (gradient * heart.fibres).sum(axis=1, keepdims=True) * heart.fibres
    dipole = -((ACROSS * gradient + (ALONG - ACROSS) * along) * heart.volumes[:, None]).sum(axis=0)
    distance = np.linalg.norm(torso.places, axis=1)
    np.testing.assert_allclose(got, torso.places @ dipole / distance**3 / (4 * np.pi), rtol=0.1, atol=1e-6)


def test_leads_follow_einthoven_goldberger_and_wilson() -> None:
    electrodes = np.random.default_rng(1).normal(size=(10, 7))
    at = dict(zip(ELECTRODES, electrodes, strict=True))
    i, ii, iii, avr, avl, avf, *chest = twelve_leads(electrodes + 5.0)
    np.testing.assert_allclose(i, at["LA"] - at["RA"])
    np.testing.assert_allclose(i + iii, ii)
    np.testing.assert_allclose(avr + avl + avf, 0, atol=1e-12)
    np.testing.assert_allclose(avl, (i - iii) / 2)
    np.testing.assert_allclose(chest[5], at["V6"] - (at["RA"] + at["LA"] + at["LL"]) / 3)

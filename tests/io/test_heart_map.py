"""Maps of the heart as table, array, mesh and pictures."""

from __future__ import annotations

import csv
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecg_trt.analysis.electrophysiology import HeartMap, heart_geometry
from ecg_trt.errors import NO_DIAGNOSIS, OptionError, OutputError
from ecg_trt.io.writers.heart_map import on_surface, write_activation, write_potentials, write_vtk
from ecg_trt.io.writers.heart_plot import plot_activation, plot_potentials
from ecg_trt.layout import LEADS


@pytest.fixture
def heart_map() -> HeartMap:
    geometry = heart_geometry()
    cells = np.where(np.arange(500) > 60 + geometry.places_mm[:, :1], 20.0, -85.0).astype(np.float32)
    return HeartMap(geometry, 40 + geometry.places_mm[:, 0], cells, LEADS)


def test_the_table_names_each_point_and_its_time(heart_map: HeartMap, tmp_path: Path) -> None:
    path = write_activation(heart_map, tmp_path / "activation.csv")
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert list(rows[0]) == ["point", "name", "x", "y", "z", "ms", "note"]
    assert [row["name"] for row in rows] == list(heart_map.geometry.names)
    assert [int(row["point"]) for row in rows] == list(range(1, 76))
    for row in rows:
        assert float(row["ms"]) == pytest.approx(40 + float(row["x"]), abs=0.07)
        assert row["note"] == NO_DIAGNOSIS


def test_the_table_is_read_by_numpy_and_pandas(heart_map: HeartMap, tmp_path: Path) -> None:
    path = write_activation(heart_map, tmp_path / "activation.csv")
    table = np.genfromtxt(path, delimiter=",", names=True, dtype=None, encoding="utf-8", usecols=range(6))
    assert table["name"].tolist() == list(heart_map.geometry.names)
    np.testing.assert_allclose(table["ms"], heart_map.activation_ms, atol=0.051)
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_csv(path)
    assert set(frame["note"]) == {NO_DIAGNOSIS}
    np.testing.assert_array_equal(frame["ms"], table["ms"])


def test_potentials_are_an_array(heart_map: HeartMap, tmp_path: Path) -> None:
    stored = np.load(write_potentials(heart_map, tmp_path / "potentials.npy"))
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(stored, heart_map.require_potentials())


@pytest.mark.parametrize("suffix", [".vtk", ".vtu"])
def test_the_mesh_is_read_back(heart_map: HeartMap, tmp_path: Path, suffix: str) -> None:
    meshio = pytest.importorskip("meshio")
    mesh = meshio.read(write_vtk(heart_map, tmp_path / f"heart{suffix}", (0.0, 100.0)))
    np.testing.assert_allclose(mesh.points, heart_map.geometry.vertices_mm)
    assert (mesh.cells_dict["triangle"] == heart_map.geometry.faces).all()
    assert set(mesh.point_data) == {"activation_ms", "potential_mv_at_0_ms", "potential_mv_at_100_ms"}
    error = mesh.point_data["activation_ms"] - 40 - mesh.points[:, 0]
    assert np.abs(error).mean() < 6
    with pytest.raises(OptionError, match="1000 ms"):
        write_vtk(heart_map, tmp_path / "heart.vtk", (1000.0,))


def test_the_surface_has_the_values_of_its_points(heart_map: HeartMap) -> None:
    values = on_surface(heart_map, heart_map.activation_ms)
    assert values.min() >= heart_map.activation_ms.min() - 1e-6
    assert values.max() <= heart_map.activation_ms.max() + 1e-6
    geometry = heart_map.geometry
    distance = np.linalg.norm(geometry.vertices_mm[:, None] - geometry.places_mm, axis=-1)
    on_wall = distance.min(axis=0) < 0.1
    at = distance.argmin(axis=0)[on_wall]
    np.testing.assert_allclose(values[at], heart_map.activation_ms[on_wall], atol=0.1)


def test_pictures_say_what_they_are(heart_map: HeartMap, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    few = HeartMap(heart_map.geometry, heart_map.activation_ms, heart_map.potentials_mv, LEADS[:9])
    for figure in (plot_activation(few), plot_potentials(few)):
        title = figure.get_suptitle()
        assert "Research use only" in title and "Different activations can give one ECG" in title
        assert "From 9 leads" in title
        figure.savefig(tmp_path / "heart.png", dpi=30)
        assert (tmp_path / "heart.png").stat().st_size > 5000
    eye = plot_activation(heart_map).subfigs[0].axes[0]
    shown = {text.get_text().partition("\n")[0]: text.get_position() for text in eye.texts}
    assert shown["1"][1] > 0.5 and shown["4"][1] < -0.5, "anterior above, inferior below"
    assert shown["8"][0] < 0 < shown["11"][0], "septal on the left, lateral on the right"
    assert shown["17"] == (0, 0)


def test_a_map_of_activation_alone_has_no_files_of_potentials(heart_map: HeartMap, tmp_path: Path) -> None:
    alone = replace(heart_map, potentials_mv=None)
    np.testing.assert_array_equal(alone.times_ms, heart_map.times_ms)
    for write in (
        lambda: write_potentials(alone, tmp_path / "potentials.npy"),
        lambda: write_vtk(alone, tmp_path / "heart.vtk", (0.0,)),
        lambda: plot_potentials(alone),
    ):
        with pytest.raises(OptionError, match="The map has no potentials: got activation alone"):
            write()
    assert not list(tmp_path.iterdir())
    assert write_activation(alone, tmp_path / "activation.csv").exists()


def test_what_is_missing_is_named(heart_map: HeartMap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "meshio", None)
    with pytest.raises(OutputError, match=r"no meshio; expected the extra vtk.*\[vtk\]"):
        write_vtk(heart_map, tmp_path / "heart.vtk")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(OutputError, match="the extra plot"):
        plot_activation(heart_map)

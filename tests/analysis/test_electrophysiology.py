"""From the twelve leads of a beat to the heart: the window, leads that are missing, units, and what is rejected."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from ecg_trt.analysis import electrophysiology
from ecg_trt.analysis.electrophysiology import HeartMapper, beat_window, heart_geometry
from ecg_trt.backends.fake import FakeBackend
from ecg_trt.errors import OptionError
from ecg_trt.layout import LEADS
from ecg_trt.types import Array

FS, ONSET_S = 500.0, 0.4


def beat(fs: float = FS) -> Array:
    """A QRS of 80 ms from 0.4 s on, 1.2 s, with a level and an amplitude of each lead."""
    t = np.arange(round(1.2 * fs)) / fs - ONSET_S
    wave = np.where((t > 0) & (t < 0.08), np.sin(np.pi * t / 0.08) ** 2, 0.0)
    return np.linspace(-1, 1, 12)[:, None] * wave + np.linspace(0.1, 0.5, 12)[:, None]


def mapper(seen: list[Array]) -> HeartMapper:
    def times(feed: Mapping[str, Array]) -> dict[str, Array]:
        seen.append(feed["leads"])
        return {"activation": np.linspace(0.2, 1.2, 75, dtype=np.float32)[None]}

    def cells(feed: Mapping[str, Array]) -> dict[str, Array]:
        return {"potentials": np.linspace(0, 1, 500, dtype=np.float32)[None, None].repeat(75, 1)}

    return HeartMapper(FakeBackend(times), FakeBackend(cells))


@pytest.mark.parametrize("fs", [250.0, 500.0, 1000.0])
def test_the_networks_see_the_beat_from_20_ms_before_the_qrs_complex(fs: float) -> None:
    window = beat_window(beat(fs), fs, ONSET_S)
    assert window.shape == (12, 500)
    peak = np.abs(window[0]).argmax()
    assert peak == pytest.approx(20 + 40, abs=1)
    np.testing.assert_allclose(window[:, peak], np.linspace(-1, 1, 12), atol=0.02)
    assert np.abs(window[:, :20]).max() < 0.02, "levels are taken off"


def test_a_map_is_in_milliseconds_after_the_onset_and_in_millivolts() -> None:
    seen: list[Array] = []
    found = mapper(seen)(beat(), FS, ONSET_S)
    np.testing.assert_allclose(found.activation_ms, np.linspace(0, 100, 75), atol=1e-4)
    potentials = found.require_potentials()
    assert potentials[0, 0] == pytest.approx(-85.506) and potentials[0, -1] == pytest.approx(50)
    assert found.times_ms[0] == -20 and found.times_ms[-1] == 479
    np.testing.assert_array_equal(found.potentials_at(100), potentials[:, 120])
    assert found.leads == LEADS and seen[0].shape == (1, 12, 500) and seen[0].dtype == np.float32


def test_without_their_network_a_map_has_no_potentials() -> None:
    both = mapper([])
    found = HeartMapper(both.activation)(beat(), FS, ONSET_S)
    np.testing.assert_array_equal(found.activation_ms, both(beat(), FS, ONSET_S).activation_ms)
    assert found.potentials_mv is None
    with pytest.raises(OptionError, match="The map has no potentials"):
        found.potentials_at(0)


def test_a_lead_with_a_gap_is_left_out_and_named() -> None:
    seen: list[Array] = []
    gapped = beat()
    gapped[3] = np.nan
    gapped[7, 220] = np.nan
    gapped[8, 10] = np.nan  # before the window
    found = mapper(seen)(gapped, FS, ONSET_S)
    assert set(LEADS) - set(found.leads) == {LEADS[3], LEADS[7]}
    assert (seen[0][0, [3, 7]] == 0).all() and np.abs(seen[0][0, 8]).max() > 0


def test_what_cannot_be_mapped_is_rejected() -> None:
    few = beat()
    few[:5] = np.nan
    with pytest.raises(OptionError, match="7 leads that show the beat; expected 8 at least"):
        mapper([])(few, FS, ONSET_S)
    with pytest.raises(OptionError, match=r"array \(11, 600\)"):
        mapper([])(beat()[:11], FS, ONSET_S)
    with pytest.raises(OptionError, match=r"0\.02 s before the onset"):
        mapper([])(beat(), FS, 0.9)
    with pytest.raises(OptionError, match="600 ms"):
        mapper([])(beat(), FS, ONSET_S).potentials_at(600)


def test_the_heart_of_the_maps_is_whole() -> None:
    geometry = heart_geometry()
    assert len(geometry.names) == len(set(geometry.names)) == len(geometry.places_mm) == 75
    assert geometry.faces.max() == len(geometry.vertices_mm) - 1
    edges = np.sort(np.concatenate([geometry.faces[:, [a, b]] for a, b in ((0, 1), (1, 2), (2, 0))]), axis=1)
    _, count = np.unique(edges, axis=0, return_counts=True)
    assert (count % 2 == 0).all(), "a closed surface"
    nearest = np.linalg.norm(geometry.vertices_mm[:, None] - geometry.places_mm, axis=-1).min(axis=0)
    walls = np.array([name.startswith(("EPI", "AHA", "RV")) for name in geometry.names])
    assert nearest[walls].max() < 0.1, "points on the walls are vertices"
    a, b, c = (geometry.vertices_mm[geometry.faces[:, k]] for k in range(3))
    assert 80e3 < np.einsum("fi,fi->", a, np.cross(b, c)) / 6 < 200e3, "faces look outward: a volume in mm3"


def test_limits_are_stated() -> None:
    assert "Different activations can give one ECG" in (electrophysiology.__doc__ or "")

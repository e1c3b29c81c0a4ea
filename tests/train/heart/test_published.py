"""Files of the public data set's shape: pairs by name, leads, activation, and anatomies kept for validation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")

from ecg_trt.errors import OptionError
from train.config import Data
from train.data.heart.electrodes import twelve_leads
from train.data.heart.published import PublishedBeats, find_pairs, read_pair
from train.data.heart.samples import SimulatedBeats, heart_samples, open_beats


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two studies: one of three anatomies, one of one; two beats each."""
    rng = np.random.default_rng(0)
    for study in ("hearts", "hearts_geo_1", "hearts_geo_2", "other"):
        (tmp_path / study).mkdir()
        for beat in ("_hh.40.npy", "_hh.41.npy"):
            np.save(tmp_path / study / f"pECGData{beat}", rng.normal(0, 0.5, (500, 10)))
            cells = np.full((500, 75), -85.0)
            for point in range(75):
                cells[20 + point :, point] = 10.0
            cells[:, 74] = -85.0
            np.save(tmp_path / study / f"VmData{beat}", cells)
    return tmp_path


def test_files_pair_by_their_names(folder: Path) -> None:
    pairs = find_pairs(folder)
    assert len(pairs) == 8
    assert all(pair.ecg.name.replace("pECGData", "VmData") == pair.cells.name for pair in pairs)
    assert {pair.study for pair in pairs} == {"hearts", "other"}
    (folder / "hearts" / "VmData_hh.41.npy").unlink()
    with pytest.raises(OptionError, match=r"hearts/pECGData_hh\.41\.npy alone; expected VmData_hh\.41\.npy"):
        find_pairs(folder)


def test_activation_is_the_first_time_above_zero(folder: Path) -> None:
    beat = read_pair(find_pairs(folder)[0])
    np.testing.assert_array_equal(beat.activation[:74], 20 + np.arange(74))
    assert beat.activation[74] == 500, "never"
    assert beat.electrodes.shape == (10, 500) and beat.potentials.shape == (75, 500)


def test_other_shapes_are_named(folder: Path) -> None:
    pair = find_pairs(folder)[0]
    np.save(pair.cells, np.zeros((500, 74)))
    with pytest.raises(OptionError, match=r"shape \(500, 74\); expected \(500, 75\)"):
        read_pair(pair)


def test_no_anatomy_is_in_training_and_in_validation(folder: Path) -> None:
    training, held_out = (PublishedBeats.open(folder, held_out=held_out) for held_out in (False, True))
    assert {pair.anatomy for pair in held_out.pairs} == {"hearts_geo_2"}
    assert {pair.anatomy for pair in training.pairs} == {"hearts", "hearts_geo_1", "other"}
    with pytest.raises(OptionError, match="one anatomy in each study"):
        PublishedBeats.open(folder / "other", held_out=True)


def test_a_folder_with_the_data_set_takes_the_simulator_s_place(folder: Path, tmp_path: Path) -> None:
    source = open_beats(Data(signals=str(folder)), True)
    assert isinstance(source, PublishedBeats)
    (sample,) = heart_samples(np.random.default_rng(1), source, "activation", 1)
    assert sample["activation"][3] == pytest.approx(0.23)
    leads = [twelve_leads(read_pair(pair).electrodes) for pair in source.pairs]
    nearest = max(np.corrcoef(sample["image"].ravel(), lead.ravel())[0, 1] for lead in leads)
    assert nearest > 0.7, "noise, wander and lost leads are added to a beat of the data set"
    assert isinstance(open_beats(Data(signals=str(tmp_path / "nothing here")), False), SimulatedBeats)

"""The shipped networks of the heart on beats of a simulated heart that they did not learn from."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

from ecg_trt import weights
from ecg_trt.analysis.electrophysiology import HeartMapper
from ecg_trt.backends.ort import OrtBackend
from train.data.heart.activation import FIRST_MS
from train.data.heart.anatomy import draw_anatomy
from train.data.heart.electrodes import Torso, twelve_leads
from train.data.heart.heart import Heart
from train.data.heart.simulator import Simulator


def test_maps_are_much_nearer_than_a_guess() -> None:
    rng = np.random.default_rng(77)
    few = {"lv_endo": 24, "rv_endo": 12, "lv_epi": 10, "rv_epi": 6}
    simulator = Simulator(Heart.of(draw_anatomy(rng), rng, few), Torso.draw(rng))
    beats = [simulator.draw(rng) for _ in range(40)]
    paths = (weights.weights_path(name) for name in ("activation", "potentials"))
    with OrtBackend(next(paths), 1) as activation, OrtBackend(next(paths), 1) as potentials:
        mapper = HeartMapper(activation, potentials)
        maps = [
            mapper(
                np.pad(twelve_leads(beat.electrodes), ((0, 0), (10, 10)), mode="edge"), 1000.0, 0.010 + FIRST_MS / 1000
            )
            for beat in beats
        ]
    times, cells = np.stack([b.activation for b in beats]) - FIRST_MS, np.stack([b.potentials for b in beats])
    late = np.abs(np.stack([m.activation_ms for m in maps]) - times).mean()
    assert late < 0.4 * np.abs(np.median(times, axis=0) - times).mean()
    wrong = np.sqrt(np.square(np.stack([m.require_potentials() for m in maps]) - cells).mean())
    assert wrong < 0.7 * np.sqrt(np.square(cells.mean(axis=0) - cells).mean())

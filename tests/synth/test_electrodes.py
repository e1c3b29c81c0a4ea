"""Noise and the device's filter."""

from __future__ import annotations

import numpy as np

from ecg_trt.synth.electrodes import record


def test_without_noise_slow_waves_pass() -> None:
    t = np.arange(5000) / 500
    slow = np.tile(np.sin(2 * np.pi * 3 * t), (8, 1))
    np.testing.assert_allclose(record(np.random.default_rng(0), slow, 0.0, 500.0, t), slow, atol=1e-3)


def test_noise_is_of_the_order_of_microvolts() -> None:
    t = np.arange(5000) / 500
    spread = [record(np.random.default_rng(k), np.zeros((8, 5000)), 1.0, 500.0, t).std() for k in range(40)]
    assert 0.003 < np.median(spread) < 0.2

"""The simulator against the laws of the leads, its own rates, and plain physiology."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_trt.layout import LEADS
from ecg_trt.synth.signals import RHYTHMS, simulate, simulate_named, twelve_leads
from ecg_trt.types import Array

ROW = {lead: k for k, lead in enumerate(LEADS)}


def _beat_times(signal: Array, fs: float = 500.0) -> Array:
    """Peaks of the summed slope, s."""
    slope = np.abs(np.diff(signal, axis=1)).sum(0)
    slope = np.convolve(slope, np.ones(20) / 20, "same")
    high = slope > 0.35 * np.percentile(slope, 99.5)
    rise = np.flatnonzero(np.diff(high.astype(int)) == 1)
    kept = [rise[0]]
    for at in rise[1:]:
        if at - kept[-1] > 0.2 * fs:
            kept.append(at)
    return np.array(kept) / fs


@pytest.mark.parametrize("rhythm", RHYTHMS)
def test_laws_of_the_limb_leads(rhythm: str) -> None:
    s = simulate_named(np.random.default_rng(1), rhythm)
    assert s.shape == (12, 5000) and s.dtype == np.float32 and np.isfinite(s).all()
    one, two, three, avr, avl, avf = s[:6]
    np.testing.assert_allclose(one + three, two, atol=2e-6)
    np.testing.assert_allclose(avr, -(one + two) / 2, atol=2e-6)
    np.testing.assert_allclose(avl, (one - three) / 2, atol=2e-6)
    np.testing.assert_allclose(avf, (two + three) / 2, atol=2e-6)


@pytest.mark.parametrize("rhythm", RHYTHMS)
def test_heights_are_those_of_hearts(rhythm: str) -> None:
    peaks = []
    for seed in range(12):
        s = simulate_named(np.random.default_rng(seed), rhythm, noise=0.0)
        peaks.append(np.abs(s - np.median(s, 1, keepdims=True)).max())
    assert max(peaks) < 6
    assert np.median(peaks) > (0.25 if rhythm == "low_voltage" else 0.7)
    if rhythm == "low_voltage":
        assert np.median(peaks) < 1.2


@pytest.mark.parametrize("rate", [45.0, 75.0, 140.0])
def test_the_rate_is_kept(rate: float) -> None:
    s = simulate_named(np.random.default_rng(4), "sinus", rate=rate, noise=0.0, seconds=20.0)
    times = _beat_times(s)
    assert 60 / np.diff(times).mean() == pytest.approx(rate, rel=0.05)


def test_fibrillation_is_irregular_and_sinus_is_not() -> None:
    spread, options = {}, {"rate": 80.0, "noise": 0.0, "seconds": 30.0}
    for rhythm in ("sinus", "fibrillation"):
        records = [simulate_named(np.random.default_rng(k), rhythm, **options) for k in range(6)]
        gaps = [np.diff(_beat_times(s)) for s in records]
        spread[rhythm] = np.median([g.std() / g.mean() for g in gaps])
    assert spread["sinus"] < 0.1 < spread["fibrillation"]


def test_r_grows_from_v1_to_v5() -> None:
    share = []
    for seed in range(20):
        s = simulate_named(np.random.default_rng(seed), "sinus", noise=0.0)
        centred = s - np.median(s, 1, keepdims=True)
        up, down = centred.max(1), -centred.min(1)
        share.append(up / (up + down))
    mean = np.mean(share, 0)
    assert mean[ROW["V1"]] < 0.45 < 0.6 < mean[ROW["V5"]]
    assert mean[ROW["aVR"]] < 0.4


def test_blocks_are_wide() -> None:
    def width(rhythm: str, seed: int) -> float:
        s = simulate_named(np.random.default_rng(seed), rhythm, rate=60, noise=0.0)
        slope = np.abs(np.diff(s, axis=1)).sum(0)
        return float((slope > 0.1 * slope.max()).sum() / (10 * 500))

    for rhythm in ("lbbb", "rbbb"):
        wide, narrow = (np.median([width(r, k) for k in range(8)]) for r in (rhythm, "sinus"))
        assert wide > 1.2 * narrow


def test_noise_can_be_left_out_and_turned_up() -> None:
    rough = []
    for level in (0.0, 1.0, 8.0):
        s = simulate_named(np.random.default_rng(3), "bradycardia", rate=35, noise=level)
        rough.append(np.median(np.abs(np.diff(s, n=2, axis=1))))
    assert 3 * rough[0] < rough[1] < rough[2] / 3


@pytest.mark.parametrize(("fs", "seconds"), [(100.0, 10.0), (250.0, 4.0), (1000.0, 2.5)])
def test_other_rates_and_lengths(fs: float, seconds: float) -> None:
    for seed in range(10):
        assert simulate(np.random.default_rng(seed), fs=fs, seconds=seconds).shape == (
            12,
            round(fs * seconds),
        )


def test_seeded() -> None:
    first, second, other = (simulate(np.random.default_rng(seed)) for seed in (8, 8, 9))
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - other).max() > 0.1


def test_every_rhythm_is_drawn() -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        assert np.isfinite(simulate(rng, seconds=2.0)).all()


def test_twelve_leads_closed_form() -> None:
    eight = np.zeros((8, 1))
    eight[:3, 0] = 1.0, 3.0, 5.0
    assert twelve_leads(eight)[:, 0].tolist() == [1, 3, 2, -2, -0.5, 2.5, 5, 0, 0, 0, 0, 0]


def test_unknown_rhythm() -> None:
    with pytest.raises(ValueError, match="unknown rhythm 'waltz'"):
        simulate_named(np.random.default_rng(0), "waltz")

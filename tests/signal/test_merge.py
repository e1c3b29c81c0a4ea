"""Merging of readings whose noise, lags and gaps are known."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_trt.errors import OptionError
from ecg_trt.signal.merge import MAX_LAG_S, correlations, merge_leads
from ecg_trt.types import Array

FS = 250.0
N_LEADS, N = 4, 1250


def leads(seed: int = 0, lag_s: float = 0.0) -> Array:
    """(leads, n) mV: beats of breadths and heights of their own, later by a lag."""
    rng = np.random.default_rng(seed)
    t = np.arange(N) / FS - lag_s
    beats = np.cumsum(rng.uniform(0.6, 1.0, 12))
    shapes = [
        (rng.normal(0, 1.0), at, width) for at, width in ((0.0, 0.015), (0.04, 0.02), (0.25, 0.05)) for _ in "1234"
    ]
    rows = [
        sum(h * np.exp(-0.5 * ((t - b - at) / w) ** 2) for b in beats for h, at, w in shapes[k::4]) for k in range(4)
    ]
    return np.array(rows)


def readings(noise_mv: list[float], lag_s: list[float], seed: int = 1) -> Array:
    rng = np.random.default_rng(seed)
    rows = [leads(lag_s=lag) + sd * rng.standard_normal((N_LEADS, N)) for sd, lag in zip(noise_mv, lag_s, strict=True)]
    return np.array(rows) + rng.normal(0, 0.1, (len(noise_mv), N_LEADS, 1))


def error_mv(signal: Array, truth: Array) -> float:
    """RMS error, levels left out."""
    off = signal - truth
    return float(np.sqrt(np.nanmean((off - np.nanmean(off, 1, keepdims=True)) ** 2)))


def expected(noise_mv: list[float]) -> Array:
    return np.repeat(np.square(noise_mv)[:, None], N_LEADS, 1)


@pytest.mark.parametrize("noise_mv", [[0.05, 0.05], [0.05, 0.03, 0.08], [0.05] * 5])
def test_merged_leads_are_better_than_the_best(noise_mv: list[float]) -> None:
    signal = readings(noise_mv, [0.0] * len(noise_mv))
    merged = merge_leads(signal, expected(noise_mv), FS)
    ideal = (1 / np.square(noise_mv)).sum() ** -0.5
    assert error_mv(merged.signal_mv, leads()) == pytest.approx(ideal, rel=0.1)
    assert error_mv(merged.signal_mv, leads()) < 0.9 * min(error_mv(one, leads()) for one in signal)
    np.testing.assert_allclose(merged.weight.sum(0), 1.0)


def test_lags_are_found_below_a_sample() -> None:
    lag_s = [0.0, 0.0125, -0.031]
    merged = merge_leads(readings([0.02] * 3, lag_s), expected([0.02] * 3), FS)
    np.testing.assert_allclose(merged.lag_s - merged.lag_s[0], np.repeat(np.array(lag_s)[:, None], 4, 1), atol=8e-4)
    np.testing.assert_allclose(merged.lag_s[0], 0.0, atol=8e-4)  # The median page keeps its place.
    assert error_mv(merged.signal_mv, leads()) < 0.02


def test_precision_is_measured_when_it_is_not_known() -> None:
    """Three readings tell which of them is noisy, against what was expected."""
    merged = merge_leads(readings([0.02, 0.02, 0.2], [0.0] * 3), np.full((3, N_LEADS), 0.04**2), FS)
    assert (merged.weight[2] < 0.1).all()
    assert np.sqrt(merged.residual_mv2[2]) == pytest.approx(np.full(N_LEADS, 0.2), rel=0.25)


def test_a_wrong_lead_is_outvoted_even_if_it_was_trusted_most() -> None:
    signal = readings([0.02] * 3, [0.0] * 3)
    signal[0, 1] = leads(seed=9)[2]
    known = expected([0.01, 0.03, 0.03])
    merged = merge_leads(signal, known, FS)
    assert merged.weight[0, 1] < 0.02
    assert error_mv(merged.signal_mv, leads()) < 0.03


def test_a_stretch_that_goes_astray_counts_little() -> None:
    signal = readings([0.02] * 3, [0.0] * 3)
    signal[0, 1, 400:600] += 0.8
    merged = merge_leads(signal, expected([0.02] * 3), FS)
    assert (
        np.abs(merged.signal_mv[1, 440:560] - leads()[1, 440:560] - np.mean(merged.signal_mv[1] - leads()[1])).mean()
        < 0.1
    )


def test_of_two_that_disagree_the_more_precise_counts_more_and_noise_grows() -> None:
    signal = readings([0.02] * 2, [0.0] * 2)
    agreeing = merge_leads(signal, expected([0.02, 0.05]), FS)
    signal[1, 1] = leads(seed=9)[2]
    merged = merge_leads(signal, expected([0.02, 0.05]), FS)
    assert merged.weight[0, 1] > 0.7
    assert np.mean(merged.noise_mv2[1]) > 10 * np.mean(agreeing.noise_mv2[1])
    assert np.mean(merged.noise_mv2[0]) < 2 * np.mean(agreeing.noise_mv2[0])


def test_gaps_are_filled_and_nothing_is_invented() -> None:
    signal = readings([0.02] * 2, [0.0] * 2)
    signal[0, 0, :300] = np.nan
    signal[1, 0, 900:] = np.nan
    signal[:, 2, 500:700] = np.nan
    signal[:, 3] = np.nan
    merged = merge_leads(signal, expected([0.02] * 2), FS)
    assert np.isfinite(merged.signal_mv[:2]).all()
    missing = np.flatnonzero(np.isnan(merged.signal_mv[2]))
    assert abs(missing[0] - 500) <= 1 and abs(missing[-1] - 699) <= 1 and len(missing) >= 198
    assert np.isnan(merged.signal_mv[3]).all() and np.isnan(merged.weight[:, 3]).all()
    assert error_mv(merged.signal_mv[:1], leads()[:1]) < 0.03


def test_readings_without_a_common_sample_keep_their_levels() -> None:
    signal = readings([0.02] * 2, [0.0] * 2)
    signal[0, :, 600:], signal[1, :, :600] = np.nan, np.nan
    merged = merge_leads(signal, expected([0.02] * 2), FS)
    np.testing.assert_allclose(merged.signal_mv[:, 20:580], signal[0, :, 20:580], atol=0.02)


def test_variances_that_are_not_known_are_measured() -> None:
    known = np.full((3, N_LEADS), np.nan)
    merged = merge_leads(readings([0.03] * 3, [0.0] * 3), known, FS)
    assert error_mv(merged.signal_mv, leads()) < 0.025


def test_one_reading_comes_back() -> None:
    signal = readings([0.02], [0.0])
    merged = merge_leads(signal, expected([0.02]), FS)
    np.testing.assert_allclose(merged.signal_mv, signal[0])


def test_correlations_tell_other_pages() -> None:
    signal = np.concatenate([readings([0.05] * 2, [0.0, 0.03]), leads(seed=5)[None]])
    correlation = correlations(signal, FS)
    np.testing.assert_allclose(np.diag(correlation), 1.0)
    assert correlation[0, 1] > 0.9 and np.abs(correlation[2, :2]).max() < 0.5
    assert correlations(np.full((2, 1, 100), np.nan), FS)[0, 1] == 0.0
    assert MAX_LAG_S < 0.3, "a lag is less than half a beat"


@pytest.mark.parametrize("shape", [(0, 4, 10), (4, 10)])
def test_wrong_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(OptionError, match="cannot be merged"):
        merge_leads(np.zeros(shape), np.zeros(shape[:2]), FS)

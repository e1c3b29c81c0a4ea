from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecg_trt.errors import OptionError
from ecg_trt.geometry.ridge import decode_ridge, follow_ridge, ridge_maxima
from ecg_trt.signal.resample import fill_gaps, resample, valid_columns, without_end_steps
from ecg_trt.thresholds import RunThresholds


def ridge(rows: np.ndarray, height: int, sigma: float = 1.2) -> np.ndarray:
    at = np.arange(height)[:, None]
    return (-0.5 * ((at - rows) / sigma) ** 2)[None].astype(np.float32)


def test_decode_finds_the_centre_of_a_gaussian() -> None:
    rows = np.linspace(20, 60, 333)
    row, peak = decode_ridge(ridge(rows, 90))
    assert row.dtype == peak.dtype == np.float32
    assert np.abs(row[0] - rows).max() < 2e-3
    assert peak.min() > 0.999


@given(st.integers(0, 10_000), st.integers(1, 40))
@settings(max_examples=25, deadline=None)
def test_decode_moves_with_the_picture(seed: int, shift: int) -> None:
    logits = np.random.default_rng(seed).normal(0, 3, (2, 30, 17)).astype(np.float32)
    padded = np.full((2, 120, 17), -60, np.float32)
    moved = padded.copy()
    padded[:, 30:60], moved[:, 30 + shift : 60 + shift] = logits, logits
    (row, peak), (row_moved, peak_moved) = decode_ridge(padded), decode_ridge(moved)
    assert np.allclose(row_moved - row, shift, atol=1e-4)
    assert np.allclose(peak, peak_moved, atol=1e-5)
    assert ((peak > 0) & (peak <= 1)).all()


def test_decode_at_the_rim_and_flat() -> None:
    row, peak = decode_ridge(np.zeros((1, 100, 3), np.float32), half_window=6)
    assert np.allclose(peak, 0.07, atol=1e-6)
    assert (row >= 0).all()
    row, _ = decode_ridge(ridge(np.array([0.0, 49.0]), 50))
    assert (row >= 0).all()
    assert (row <= 49).all()
    with pytest.raises(OptionError):
        decode_ridge(np.zeros((4, 5)))


def test_columns_that_are_hardly_in_doubt_count_beside_sure_ones() -> None:
    confidence = np.array([0.3, 0.3, 0.9, 0.3, 0.2, 0.3, 0.3, 0.2, 0.51, 0.26, 0.24, 0.9])
    expected = [1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 0, 1]
    thresholds = RunThresholds(0.5, 0.25, 0.0)
    assert valid_columns(confidence, 10.0, thresholds).tolist() == [bool(one) for one in expected]
    long = replace(thresholds, least_mm=0.3)
    assert valid_columns(confidence, 10.0, long).tolist() == [*map(bool, expected[:4]), *[False] * 8]
    assert not valid_columns(np.full(5, 0.4), 10.0, thresholds).any()
    assert not valid_columns(np.array([0.4, np.nan, 0.4]), 10.0, thresholds).any()
    assert valid_columns(np.empty(0), 10.0).shape == (0,)


def test_gaps() -> None:
    y = 3.0 * np.arange(30.0)
    valid = np.ones(30, bool)
    valid[[0, 1, 5, 10, 11, 12, 20, 21, 22, 23, 29]] = False
    filled = fill_gaps(y, valid, 3)
    expected = y.copy()
    expected[[0, 1, 20, 21, 22, 23, 29]] = np.nan
    assert np.allclose(filled, expected, equal_nan=True)


def test_cubic_gap_is_smooth_and_does_not_overshoot() -> None:
    t = np.arange(60)
    y = np.sin(t / 8)
    valid = np.ones(60, bool)
    valid[15:19] = False
    straight = np.interp(t, t[valid], y[valid])
    assert np.abs(fill_gaps(y, valid, 9) - y).max() < 0.5 * np.abs(straight - y).max()
    spike = np.array([0, 9.0, np.nan, np.nan, 9.5, 0])
    filled = fill_gaps(spike, np.isfinite(spike), 5)
    assert filled[2:4].min() >= 9
    assert filled[2:4].max() <= 9.5
    assert np.isnan(fill_gaps(spike, spike > 9.1, 5)[[0, 1, 2, 3, 5]]).all()
    with pytest.raises(OptionError):
        fill_gaps(spike, np.ones(3, bool), 5)


@pytest.mark.parametrize(("fs_in", "start"), [(200.0, 0.0), (240.0, -0.01), (187.3, 0.0013), (1000.0, 0.0)])
def test_resampling_a_sine(fs_in: float, start: float) -> None:
    x = start + np.arange(int(2.5 * fs_in)) / fs_in
    t = np.arange(1250) / 500

    def wave(s: np.ndarray) -> np.ndarray:
        return np.sin(2 * np.pi * 7 * s + 0.3) + 0.5 * np.cos(2 * np.pi * 40 * s) + 0.2

    y = resample(wave(x), x, 500.0, 1250)
    inside = (t > x[0] + 0.2) & (t < x[-1] - 0.2)
    assert np.abs(y - wave(t))[inside].max() < 1e-3
    held = np.isfinite(y)
    assert np.array_equal(held, (t >= x[0] - 0.5 / fs_in) & (t <= x[-1] + 0.5 / fs_in))
    assert np.abs(y - wave(t))[held].max() < 0.1


def test_resampling_lines_runs_and_drift() -> None:
    x = np.arange(400) / 200
    y = 3 * x + 1
    y[100:140] = np.nan
    out = resample(y, x, 500.0, 1100)
    t = np.arange(1100) / 500
    hole = ((t > x[99] + 0.0026) & (t < x[140] - 0.0026)) | (t > x[-1] + 0.0026)
    assert np.array_equal(np.isnan(out), hole)
    assert np.abs(out - (3 * t + 1))[~hole].max() < 1e-4
    drift = np.cumsum(1 + 0.03 * np.sin(np.arange(600) / 90)) / 200
    out = resample(np.sin(2 * np.pi * 5 * drift), drift, 500.0, 1400)
    assert np.abs(out - np.sin(10 * np.pi * np.arange(1400) / 500))[100:1300].max() < 5e-3


def test_downsampling_does_not_alias() -> None:
    x = np.arange(4000) / 2000
    out = resample(np.sin(2 * np.pi * 400 * x), x, 500.0, 1000)
    assert np.abs(out[100:900]).max() < 0.02


def test_resampling_refuses_nonsense() -> None:
    for x, fs in (([0, 1, 1], 5), ([0, 1], 5), ([0, 1, 2], 0)):
        with pytest.raises(OptionError):
            resample(np.zeros(3), np.array(x, float), fs, 10)
    assert np.isnan(resample(np.array([1.0]), np.array([0.0]), 10, 5)).all()
    assert np.isnan(resample(np.ones(3), np.array([9, 10, 11.0]), 10, 5)).all()


def test_steps_at_the_ends_are_levelled_and_others_are_not() -> None:
    y = np.sin(np.arange(60) / 9)
    wrong = y.copy()
    wrong[:2], wrong[-1] = 9, -9
    wrong[30] = 9
    out = without_end_steps(wrong, 3, 2.0)
    assert (out[:2] == y[2]).all() and out[-1] == y[-2] and out[30] == 9
    np.testing.assert_array_equal(np.delete(out, [0, 1, 30, 59]), np.delete(y, [0, 1, 30, 59]))
    assert np.isnan(without_end_steps(np.full(5, np.nan), 3, 2.0)).all()


def _ridge(pen: np.ndarray, height: int, strength: float = 1.0) -> np.ndarray:
    return strength * np.maximum(-0.5 * (np.arange(height)[:, None] - pen) ** 2, -14.0)


def test_a_brighter_letter_beside_the_pen_is_passed_by() -> None:
    pen = np.full(200, 60.0)
    logits = _ridge(pen, 120)
    letter = slice(90, 100)
    logits[85:89, letter] = 0.3  # outshines the pen for ten columns
    assert (np.argmax(logits[:, letter], 0) > 80).all()
    path = follow_ridge(logits[None])[0]
    np.testing.assert_array_equal(path, 60)
    row, _ = decode_ridge(logits[None], centre=path[None])
    np.testing.assert_allclose(row[0], 60, atol=0.05)


def test_a_steep_wave_is_followed() -> None:
    x = np.arange(200)
    pen = 90 - 70 * np.exp(-0.5 * ((x - 100) / 2.5) ** 2)
    path = follow_ridge(_ridge(pen, 120)[None])[0]
    assert np.abs(path - pen).max() <= 0.5


@given(st.integers(0, 10_000))
def test_followed_rows_are_among_the_maxima(seed: int) -> None:
    logits = np.random.default_rng(seed).normal(size=(2, 20, 30)).astype(np.float32)
    path = follow_ridge(logits, candidates=20)
    value = np.take_along_axis(logits, path[:, None], 1)[:, 0]
    padded = np.pad(logits, ((0, 0), (1, 1), (0, 0)), constant_values=-np.inf)
    above = np.take_along_axis(padded, path[:, None], 1)[:, 0]
    below = np.take_along_axis(padded, path[:, None] + 2, 1)[:, 0]
    assert ((value >= above) & (value >= below)).all()


def test_the_highest_maxima_of_each_column_best_first() -> None:
    logits = np.random.default_rng(3).normal(size=(2, 40, 30)).astype(np.float32)
    logits[0, :, 4] = np.arange(40)  # one maximum
    logits[1, :, 7] = np.nan
    logits[1, 9, 8] = np.inf
    row, score = ridge_maxima(logits, 4)
    padded = np.pad(logits, ((0, 0), (1, 1), (0, 0)), constant_values=-np.inf)
    peaks = np.where((logits >= padded[:, :-2]) & (logits > padded[:, 2:]), logits, -np.inf)
    highest = -np.sort(-peaks, axis=1)[:, :4]
    overflowed = np.zeros((2, 1, 30), bool)
    overflowed[1, :, 7:9] = True
    is_there = np.isfinite(highest) & ~overflowed
    np.testing.assert_array_equal(np.isfinite(score), is_there)
    np.testing.assert_array_equal(np.take_along_axis(logits, row, 1)[is_there], highest[is_there])
    best = np.broadcast_to(highest[:, :1], highest.shape)
    np.testing.assert_array_equal(score[is_there], highest[is_there] - best[is_there])
    assert (row[0, :, 4] == 39).all() and np.isneginf(score[0, 1:, 4]).all()


def test_resampling_takes_away_what_is_faster_than_the_passband() -> None:
    x = np.arange(500) / 250.0
    inside, edge, outside = (
        resample(np.sin(2 * np.pi * hz * x), x, 500.0, 1000, passband_hz=75.0)[200:800] for hz in (40.0, 75.0, 100.0)
    )
    t = np.arange(1000)[200:800] / 500.0
    assert np.abs(inside - np.sin(2 * np.pi * 40 * t)).max() < 0.01
    assert np.abs(edge).max() == pytest.approx(0.5, abs=0.05)
    assert np.abs(outside).max() < 0.01

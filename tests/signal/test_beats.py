"""Beats that paper has shifted go back to where all rows have them."""

import numpy as np
import pytest

from ecg_trt.signal.beats import beat_delays, find_beats, time_corrected

FS, SPEED = 500.0, 25.0
TIMES_S = np.array([0.6, 1.4, 2.25, 3.0, 3.9])


def _row(times_s: np.ndarray, height: float = 1.0, width_s: float = 0.02, seconds: float = 4.5) -> np.ndarray:
    t = np.arange(round(seconds * FS)) / FS
    return height * sum(np.exp(-(((t - at) / width_s) ** 2)) for at in times_s)


def _rows(late_s: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(0)
    shapes = ((1.0, 0.02), (-0.7, 0.025), (0.5, 0.03), (1.5, 0.018))
    rows = [_row(TIMES_S + late, *shape) for late, shape in zip(late_s, shapes, strict=True)]
    return np.stack(rows) + rng.normal(0, 0.005, (4, len(rows[0])))


def test_a_beat_that_one_row_shows_late_is_found():
    late = np.zeros((4, 5))
    late[1, 2] = 0.004
    times, delay = beat_delays(_rows(late), FS, SPEED)
    np.testing.assert_allclose(times, TIMES_S, atol=0.01)
    expected = late - late.mean(1, keepdims=True) - late.mean(0) + late.mean()
    np.testing.assert_allclose(delay, expected, atol=0.001)
    assert delay[1, 2] > 0.0015


def test_what_all_rows_share_stays():
    late = np.tile(np.array([0.0, 0.004, -0.004, 0.002, 0.0]), (4, 1))
    _, delay = beat_delays(_rows(late), FS, SPEED)
    assert np.abs(delay).max() < 2e-4


def test_a_rows_own_offset_stays():
    late = np.tile(np.array([0.0, 0.003, -0.003, 0.001])[:, None], (1, 5))
    _, delay = beat_delays(_rows(late), FS, SPEED)
    assert np.abs(delay).max() < 2e-4


def test_a_beat_of_another_shape_is_left_alone():
    rows = _rows(np.zeros((4, 5)))
    t = np.arange(rows.shape[1]) / FS
    rows[0] += -3.0 * np.exp(-(((t - TIMES_S[3] - 0.02) / 0.03) ** 2))  # an extrasystole in one lead
    _, delay = beat_delays(rows, FS, SPEED)
    assert np.isnan(delay[0, 3])
    assert np.isfinite(delay[1:, 3]).all()


def test_rows_that_show_another_time_are_left_alone():
    rows = _rows(np.zeros((4, 5)))
    rows[3] = _row(np.array([0.45, 1.55, 2.1, 3.15, 3.75]))
    _, delay = beat_delays(rows, FS, SPEED)
    assert np.nanmax(np.abs(delay)) < 3e-4


def test_one_row_says_nothing():
    _, delay = beat_delays(_rows(np.zeros((4, 5)))[:1], FS, SPEED)
    assert np.isnan(delay).all()


def test_rows_without_beats():
    assert beat_delays(np.full((3, 500), np.nan), FS, SPEED)[1].shape == (3, 0)
    assert beat_delays(np.zeros((3, 500)), FS, SPEED)[1].shape == (3, 0)
    assert beat_delays(np.zeros((0, 500)), FS, SPEED)[1].shape == (0, 0)


@pytest.mark.parametrize("n", [0, 1, 2, 10, 40])
def test_beats_of_a_short_signal_lie_within_it(n):
    signal = np.random.default_rng(0).standard_normal((2, n))
    assert (find_beats(signal, FS) < n).all()
    assert beat_delays(signal, FS, SPEED)[1].shape[0] == 2


def test_punctual_moves_a_late_beat_forward_and_no_end():
    times = np.linspace(0.0, 1.0, 101)
    out = time_corrected(times, np.array([0.5, 0.8, 3.0]), np.array([0.01, np.nan, 0.02]))
    assert out[50] == pytest.approx(0.49)
    assert out[25] == pytest.approx(0.245)
    np.testing.assert_allclose(out[[0, -1]], [0.0, 1.0])
    assert (np.diff(out) > 0).all()

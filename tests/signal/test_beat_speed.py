"""What the waves say of paper speed."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_trt.errors import WeightsError
from ecg_trt.layout import PAPER_SPEEDS_MM_PER_S
from ecg_trt.signal.beat_speed import (
    BeatModel,
    beat_lengths_mm,
    curve_height_mm,
    heights_mm,
    model_from_dict,
    speed_log_likelihoods,
)
from ecg_trt.types import RectifiedPage, Segment, Strip, TraceMap

PX_PER_MM = 10.0


def _page(mm_per_s: float, beats_per_minute: float = 70, seconds: float = 10.0) -> np.ndarray:
    """(4, W) mm of three leads and a rhythm strip of a narrow QRS complex and a T wave."""
    t = np.arange(round(min(seconds, 250 / mm_per_s) * mm_per_s * PX_PER_MM)) / PX_PER_MM / mm_per_s
    phase = (t - 0.4) % (60 / beats_per_minute)
    wave = 10 * np.exp(-(((phase - 0.1) / 0.014) ** 2)) - 3 * np.exp(-(((phase - 0.13) / 0.014) ** 2))
    wave += 2 * np.exp(-(((phase - 0.38) / 0.06) ** 2))
    noise = np.random.default_rng(0).normal(0, 0.03, (4, len(t)))
    return np.array([[1.0], [0.6], [-0.8], [1.2]]) * wave + noise


def _log_odds(page: np.ndarray) -> float:
    """Of 50 against 25 mm/s."""
    likely = dict(zip(PAPER_SPEEDS_MM_PER_S, speed_log_likelihoods(page, PX_PER_MM), strict=True))
    return likely[50.0] - likely[25.0]


def test_the_same_heart_on_fast_and_on_slow_paper() -> None:
    assert _log_odds(_page(25.0)) < -2
    assert _log_odds(_page(50.0)) > 4


@pytest.mark.parametrize("speed", [12.5, 25.0, 50.0])
def test_the_likeliest_speed_is_that_of_the_page(speed: float) -> None:
    likely = speed_log_likelihoods(_page(speed), PX_PER_MM)
    assert PAPER_SPEEDS_MM_PER_S[int(likely.argmax())] == speed
    assert likely[PAPER_SPEEDS_MM_PER_S.index(25.0)] == 0


def test_the_height_of_curves_is_their_range() -> None:
    assert curve_height_mm(_page(25.0)) == pytest.approx(9, abs=2)
    assert curve_height_mm(np.full((2, 900), np.nan)) == 0


def test_a_slow_heart_on_slow_paper_is_no_fast_paper() -> None:
    assert _log_odds(_page(25.0, beats_per_minute=45)) < 4


def test_columns_that_are_not_seen_say_nothing() -> None:
    page = _page(25.0)
    whole = _log_odds(page)
    page[1, 300:900] = np.nan
    page[:, 1200:1220] = np.nan
    assert _log_odds(page) == pytest.approx(whole, abs=1.5)


@pytest.mark.parametrize("page", [np.zeros((3, 2500)), np.full((3, 2500), np.nan), np.zeros((0, 2500)),
                                  _page(25.0)[:, :300]])  # fmt: skip
def test_too_few_beats_say_nothing(page: np.ndarray) -> None:
    assert not speed_log_likelihoods(page, PX_PER_MM).any()


def test_heights_are_mm_above_the_zero_line_and_nothing_at_borders() -> None:
    page = RectifiedPage(np.zeros((1, 1, 3), np.uint8), (10.0, 5.0), (10.0, 20.0), np.zeros((1, 1), bool), 8.0)
    strip = Strip(30.0, (20.0, 40.0), 1.0, (Segment("I", (20.0, 30.0)), Segment("II", (30.0, 40.0))))
    rows = np.full((1, 400), 25.0, np.float32)
    (height,) = heights_mm(page, [strip], TraceMap(rows, np.ones_like(rows), np.zeros_like(rows)))
    x = np.arange(400) / 10 + 10
    assert height[x == 25.0] == pytest.approx(5.0)
    for border in (20.0, 30.0, 40.0):
        assert np.isnan(height[np.abs(x - border) < 0.4]).all()
    assert np.isnan(height[x > 40.4]).all()


def test_lengths_are_proportional_to_the_speed() -> None:
    slow, fast = (beat_lengths_mm(_page(speed), PX_PER_MM) for speed in (25.0, 50.0))
    assert slow is not None and fast is not None
    assert slow[0] == pytest.approx(25 * 60 / 70, abs=0.3), "70 beats a minute"
    np.testing.assert_allclose(fast[[0, 1, 3]] / slow[[0, 1, 3]], 2, rtol=0.1)


def test_a_mixture_knows_hearts_of_either_kind() -> None:
    narrow, broad = np.array([1.3, 0.0, 0.0, 0.8]), np.array([1.3, 0.5, 0.2, 0.8])
    model = BeatModel(np.array([0.9, 0.1]), np.array([narrow, broad]), np.array([np.eye(4) * 0.01] * 2))
    alone = BeatModel(np.array([1.0]), narrow[None], np.eye(4)[None] * 0.01)
    at_50 = PAPER_SPEEDS_MM_PER_S.index(50.0)
    assert model.speed_log_likelihoods(broad)[at_50] < 0 < alone.speed_log_likelihoods(broad)[at_50]
    assert alone.log_density(narrow[None])[0] == pytest.approx(-2 * np.log(2 * np.pi * 0.01))


@pytest.mark.parametrize("values", [{}, {"shares": [1.0], "means": [[1.0]], "covariances": [[[1.0]]]}])
def test_a_model_of_another_shape_is_rejected(values: dict[str, object]) -> None:
    with pytest.raises(WeightsError, match="model of beats"):
        model_from_dict(values)
    whole = {"shares": [1.0], "means": [[0.0] * 4], "covariances": [np.eye(4).tolist()]}
    assert model_from_dict(whole).means.shape == (1, 4)

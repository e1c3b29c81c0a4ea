from __future__ import annotations

import numpy as np
import pytest

from ecg_trt.errors import OptionError
from ecg_trt.layout import LEADS
from ecg_trt.metrics import Score, score_record, summarise


def record(fs: int = 500, seed: int = 0) -> np.ndarray:
    """Twelve smooth leads, printed as 3x4+1."""
    rng = np.random.default_rng(seed)
    t = np.arange(10 * fs) / fs
    waves = [sum(rng.normal() * np.sin(2 * np.pi * f * t + rng.uniform(0, 6)) for f in (1.1, 3, 7)) for _ in LEADS]
    y = np.array(waves)
    for k in range(12):
        if k != 1:
            y[k, : k // 3 * 5 * fs // 2] = np.nan
            y[k, (k // 3 + 1) * 5 * fs // 2 :] = np.nan
    return y


def shifted(y: np.ndarray, lag: int) -> np.ndarray:
    out = np.full_like(y, np.nan)
    out[:, lag:] = y[:, :-lag]
    return out


def test_perfect_answer_and_free_offset() -> None:
    y = record()
    score = score_record(y, 500, y + np.arange(12)[:, None], 500)
    assert score.snr_db > 200
    assert np.allclose(score.pearson, 1)
    assert np.allclose(score.rmse_mv, 0, atol=1e-9)
    assert (score.lag_s == 0).all()


def test_noise_gives_its_own_ratio() -> None:
    y, rng = record(), np.random.default_rng(1)
    noise = rng.normal(0, 0.05, y.shape)
    score = score_record(y, 500, y + noise, 500)
    printed = np.isfinite(y)
    assert score.signal_power == pytest.approx(np.sum(y[printed] ** 2))
    level = sum(np.sum((n[p] - n[p].mean()) ** 2) for n, p in zip(noise, printed, strict=True))
    assert score.noise_power == pytest.approx(level)
    assert score.snr_db == pytest.approx(10 * np.log10(score.signal_power / level))


def test_lag_is_found_and_lost_samples_cost_the_signal() -> None:
    y = record() * 0 + np.random.default_rng(2).normal(size=(12, 5000))
    score = score_record(y, 500, shifted(y, 30), 500)
    assert np.allclose(score.lag_s, -0.06)
    lost = 0.0
    for row in y:
        span = row[np.isfinite(row)]
        lost += float(np.sum(span[-30:] ** 2))
    # The 30 samples pushed out at the end of each span are missing, and nothing else is wrong.
    assert score.noise_power == pytest.approx(lost)


def test_lag_beyond_the_limit_is_not_undone() -> None:
    y = record()
    score = score_record(y, 500, shifted(y, 150), 500)
    assert np.nanmax(np.abs(score.lag_s)) <= 0.2
    assert score.snr_db < 10


def test_a_missing_lead_costs_its_power() -> None:
    y = record()
    p = y.copy()
    p[6] = np.nan
    score = score_record(y, 500, p, 500)
    assert score.noise_power == pytest.approx(np.nansum(y[6] ** 2))
    assert score.pearson[6] == 0
    nothing = score_record(y, 500, np.full_like(y, np.nan), 500)
    assert nothing.snr_db == pytest.approx(0)


def test_the_mean_of_the_truth_counts_as_signal() -> None:
    y = record() + 1.0
    score = score_record(y, 500, y * 0.9, 500)
    assert score.signal_power == pytest.approx(np.nansum(y**2))


def test_low_rates_are_drawn_with_straight_lines() -> None:
    y = record(100)
    t = np.arange(5000) / 500
    p = np.full((12, 5000), np.nan)
    for k in range(12):
        held = np.flatnonzero(np.isfinite(y[k]))
        inside = (t >= held[0] / 100 - 1e-9) & (t <= held[-1] / 100 + 1e-9)
        p[k, inside] = np.interp(t[inside], held / 100, y[k, held])
    score = score_record(y, 100, p, 500)
    assert score.snr_db > 200
    assert score_record(record(250), 250, record(250), 250).snr_db > 25


def test_short_and_resampled_answers() -> None:
    y = record()
    assert score_record(y, 500, y[:, :2500], 500).snr_db > 0
    assert score_record(y, 500, np.hstack([y, y]), 500).snr_db > 200
    assert score_record(y, 500, y[:, ::2], 250).snr_db > 30


def test_leads_not_printed_have_no_numbers() -> None:
    y = record()
    y[4] = np.nan
    score = score_record(y, 500, record(), 500)
    assert np.isnan([score.pearson[4], score.rmse_mv[4], score.lag_s[4]]).all()
    assert score.snr_db > 200


def scored(db: float) -> Score:
    return Score(db, 10 ** (db / 10), 1.0, *np.zeros((5, 12)))


def test_summary() -> None:
    summary = summarise([scored(10), scored(20), None])
    assert (summary.images, summary.answered) == (3, 2)
    assert summary.mean_db == pytest.approx(10)
    assert summary.median_db == 10
    assert summary.p10_db == pytest.approx(2)
    assert summary.competition_db == pytest.approx(10 * np.log10((10 + 100 + 1) / 3))


def test_nonsense_is_refused() -> None:
    y = record()
    for arguments in ((y[:5], 500, y, 500), (y, 0, y, 500), (np.full_like(y, np.nan), 500, y, 500)):
        with pytest.raises(OptionError):
            score_record(*arguments)
    with pytest.raises(OptionError):
        summarise([])


def test_leads_are_compared_by_their_names() -> None:
    y = record()
    assert score_record(y[:1], 500, y[:1], 500).snr_db > 100
    with pytest.raises(OptionError, match="as many leads"):
        score_record(y, 500, y[:3], 500)


def test_without_a_lag_a_late_answer_scores_less() -> None:
    t = np.arange(5000) / 500
    truth = np.sin(2 * np.pi * 1.1 * t)[None]
    late = np.sin(2 * np.pi * 1.1 * (t - 0.01))[None]
    aligned, in_place = (score_record(truth, 500.0, late, 500.0, max_lag_s=lag) for lag in (0.2, 0.0))
    assert aligned.lag_s[0] == pytest.approx(-0.01) and in_place.lag_s[0] == 0
    assert aligned.snr_db > in_place.snr_db + 3
    # A sine that is late by d differs from itself by 2 sin(w d / 2) of its size.
    assert in_place.snr_db == pytest.approx(-20 * np.log10(2 * np.sin(np.pi * 1.1 * 0.01)), abs=0.1)

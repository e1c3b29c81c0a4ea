"""Fit of what beats say of the paper speed."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")

from ecg_trt.layout import LAYOUTS, LEADS, PAPER_SPEEDS_MM_PER_S
from ecg_trt.synth.signals import simulate
from train.calibrate_beats import errors, features_of, fit, rows_of
from train.data.signals import FS


def test_rows_show_their_leads_at_the_speed() -> None:
    signal = np.zeros((12, 5000))
    signal[LEADS.index("V1")] = np.arange(5000) / 5000  # 0.1 mV a second, 1 mm a second at 10 mm/mV
    rows = rows_of(np.random.default_rng(0), signal, FS, LAYOUTS["12x1"], 50.0)
    assert rows.shape == (12, 2500)
    shown = rows[LAYOUTS["12x1"].leads.index("V1")]
    inner = slice(100, -100)
    slope = np.polyfit(np.arange(2500)[inner] / 10 / 50, shown[inner], 1)[0]
    assert slope == pytest.approx(1, abs=0.1)
    columns = rows_of(np.random.default_rng(0), signal, FS, LAYOUTS["3x4"], 25.0)
    assert np.isnan(columns[:, 625]).all(), "a gap between two columns"


@pytest.mark.slow
def test_a_model_of_simulated_hearts_tells_their_speed() -> None:
    records = [simulate(np.random.default_rng(k), fs=FS, seconds=10.0) for k in range(60)]
    features, numbers = features_of(records, 0)
    assert features.shape[1] == 4 and set(numbers) <= set(range(60))
    wrong = errors(features, numbers)
    assert all(share < 0.15 for share in wrong.values()), wrong
    likely = fit(features).speed_log_likelihoods(np.median(features, axis=0))
    assert PAPER_SPEEDS_MM_PER_S[int(likely.argmax())] == 25.0

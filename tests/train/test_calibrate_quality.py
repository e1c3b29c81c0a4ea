"""The fit of the quality, on features whose meaning is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecg_trt.quality.model import FEATURES
from ecg_trt.synth.negatives import KINDS
from ecg_trt.synth.recordings import KINDS as RECORDING_KINDS
from train import calibrate_quality


def _readings(pages: int = 160, pictures: int = 40) -> calibrate_quality.Readings:
    """SNR falls with doubt and with what is lost of a lead; pages of odd length are misread; pictures have no names."""
    rng = np.random.default_rng(0)
    n = pages + pictures
    features = rng.normal(0, 0.3, (n, 12, len(FEATURES)))
    at = FEATURES.index
    features[..., at("uncertainty_steep")] = rng.uniform(-3, -1, (n, 12))
    odd = rng.random(n) < 0.2
    features[..., at("odd_length")] = odd[:, None] + rng.normal(0, 0.05, (n, 12))
    non_ecg = np.arange(n) >= pages
    features[..., at("names")] = np.where(non_ecg, 0.05, 0.35)[:, None] + rng.normal(0, 0.03, (n, 12))
    features[..., at("missing_fraction")] = np.where(rng.random((n, 12)) < 0.1, rng.uniform(0.1, 0.9, (n, 12)), 0.0)
    features[pages::2] = np.nan  # half of them are refused before anything is measured
    seen = 5 - 8 * features[..., at("uncertainty_steep")]
    missing = features[..., at("missing_fraction")]
    whole = -10 * np.log10((1 - missing) * 10 ** (-seen / 10) + missing)
    db = np.where(odd[:, None], 0.0, whole) + rng.normal(0, 1, (n, 12))
    signal = np.where(non_ecg[:, None], np.nan, 1.0) * np.ones((n, 12))
    names = np.array([f"page {k}" if k < pages else f"text {k}" for k in range(n)])
    return calibrate_quality.Readings(features, signal, signal / 10 ** (db / 10), non_ecg, names)


def test_the_fit_finds_what_was_put_in() -> None:
    readings = _readings()
    raw, true, fold, non_ecg = calibrate_quality.held_out(readings)
    calibration = replace(calibrate_quality.fit(readings), knots_db=calibrate_quality.knots(raw, true))
    expected = calibrate_quality.straightened(raw, true, fold)
    assert np.interp(raw, *calibration.knots_db) == pytest.approx(expected, abs=1.5)
    assert np.sqrt(np.mean((expected - true) ** 2)) < 2.5
    for low in (0, 12, 18, 24):
        mine = (expected >= low) & (expected < low + 6)
        assert expected[mine].mean() == pytest.approx(true[mine].mean(), abs=1.5)
    assert non_ecg[readings.non_ecg].min() > 0.5 > non_ecg[~readings.non_ecg].max()
    weights = dict(zip(calibration.snr.names, calibration.snr.weight, strict=True))
    assert min(weights, key=lambda name: weights[name]) == "uncertainty_steep"


def test_weights_keep_their_signs() -> None:
    readings = _readings()
    readings.features[..., FEATURES.index("names")] *= -1  # a fit without bounds would follow
    line = calibrate_quality.fit(readings).non_ecg
    assert line.weight[line.names.index("names")] <= 0


def test_knots_never_fall() -> None:
    rng = np.random.default_rng(1)
    raw = rng.uniform(0, 30, 500)
    x, y = calibrate_quality.knots(raw, np.abs(raw - 10) + rng.normal(0, 1, 500))
    assert (np.diff(x) > 0).all() and (np.diff(y) >= 0).all()
    few, _ = calibrate_quality.knots(raw[:7], raw[:7])
    assert 0 < len(few) <= 7 and np.isfinite(few).all()


def test_a_page_of_which_no_lead_is_whole_teaches_nothing_of_misreading() -> None:
    readings = _readings()
    line = calibrate_quality.fit(readings).gross_error
    readings.features[:20, :, FEATURES.index("missing_fraction")] = 0.5
    readings.noise[:20] = 100.0
    assert calibrate_quality.fit(readings).gross_error.weight != pytest.approx(line.weight)
    left_out = calibrate_quality.Readings(
        *(getattr(readings, name)[20:] for name in calibrate_quality.Readings.__slots__)
    )
    assert calibrate_quality.fit(readings).gross_error.weight == pytest.approx(
        calibrate_quality.fit(left_out).gross_error.weight
    )


def test_measurements_are_kept_until_features_or_networks_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kept.npz"
    row = (np.zeros((12, len(FEATURES))), np.ones(12), np.full(12, np.nan))
    calibrate_quality._save(path, {"page 1": row, "text 1": row})
    assert list(calibrate_quality._load(path)) == ["page 1", "text 1"]
    assert calibrate_quality._readings(calibrate_quality._load(path)).non_ecg.tolist() == [False, True]
    monkeypatch.setattr(calibrate_quality, "reading_weights", lambda: {"stage0": "another"})
    assert calibrate_quality._load(path) == {}


def test_pictures_are_named_and_drawn_when_asked_for() -> None:
    wanted = list(calibrate_quality.pictures(10, 1, 5))
    names = [name for name, _ in wanted]
    assert len(set(names)) == len(names) == 10 + len(KINDS) + len(RECORDING_KINDS)
    image, truth = dict(wanted)["noise 5"]()
    assert image.dtype == np.uint8 and truth is None

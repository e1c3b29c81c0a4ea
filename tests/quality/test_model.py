"""The calibration that is shipped, and the arithmetic around it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecg_trt.errors import WeightsError
from ecg_trt.quality.model import (
    FEATURES,
    Calibration,
    Line,
    as_dict,
    from_dict,
    is_of,
    load_calibration,
    page_snr_db,
    quality_of,
)

_MISSING = "missing_fraction"  # It counts by itself, not by a weight.


def _flat(value: float) -> Line:
    return Line((), np.zeros(0), np.ones(0), np.zeros(0), value)


def test_quality_is_a_documented_function_of_the_snr() -> None:
    db = np.array([-20.0, 5.0, 10.0, 15.0, 40.0, np.nan])
    quality = quality_of(db)
    assert quality[1:4] == pytest.approx([0.119, 0.5, 0.881], abs=1e-3)
    assert (np.diff(quality[:5]) > 0).all() and np.isnan(quality[5])


def test_a_page_adds_powers() -> None:
    signal = np.full((12, 10), np.nan)
    signal[0], signal[1] = 1.0, 2.0
    db = np.full(12, np.nan)
    db[:2] = 10.0, 20.0
    noise = 10 / 10 + 40 / 100
    assert page_snr_db(db, signal) == pytest.approx(10 * np.log10(50 / noise))
    assert np.isnan(page_snr_db(np.full(12, np.nan), signal))


def test_a_line_standardises_and_ignores_what_is_beyond_all_experience() -> None:
    line = Line(
        ("names", "page_limb_residual"), np.array([0.3, -0.8]), np.array([0.1, 0.2]), np.array([2.0, -1.0]), 5.0
    )
    features = np.zeros((3, len(FEATURES)))
    features[:, FEATURES.index("page_limb_residual")] = -0.8, -0.6, 1e6
    features[:, FEATURES.index("names")] = 0.3, 0.4, 0.3
    assert line(features) == pytest.approx([5.0, 6.0, 2.0])


def test_what_is_probably_misread_or_foreign_is_expected_to_be_bad() -> None:
    sound = Calibration(_flat(20.0), _flat(-9.0), 0.0, _flat(-9.0), np.array([[0.0, 30.0], [0.0, 30.0]]))
    features = np.zeros((2, len(FEATURES)))
    features[1] = np.nan
    db = sound.snr_db(features)
    assert db[0] == pytest.approx(20, abs=0.02) and np.isnan(db[1])
    assert replace(sound, gross_error=_flat(0.0)).snr_db(features)[0] == pytest.approx(10, abs=0.02)
    assert replace(sound, non_ecg=_flat(9.0)).snr_db(features)[0] == pytest.approx(0, abs=0.02)
    assert sound.non_ecg_score(features) < 0.01
    assert sound.non_ecg_score(np.full((12, len(FEATURES)), np.nan)) == 1.0


def test_what_is_lost_of_a_lead_counts_as_noise() -> None:
    sound = Calibration(_flat(20.0), _flat(-50.0), 0.0, _flat(-50.0), np.array([[0.0, 30.0], [0.0, 30.0]]))
    features = np.zeros((3, len(FEATURES)))
    features[:, FEATURES.index("missing_fraction")] = 0.0, 0.09, 0.99
    assert sound.raw_snr_db(features) == pytest.approx([20.0, 10.0, 0.0], abs=0.05)
    assert sound.seen_snr_db(features) == pytest.approx([20.0] * 3)
    assert features[2, FEATURES.index("missing_fraction")] == 0.99  # as it was


def test_the_shipped_calibration_can_be_read_and_written_again() -> None:
    shipped = load_calibration()
    again = from_dict(json.loads(json.dumps(as_dict(shipped))))
    features = np.random.default_rng(0).normal(0, 1, (12, len(FEATURES)))
    features[:, FEATURES.index("missing_fraction")] = 0.01
    assert again.snr_db(features) == pytest.approx(shipped.snr_db(features), abs=0.05)
    assert (np.diff(shipped.knots_db, axis=1) >= 0).all()


@pytest.mark.parametrize(("name", "worse"), [
    ("page_limb_residual", 1), ("uncertainty_steep", 1), ("names", -1), ("odd_length", 1), ("missing", 1),
    ("limb_residual", 1), (_MISSING, 1), ("scales_uncertainty", 1),
])  # fmt: skip
def test_no_evidence_against_a_reading_raises_what_is_expected_of_it(name: str, worse: int) -> None:
    shipped = load_calibration()
    means = {n: m for line in (shipped.non_ecg, shipped.gross_error, shipped.snr)
             for n, m in zip(line.names, line.mean, strict=True)}  # fmt: skip
    usual = np.array([[means.get(n, 0.0) for n in FEATURES]])
    bad = usual.copy()
    bad[0, FEATURES.index(name)] += worse
    assert any(name in line.names for line in (shipped.snr, shipped.gross_error, shipped.non_ecg)) or name == _MISSING
    assert shipped.raw_snr_db(bad)[0] <= shipped.raw_snr_db(usual)[0] + 1e-9
    assert shipped.non_ecg_score(bad) >= shipped.non_ecg_score(usual) - 1e-9
    if name in ("scales_uncertainty", "uncertainty_steep", _MISSING):
        assert shipped.raw_snr_db(bad)[0] < shipped.raw_snr_db(usual)[0] - 0.01


def test_a_calibration_of_other_features_is_refused(tmp_path: Path) -> None:
    content = as_dict(load_calibration())
    content["snr"]["features"]["nonsense"] = [0, 1, 1]  # type: ignore[index]
    with pytest.raises(WeightsError, match="nonsense"):
        from_dict(content)
    broken = tmp_path / "quality.json"
    broken.write_text("{")
    with pytest.raises(WeightsError, match=r"quality\.json"):
        load_calibration(broken)
    broken.write_text('{"networks": {"stage0": "ab"}}')
    assert is_of({"stage0": "ab"}, broken) and not is_of({"stage0": "cd"}, broken)
    with pytest.raises(WeightsError, match="gross_error"):
        from_dict({"snr": content["gross_error"], "knots_db": [0, 0]})

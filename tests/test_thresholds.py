"""The file of thresholds, and what is wrong with others."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from ecg_trt.errors import WeightsError
from ecg_trt.thresholds import FILE, PageThresholds, RunThresholds, Thresholds, from_dict, load_thresholds
from ecg_trt.weights import FOLDER


def test_the_shipped_file_is_read_once() -> None:
    shipped = load_thresholds()
    assert shipped is load_thresholds() and shipped == load_thresholds(FOLDER / FILE)
    assert 0 < shipped.page.lower <= shipped.page.upper < 1
    assert shipped.strip.least_mm > 0


def test_thresholds_are_written_and_read_again(tmp_path: Path) -> None:
    thresholds = Thresholds(PageThresholds(0.7, 0.4), RunThresholds(0.6, 0.2, 15.0), RunThresholds(0.5, 0.2, 1.0))
    path = tmp_path / FILE
    path.write_text(json.dumps({**asdict(thresholds), "pages": 60, "networks": {"stage0": "ab"}}))
    assert load_thresholds(path) == thresholds


@pytest.mark.parametrize(("part", "value"), [
    ("page", {"upper": 0.3, "lower": 0.4}), ("strip", {"upper": 1.5, "lower": 0.4, "least_mm": 20.0}),
    ("column", {"upper": 0.5, "lower": 0.2}), ("column", {"upper": "high", "lower": 0.2, "least_mm": 1.0}),
])  # fmt: skip
def test_thresholds_that_make_no_sense_are_an_error(part: str, value: dict[str, float]) -> None:
    values = asdict(load_thresholds())
    with pytest.raises(WeightsError, match=r"train\.thresholds"):
        from_dict({**values, part: value})
    del values[part]
    with pytest.raises(WeightsError, match=part):
        from_dict(values)


def test_a_file_that_is_missing_or_broken_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none.json"
    with pytest.raises(WeightsError, match=r"none\.json"):
        load_thresholds(path)
    path.write_text("{")
    with pytest.raises(WeightsError, match=r"none\.json"):
        load_thresholds(path)

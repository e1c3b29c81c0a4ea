"""Times of an analysis: every part and every network has one, and the parts make up the whole."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import analysis
from benchmarks.analysis import NETWORKS_AFTER, drawn_records, network_times, part_times
from ecg_trt.analysis import PARTS, Analyzer
from ecg_trt.config import RuntimeOptions

OPTIONS = RuntimeOptions(backend="ort", threads=1)


def test_every_part_of_an_analysis_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis, "_PICTURES", 1)
    records = drawn_records()
    assert set(records) == {"12x1", "3x4+1", "3x4"}
    with Analyzer(PARTS, OPTIONS) as analyzer:
        times = part_times(records["3x4+1"], analyzer, 3)
    assert {len(times[step]) for step in ("beats", "classes", "intervals", "heart", "files")} == {3}
    parts = np.sum([times[step] for step in ("beats", "classes", "intervals", "heart")], axis=0)
    whole = np.array(times["whole analysis"])
    assert (parts <= whole).all() and (parts > 0.8 * whole).all()
    assert min(times["pictures"]) > 10


def test_every_network_after_the_record_is_measured_alone() -> None:
    name, times = network_times(OPTIONS, 2)
    assert name == "ort" and set(times) == set(NETWORKS_AFTER) == {"heartbeat", "activation", "potentials"}
    assert all(len(found) == 2 and min(found) > 0 for found in times.values())

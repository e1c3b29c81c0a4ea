"""Records of PhysioNet beside what was read of their pages."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from ecg_trt.types import RectifiedPage, Segment, TraceMap
from tests.conftest import make_record
from train.data.physionet import _align_lead

FS, PX_PER_MM, WIDTH = 500.0, 8.0, 400


@pytest.mark.parametrize(("lead", "gain_mm_per_mv"), [("II", 10.0), ("-aVR", 10.0), ("V1", 5.0)])
def test_a_lead_is_aligned_at_its_own_gain(lead: str, gain_mm_per_mv: float) -> None:
    seconds = np.arange(WIDTH) / PX_PER_MM / 25.0
    signal = np.sin(2 * np.pi * np.arange(round(3 * FS)) / FS)
    row = 200 - np.interp(seconds, np.arange(len(signal)) / FS, signal) * gain_mm_per_mv * PX_PER_MM
    page = RectifiedPage(
        np.zeros((400, WIDTH, 3), np.uint8), (PX_PER_MM, PX_PER_MM), (0.0, 0.0), np.ones((400, WIDTH), bool), PX_PER_MM
    )
    trace = TraceMap(*(np.asarray(values, np.float32)[None] for values in (row, np.ones(WIDTH), np.zeros(WIDTH))))
    reading = SimpleNamespace(page=page, record=make_record(chest_gain_mm_per_mv=5.0), trace=trace)
    segment = Segment(lead, (0.0, WIDTH / PX_PER_MM))
    columns, found, db = _align_lead(cast("Any", reading), 0, segment, 0.0, signal, FS)
    assert db > 40 and len(columns) == WIDTH
    np.testing.assert_allclose(found, row, atol=0.1)

"""Rows of pixels become leads on one clock."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_trt.geometry.assemble import assemble
from ecg_trt.layout import LEADS
from ecg_trt.types import Array, RectifiedPage, Segment, Strip, TraceMap

PX_PER_MM = (10.0, 4.0)
X_MM = np.arange(2600) / PX_PER_MM[0]


def _page() -> RectifiedPage:
    hw = (480, len(X_MM))
    return RectifiedPage(np.zeros((*hw, 3), np.uint8), PX_PER_MM, (0.0, 0.0), np.ones(hw, bool), 8.0)


def _assembled(millivolts: dict[str, Array]) -> tuple[Array, Array, float]:
    """Each lead on a row of its own, 10 s at 25 mm/s from 5 mm on, 10 mm/mV."""
    strips, rows = [], []
    for k, (lead, mv) in enumerate(millivolts.items()):
        zero = 20.0 + 20 * k
        strips.append(Strip(zero, (5.0, 255.0), 1.0, (Segment(lead, (5.0, 255.0)),)))
        rows.append((zero - 10 * mv) * PX_PER_MM[1])
    ridge = np.array(rows, np.float32)
    on = ((X_MM >= 5) & (X_MM < 255)).astype(np.float32)
    trace = TraceMap(ridge, np.tile(on, (len(rows), 1)))
    return assemble(_page(), strips, trace, leads=LEADS, speed=25.0, gain=10.0, fs=500.0)


def _waves() -> tuple[Array, Array]:
    t = (X_MM - 5) / 25
    return 0.8 * np.sin(7 * t), 0.5 * np.cos(9 * t)


def test_millivolts_and_seconds() -> None:
    one, three = _waves()
    signal, quality, residual = _assembled({"I": one, "II": one + three, "III": three})
    t = np.arange(5000) / 500
    assert signal.shape == (12, 5000)
    assert np.abs(signal[0] - 0.8 * np.sin(7 * t))[10:-10].max() < 2e-3
    assert np.isnan(signal[LEADS.index("V1")]).all() and np.isnan(quality[LEADS.index("V1")])
    assert quality[:3] == pytest.approx(1.0, abs=0.01)
    assert residual < 1e-3


def test_limb_leads_that_contradict_each_other_are_doubted() -> None:
    one, three = _waves()
    _, quality, residual = _assembled({"I": one, "II": -one - three, "III": three, "V1": one})
    assert residual > 1
    assert (quality[:3] < 0.5).all()
    assert quality[LEADS.index("V1")] == pytest.approx(1.0, abs=0.01)


def test_pen_that_cannot_be_followed_leaves_a_gap() -> None:
    one, _ = _waves()
    page = _page()
    strip = Strip(20.0, (5.0, 255.0), 1.0, (Segment("V1", (5.0, 255.0)),))
    on = ((X_MM >= 5) & (X_MM < 255)).astype(np.float32)
    on[1000:1005] = 0  # 20 ms
    on[1500:1600] = 0  # 400 ms
    trace = TraceMap(((20.0 - 10 * one) * PX_PER_MM[1]).astype(np.float32)[None], on[None])
    signal, quality, _ = assemble(page, [strip], trace, leads=LEADS, speed=25.0, gain=10.0, fs=500.0)
    v1 = signal[LEADS.index("V1")]
    missing = np.flatnonzero(np.isnan(v1)) / 500
    assert missing.min() == pytest.approx((1500 / 10 - 5) / 25, abs=0.01)
    assert missing.max() == pytest.approx((1600 / 10 - 5) / 25, abs=0.01)
    assert quality[LEADS.index("V1")] == pytest.approx(1 - 100 / 2500, abs=0.01)

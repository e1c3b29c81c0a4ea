"""Rows of pixels become leads on one clock."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecg_trt.layout import LEADS, upright
from ecg_trt.signal.assemble import assemble, missing_fractions
from ecg_trt.signal.limb_leads import inconsistent_borders
from ecg_trt.signal.settle import settle_avr, settle_order, settle_rhythm, settle_slant
from ecg_trt.types import Array, RectifiedPage, Segment, Strip, TraceMap

PX_PER_MM = (10.0, 4.0)
X_MM = np.arange(2600) / PX_PER_MM[0]


def _page() -> RectifiedPage:
    hw = (480, len(X_MM))
    return RectifiedPage(np.zeros((*hw, 3), np.uint8), PX_PER_MM, (0.0, 0.0), np.ones(hw, bool), 8.0)


def _trace(rows: Array, sure: Array) -> TraceMap:
    """A trace of which no border is seen: leads begin where their strips say."""
    return TraceMap(rows, sure, np.zeros_like(sure))


def _printed(millivolts: dict[str, Array]) -> tuple[list[Strip], TraceMap]:
    """Each lead on a row of its own, 10 s at 25 mm/s from 5 mm on, 10 mm/mV."""
    strips, rows = [], []
    for k, (lead, mv) in enumerate(millivolts.items()):
        zero = 20.0 + 20 * k
        strips.append(Strip(zero, (5.0, 255.0), 1.0, (Segment(lead, (5.0, 255.0)),)))
        rows.append((zero - 10 * mv) * PX_PER_MM[1])
    on = ((X_MM >= 5) & (X_MM < 255)).astype(np.float32)
    return strips, _trace(np.array(rows, np.float32), np.tile(on, (len(rows), 1)))


def _assembled(millivolts: dict[str, Array], leads: tuple[str, ...] = LEADS) -> tuple[Array, Array, float]:
    return assemble(
        _page(), *_printed(millivolts), leads=leads, speed=25.0, gain_of=lambda _: 10.0, fs=500.0, seconds=10.0
    )[:3]


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
    trace = _trace(((20.0 - 10 * one) * PX_PER_MM[1]).astype(np.float32)[None], on[None])
    signal, quality, *_ = assemble(
        page, [strip], trace, leads=LEADS, speed=25.0, gain_of=lambda _: 10.0, fs=500.0, seconds=10.0
    )
    v1 = signal[LEADS.index("V1")]
    missing = np.flatnonzero(np.isnan(v1)) / 500
    assert missing.min() == pytest.approx((1500 / 10 - 5) / 25, abs=0.01)
    assert missing.max() == pytest.approx((1600 / 10 - 5) / 25, abs=0.01)
    assert quality[LEADS.index("V1")] == pytest.approx(1 - 100 / 2500, abs=0.01)


@pytest.mark.parametrize("speed", [25.0, 50.0])
def test_what_the_record_lacks_is_lost(speed: float) -> None:
    one, two = _waves()
    strips, trace = _printed({"-aVR": one, "II": two, "V1": one, "V2": two})
    strips[0] = replace(strips[0], x_mm=(5.0, 130.0), segments=(Segment("-aVR", (5.0, 130.0)),))
    strips.append(replace(strips[1], x_mm=(5.0, 67.5), segments=(Segment("II", (5.0, 67.5)),)))
    sure = trace.confidence[[0, 1, 2, 3, 1]]
    sure[1, X_MM < 55] = 0  # a fifth of the rhythm strip, which a column shows as well
    sure[2, X_MM > 205] = 0  # a fifth, at the end
    sure[3, 1500:1508] = 0  # 0.8 mm, which are bridged
    trace = _trace(trace.ridge_row[[0, 1, 2, 3, 1]], sure)
    seconds = 250 / speed
    signal, *_ = assemble(
        _page(), strips, trace, leads=LEADS, speed=speed, gain_of=lambda _: 10.0, fs=500.0, seconds=seconds
    )
    lost = missing_fractions(signal, strips, leads=LEADS, speed=speed, fs=500.0)
    assert lost == pytest.approx({"aVR": 0.0, "II": 0.0, "V1": 0.2, "V2": 0.0}, abs=2e-3)
    later = (Strip(20.0, (5.0, 255.0), 1.0, (Segment("I", (5.0, 130.0)), Segment("V6", (130.0, 255.0)))),)
    half = np.zeros((12, round(125 / speed * 500)))
    assert missing_fractions(half, later, leads=LEADS, speed=speed, fs=500.0) == {"I": 0.0, "V6": 1.0}


def test_inverted_avr_is_turned_upright() -> None:
    one, three = _waves()
    signal, quality, _ = _assembled({"-aVR": one, "V1": one, "V8": three}, (*LEADS, "V8"))
    assert signal.shape == (13, 5000) and quality.shape == (13,)
    np.testing.assert_allclose(signal[LEADS.index("aVR")], -signal[LEADS.index("V1")], atol=1e-4)
    assert np.isfinite(signal[12]).mean() > 0.99


def test_strips_keep_their_names_and_obey_no_law() -> None:
    one, three = _waves()
    signal, quality, residual = _assembled({"I": one, "II": -one - three, "strip3": three}, ("I", "II", "strip3"))
    assert signal.shape == (3, 5000) and np.isnan(residual)
    assert quality == pytest.approx(1.0, abs=0.01)


def test_a_rhythm_strip_of_another_time_does_not_break_the_law_of_the_columns() -> None:
    one, three = _waves()
    strips, trace = _printed({"I": one, "II": one + three, "III": three, "V1": np.roll(one + three, 300)})
    strips = [replace(s, segments=(replace(s.segments[0], x_mm=(5.0, 67.5)),)) for s in strips[:3]] + [
        replace(strips[3], segments=(Segment("II", (5.0, 255.0)),))
    ]
    signal, quality, residual, _ = assemble(
        _page(), strips, trace, leads=LEADS, speed=25.0, gain_of=lambda _: 10.0, fs=500.0, seconds=10.0
    )
    assert residual < 0.01 and quality[:3] == pytest.approx(1.0, abs=0.01)
    shown = np.roll(one + three, 300)[50:2550:10]
    miss = np.abs(signal[1][::20] - shown)  # but for the seam of the roll, the strip is what is printed, not a blend
    assert np.quantile(miss, 0.97) < 0.01


def test_what_belongs_to_a_neighbour_is_left_out() -> None:
    one, three = (w[:2500:2] for w in _waves())
    limb = np.full((6, len(one)), np.nan)
    limb[:3] = one, one + three, three
    limb[0, :12] += 0.6
    limb[1, -6:] -= 0.4
    limb[2, 600:620] += 1.0  # in the middle it is a fault, and stays
    limb[0, 20:24] += 1.0  # as it is where it does not touch the end
    foreign = inconsistent_borders(limb, 30)
    assert foreign[:3, :12].all() and foreign[:3, -6:].all()
    assert not foreign[:, 12:-6].any() and not foreign[3:].any()
    assert not inconsistent_borders(np.stack([one, one + three, three, *3 * [np.full(len(one), np.nan)]]), 30).any()


@pytest.mark.parametrize("printed", ["aVR", "-aVR"])
@pytest.mark.parametrize("read", ["aVR", "-aVR"])
def test_the_law_tells_avr_from_its_inverse(printed: str, read: str) -> None:
    one, three = _waves()
    two = one + three
    avr = -(one + two) / 2 * upright(printed)[1]
    strips, trace = _printed({"aVL": one - two / 2, "I": one, read: avr, "V1": avr})
    settled = settle_avr(_page(), strips, trace)
    assert [s.segments[0].lead for s in settled] == ["aVL", "I", printed, "V1"]


def test_rows_that_begin_slightly_apart_are_of_one_column() -> None:
    one, three = _waves()
    avr = (one + one + three) / 2
    strips, trace = _printed({"I": one, "II": one + three, "aVR": avr})
    oblique = [strip.moved(0.05 * k) for k, strip in enumerate(strips)]
    assert [s.segments[0].lead for s in settle_avr(_page(), oblique, trace)] == ["I", "II", "-aVR"]


def test_rows_that_slant_against_the_grid_are_brought_to_one_time() -> None:
    one, three = _waves()
    late = {k: np.roll(w, round(10 * 0.01 * 20 * k)) for k, w in enumerate((one, one + three, three))}
    strips, trace = _printed({"I": late[0], "II": late[1], "III": late[2]})
    settled = settle_slant(_page(), strips, trace)
    moved = [s.x_mm[0] - t.x_mm[0] for s, t in zip(settled, strips, strict=True)]
    assert moved == pytest.approx([-0.2, 0.0, 0.2], abs=0.03)
    assert settled[2].segments[0].x_mm == settled[2].x_mm
    upright_rows = _printed({"I": one, "II": one + three, "III": three})
    assert settle_slant(_page(), *upright_rows) == tuple(upright_rows[0])


def test_rows_that_are_named_one_off_are_renamed_by_the_limb_leads() -> None:
    one, three = _waves()
    limb = [one, one + three, three, -(2 * one + three) / 2, (one - three) / 2]
    named = dict(zip(LEADS[1:6], limb, strict=True))  # a name above its row was taken for one below
    strips, trace = _printed(named)
    assert [s.segments[0].lead for s in settle_order(_page(), strips, trace, LEADS)] == list(LEADS[:5])
    right = _printed(dict(zip(LEADS[:5], limb, strict=True)))
    assert settle_order(_page(), *right, LEADS) == tuple(right[0])
    assert settle_order(_page(), strips, trace, LEADS[1:6]) == tuple(strips), "there is no other place in the layout"
    assert settle_order(_page(), strips, trace, ("V1", "V2")) == tuple(strips)


def test_a_rhythm_strip_is_named_after_the_lead_it_repeats() -> None:
    one, three = _waves()
    columns = {"I": one, "II": one + three, "III": three}
    other = 0.7 * np.sin(23 * X_MM / 25)
    columns = {lead: np.where(X_MM < 130, mv, other) for lead, mv in columns.items()}
    for named, shown, settled in (("II", three, "III"), ("II", one + three, "II"), ("II", np.roll(one, 90), "II"),
                                  ("V8", three, "V8")):  # fmt: skip
        strips, trace = _printed({**columns, "V1": shown})
        halves = [(Segment(s.segments[0].lead, (5.0, 130.0)), Segment("V2", (130.0, 255.0))) for s in strips[:3]]
        strips = [replace(s, segments=h) for s, h in zip(strips, halves, strict=False)] + [
            replace(strips[3], segments=(Segment(named, (5.0, 255.0)),))
        ]
        assert settle_rhythm(_page(), strips, trace)[3].segments[0].lead == settled

"""Paper speed and gain from everything that a page shows of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecg_trt.layout import (
    COMMON_GAINS_MM_PER_MV,
    COMMON_SPEEDS_MM_PER_S,
    PAPER_SPEEDS_MM_PER_S,
    PULSE_SECONDS,
)
from ecg_trt.page.pulses import PulseSigns
from ecg_trt.page.scales import ScaleModel, Scales, ScaleSigns, read_scales
from ecg_trt.printed import Quantity
from ecg_trt.stages.caption import Printed
from ecg_trt.types import Array, WarningCode

RECORD_S = 10.0
NONE: Printed = {}


def _signs(
    printed: Printed = NONE, pulses: PulseSigns | None = None, beats: float | None = None, *,
    length: float = 250.0, record_s: float = RECORD_S, height_mm: float = 0.0,
) -> ScaleSigns:  # fmt: skip
    """Signs of a page; `beats` are their log-odds of 50 against 25 mm/s."""
    signs = ScaleSigns(printed, pulses or _pulses(), length, record_s, height_mm=height_mm)
    return signs if beats is None else replace(signs, beats=_beats(beats))


def _pulses(speed: float | None = None, gain: float = 10.0, ink: float = 0.5, *, on_map: bool = True) -> PulseSigns:
    """Pulses of one size, by ink and on the heatmap; none at all without a speed."""
    found = np.full((len(COMMON_SPEEDS_MM_PER_S), len(COMMON_GAINS_MM_PER_MV)), 0.03)
    if speed is None:
        return PulseSigns(found)
    found[COMMON_SPEEDS_MM_PER_S.index(speed), COMMON_GAINS_MM_PER_MV.index(gain)] = ink
    return PulseSigns(found, PULSE_SECONDS * speed, gain, 0.95) if on_map else PulseSigns(found)


def _beats(log_odds: float) -> Array:
    """Log-likelihoods of beats with log-odds of 50 against 25 mm/s."""
    beats = np.full(len(PAPER_SPEEDS_MM_PER_S), -9.0)
    beats[PAPER_SPEEDS_MM_PER_S.index(25.0)], beats[PAPER_SPEEDS_MM_PER_S.index(50.0)] = 0.0, log_odds
    return beats


def _print(
    speed: float | None = None, gain: float | None = None, p: float = 0.97
) -> dict[Quantity, dict[float, float]]:
    both = ((Quantity.SPEED, speed), (Quantity.GAIN, gain))
    return {quantity: {value: p} for quantity, value in both if value is not None}


def _values(scales: Scales) -> tuple[float, float, tuple[str, ...]]:
    return scales.speed_mm_per_s, scales.gain_mm_per_mv, scales.assumed


def test_without_a_sign_the_standard_is_assumed_and_uncertain() -> None:
    scales = read_scales(_signs())
    assert _values(scales) == (25.0, 10.0, ("speed", "gain")) and scales.warnings == ()
    assert 0.1 < scales.uncertainty < 0.35


@pytest.mark.parametrize(("speed", "gain"), [(25.0, 10.0), (50.0, 20.0), (12.5, 5.0), (100.0, 20.0)])
def test_print_is_read(speed: float, gain: float) -> None:
    scales = read_scales(_signs(_print(speed, gain), record_s=0.0))
    assert _values(scales) == (speed, gain, ()) and scales.uncertainty < (0.02 if speed == 25 else 0.35)


@pytest.mark.parametrize("speed", COMMON_SPEEDS_MM_PER_S)
@pytest.mark.parametrize("gain", COMMON_GAINS_MM_PER_MV)
def test_pulses_are_measured(speed: float, gain: float) -> None:
    scales = read_scales(_signs(pulses=_pulses(speed, gain)))
    assert _values(scales) == (speed, gain, ()) and scales.uncertainty < 0.2


def test_a_number_whose_first_digit_is_lost_is_no_other_number() -> None:
    lost = read_scales(_signs(_print(5.0, 10.0)))
    assert _values(lost) == (25.0, 10.0, ("speed",)) and lost.warnings == ()
    assert read_scales(_signs(_print(6.25, 10.0), record_s=0.0)).speed_mm_per_s != 5.0


def test_a_pulse_whose_half_is_faint_is_not_one_of_slow_paper() -> None:
    narrow = PulseSigns(_pulses().ink, 3.0, 9.0, 0.9)
    scales = read_scales(_signs(pulses=narrow, beats=-6.0))
    assert scales.speed_mm_per_s == 25.0 and scales.warnings == ()


def test_a_pulse_that_is_cut_is_not_one_of_slow_paper() -> None:
    whole = PulseSigns(_pulses().ink, 5.0, 9.0, 0.9)
    speeds = [
        read_scales(_signs(pulses=pulses, beats=4.5)).speed_mm_per_s for pulses in (whole, replace(whole, is_cut=True))
    ]
    assert speeds == [25.0, 50.0]


def test_what_is_faint_counts_less() -> None:
    sure, faint = (read_scales(_signs(pulses=_pulses(50.0, ink=ink, on_map=False))) for ink in (0.6, 0.06))
    assert sure.speed_mm_per_s == 50.0 and faint.speed_mm_per_s == 25.0
    assert read_scales(_signs(_print(50.0, p=0.2))).uncertainty > 0.1


def test_a_row_too_long_for_the_record_was_printed_fast() -> None:
    assert _values(read_scales(_signs(length=500.0))) == (50.0, 10.0, ("gain",))
    alone = read_scales(_signs(length=500.0, record_s=0.0))
    assert alone.speed_mm_per_s == 25.0 and "speed" in alone.assumed


def test_beats_decide_where_nothing_else_does_and_the_speed_stays_assumed() -> None:
    scales = read_scales(_signs(beats=9.0))
    assert _values(scales) == (50.0, 10.0, ("speed", "gain"))
    assert [w.code for w in scales.warnings] == [WarningCode.SPEED_FROM_BEATS]
    assert str(scales.warnings[0]) == "The beats are as broad and as far apart as at 50 mm/s."
    assert read_scales(_signs(beats=1.0)).speed_mm_per_s == 25.0


def test_sources_add_up_and_the_one_that_objects_is_told() -> None:
    odd_pulse = read_scales(_signs(_print(50.0, 10.0), _pulses(25.0, on_map=False), 8.0))
    assert odd_pulse.speed_mm_per_s == 50.0
    assert "its calibration pulses measure 25 mm/s" in str(odd_pulse.warnings[0])
    odd_print = read_scales(_signs(_print(50.0, 10.0), _pulses(25.0), -8.0))
    assert odd_print.speed_mm_per_s == 25.0
    assert "read at 25 mm/s, but it prints 50 mm/s" in str(odd_print.warnings[0])
    odd_beats = read_scales(_signs(_print(25.0, 10.0), _pulses(25.0), 8.0))
    assert odd_beats.speed_mm_per_s == 25.0
    assert "its beats are as broad and as far apart as at 50 mm/s" in str(odd_beats.warnings[0])
    odd_rows = read_scales(_signs(_print(25.0), _pulses(25.0), -8.0, length=500.0))
    assert "its rows are as long as at 50 mm/s" in str(odd_rows.warnings[0])
    calm = read_scales(_signs(_print(25.0, 10.0), _pulses(25.0), -8.0))
    assert calm.uncertainty < odd_beats.uncertainty < odd_pulse.uncertainty and calm.uncertainty < 1e-3


def test_tall_curves_speak_for_a_high_gain_without_being_told() -> None:
    low, tall = (read_scales(_signs(height_mm=mm)) for mm in (11.0, 45.0))
    assert low.gain_mm_per_mv == 10.0 and low.uncertainty < tall.uncertainty
    assert low.warnings == tall.warnings == ()


def test_what_is_given_is_taken_and_a_page_that_contradicts_it_is_told() -> None:
    scales = read_scales(_signs(_print(25.0, 10.0)), speed=50.0, gain=20.0)
    assert _values(scales) == (50.0, 20.0, ()) and scales.uncertainty > 0.5
    assert [w.code for w in scales.warnings] == [WarningCode.SPEED_DISPUTED, WarningCode.GAIN_DISPUTED]
    assert "read at 50 mm/s as given, but it prints 25 mm/s" in str(scales.warnings[0])
    agreed = read_scales(_signs(_print(25.0, 10.0), _pulses(25.0)), speed=25.0, gain=10.0)
    assert agreed.warnings == () and agreed.uncertainty < 1e-3
    silent = read_scales(_signs(), speed=50.0, gain=5.0)
    assert silent.warnings == () and silent.uncertainty < 0.35


def test_chest_leads_may_have_a_gain_of_their_own() -> None:
    limb, chest = {Quantity.LIMB_GAIN: {10.0: 0.99}}, {Quantity.CHEST_GAIN: {5.0: 0.99}}
    scales = read_scales(_signs(_print(25.0) | limb | chest, _pulses(25.0)))
    assert [scales.gain_of(lead) for lead in ("II", "-aVR", "V1", "V7")] == [10.0, 10.0, 5.0, 5.0]
    assert read_scales(_signs(limb | chest), gain=20.0).gain_of("V1") == 20.0, "what is given holds for all"
    assert read_scales(_signs(limb)).gain_of("V1") == 10.0


def test_a_number_that_lost_digits_speaks_for_all_that_it_may_have_been() -> None:
    cut = _signs({Quantity.SPEED: {5.0: 0.67}})
    print_alone = ScaleModel().sources(cut)["print"].max(1)
    likely = dict(zip(PAPER_SPEEDS_MM_PER_S, print_alone.tolist(), strict=True))
    assert likely[5.0] > likely[25.0] > likely[50.0] > likely[10.0] + 3, "25 and 50 may be read as 5, 10 may not"
    assert read_scales(replace(cut, beats=_beats(5.0))).speed_mm_per_s == 50

"""Paper speed and gain from what pulses and print say."""

from __future__ import annotations

from dataclasses import replace

from ecg_trt.layout import LAYOUTS, STRIPS, Layout
from ecg_trt.page.naming import Naming
from ecg_trt.page.pulses import Pulse
from ecg_trt.page.scales import Scales, read_scales, read_setting
from ecg_trt.printed import Quantity
from ecg_trt.types import Strip, WarningCode

NO_PULSE, USUAL_PULSE = Pulse(None, None), Pulse(25.0, 10.0)


def _naming(layout: Layout = LAYOUTS["3x4"], length: float = 250.0) -> Naming:
    strips = tuple(Strip(y, (30.0, 30.0 + length), 1.0) for y in (40.0, 70.0))
    return Naming(layout, 1.0, strips, (), 1.0)


def _printed(**response: float) -> dict[Quantity, dict[float, float]]:
    """Probabilities of settings, spaces and slashes left out of their names."""
    printed: dict[Quantity, dict[float, float]] = {}
    for name, share in response.items():
        number = float(name[1 : name.index("mm")])
        printed.setdefault(Quantity.GAIN if name.endswith("mmmV") else Quantity.SPEED, {})[number] = share
    return printed


def _read(speed: float, gain: float, assumed: tuple[str, ...] = ()) -> Scales:
    return Scales(speed, gain, gain, assumed, ())


def test_what_is_told_by_nothing_is_assumed() -> None:
    assert read_scales(_printed(), NO_PULSE, _naming()) == _read(25.0, 10.0, ("speed", "gain"))


def test_print_is_read() -> None:
    scales = read_scales(_printed(_50mms=0.99, _20mmmV=0.96), NO_PULSE, _naming())
    assert scales == _read(50.0, 20.0)
    assert read_scales(_printed(_50mms=0.9, _20mmmV=0.9), NO_PULSE, _naming()).assumed == ("speed", "gain")


def test_chest_leads_may_have_a_gain_of_their_own() -> None:
    limb, chest = {Quantity.LIMB_GAIN: {10.0: 0.99}}, {Quantity.CHEST_GAIN: {5.0: 0.99}}
    scales = read_scales(_printed(_25mms=0.99) | limb | chest, USUAL_PULSE, _naming())
    assert [scales.gain_of(lead) for lead in ("II", "-aVR", "V1", "V7")] == [10.0, 10.0, 5.0, 5.0]
    assert read_scales(limb | chest, NO_PULSE, _naming(), gain=20.0).gain_of("V1") == 20.0, (
        "what is given holds for all"
    )
    assert read_scales(limb, NO_PULSE, _naming()).gain_of("V1") == 10.0


def test_the_users_word_wins() -> None:
    assert read_scales(_printed(), NO_PULSE, _naming(), speed=50.0, gain=5.0) == _read(50.0, 5.0)
    printed = _printed(_50mms=0.99, _20mmmV=0.99)
    assert read_scales(printed, NO_PULSE, _naming(), speed=50.0, gain=20.0) == _read(50.0, 20.0)


def test_a_page_that_contradicts_its_user_is_told() -> None:
    scales = read_scales(_printed(_25mms=0.99, _10mmmV=0.99), NO_PULSE, _naming(), speed=50.0, gain=20.0)
    assert (scales.speed_mm_per_s, scales.gain_mm_per_mv, scales.assumed) == (50.0, 20.0, ())
    assert scales.is_disputed and scales.doubt == 0.75
    assert [w.code for w in scales.warnings] == [WarningCode.SPEED_DISPUTED, WarningCode.GAIN_DISPUTED]
    assert "50 mm/s as it was told, but it prints 25 mm/s" in scales.warnings[0].text
    sure = Pulse(25.0, 10.0, is_confident=True)
    by_pulse = read_scales(_printed(), sure, _naming(), speed=25.0, gain=5.0)
    assert [w.code for w in by_pulse.warnings] == [WarningCode.GAIN_DISPUTED]
    assert "its calibration pulse measures 10 mm/mV" in by_pulse.warnings[0].text
    assert not read_scales(_printed(), USUAL_PULSE, _naming(), speed=25.0, gain=5.0).is_disputed


def test_print_beats_pulses() -> None:
    printed = _printed(_50mms=0.99, _10mmmV=0.99)
    for pulses in (USUAL_PULSE, Pulse(25.0, 5.0, is_confident=True)):
        scales = read_scales(printed, pulses, _naming())
        assert (scales.speed_mm_per_s, scales.gain_mm_per_mv, scales.assumed) == (50.0, 10.0, ())
        assert scales.is_disputed
        first = str(scales.warnings[0])
        assert "speed of 50 mm/s" in first and "measures 25 mm/s: 50 mm/s was taken" in first
    assert "measures 5 mm/mV: 10 mm/mV was taken" in str(scales.warnings[1])


def test_two_settings_that_are_read_are_none() -> None:
    def gain(**printed: float) -> float | None:
        return read_setting(_printed(**printed).get(Quantity.GAIN, {}), 10.0, is_backed=True)

    assert gain(_5mmmV=0.99, _10mmmV=0.98) is None
    assert gain(_5mmmV=0.99, _10mmmV=0.8) == 5.0
    assert gain(_5mmmV=1.0, _10mmmV=1.0) is None
    assert gain() is None


def test_the_unusual_is_believed_if_it_is_plain_or_beside_a_setting_of_the_other_kind() -> None:
    assert read_setting({50.0: 0.95}, 25.0) is None
    assert read_setting({12.5: 0.95}, 25.0, is_backed=True) == 12.5
    assert read_setting({50.0: 0.99}, 25.0) == 50.0
    assert read_setting({25.0: 0.95}, 25.0) == 25.0
    assert read_scales(_printed(_50mms=0.95, _20mmmV=0.6), NO_PULSE, _naming()).speed_mm_per_s == 50.0


def test_a_row_too_long_for_the_record_was_printed_fast() -> None:
    assert read_scales(_printed(), NO_PULSE, _naming(length=500.0)).speed_mm_per_s == 50.0
    assert read_scales(_printed(), NO_PULSE, _naming(length=500.0)).assumed == ("gain",)
    alone = read_scales(_printed(), NO_PULSE, _naming(Layout(STRIPS, (("II",),)), 500.0))
    assert alone.speed_mm_per_s == 25.0 and "speed" in alone.assumed


def test_rows_that_contradict_the_print_are_told_of() -> None:
    scales = read_scales(_printed(_25mms=0.99), NO_PULSE, _naming(length=500.0))
    assert scales.speed_mm_per_s == 25.0
    (warning,) = scales.warnings
    assert warning.code == WarningCode.SPEED_DISPUTED
    assert warning.text == (
        "The page prints a speed of 25 mm/s, but its rows are as long as at 50 mm/s: 25 mm/s was taken."
    )


def test_waves_settle_a_dispute() -> None:
    printed = _printed(_50mms=0.99, _10mmmV=0.99)
    for speed_log_odds, taken in ((3.0, 50), (-3.0, 25)):
        scales = read_scales(printed, replace(USUAL_PULSE, is_confident=True), _naming(), speed_log_odds=speed_log_odds)
        assert scales.speed_mm_per_s == taken
        assert f"{taken} mm/s was taken" in str(scales.warnings[0])
        assert scales.gain_mm_per_mv == 10.0
    denied = read_scales(printed, USUAL_PULSE, _naming(), speed_log_odds=3.0)
    assert (denied.speed_mm_per_s, denied.warnings) == (50.0, ()), "a pulse that is not sure is none"


def test_waves_do_not_speak_of_speeds_that_they_are_not_compared_with() -> None:
    scales = read_scales(
        _printed(_10mmmV=0.99) | {Quantity.SPEED: {12.5: 0.97}}, USUAL_PULSE, _naming(), speed_log_odds=-9.0
    )
    assert scales.speed_mm_per_s == 12.5 and "12.5 mm/s was taken" in str(scales.warnings[0])


def test_waves_tell_where_nothing_else_does_and_it_stays_assumed() -> None:
    scales = read_scales(_printed(), NO_PULSE, _naming(), speed_log_odds=7.0)
    assert (scales.speed_mm_per_s, scales.gain_mm_per_mv, scales.assumed) == (50.0, 10.0, ("speed", "gain"))
    (warning,) = scales.warnings
    assert warning.code == WarningCode.SPEED_FROM_BEATS
    assert warning.text == "The beats are as broad and as far apart as at 50 mm/s."
    assert not scales.is_disputed
    assert read_scales(_printed(), NO_PULSE, _naming(), speed_log_odds=5.0) == _read(25.0, 10.0, ("speed", "gain"))
    assert read_scales(_printed(), NO_PULSE, _naming(), speed_log_odds=9.0, speed=25.0).warnings == ()


def test_waves_object_to_what_was_read() -> None:
    scales = read_scales(_printed(_25mms=0.99), NO_PULSE, _naming(), speed_log_odds=8.0)
    assert (scales.speed_mm_per_s, scales.assumed) == (25.0, ("gain",))
    (note,) = map(str, scales.warnings)
    assert scales.is_disputed and "printed at 25 mm/s" in note and "at 50 mm/s" in note
    assert read_scales(_printed(_25mms=0.99), NO_PULSE, _naming(), speed_log_odds=-8.0).warnings == ()


def test_waves_back_an_unusual_speed_that_is_read_alone() -> None:
    assert read_scales(_printed(_50mms=0.95), NO_PULSE, _naming()).assumed == ("speed", "gain")
    assert read_scales(_printed(_50mms=0.95), NO_PULSE, _naming(), speed_log_odds=2.0).assumed == ("gain",)
    sure = read_scales(_printed(_50mms=0.95), replace(USUAL_PULSE, is_confident=True), _naming(), speed_log_odds=2.0)
    assert (sure.speed_mm_per_s, sure.assumed) == (25.0, ())


def test_a_pulse_that_is_not_sure_is_none_if_the_waves_deny_it() -> None:
    scales = read_scales(_printed(), USUAL_PULSE, _naming(), speed_log_odds=7.0)
    assert (scales.speed_mm_per_s, scales.gain_mm_per_mv, scales.assumed) == (50.0, 10.0, ("speed", "gain"))
    sure = read_scales(_printed(), replace(USUAL_PULSE, is_confident=True), _naming(), speed_log_odds=7.0)
    assert (sure.speed_mm_per_s, sure.assumed) == (25.0, ())
    assert read_scales(_printed(), USUAL_PULSE, _naming(), speed_log_odds=-7.0) == _read(25.0, 10.0)
    tall = read_scales(_printed(), Pulse(25.0, 20.0), _naming(), speed_log_odds=7.0)
    assert (tall.speed_mm_per_s, tall.gain_mm_per_mv, tall.assumed) == (50.0, 20.0, ("speed",))

"""Intervals and axis, against waves that are known, and figures that must be left out."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_trt.analysis import OmissionReason, analyze
from ecg_trt.layout import LEADS
from ecg_trt.synth.signals import simulate_named

from .known import bumps, known, printed, record_of

FIGURES = ("p_duration", "pr", "qrs_duration", "qt", "qtc_bazett", "qtc_fridericia", "qrs_axis")
# Root of the summed squares of CSE's two standard deviations, ms.
TOLERANCES = {"pr": 12.1, "qrs_duration": 13.3, "qt": 31.3}


def true_ms(ecg):
    return {
        "pr": 1e3 * (ecg.qrs_s[0] - ecg.p_s[0]),
        "qrs_duration": 1e3 * (ecg.qrs_s[1] - ecg.qrs_s[0]),
        "qt": 1e3 * (ecg.t_s[1] - ecg.qrs_s[0]),
    }


def found(record):
    return {m.name: m for m in analyze(record).measurements}


def left_out(record):
    return {o.name: o.reason for o in analyze(record).omissions}


@pytest.mark.parametrize("is_page", [False, True], ids=["12 leads of 10 s", "3x4+1"])
def test_intervals_are_those_that_were_drawn(is_page):
    errors: dict[str, list[float]] = {name: [] for name in TOLERANCES}
    for seed in range(200, 216):
        ecg = known(seed)
        measured = found(record_of(printed(ecg.signal_mv) if is_page else ecg.signal_mv))
        for name, true in true_ms(ecg).items():
            if name in measured:
                errors[name].append(measured[name].value - true)
    for name, tolerance in TOLERANCES.items():
        assert len(errors[name]) >= 12, name
        assert np.std(errors[name]) < tolerance, name
        assert abs(np.mean(errors[name])) < tolerance / 2, name


def test_the_axis_is_that_which_was_drawn():
    for seed in range(300, 308):
        ecg = known(seed, noise=0.3)
        away = found(record_of(printed(ecg.signal_mv)))["qrs_axis"].value - ecg.axis_deg
        assert abs((away + 180) % 360 - 180) < 8


def test_two_limb_leads_give_the_axis_of_six():
    signal = known(7, noise=0.0).signal_mv
    six, two = (
        found(record_of(signal, lead_names=names))["qrs_axis"] for names in (LEADS, (*LEADS[:2], *"abcdefghij"))
    )
    assert two.value == pytest.approx(six.value, abs=1)
    assert two.leads == ("I", "II")


def test_qtc_follows_from_qt_and_rate():
    measured = found(record_of(known(11, rate=75, noise=0.2).signal_mv))
    rr_s = 60 / measured["heart_rate"].value
    assert measured["qtc_bazett"].value == pytest.approx(measured["qt"].value / rr_s**0.5, rel=0.01)
    assert measured["qtc_fridericia"].value == pytest.approx(measured["qt"].value / rr_s ** (1 / 3), rel=0.01)


def test_figures_name_their_leads_and_beats():
    analysis = analyze(record_of(printed(known(12, noise=0.5).signal_mv)))
    qt = analysis["qt"]
    assert qt.unit == "ms"
    assert 0.5 <= qt.confidence <= 1
    assert set(qt.leads) <= set(LEADS) and len(qt.leads) > 6
    assert max(qt.beats) < len(analysis.beats.r_s)


def test_without_p_waves_there_is_no_pr():
    for seed in range(5):
        record = record_of(known(seed, has_p=False).signal_mv)
        assert {"pr", "p_duration"} & found(record).keys() == set()
        assert left_out(record)["pr"] in (OmissionReason.WAVE_NOT_SEEN, OmissionReason.BOUNDARY_UNCLEAR)


def test_fibrillating_atria_have_no_pr():
    with_pr = 0
    for seed in range(12):
        signal = simulate_named(np.random.default_rng(seed), "fibrillation", noise=0.3)
        with_pr += "pr" in found(record_of(printed(signal)))
    assert with_pr <= 1


def test_an_irregular_rhythm_has_no_qtc():
    signal = simulate_named(np.random.default_rng(3), "fibrillation", noise=0.0)
    assert left_out(record_of(signal))["qtc_bazett"] is OmissionReason.RHYTHM_IRREGULAR


def test_a_low_sampling_rate_has_no_intervals():
    ecg = known(4, fs=125.0)
    record = record_of(ecg.signal_mv, fs=125.0)
    assert "heart_rate" in found(record)
    assert {left_out(record)[name] for name in FIGURES} == {OmissionReason.LOW_SAMPLING_RATE}


def test_leads_of_low_quality_are_left_out():
    quality = np.ones(12, np.float32)
    quality[6:] = 0.2
    record = record_of(known(6, noise=0.3).signal_mv, quality=quality)
    assert {left_out(record)[lead] for lead in LEADS[6:]} == {OmissionReason.LOW_QUALITY}
    assert set(found(record)["qrs_duration"].leads) == set(LEADS[:6])


def test_one_good_lead_is_too_few():
    quality = np.full(12, 0.1, np.float32)
    quality[1] = 1.0
    reasons = left_out(record_of(known(6, noise=0.3).signal_mv, quality=quality))
    assert {reasons[name] for name in FIGURES} == {OmissionReason.TOO_FEW_LEADS}


def test_one_beat_a_lead_is_too_few():
    signal = known(9, rate=34, noise=0.2).signal_mv
    reasons = left_out(record_of(printed(signal, rhythm=None)))
    assert OmissionReason.TOO_FEW_BEATS in {reasons[lead] for lead in LEADS if lead in reasons}


def test_a_flat_record_has_no_figures():
    analysis = analyze(record_of(np.zeros((12, 5000), np.float32)))
    assert analysis.measurements == ()
    assert set(FIGURES) <= {o.name for o in analysis.omissions}


def test_noise_has_no_intervals():
    signal = 0.2 * np.random.default_rng(0).standard_normal((12, 5000)).astype(np.float32)
    assert {"pr", "qt", "qrs_duration"} & found(record_of(signal)).keys() == set()


def test_qrs_as_much_up_as_down_has_no_axis():
    beats = np.arange(0.5, 10, 0.8)
    wave = bumps(beats) - bumps(beats + 0.03)
    signal = np.outer([1, 0.6, -0.4, -0.8, 0.7, 0.1, *np.ones(6)], wave)
    assert left_out(record_of(signal))["qrs_axis"] is OmissionReason.AXIS_INDETERMINATE

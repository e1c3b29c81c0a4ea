"""Rate and regularity."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_trt.analysis import OmissionReason, compare_rates
from ecg_trt.analysis.rhythm import measure_rhythm
from ecg_trt.errors import OptionError

from .known import bumps, known, printed, record_of


def spikes(beats, seconds=10.0):
    return bumps(beats, seconds=seconds)[None]


def values(rhythm):
    return {m.name: m.value for m in rhythm.measurements}


def test_a_regular_rhythm():
    rhythm = measure_rhythm(record_of(spikes(np.arange(0.5, 10, 0.75))))
    assert rhythm.regularity == "regular"
    assert values(rhythm)["heart_rate"] == pytest.approx(80, abs=0.1)
    assert values(rhythm)["rr_cv"] < 0.3
    assert values(rhythm)["rmssd"] < 2
    assert not rhythm.omissions


def test_an_irregular_rhythm():
    steps = np.random.default_rng(2).uniform(0.45, 1.1, 14)
    beats = 0.3 + np.cumsum(steps)
    beats = beats[beats < 9.9]
    rhythm = measure_rhythm(record_of(spikes(beats)))
    assert rhythm.regularity == "irregular"
    assert values(rhythm)["rmssd"] == pytest.approx(1e3 * np.sqrt(np.mean(np.diff(beats, 2) ** 2)), rel=0.02)


def test_an_early_beat_with_a_pause():
    steps = np.full(12, 0.8)
    steps[5], steps[6] = 0.5, 1.1
    rhythm = measure_rhythm(record_of(spikes(0.3 + np.cumsum(steps))))
    assert rhythm.regularity == "regular, with 1 early beat"
    assert np.flatnonzero(rhythm.is_early).tolist() == [5]


def test_no_interval_leads_over_a_gap():
    signal = spikes(np.arange(0.5, 10, 0.75))
    signal[:, 2100:2900] = np.nan  # 4.2 to 5.8 s
    rhythm = measure_rhythm(record_of(signal))
    assert np.isnan(rhythm.rr_s).sum() == 1
    assert np.nanmax(rhythm.rr_s) < 0.8
    assert values(rhythm)["heart_rate"] == pytest.approx(80, abs=0.3)


def test_too_few_beats_have_no_rate():
    rhythm = measure_rhythm(record_of(spikes([0.6, 1.5], seconds=2.0)))
    assert not rhythm.measurements
    assert {o.name for o in rhythm.omissions} == {"heart_rate", "rr_cv", "rmssd"}
    assert {o.reason for o in rhythm.omissions} == {OmissionReason.TOO_FEW_BEATS}
    assert rhythm.regularity == ""


def test_columns_apart_have_a_rate_but_no_rmssd():
    rhythm = measure_rhythm(record_of(printed(known(3, rate=60, noise=0.2).signal_mv, rhythm=None)))
    assert values(rhythm)["heart_rate"] == pytest.approx(60, abs=2)
    assert {o.name: o.reason for o in rhythm.omissions} == {"rmssd": OmissionReason.PRINTED_APART}


@pytest.mark.parametrize(("printed_bpm", "contradicts"), [(80, False), (84, False), (40, True), (160, True)])
def test_a_printed_rate_is_compared(printed_bpm, contradicts):
    rhythm = measure_rhythm(record_of(spikes(np.arange(0.5, 10, 0.75))))
    assert compare_rates(rhythm, printed_bpm).contradicts is contradicts


def test_a_printed_rate_without_beats_contradicts_nothing():
    compared = compare_rates(measure_rhythm(record_of(np.zeros((1, 2000)))), 70)
    assert not compared.contradicts
    assert "not known" in compared.text


@pytest.mark.parametrize("bpm", [0, -3, 1000, float("nan")])
def test_no_heart_has_such_a_rate(bpm):
    with pytest.raises(OptionError):
        compare_rates(measure_rhythm(record_of(np.zeros((1, 2000)))), bpm)

"""Beats on all leads together."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_trt.analysis import median_beat
from ecg_trt.analysis.beats import detect_beats
from ecg_trt.analysis.median_beat import median_beats
from ecg_trt.layout import LEADS
from ecg_trt.signal.beats import steepness

from .known import bumps, known, printed

FS = 500.0


def nearest(found, true):
    return np.abs(found[:, None] - true).min(1)


@pytest.mark.parametrize("rhythm", [1, None])
@pytest.mark.parametrize("seed", range(4))
def test_finds_every_beat_of_a_page(seed, rhythm):
    ecg = known(seed, noise=1.0)
    found = detect_beats(printed(ecg.signal_mv, rhythm=rhythm), FS)
    middle = ecg.start_s + ecg.qrs_s[1] / 2
    inside = middle[(middle > 0.1) & (middle < 9.9)]
    assert (nearest(inside, found.sample / FS) < 0.08).all()
    assert len(found.sample) <= len(middle) + 1
    assert np.median(found.confidence) > 0.98


@pytest.mark.parametrize("signal", [np.zeros((2, 4000)), np.full((3, 4000), np.nan), np.zeros((12, 0))])
def test_finds_none_where_nothing_is_shown(signal):
    assert len(detect_beats(signal, FS).sample) == 0


def test_a_tall_t_wave_is_no_beat():
    beats = np.arange(0.5, 10, 0.9)
    signal = bumps(beats) + bumps(beats + 0.3, height=0.6, sd_s=0.045)
    assert len(detect_beats(signal[None], FS).sample) == len(beats)


def test_a_low_beat_in_a_pause_is_found():
    beats = np.arange(0.5, 10, 0.8)
    found = detect_beats(bumps(beats, height=np.where(np.arange(len(beats)) == 6, 0.3, 1.0))[None], FS)
    assert len(found.sample) == len(beats)
    assert found.confidence[6] < found.confidence[5]


def test_steepness_in_a_window_follows_a_change_of_size():
    signal = np.sin(np.arange(4000) / 3)[None] * np.where(np.arange(4000) < 2000, 1.0, 10.0)
    whole, local = steepness(signal), steepness(signal, 500)
    assert np.mean(whole[3000:3500]) > 5 * np.mean(whole[500:1000])
    np.testing.assert_allclose(np.mean(local[3000:3500]), np.mean(local[500:1000]), rtol=0.02)


def test_a_rhythm_strip_ties_the_columns_together():
    ecg = known(5, noise=0.0)
    shown = printed(ecg.signal_mv)
    beats = median_beats(shown, FS, LEADS, detect_beats(shown, FS).sample)
    offset = beats.r_s - ecg.start_s[np.abs(ecg.start_s - (beats.r_s[:, None] - 0.04)).argmin(1)]
    assert np.ptp(offset) < 0.001
    assert len(set(beats.group[1:-1].tolist())) == 1


def test_columns_without_a_rhythm_strip_are_apart():
    ecg = known(5, noise=0.0)
    shown = printed(ecg.signal_mv, rhythm=None)
    beats = median_beats(shown, FS, LEADS, detect_beats(shown, FS).sample)
    assert len(set(beats.group.tolist())) >= 4


def test_the_median_beat_is_that_of_most_beats():
    beats = np.arange(0.6, 10, 0.8)
    wide = np.arange(len(beats)) % 4 == 2
    signal = bumps(beats, height=np.where(wide, -1.0, 1.0), sd_s=np.where(wide, 0.03, 0.012))[None]
    found = median_beats(signal, FS, ("II",), detect_beats(signal, FS).sample)
    np.testing.assert_array_equal(found.is_typical, ~wide)
    np.testing.assert_allclose(np.nanmax(found.mv), 1.0, atol=0.02)
    assert found.beats[0] == tuple(np.flatnonzero(~wide).tolist())
    np.testing.assert_allclose(found.r_s[~wide], beats[~wide], atol=0.003)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 40, 70])
def test_a_record_shorter_than_a_beat_has_no_beat_outside_it(n):
    signal = np.sin(np.arange(n) / 3.0)[None]
    found = detect_beats(signal, FS)
    assert (found.sample < n).all()
    median = median_beats(signal, FS, ("II",), found.sample)
    assert np.isnan(median.mv).all() and median.beats == ((),)


def test_a_beat_alone_is_where_it_was_detected():
    signal = bumps([1.0], seconds=2.0)[None]
    found = detect_beats(signal, FS)
    median = median_beats(signal, FS, ("II",), found.sample)
    assert np.isnan(median.mv).all()
    np.testing.assert_allclose(median.r_s, found.sample / FS, atol=1e-9)
    np.testing.assert_allclose(median.r_s, 1.0, atol=0.02)


def test_of_many_beats_some_are_compared_with_all_others(monkeypatch):
    at = np.arange(0.5, 29.5, 0.8)
    is_broad = np.arange(len(at)) % 7 == 3
    signal = bumps(at, sd_s=np.where(is_broad, 0.05, 0.012), seconds=30.0)[None]
    sample = np.round(at * FS).astype(int)
    monkeypatch.setattr(median_beat, "_MOST_SEEDS", 8)
    found = median_beats(signal, FS, ("II",), sample)
    assert found.is_typical.tolist() == (~is_broad).tolist()

"""Recordings that are no ECGs: of every kind, and the same from the same seed."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import pytest

from benchmarks.refusal import recordings
from ecg_trt.config import ReadOptions
from ecg_trt.synth import recordings as drawn
from ecg_trt.synth.recording_signals import beat_times, fetal_rate, pressure
from ecg_trt.synth.recordings import KINDS, draw_recording
from ecg_trt.types import Array


@lru_cache(maxsize=len(KINDS))
def flat(kind: str, seed: int) -> Array:
    """The drawing before the camera, small."""
    draw = next(draw for draw in drawn._DRAWINGS if draw.__name__ == kind)
    return cv2.resize(draw(np.random.default_rng(seed)).image, (400, 300), interpolation=cv2.INTER_AREA)


def test_there_are_eight_kinds() -> None:
    assert len(KINDS) == len(set(KINDS)) == 8
    assert len(list(recordings(2, 0))) == 16


@pytest.mark.parametrize("kind", ["pressure_waves", "logic_analyzer"])
def test_a_seed_gives_one_picture(kind: str) -> None:
    image = draw_recording(kind, 3)
    assert image.dtype == np.uint8 and image.shape[2] == 3
    assert image.shape[0] * image.shape[1] >= ReadOptions().min_pixels  # they are rejected for what they show
    np.testing.assert_array_equal(image, draw_recording(kind, 3))
    assert not np.array_equal(image, draw_recording(kind, 4))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_draws_lines(kind: str) -> None:
    image = flat(kind, 1).astype(float)
    empty = np.median(image, axis=(0, 1))
    assert (np.abs(image - empty).max(-1) > 40).mean() > 0.01


def test_kinds_differ() -> None:
    images = [flat(kind, 1).astype(float) for kind in KINDS]
    for k, image in enumerate(images):
        assert all(np.abs(image - other).mean() > 2 for other in images[:k])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_photographed(kind: str) -> None:
    image = draw_recording(kind, 0)
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[0] * image.shape[1] >= ReadOptions().min_pixels


def test_an_artery_beats_between_its_pressures() -> None:
    rng, t = np.random.default_rng(0), np.arange(0, 10, 0.01)
    wave = pressure(rng, "ART", t, beat_times(rng, 60, 10), 80, 120)
    assert 70 < wave.min() < 90 and 110 < wave.max() < 135
    assert 8 <= np.sum((wave[:-1] < 108) & (wave[1:] >= 108)) <= 12


def test_a_fetal_heart_keeps_to_its_range() -> None:
    minutes = np.arange(0, 20, 0.02)
    rate = fetal_rate(np.random.default_rng(0), minutes, np.array([4.0, 8.0]))
    assert 100 < np.nanmedian(rate) < 170
    assert 2 < np.nanstd(rate) < 30, "it varies, and never as a heart in fibrillation does"

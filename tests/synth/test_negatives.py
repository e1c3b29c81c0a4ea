"""Pictures that have to be refused: of every kind, and the same from the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_trt.config import ReadOptions
from ecg_trt.synth.negatives import KINDS, draw_negative


def test_there_are_kinds_enough() -> None:
    assert len(KINDS) == len(set(KINDS)) >= 25


@pytest.mark.parametrize("kind", ["waveform", "monitor", "bricks", "noise", "plain"])
def test_a_seed_gives_one_picture(kind: str) -> None:
    image = draw_negative(kind, 3)
    assert image.dtype == np.uint8 and image.shape[2] == 3
    assert image.shape[0] * image.shape[1] >= ReadOptions().min_pixels  # they are refused for what they show
    np.testing.assert_array_equal(image, draw_negative(kind, 3))
    assert not np.array_equal(image, draw_negative(kind, 4))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_drawn(kind: str) -> None:
    image = draw_negative(kind, 0)
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[0] * image.shape[1] >= ReadOptions().min_pixels

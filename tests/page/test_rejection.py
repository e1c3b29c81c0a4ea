"""With the shipped networks: what is no ECG is refused, and a page that is read badly is refused on demand."""

from __future__ import annotations

from typing import Any

import pytest

from ecg_trt.config import ReadOptions
from ecg_trt.errors import LowQualityError, PageError
from ecg_trt.synth.negatives import draw_negative
from ecg_trt.synth.sample import make_sample
from tests.marks import slow_but


@pytest.mark.parametrize("kind", slow_but(["face"], ["face", "noise", "texture", "monitor", "plain"]))
def test_no_ecg_no_record(digitizer: Any, kind: str) -> None:
    with pytest.raises(PageError) as caught:
        digitizer(draw_negative(kind, 1))
    assert caught.value.hint


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["squared_paper", "cardiotocogram", "text", "music", "eeg", "out_of_focus"])
def test_other_paper_is_refused_or_marked_as_bad(digitizer: Any, kind: str) -> None:
    try:
        record = digitizer(draw_negative(kind, 2))
    except PageError:
        return
    assert record.mean_quality < 0.5


def test_less_than_the_quality_asked_for_is_an_error(digitizer: Any) -> None:
    image, _ = make_sample(3, width_px=2000, severity=0.0, layout="3x4+1", paper_speed_mm_per_s=25.0,
                           gain_mm_per_mv=10.0, pulse="left", clutter=0.0)  # fmt: skip
    record = digitizer(image)
    assert 0.5 < record.mean_quality < 0.999
    with pytest.raises(LowQualityError, match=f"{record.mean_quality:.2f}"):
        digitizer(image, ReadOptions(min_quality=1.0))

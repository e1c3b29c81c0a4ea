"""With the shipped networks: what is no ECG is refused, and a page that is read badly is refused on demand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ecg_trt.config import ReadOptions
from ecg_trt.errors import LowQualityError, NoEcgFoundError, PageError
from ecg_trt.quality.model import load_calibration
from ecg_trt.reading import RecordMaker
from ecg_trt.record import EcgRecord
from ecg_trt.synth.negatives import draw_negative
from ecg_trt.synth.sample import make_sample
from ecg_trt.thresholds import PageThresholds
from ecg_trt.types import Array, WarningCode
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


@pytest.fixture(scope="module")
def image() -> Array:
    return make_sample(3, width_px=2000, severity=0.0, layout="3x4+1", paper_speed_mm_per_s=25.0,
                       gain_mm_per_mv=10.0, pulse="left", clutter=0.0)[0]  # fmt: skip


def test_a_page_warns_beyond_the_lower_threshold_and_is_rejected_beyond_the_upper(digitizer: Any, image: Array) -> None:
    first = digitizer.read(image)
    score = load_calibration().non_ecg_score(first.features)

    def again(upper: float, lower: float) -> EcgRecord:
        maker = RecordMaker(load_calibration(), "ort", {}, PageThresholds(upper, lower))
        return maker(first.traced, first.photo, first.options, first.corrections).record

    assert WarningCode.UNRELIABLE_PAGE not in {w.code for w in again(1.0, 1.0).warnings}
    between = again(1.0, score / 2)
    assert WarningCode.UNRELIABLE_PAGE in {w.code for w in between.warnings} and np.isfinite(between.signal_mv).any()
    with pytest.raises(NoEcgFoundError):
        again(score / 2, 0.0)


def test_less_than_the_quality_asked_for_is_an_error(digitizer: Any, image: Array) -> None:
    record = digitizer(image)
    assert 0.5 < record.mean_quality < 0.999
    with pytest.raises(LowQualityError, match=f"{record.mean_quality:.2f}"):
        digitizer(image, ReadOptions(min_quality=1.0))

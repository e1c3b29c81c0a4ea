"""From photo to millivolts with the shipped networks, on photos whose truth is known."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

import ecg_trt
from ecg_trt.config import ReadOptions, RuntimeOptions
from ecg_trt.digitizer import Digitizer
from ecg_trt.layout import LEADS
from ecg_trt.metrics import score_record
from ecg_trt.networks import READING_NETWORKS
from ecg_trt.reading import Reading
from ecg_trt.record import EcgRecord
from ecg_trt.synth.sample import make_sample
from ecg_trt.types import Array, WarningCode
from tests.marks import slow_but

Pair = tuple[Array, EcgRecord]


@pytest.fixture(scope="module")
def sample() -> Pair:
    return make_sample(21, width_px=3000, severity=0.3, layout="3x4+1", paper_speed_mm_per_s=25.0,
                       gain_mm_per_mv=10.0, pulse="left", clutter=0.0)  # fmt: skip


@pytest.fixture(scope="module")
def reading(digitizer: Digitizer, sample: Pair) -> Reading:
    return digitizer.read(sample[0])


def test_a_synthetic_photo_comes_back_as_its_signal(reading: Reading, sample: Pair) -> None:
    truth, record = sample[1], reading.record
    assert record.layout == "3x4+1"
    assert (record.paper_speed_mm_per_s, record.gain_mm_per_mv) == (25.0, 10.0)
    assert record.signal_mv.shape == (12, 5000) and record.signal_mv.dtype == np.float32
    score = score_record(truth.signal_mv, truth.fs, record.signal_mv, record.fs)
    assert score.snr_db > 14
    assert np.nanmedian(score.pearson) > 0.97
    assert np.nanmin(record.quality) > 0.6


def test_leads_stand_where_the_page_prints_them(reading: Reading) -> None:
    signal = reading.record.signal_mv
    for k, lead in enumerate(LEADS):
        shown = np.flatnonzero(np.isfinite(signal[k])) / 500
        start, end = (0.0, 10.0) if lead == "II" else (2.5 * (k // 3), 2.5 * (k // 3) + 2.5)
        assert shown[0] == pytest.approx(start, abs=0.1)
        assert shown[-1] == pytest.approx(end, abs=0.1)


def test_every_step_is_timed_and_every_network_named(reading: Reading) -> None:
    record = reading.record
    assert set(record.timings_ms) >= {"align", "rectify", "layout", "flatten", "trace", "signal", "total"}
    assert set(record.weights) == set(READING_NETWORKS)
    assert record.backend == "ort"


@pytest.mark.slow
def test_more_views_read_the_same(reading: Reading, sample: Pair) -> None:
    once = reading.record
    with Digitizer(RuntimeOptions(views=2)) as digitizer:
        record = digitizer(sample[0])
    assert score_record(sample[1].signal_mv, sample[1].fs, record.signal_mv, record.fs).snr_db > 14
    assert not np.array_equal(record.signal_mv, once.signal_mv, equal_nan=True)
    assert record.weights == once.weights


@pytest.mark.slow
def test_tall_waves_are_read_at_a_gain_of_20() -> None:
    image, truth = make_sample(7, width_px=2600, severity=0.2, layout="3x4", paper_speed_mm_per_s=25.0,
                               gain_mm_per_mv=20.0, pulse="left", clutter=0.0)  # fmt: skip
    with Digitizer() as digitizer:
        reading = digitizer.read(image, ReadOptions(gain=20))
    assert reading.page.px_per_mm == (20.0, 3.2)
    assert score_record(truth.signal_mv, truth.fs, reading.record.signal_mv, 500.0).snr_db > 12


@pytest.mark.parametrize("turns", slow_but([1], [1, 2, 3]))
def test_a_turned_photo_gives_the_same_signal(digitizer: Digitizer, sample: Pair, turns: int) -> None:
    image, truth = sample
    record = digitizer(np.ascontiguousarray(np.rot90(image, turns)))
    assert record.layout == "3x4+1"
    assert score_record(truth.signal_mv, truth.fs, record.signal_mv, record.fs).snr_db > 12


def test_a_mirrored_photo_gives_the_same_signal_and_says_so(digitizer: Digitizer, sample: Pair) -> None:
    image, truth = sample
    record = digitizer(np.ascontiguousarray(image[:, ::-1]))
    assert record.layout == "3x4+1"
    assert WarningCode.MIRRORED in {warning.code for warning in record.warnings}
    assert score_record(truth.signal_mv, truth.fs, record.signal_mv, record.fs).snr_db > 12


def test_path_bytes_and_array_agree(tmp_path: Path, sample: Pair) -> None:
    path = tmp_path / "page.png"
    small = cv2.resize(sample[0], None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(path), small[..., ::-1])
    with Digitizer() as digitizer:
        first, second = digitizer(path), digitizer(path.read_bytes())
    third = ecg_trt.digitize(small, ecg_trt.ReadOptions(fs=250))
    np.testing.assert_array_equal(first.signal_mv, second.signal_mv)
    assert third.fs == 250 and third.signal_mv.shape == (12, 2500)
    both = np.isfinite(first.signal_mv[:, ::2]) & np.isfinite(third.signal_mv)
    gap = np.abs(first.signal_mv[:, ::2] - third.signal_mv)[both]
    assert np.percentile(gap, 95) < 0.05  # mV: the lower rate filters a little more


def test_the_users_word_wins(digitizer: Digitizer, sample: Pair) -> None:
    record = digitizer(sample[0], ecg_trt.ReadOptions(gain=20, speed=25))
    plain = digitizer(sample[0])
    assert record.gain_mm_per_mv == 20 and "gain" not in record.assumed
    np.testing.assert_allclose(np.nanstd(record.signal_mv), np.nanstd(plain.signal_mv) / 2, rtol=0.02)


def test_the_shipped_example_is_read(digitizer: Digitizer) -> None:
    folder = Path(__file__).parents[1] / "examples"
    record = digitizer(folder / "photo.jpg")
    table = np.genfromtxt(folder / "photo.csv", delimiter=",", names=True)
    truth = np.stack([table[lead] for lead in LEADS])
    assert score_record(truth, 500.0, record.signal_mv, record.fs).snr_db > 14


def test_a_closed_digitizer_says_so(sample: Pair) -> None:
    digitizer = Digitizer()
    digitizer.close()
    digitizer.close()
    with pytest.raises(ecg_trt.BackendError, match="closed"):
        digitizer(sample[0])

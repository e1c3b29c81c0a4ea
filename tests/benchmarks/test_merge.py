"""The figures of the benchmark of merging, on numbers and records whose answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.merge import Choice, PhotographedPage, choices, collect, snr_db, summarise
from ecg_trt.layout import LEADS
from ecg_trt.record import EcgRecord


def _record(noise_mv: float, seed: int, n: int = 1500) -> EcgRecord:
    t = np.arange(n) / 500.0
    signal = np.array([np.sin(2 * np.pi * (1.3 + 0.1 * k) * t) ** 9 for k in range(12)])
    noise = noise_mv * np.random.default_rng(seed).standard_normal(signal.shape)
    snr = np.full(12, 20.0, np.float32)
    return EcgRecord(signal_mv=(signal + noise).astype(np.float32), fs=500.0, lead_names=LEADS, layout="strips",
                     paper_speed_mm_per_s=25.0, gain_mm_per_mv=10.0, quality=snr / 20, snr_db=snr)  # fmt: skip


def test_figures_of_choices() -> None:
    found = [Choice(3, 18.0, 19.0, 20.0, 17.0, 21.0, 1.0), Choice(3, 18.0, 20.0, 20.0, 17.0, 18.5, float("nan"))]
    row = summarise(found)["3"]
    assert row["gain_over_random"] == pytest.approx(1.75) and row["worst_against_best"] == -1.5
    assert row["share_1_db_below_best"] == 0.5 and row["expected_minus_true"] == 1.0
    assert summarise([]) == {}


def test_records_are_merged_and_scored() -> None:
    page = PhotographedPage(_record(0.0, 0), tuple(_record(0.05, k) for k in range(3)))
    found = list(choices(page))
    assert [whole.photos for whole, _ in found] == [2, 2, 2, 3]
    assert all(whole.merged > whole.best and fine.merged >= whole.merged for whole, fine in found)
    late = np.roll(page.truth.signal_mv, 1, axis=1)
    whole, fine = snr_db(page.truth, late, LEADS)
    assert whole > 20 and fine >= whole


def test_a_cached_page_is_not_read_again(tmp_path: Path) -> None:
    assert list(collect(0, 5, 1, same_folds=False, cache=tmp_path)) == []

"""The figures of the benchmarks of quality and refusal, on numbers whose answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.quality import ReadQuality, of_leads, of_pages, plot, reliability
from benchmarks.refusal import count


def _told(shift_db: float, n: int = 40) -> list[ReadQuality]:
    rng = np.random.default_rng(0)
    out = []
    for k in range(n):
        true = rng.uniform(2, 28, 12)
        out.append(ReadQuality(str(k), "synthetic", true + shift_db, true, float(k), float(k**2)))
    return out


def test_bins_tell_a_bias() -> None:
    assert of_leads(_told(0.0))["worst_bin_db"] == pytest.approx(0, abs=0.01)
    assert of_leads(_told(1.5))["worst_bin_db"] == pytest.approx(1.5, abs=0.01)
    assert of_pages(_told(0.0))["rank_correlation"] == 1.0


def test_bins_of_few_leads_are_joined() -> None:
    expected = np.concatenate([np.full(50, 4.0), [7.0], np.full(50, 10.0), [25.0, 26.0]])
    bins = reliability(expected, expected)
    assert sum(b["leads"] for b in bins) == len(expected) and min(b["leads"] for b in bins) >= 20


def test_leads_that_are_not_printed_do_not_count() -> None:
    readings = _told(0.0, 10)
    readings[0].leads_expected[:6] = np.nan
    readings[1].leads_true[3] = np.nan
    assert of_leads(readings)["leads"] == 120 - 7


def test_the_plot_is_drawn(tmp_path: Path) -> None:
    readings = _told(0.5)
    plot(of_leads(readings)["bins"], readings[:5], tmp_path / "docs" / "q.png")  # type: ignore[arg-type]
    assert (tmp_path / "docs" / "q.png").stat().st_size > 5000


def test_refusals_are_counted() -> None:
    rows: list[dict[str, object]] = [{"kind": kind, "quality": quality} for kind, quality in
            (("text", None), ("text", 0.2), ("music", 0.5), ("music", 0.9), ("music", None))]  # fmt: skip
    figures = count(rows)
    assert (figures["pictures"], figures["answered"], figures["answered_high"]) == (5, 3, 2)
    assert figures["high_by_kind"] == {"music": 2}

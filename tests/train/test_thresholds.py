"""The search of thresholds, on a few made-up pictures of which the right ones are known."""

from __future__ import annotations

import json
import pickle
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from ecg_trt.digitizer import reading_weights
from ecg_trt.layout import LEADS
from ecg_trt.quality.model import FEATURES
from ecg_trt.signal.assemble import assemble
from ecg_trt.synth.negatives import KINDS
from ecg_trt.synth.recordings import KINDS as RECORDING_KINDS
from ecg_trt.synth.sample import draw_sample
from ecg_trt.thresholds import RunThresholds
from tests.quality.sound_page import evidence_of_a_page
from train import thresholds as search_of
from train.calibrate_quality import cut_out

_ROWS = np.array([[40.0, 20.0, 270.0], [80.0, 20.0, 270.0]])


def _zero(*rows: tuple[int, int, int, float]) -> np.ndarray:
    zero = np.zeros((120, 290), np.float16)
    for y, x0, x1, response in rows:
        zero[y - 1 : y + 2, x0:x1] = response
    return zero


def _traces() -> search_of.Traces:
    """A page whose truth is what is read of it, where V1's pen was followed along something else for 2 cm."""
    evidence = evidence_of_a_page()
    strips, trace, scales = evidence.naming.strips, evidence.trace, evidence.scales
    truth, *_ = assemble(evidence.page, strips, trace, leads=LEADS, speed=25.0, gain_of=scales.gain_of, fs=500.0,
                         seconds=10.0, thresholds=RunThresholds(0.5, 0.25, 0.0))  # fmt: skip
    row, confidence = trace.ridge_row.copy(), trace.confidence.copy()
    wrong = np.s_[0, 1400:1600]
    row[wrong] += 60.0
    confidence[wrong] = 0.45
    confidence[0, 1350:1400] = confidence[0, 1600:1650] = 0.0
    return search_of.Traces(evidence.page, strips, replace(trace, ridge_row=row, confidence=confidence), LEADS, scales,
                            10.0, truth)  # fmt: skip


def _picture(*rows: tuple[int, int, int, float], non_ecg: float, is_page: bool) -> search_of.Picture:
    return search_of.Picture(
        _zero(*rows), _ROWS if is_page else np.zeros((0, 3)), non_ecg, _traces() if is_page else None
    )


@pytest.fixture(scope="module")
def found() -> list[search_of.Picture | None]:
    pages = [
        _picture((40, 20, 270, 0.9), (80, 20, 270, 0.75), (100, 20, 120, 0.35), non_ecg=score, is_page=True)
        for score in (0.02, 0.05, 0.31)
    ]
    others = [_picture((60, 20, 200, 0.45), non_ecg=score, is_page=False) for score in (0.12, 0.6, 0.9)]
    return [*pages, None, *others]


def test_each_threshold_is_found(found: list[search_of.Picture | None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_of, "_STRIP_GRID", ((0.3, 0.4, 0.5, 0.6, 0.8), (0.2, 0.3), (20.0,)))
    monkeypatch.setattr(search_of, "_COLUMN_GRID", ((0.3, 0.4, 0.5, 0.6), (0.25,), (0.0,)))
    thresholds = search_of.searched(found)
    assert 0.45 <= thresholds.strip.upper < 0.75, "false rows reach 0.45, printed ones 0.75 and more"
    assert thresholds.column.upper >= 0.45, "the pen is lost where the confidence is 0.45"
    assert 0.31 < thresholds.page.upper < 0.6
    assert thresholds.page.lower == thresholds.page.upper, "of three sound pages, none may be warned of"
    assert json.loads(json.dumps(asdict(thresholds)))["strip"]["upper"] == thresholds.strip.upper


def test_rows_count_by_the_part_that_agrees() -> None:
    thresholds = RunThresholds(0.5, 0.3, 20.0)
    whole = _picture((40, 20, 270, 0.9), (80, 20, 270, 0.9), non_ecg=0.0, is_page=True)
    assert search_of.strip_score([whole], thresholds) == pytest.approx(1.0, abs=0.03)
    half = _picture((40, 20, 145, 0.9), (80, 20, 270, 0.9), non_ecg=0.0, is_page=True)
    assert search_of.strip_score([half], thresholds) == pytest.approx(0.75, abs=0.03)
    other = _picture((40, 20, 270, 0.9), (80, 20, 270, 0.9), non_ecg=0.0, is_page=False)
    two_false = 10 * 2 / (9 * 2 + 4)  # Recall counts threefold.
    assert search_of.strip_score([whole, other], thresholds) == pytest.approx(two_false, abs=0.03)
    assert search_of.strip_score([], thresholds) == 0.0


def test_what_is_not_read_counts_as_zero() -> None:
    page = _traces()
    score = partial(search_of.column_score, [page], {})
    clean, wrong, nothing = (score(RunThresholds(upper, 0.25, 0.0)) for upper in (0.5, 0.3, 0.9999))
    assert clean > wrong > nothing == pytest.approx(0.0, abs=0.5)


def test_the_middle_of_what_is_alike_is_taken() -> None:
    axes = ((0.3, 0.4, 0.5, 0.6, 0.7), (0.1, 0.2, 0.3), (0.0, 1.0, 2.0))
    best = RunThresholds(0.5, 0.2, 1.0)
    assert search_of.search("flat", axes, lambda _: 1.0, best, 0.0) == best
    peak = replace(best, upper=0.7)
    assert search_of.search("peak", axes, lambda t: float(t == peak), best, 0.5) == peak
    crossed = search_of.search("crossed", ((0.2, 0.4), (0.1, 0.3), (0.0,)), lambda t: t.lower - t.upper, best, 0.0)
    assert crossed == RunThresholds(0.2, 0.1, 0.0) or crossed == RunThresholds(0.4, 0.3, 0.0)


def test_few_sound_pages_lie_beyond_the_threshold_of_pages() -> None:
    sound, bad = np.r_[np.full(99, 0.02), 0.97], np.array([0.13, 0.5, 0.99])
    assert search_of.page_threshold(sound, bad, 0.01) == 0.1
    assert search_of.page_threshold(sound, bad[1:], 0.01) == 0.25, "the middle of those that are as good"
    assert search_of.page_threshold(sound, bad, 0.0) == 1.0


def test_printed_rows_are_brought_to_the_page_as_it_was_found() -> None:
    image, page, capture = draw_sample(5, width_px=700, kind="scan", severity=0.0)
    part, corner_px = cut_out(image, 3)

    class AtHalfSize:
        def page_xy(self, xy_px: np.ndarray) -> np.ndarray:
            return capture.page_from_photo(xy_px + corner_px) / 2

    drawing = search_of.Drawing(part, page, capture, corner_px)
    rows = search_of.printed_rows(AtHalfSize(), drawing)  # type: ignore[arg-type]
    printed = np.array([(s.zero_y_mm, *s.x_mm) for s in page.strips]) / 2
    nearest = np.abs(rows[:, :1] - printed[:, 0]).argmin(1)
    assert 0 < len(rows) <= len(printed) and rows[:, 0] == pytest.approx(printed[nearest, 0], abs=0.5)
    lost = (rows[:, 1] - printed[nearest, 1], printed[nearest, 2] - rows[:, 2])
    assert min(map(np.min, lost)) > -0.5, "no row is longer than it was printed"
    assert max(map(np.max, lost)) > 5, "the cut takes a part of them"


def test_what_was_measured_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []

    def drawing() -> search_of.Drawing:
        drawn.append("text")
        return search_of.Drawing(np.full((400, 400, 3), 255, np.uint8))

    monkeypatch.setattr(search_of, "measure", lambda *_: None)
    for _ in range(2):
        assert search_of.collect(tmp_path, [("text 1", drawing)], 1) == {"text 1": None}
    assert drawn == ["text"]
    identity = json.dumps([reading_weights(), FEATURES])
    assert pickle.loads((tmp_path / "text_1.pickle").read_bytes()) == (identity, None)
    (tmp_path / "text_1.pickle").write_bytes(pickle.dumps(("other networks", None)))
    search_of.collect(tmp_path, [("text 1", drawing)], 1)
    assert drawn == ["text", "text"]


def test_pictures_are_named() -> None:
    wanted = dict(search_of.pictures(20, 1, search_of.SEED))
    assert len(wanted) == 20 + len(KINDS) + len(RECORDING_KINDS)

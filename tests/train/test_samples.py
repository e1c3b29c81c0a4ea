"""Samples of every stage: shapes, truth, and the same seed giving the same sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from ecg_trt.layout import LAYOUTS, MARKED_WORDS
from ecg_trt.printed import CHARACTERS, settings_of
from ecg_trt.synth.capture import Capture, draw_capture
from ecg_trt.synth.page import Page, draw_page
from ecg_trt.synth.spec import draw_spec
from ecg_trt.types import Array
from train.data import samples
from train.data.samples import Sample, _page_maps, align_sample, rectify_samples, trace_samples
from train.data.signals import SignalSource
from train.data.text import MOST_CHARACTERS, text_samples

SOURCE = SignalSource()


def _first(make: Callable[..., list[Sample] | Sample], seed: int) -> Sample:
    made = make(np.random.default_rng(seed), SOURCE)
    return made[0] if isinstance(made, list) else made


@pytest.mark.parametrize("make", [align_sample, rectify_samples, trace_samples, text_samples])
def test_same_seed_same_sample(make: Callable[..., list[Sample] | Sample]) -> None:
    a, b, c = _first(make, 3), _first(make, 3), _first(make, 4)
    assert all(np.array_equal(a[k], b[k]) for k in a)
    assert not np.array_equal(a["image"], c["image"])


def test_align_sample_points_along_the_page() -> None:
    sample = _first(align_sample, 11)
    assert sample["image"].shape == (512, 512, 3) and sample["image"].dtype == np.uint8
    axes = sample["axes"].reshape(2, 2, 64, 64)
    np.testing.assert_allclose(np.linalg.norm(axes, axis=1), 1, atol=1e-4)
    on = sample["page"][0] > 0
    assert on.any()
    turned = axes[0, 0] * axes[1, 1] - axes[0, 1] * axes[1, 0]
    assert (turned[on] > 0.5).all()  # right-handed, y down: no page is ever mirrored


def test_some_align_samples_show_no_ecg() -> None:
    empty = [seed for seed in range(40) if _first(align_sample, seed)["page"].sum() == 0]
    assert 1 <= len(empty) <= 12


def test_rectify_sample_marks_lie_where_they_must() -> None:
    sample = next(s for s in (_first(rectify_samples, k) for k in range(20, 60)) if s["node"].max() > 0.9)
    assert sample["image"].shape == (384, 384, 3)
    assert sample["label"].shape == (len(MARKED_WORDS), 96, 96)
    peak = sample["node"][0] > 0.6
    assert np.abs(sample["offset"][:, peak]).max() < 1.2  # cells: the node is in the cell or the next one
    assert set(np.unique(sample["pulse"])) <= {0.0, 1.0}


def test_every_word_of_a_page_has_a_middle() -> None:
    rng = np.random.default_rng(7)
    spec = draw_spec(rng, layout=LAYOUTS["3x4+1-cabrera"].with_inverted_avr(), calibration_text=True, clutter=0.0)
    page = draw_page(rng, SOURCE.draw(rng), 500.0, px_per_mm=2.0, spec=spec)
    x, y = (np.arange(0.37, side, 1.0) for side in page.spec.size_mm)
    label = _page_maps(page, np.stack(np.meshgrid(x, y), -1), np.ones((len(y), len(x)), bool))["label"]
    wanted = {mark.word for mark in (*page.labels, *page.calibration_text)}
    assert {word for word, plane in zip(MARKED_WORDS, label, strict=True) if plane.max() == 1.0} == wanted
    assert {word for word, plane in zip(MARKED_WORDS, label, strict=True) if plane.max() > 0.0} == wanted
    for mark in (*page.labels, *page.calibration_text):
        at = [int(np.abs(axis - v).argmin()) for axis, v in zip((x, y), mark.xy_mm, strict=True)]
        assert label[MARKED_WORDS.index(mark.word), at[1], at[0]] == 1.0, mark


def test_trace_truth_lies_on_ink() -> None:
    """The pen's row is darker than the rows 1.5 mm above and below it, nearly everywhere."""
    darker = []
    for seed in range(6):
        for sample in trace_samples(np.random.default_rng(seed), SOURCE, count=3):
            grey = cv2.cvtColor(sample["image"], cv2.COLOR_RGB2GRAY).astype(float)
            on = np.flatnonzero((sample["present"] > 0) & (sample["judged"] > 0))
            row = np.round(sample["row"][on]).astype(int)
            ok = (row > 14) & (row < 305)
            on, row = on[ok], row[ok]
            around = np.minimum(grey[row - 12, on], grey[row + 12, on])
            darker.append(np.mean(grey[row, on] < around + 1))
    assert np.mean(darker) > 0.75


def _traced(seed: int, cut: bool, **look: object) -> tuple[Page, Capture, int, Sample, Array]:
    """Crop a drawn page: the page, its picture, the crop's row and sample, and page mm of the crop's columns."""
    rng = np.random.default_rng(seed)
    spec = draw_spec(rng, layout="3x4", **look)
    page = draw_page(rng, SOURCE.draw(rng), 500.0, px_per_mm=6.0, spec=spec)
    capture = draw_capture(rng, page.spec.size_mm, (1200, 1600), kind="scan")
    if cut:
        capture = replace(capture, photo_hw=(1200, 900))
    row = int(rng.integers(len(page.strips)))
    sample = samples._trace_crop(np.random.default_rng(seed), page, capture, row, (320, 768))
    places: list[Array] = []

    def place(u: Array, borders_mm: Array) -> Array:
        places.append(u)
        return u + 100.0

    with pytest.MonkeyPatch.context() as patch:  # the same crop again, with its columns' places in place of the heat
        patch.setattr(samples, "_border_heat", place)
        again = samples._trace_crop(np.random.default_rng(seed), page, capture, row, (320, 768))
    assert all(np.array_equal(again[name], sample[name]) for name in sample if name != "border")
    seen = again["border"] >= 0
    (u,) = (u if np.allclose(u[seen] + 100.0, again["border"][seen], atol=1e-3) else u[::-1] for u in places)
    assert np.allclose(u[seen] + 100.0, again["border"][seen], atol=1e-3)
    return page, capture, row, sample, u


@pytest.mark.parametrize(("separator", "gap_mm"), [("none", 0.0), ("gap", 1.0)])
def test_borders_stand_where_leads_begin_and_end(separator: str, gap_mm: float) -> None:
    """Heat is near 1 within 0.05 mm of the beginning and the end of a lead, and falls to 0 within 0.4 mm."""
    begins, ends = 0, 0
    for seed in range(24):
        page, _, row, sample, u = _traced(seed, cut=False, separator=separator)
        heat, segments = sample["border"], page.strips[row].segments
        assert heat.shape == (768,) and heat.dtype == np.float32
        x_mm = np.array([s.x_mm for s in segments]) - [0.0, gap_mm]
        away = np.abs(u[:, None, None] - x_mm)
        near = away.min((1, 2))
        seen = heat >= 0
        assert seen.mean() > 0.9, "a scan shows its page as a whole"
        assert (heat[seen & (near < 0.05)] > 0.88).all() and (heat[seen & (near > 0.051)] < 0.88).all()
        assert (heat[seen & (near > 0.4)] < 1e-3).all()
        closest = away.min(0)  # (segments, 2): columns are 0.05 mm apart
        within = closest < 0.04
        assert (heat[away.argmin(0)][within] > 0.92).all()
        begins, ends = begins + within[:, 0].sum(), ends + within[:, 1].sum()
        if gap_mm:
            inside_gap = ((u[:, None] > x_mm[:, 1] + 0.05) & (u[:, None] < x_mm[:, 1] + 0.95)).any(1)
            assert not sample["present"][inside_gap].any()
    assert begins >= 6 and ends >= 6


def test_borders_are_unknown_where_the_picture_shows_nothing() -> None:
    shares = []
    for seed in range(12):
        page, capture, row, sample, u = _traced(seed, cut=True)
        pen = np.interp(u, page.pen_x_mm[row], page.pen_y_mm[row])
        beyond = capture.photo_from_page(np.stack([u, pen], -1))[:, 0] - (capture.photo_hw[1] - 1)
        unknown = sample["border"] == -1
        assert unknown[beyond > 3].all(), "a crop wobbles by a fraction of a mm"
        inside = (beyond < -3) & (beyond > -850)
        assert not unknown[inside].any()
        assert not sample["present"][unknown].any()
        assert ((sample["border"] >= 0) | unknown).all()
        shares.append(unknown.mean())
    assert max(shares) > 0.9 and min(shares) == 0.0


def test_recorded_signals_come_from_a_folder(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    delta = rng.integers(-5, 6, (20, 12, 5000)).astype(np.int16)
    np.savez(tmp_path / "some.npz", delta_uv=delta)
    train, held = SignalSource(tmp_path), SignalSource(tmp_path, held_out=True)
    assert len(train.records) == 18 and len(held.records) == 2
    np.testing.assert_allclose(train.records[0], np.cumsum(delta[0].astype(np.int32), -1) / 1000, rtol=1e-6)
    assert train.draw(rng).shape == (12, 5000)
    with pytest.raises(FileNotFoundError, match="twelve-lead"):
        SignalSource(tmp_path / "nothing")


def test_captions_show_the_text_that_they_are_said_to() -> None:
    crops = text_samples(np.random.default_rng(2), count=40)
    for sample in crops:
        assert sample["image"].shape == (64, 256, 3) and sample["text"].shape == (MOST_CHARACTERS,)
        spread = np.ptp(cv2.cvtColor(sample["image"], cv2.COLOR_RGB2GRAY)[20:44].astype(int))
        assert spread > 10 or not sample["text"].any()
    texts = ["".join(CHARACTERS[k - 1] for k in sample["text"] if k) for sample in crops]
    assert sum(bool(list(settings_of(text))) for text in texts) > 5 and len(set(texts)) > 35
    again = text_samples(np.random.default_rng(2), count=1)[0]
    np.testing.assert_array_equal(again["image"], crops[0]["image"])

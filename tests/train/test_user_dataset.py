"""One's own pages: what is read from ecg-image-kit's JSON, and what a record teaches about a flattened page."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ecg_trt.errors import OptionError
from ecg_trt.layout import LEADS
from ecg_trt.synth.page import Page
from tests.train.user_pages import write_kit_page, write_physionet_record
from train.data import user_dataset
from train.data.kit import InvalidPageError, KitPages, find_kit_pages, read_kit_page
from train.data.physionet import find_records, load, read_leads
from train.data.samples import Sample, align_sample, rectify_samples, trace_samples
from train.data.signals import SignalSource
from train.data.user_dataset import KIT, PHYSIONET, UserDataset, open_user_dataset

PX_PER_MM = 5.0


def _read(folder: Path, name: str) -> Page:
    return read_kit_page(folder / f"{name}-0.png", folder / f"{name}-0.json", PX_PER_MM)


def _difference(image: np.ndarray, drawn: Page, pad_mm: float) -> float:
    """Mean difference, grey levels, from the page that was drawn, inside its border."""
    same = cv2.resize(drawn.image, None, fx=PX_PER_MM / drawn.px_per_mm, fy=PX_PER_MM / drawn.px_per_mm)
    pad = round(pad_mm * PX_PER_MM)
    part = image[pad : pad + same.shape[0], pad : pad + same.shape[1]].astype(float)
    inner = slice(120, -120)
    return float(np.abs(part[inner, inner] - same[: part.shape[0], : part.shape[1]][inner, inner]).mean())


@pytest.mark.parametrize(("turn", "pad"), [(0.0, 0), (6.0, 0), (-3.0, 1)])
def test_truth_is_read_from_the_json(turn: float, pad: int, tmp_path: Path) -> None:
    drawn = write_kit_page(tmp_path, "rec", 3, turn_deg=turn, pad_inches=pad)
    page, beside = _read(tmp_path, "rec"), 25.4 * pad
    assert [[s.lead for s in p.segments] for p in page.strips] == [[s.lead for s in p.segments] for p in drawn.strips]
    np.testing.assert_allclose([p.zero_y_mm for p in page.strips], np.array(drawn.spec.zero_y_mm) + beside, atol=0.06)
    for strip, true in zip(page.strips, drawn.strips, strict=True):
        ends = [s.x_mm for s in strip.segments]
        np.testing.assert_allclose(ends, np.array([s.x_mm for s in true.segments]) + beside, atol=0.06)
    for k in range(4):
        at = drawn.pen_x_mm[k]
        got = np.interp(at + beside, page.pen_x_mm[k], page.pen_y_mm[k])
        assert np.median(np.abs(got - beside - drawn.pen_y_mm[k])) < 0.05
    labels = {(mark.word, round(mark.xy_mm[1])): mark.xy_mm for mark in page.labels}
    assert len(labels) == 13
    for mark in drawn.labels:
        x, y = np.array(mark.xy_mm) + beside
        assert min(np.hypot(a - x, b - y) for (lead, _), (a, b) in labels.items() if lead == mark.word) < 0.1
    np.testing.assert_allclose(page.pulses_mm, drawn.pulses_mm + beside, atol=0.1)
    x0, y0 = page.spec.grid_mm[:2]
    phase = (np.array([x0, y0 - 0.9]) - beside + 2.5) % 5 - 2.5
    np.testing.assert_allclose(phase, 0, atol=0.05)
    assert _difference(page.image, drawn, beside) < 8
    on = np.isfinite(drawn.signal_mv) & np.isfinite(page.signal_mv)
    assert on.mean() > 0.2 and np.median(np.abs(page.signal_mv - drawn.signal_mv)[on]) < 0.01


def test_without_a_record_zero_lines_are_medians(tmp_path: Path) -> None:
    drawn = write_kit_page(tmp_path, "rec", 4, record=False)
    np.testing.assert_allclose([p.zero_y_mm for p in _read(tmp_path, "rec").strips], drawn.spec.zero_y_mm, atol=2.0)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"width": 99}, "another size"),
        ({"crop": 0.01}, "cropped"),
        ({"x_grid": 20.0}, "not square"),
        ({"leads": []}, "no lead|cannot be read"),
        ({"leads": [{"lead_name": "X", "plotted_pixels": [[0, 0], [1, 1], [2, 3]]}]}, "unknown lead"),
    ],
)
def test_pages_whose_truth_is_unknown_are_unfit(changed: dict[str, Any], reason: str, tmp_path: Path) -> None:
    write_kit_page(tmp_path, "rec", 3, record=False, **changed)
    with pytest.raises(InvalidPageError, match=reason):
        _read(tmp_path, "rec")


def test_a_trace_that_does_not_lie_on_ink_is_unfit(tmp_path: Path) -> None:
    write_kit_page(tmp_path, "rec", 3, record=False)
    path = tmp_path / "rec-0.png"
    cv2.imwrite(str(path), np.roll(cv2.imread(str(path)), 40, axis=0))
    with pytest.raises(InvalidPageError, match="ink"):
        _read(tmp_path, "rec")


def _align(rng: np.random.Generator, source: object) -> list[Sample]:
    return [align_sample(rng, source)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("stage", "make"), [("stage0", _align), ("stage1", rectify_samples), ("stage2", trace_samples)]
)
def test_kit_pages_teach_every_stage(stage: str, make: object, tmp_path: Path) -> None:
    write_kit_page(tmp_path, "rec", 3)
    rng = np.random.default_rng(8)
    (sample, *_), (usual, *_) = (make(rng, s) for s in (KitPages(find_kit_pages(tmp_path)), SignalSource()))  # type: ignore[operator]
    assert {k: (v.shape, v.dtype) for k, v in sample.items()} == {k: (v.shape, v.dtype) for k, v in usual.items()}
    shown = {"stage0": "page", "stage1": "node", "stage2": "present"}[stage]
    assert sample[shown].max() > 0.5


def test_pages_are_checked_once_and_a_part_kept_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for k in range(3):
        write_kit_page(tmp_path / "in", f"rec{k}", k, record=False)
    write_kit_page(tmp_path / "in", "rec9", 9, record=False, crop=0.1)

    def pages(held_out: bool) -> list[str]:
        found = open_user_dataset(tmp_path / "in", rectify_samples, tmp_path / "cache", layouts=(KIT,), least_db=8,
                                  held_out=held_out)  # fmt: skip
        return [picture.name for picture, _ in found.makers[0].source.pages]  # type: ignore[attr-defined]

    with caplog.at_level(logging.INFO):
        assert pages(False) == ["rec0-0.png", "rec1-0.png"]
    assert "3 of 4 pages of ecg-image-kit kept; left out: 1 x cropped" in caplog.text
    monkeypatch.setattr(user_dataset, "read_kit_page", None)  # what was checked is not checked again
    assert pages(True) == ["rec2-0.png"]


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="0 pages of ecg-image-kit"):
        open_user_dataset(tmp_path, trace_samples, tmp_path, layouts=(KIT, PHYSIONET), least_db=8, held_out=False)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("records")
    write_physionet_record(folder, "11", 5)
    write_physionet_record(folder, "22", 12, wrong=True, suffix="jpg")
    (folder / "train.csv").write_text("id,fs,sig_len\n11,250,2500\n22,250,2500\n")
    return folder


def test_records_are_found_with_their_rate(records: Path) -> None:
    found = find_records(records)
    assert [(r.name, [p.name for p in r.pictures], r.fs) for r in found] == [
        ("11", ["11-0001.png"], 250.0), ("22", ["22-0001.jpg"], 250.0),
    ]  # fmt: skip
    leads, fs = read_leads(found[0])
    assert leads.shape == (12, 2500) and fs == 250
    assert np.isfinite(leads[LEADS.index("II")]).all() and np.isfinite(leads[0]).mean() == pytest.approx(0.25, abs=0.01)


def _open(folder: Path, cache: Path, layouts: tuple[str, ...] = (KIT, PHYSIONET)) -> UserDataset:
    return open_user_dataset(folder, trace_samples, cache, layouts=layouts, least_db=8, held_out=False)


@pytest.mark.slow
def test_records_teach_where_the_pen_went(
    records: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    with caplog.at_level(logging.INFO):
        pages = _open(records, tmp_path)
    assert "1 of 2 pictures of PhysioNet records kept; left out: 1 x page and record do not agree" in caplog.text
    darker, judged = [], []
    for seed in range(4):
        for sample in pages(np.random.default_rng(seed)):
            told = {k: (v.shape, v.dtype) for k, v in sample.items()}
            columns = dict.fromkeys(("row", "present", "judged", "weight", "border"), ((768,), np.dtype(np.float32)))
            assert told == {"image": ((320, 768, 3), np.dtype(np.uint8)), **columns}
            assert (sample["border"] == -1).all(), "where leads begin is as the page was read, and no truth"
            grey = cv2.cvtColor(sample["image"], cv2.COLOR_RGB2GRAY).astype(float)
            on = np.flatnonzero((sample["present"] > 0) & (sample["judged"] > 0))
            row = np.round(sample["row"][on]).astype(int).clip(12, 307)
            judged.append(len(on) / max(1, sample["present"].sum()))
            if len(on):
                darker.append(np.mean(grey[row, on] < np.minimum(grey[row - 12, on], grey[row + 12, on]) + 1))
    assert np.mean(darker) > 0.75 and np.mean(judged) > 0.8
    monkeypatch.setattr(user_dataset, "Digitizer", None)  # what was prepared is not prepared again
    (path,) = _open(records, tmp_path).makers[0].__self__.paths  # type: ignore[attr-defined]
    page = load(path)
    assert page.row.shape == page.seen.shape == (4, page.image.shape[1])
    assert np.isfinite(page.row).any(1).sum() >= 3


def test_records_teach_stage_2_alone(records: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="0 records of"):
        _open(records, tmp_path, (KIT,))

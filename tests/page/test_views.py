"""Other views of a photo, for pages that the first does not show well."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import pytest

from ecg_trt.backends.fake import FakeBackend
from ecg_trt.config import ReadOptions
from ecg_trt.errors import NoEcgFoundError, PageError, ResolutionError
from ecg_trt.ops.base import ImageOps
from ecg_trt.ops.select import open_ops
from ecg_trt.page.locator import PageLocator
from ecg_trt.page.sheets import sheets_of
from ecg_trt.stages.align import Align, stretch_contrast
from ecg_trt.stages.rectify import Rectify
from ecg_trt.stages.scaling import BESIDE_GREY
from ecg_trt.step_timer import StepTimer
from ecg_trt.types import Array, GridWarp, PageAlignment, Photo


def _alignment(page_from_photo: Array, size_mm: tuple[float, float]) -> PageAlignment:
    none = np.zeros(0)
    return PageAlignment(page_from_photo, size_mm, none, none > 0, none, 0)


def _grid(*, is_seen: bool) -> GridWarp:
    return GridWarp(np.zeros((4, 4, 2), np.float32), 5.0, 0.1, np.full((4, 4), is_seen))


def _blind() -> tuple[Align, list[Array]]:
    """A stage whose network sees no page, and the pictures that it was shown."""
    shown: list[Array] = []

    def network(feed: Any) -> dict[str, Array]:
        shown.append(feed["image"][0].copy())
        maps = {"page": 1, "axes": 4, "log_scale": 2}
        return {name: np.full((1, n, 64, 64), -9.0, np.float32) for name, n in maps.items()}

    return Align(FakeBackend(network), open_ops()), shown


def test_a_page_is_shown_upright_and_from_near() -> None:
    image = np.full((1200, 1600, 3), 200, np.uint8)
    page_from_photo = np.array([[0.0, 0.2, -60.0], [-0.2, 0.0, 200.0], [0, 0, 1]])  # 5 px/mm, turned by a quarter
    corners = np.linalg.inv(page_from_photo) @ np.array([[10, 10, 1], [150, 10, 1.0]]).T
    for x, y in corners[:2].T.round().astype(int):
        image[y - 6 : y + 7, x - 6 : x + 7] = 0
    align, shown = _blind()
    with pytest.raises(NoEcgFoundError):
        align(Photo(image, "photo"), near=_alignment(page_from_photo, (160.0, 100.0)))
    (canvas,) = shown
    scale = 512 / (160 * 1.4)
    left, top = (512 - 160 * scale) / 2, (512 - 100 * scale) / 2
    for x_mm in (10, 150):
        x, y = round(left + x_mm * scale), round(top + 10 * scale)
        assert canvas[y, x].max() < 60, x_mm
    assert canvas[256, 256].min() > 180


def test_a_dark_photo_is_shown_with_its_contrast_stretched() -> None:
    image = np.full((512, 512, 3), 60, np.uint8)
    image[::8] = 40
    align, shown = _blind()
    for stretched in (False, True):
        with pytest.raises(NoEcgFoundError):
            align(Photo(image, "photo"), stretched=stretched)
    plain, clear = shown
    assert (plain.max(), clear.min(), clear.max()) == (60, 20, 235)


def test_what_lies_beside_the_photo_does_not_count() -> None:
    image = np.full((20, 40, 3), 114, np.uint8)
    np.testing.assert_array_equal(stretch_contrast(image, 114), image)
    image[:, :20] = np.linspace(10, 50, 20)[:, None, None]
    stretched = stretch_contrast(image, 114)
    assert stretched[:, :20].min() < 25 and stretched[:, :20].max() > 230
    assert (stretched[:, 20:] == 114).all()


@dataclass
class _FakeLook:
    is_confident: bool
    score: float
    alignment: PageAlignment
    is_legible: bool = False
    grid: GridWarp = field(default_factory=lambda: _grid(is_seen=False))


class _Sought:
    """A finder whose views show what the test says; `seen` are those that were asked for."""

    def __init__(self, plain: object, stretched: object, near: object, *sheets: object) -> None:
        self.shows = {"plain": plain, "stretched": stretched, "near": near}
        self.shows |= {f"sheet {k}": shown for k, shown in enumerate(sheets)}
        self.seen: list[str] = []
        ops = open_ops()
        self.finder = PageLocator(self, Rectify(FakeBackend(lambda feed: {}), ops), ops)  # type: ignore[arg-type]
        self.finder.locate = lambda photo, alignment, layout, looks, clock: self.answer()  # type: ignore[method-assign]

    def sheets(self, photo: Photo, ops: ImageOps, most: int) -> list[str]:
        return [name for name in self.shows if name.startswith("sheet")][:most]

    def __call__(
        self,
        photo: Photo,
        *,
        min_px_per_mm: float = 0.0,
        stretched: bool = False,
        near: PageAlignment | None = None,
        sheet: str | None = None,
    ) -> PageAlignment:
        self.seen.append(sheet or ("stretched" if stretched else "plain" if near is None else "near"))
        self.near = near
        if isinstance(self.shows[self.seen[-1]], ResolutionError):
            self.answer()
        return _alignment(np.eye(3), (10.0, 10.0))

    def answer(self) -> Any:
        shown = self.shows[self.seen[-1]]
        if isinstance(shown, PageError):
            raise shown
        return shown

    def find(self) -> Any:
        with patch("ecg_trt.page.locator.sheets_of", self.sheets):
            return self.finder._most_legible(PHOTO, ReadOptions(), StepTimer())


PHOTO = Photo(np.zeros((9, 9, 3), np.uint8), "photo")
NOTHING = NoEcgFoundError("nothing", got="wood", expected="a page", hint="Look again.")
SMALL = ResolutionError("too small", got="1 px/mm", expected="3", hint="Move closer.")
HERE, THERE = (_alignment(np.eye(3), (side, side)) for side in (10.0, 20.0))
GOOD, DOUBTFUL, BETTER = _FakeLook(True, 0.5, HERE), _FakeLook(False, 0.1, HERE), _FakeLook(False, 0.2, THERE)


def test_a_page_that_is_read_is_looked_at_once() -> None:
    sought = _Sought(GOOD, GOOD, GOOD)
    assert sought.find() is GOOD and sought.seen == ["plain"]


def test_a_page_that_is_refused_is_sought_in_other_views() -> None:
    sought = _Sought(NOTHING, GOOD, GOOD)
    assert sought.find() is GOOD and sought.seen == ["plain", "stretched"]
    sought = _Sought(DOUBTFUL, NOTHING, GOOD)
    assert sought.find() is GOOD and sought.seen == ["plain", "stretched", "near"]


def test_sheets_of_paper_are_looked_at_last_and_one_by_one() -> None:
    sought = _Sought(DOUBTFUL, NOTHING, NOTHING, NOTHING, GOOD, GOOD)
    assert sought.find() is GOOD and sought.seen == ["plain", "stretched", "near", "sheet 0", "sheet 1"]
    sought = _Sought(NOTHING, NOTHING, NOTHING, BETTER)
    assert sought.find() is BETTER and sought.seen[-1] == "sheet 0"


def test_a_page_of_no_known_layout_is_sought_in_other_views_but_not_on_other_sheets() -> None:
    strips = _FakeLook(False, 0.6, HERE, is_legible=True)
    sought = _Sought(strips, DOUBTFUL, NOTHING, GOOD)
    assert sought.find() is strips and sought.seen == ["plain", "stretched", "near"]
    assert _Sought(strips, GOOD, NOTHING).find() is GOOD, "half of it was seen at first"


def test_where_a_grid_is_seen_no_sheets_are_sought() -> None:
    on_grid = _FakeLook(False, 0.6, HERE, grid=_grid(is_seen=True))
    sought = _Sought(on_grid, DOUBTFUL, NOTHING, GOOD)
    assert sought.find() is on_grid and sought.seen == ["plain", "stretched", "near"]


def test_a_view_in_which_a_page_cannot_be_laid_flat_loses_no_other() -> None:
    skewed = PageError("no plane", got="marks on a line", expected="four apart", hint="Look again.")
    sought = _Sought(DOUBTFUL, skewed, NOTHING, skewed, GOOD)
    assert sought.find() is GOOD and sought.seen[-1] == "sheet 1"
    assert _Sought(DOUBTFUL, skewed, NOTHING, skewed).find() is DOUBTFUL


def test_a_sheet_is_shown_alone_and_straight() -> None:
    image = np.full((1200, 1600, 3), 30, np.uint8)
    corners = np.array([[300.0, 250.0], [1300.0, 300.0], [1250.0, 1000.0], [350.0, 950.0]])
    cv2.fillConvexPoly(image, corners.astype(np.int32), (220, 220, 220))
    align, shown = _blind()
    (sheet,) = sheets_of(Photo(image, "photo"), align.ops, 3)
    assert np.abs(sheet[:, None] - corners).max(-1).min(1).max() < 15
    alignment = align(Photo(image, "photo"), sheet=sheet)  # though the network sees no ECG paper on it
    (canvas,) = shown
    assert (canvas == BESIDE_GREY).all(-1)[:60].all() and canvas[256, 256].min() > 180
    assert (canvas.max(-1) < 60).mean() < 0.01, "nothing but the sheet is shown"
    square = cv2.perspectiveTransform(corners[None], alignment.page_from_photo)[0]
    assert np.ptp(square[:, 0]) == pytest.approx(280, abs=8) and np.ptp(square[:, 1]) == pytest.approx(205, abs=8)


def test_without_a_good_view_the_best_counts_and_the_first_refusal() -> None:
    sought = _Sought(DOUBTFUL, BETTER, NOTHING)
    assert sought.find() is BETTER and sought.seen == ["plain", "stretched", "near"]
    assert sought.near is THERE, "the best look is looked at from near, as it was turned and scaled"
    with pytest.raises(NoEcgFoundError, match="nothing"):
        _Sought(NOTHING, SMALL, NOTHING).find()
    sought = _Sought(SMALL, GOOD, GOOD)
    with pytest.raises(ResolutionError, match="too small"):
        sought.find()
    assert sought.seen == ["plain"]

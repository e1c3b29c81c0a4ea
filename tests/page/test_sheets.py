"""Sheets of paper on tables."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ecg_trt.page.sheets import find_sheets
from ecg_trt.types import Array

SHEET = np.array([[120.0, 90.0], [400.0, 60.0], [430.0, 260.0], [140.0, 300.0]])


def _table(rng: np.random.Generator, rgb: tuple[int, int, int]) -> Array:
    """Coarse stripes of a colour."""
    stripes = cv2.resize(rng.normal(0, 12, (1, 64)), (512, 384), interpolation=cv2.INTER_CUBIC)
    return np.clip(np.array(rgb) + stripes[..., None], 0, 255).astype(np.uint8)


def _miss(quad: Array, true: Array) -> float:
    """Greatest distance of a corner from the nearest true one, px."""
    return float(np.linalg.norm(quad[:, None] - true, axis=-1).min(1).max())


@pytest.mark.parametrize("paper", [(235, 230, 225), (250, 215, 130)])
@pytest.mark.parametrize("table", [(90, 60, 40), (150, 150, 155), (40, 80, 60)])
def test_a_sheet_is_found_on_a_table(paper: tuple[int, int, int], table: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(1)
    picture = _table(rng, table)
    cv2.fillConvexPoly(picture, SHEET.astype(np.int32), paper)
    for k in range(150, 400, 12):  # a lattice and writing do not cut it
        cv2.line(picture, (k, 110), (k, 250), (200, 120, 120), 1)
        cv2.line(picture, (150, k * 2 // 3), (400, k * 2 // 3), (200, 120, 120), 1)
    cv2.putText(picture, "Sinus rhythm", (170, 180), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (40, 40, 40), 3)
    assert _miss(find_sheets(picture, 3)[0], SHEET) < 8


def test_of_two_sheets_the_greater_comes_first() -> None:
    picture = _table(np.random.default_rng(2), (60, 70, 90))
    small = np.array([[20.0, 200.0], [110.0, 200.0], [110.0, 370.0], [20.0, 370.0]])
    great = SHEET + np.array([50.0, 0.0])
    for corners in (great, small):
        cv2.fillConvexPoly(picture, corners.astype(np.int32), (230, 230, 230))
    first, second, *_ = find_sheets(picture, 3)
    assert _miss(first, great) < 8 and _miss(second, small) < 8
    assert len(find_sheets(picture, 1)) == 1


def test_a_plate_is_no_sheet() -> None:
    picture = np.full((384, 512, 3), (90, 60, 40), np.uint8)
    cv2.circle(picture, (256, 190), 120, (230, 230, 230), -1)
    assert find_sheets(picture, 3) == []


def test_where_nothing_stands_out_there_is_no_sheet() -> None:
    assert find_sheets(np.full((384, 512, 3), 200, np.uint8), 3) == []
    noise = np.random.default_rng(3).integers(0, 255, (384, 512, 3), np.uint8)
    assert find_sheets(noise, 3) == []

"""What a first look teaches the second."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_trt.geometry.homography import apply_homography
from ecg_trt.page.realignment import mirror, refine_alignment
from ecg_trt.types import GridWarp, PageAlignment, Strip


def _alignment(page_from_photo: np.ndarray) -> PageAlignment:
    none = np.zeros(0)
    return PageAlignment(page_from_photo, (280.0, 200.0), none, none > 0, none, 0)


def _grid(photo_from_page: np.ndarray, measured: bool) -> GridWarp:
    page = 5.0 * np.stack(np.meshgrid(np.arange(57), np.arange(41)), -1)
    nodes = apply_homography(photo_from_page, page).astype(np.float32)
    return GridWarp(nodes, 5.0, 0.1, np.full((41, 57), measured))


_TRUE = np.array([[9.0, 0.4, 120.0], [-0.3, 8.8, 200.0], [1e-5, 2e-5, 1.0]])  # photo from page


def test_with_a_lattice_its_homography_is_taken() -> None:
    strips = [Strip(60.0, (20.0, 270.0), 1.0), Strip(120.0, (20.0, 270.0), 1.0)]
    better = refine_alignment(_alignment(np.eye(3)), _grid(_TRUE, True), strips)
    assert better is not None
    places = np.array([[20.0, 60.0], [270.0, 60.0], [270.0, 120.0]])
    found = apply_homography(better.page_from_photo, apply_homography(_TRUE, places))
    np.testing.assert_allclose(np.diff(found, axis=0), np.diff(places, axis=0), atol=1e-3)
    assert (found > 15).all() and (found < np.array(better.size_mm) - 15).all()


def test_a_cut_row_gets_room_on_both_sides() -> None:
    strips = [Strip(60.0, (40.0, 240.0), 1.0)]
    better = refine_alignment(_alignment(np.eye(3)), _grid(_TRUE, True), strips)
    assert better is not None and better.size_mm[0] >= 250 + 50


@pytest.mark.parametrize(
    ("x_mm", "is_roomy"),
    [((20.0, 100.0), [True, False]), ((180.0, 260.0), [False, True]), ((100.0, 180.0), [False, False])],
)
def test_a_row_of_unusual_length_gets_room_where_it_ends_with_the_lattice(
    x_mm: tuple[float, float], is_roomy: list[bool]
) -> None:
    better = refine_alignment(_alignment(np.eye(3)), _grid(_TRUE, True), [Strip(60.0, x_mm, 1.0)])
    assert better is not None
    ends = apply_homography(better.page_from_photo, apply_homography(_TRUE, np.array([(x, 60.0) for x in x_mm])))[:, 0]
    around = ends[0], better.size_mm[0] - ends[1]
    assert [space > 60 for space in around] == is_roomy


def test_without_a_lattice_rows_tell_the_scale() -> None:
    shrunk = _TRUE @ np.diag([250 / 225, 250 / 225, 1.0])  # rows seem 225 mm long
    strips = [Strip(50.0, (20.0, 245.0), 1.0), Strip(100.0, (20.0, 245.0), 1.0)]
    better = refine_alignment(_alignment(np.linalg.inv(shrunk)), _grid(shrunk, False), strips)
    assert better is not None
    ends = apply_homography(shrunk, np.array([[20.0, 50.0], [245.0, 50.0]]))
    found = apply_homography(better.page_from_photo, ends)
    assert found[1, 0] - found[0, 0] == pytest.approx(250, abs=0.1)


def test_without_lattice_or_usual_rows_there_is_nothing_to_go_by() -> None:
    assert refine_alignment(_alignment(np.eye(3)), _grid(_TRUE, False), [Strip(50.0, (20.0, 55.0), 1.0)]) is None


def test_a_mirrored_alignment_sees_the_page_from_its_other_side() -> None:
    alignment = _alignment(np.linalg.inv(_TRUE))
    other = mirror(alignment)
    at = np.array([[900.0, 800.0], [1500.0, 1200.0]])
    page, flipped = (apply_homography(a.page_from_photo, at) for a in (alignment, other))
    np.testing.assert_allclose(flipped, [280.0, 0.0] + page * [-1, 1])
    assert other.is_mirrored and not alignment.is_mirrored and not mirror(other).is_mirrored

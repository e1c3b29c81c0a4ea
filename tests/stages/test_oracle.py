"""The stages' own arithmetic, with a network that knows the truth: what is left is what decoding costs."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pytest

from ecg_trt.backends.fake import FakeBackend
from ecg_trt.geometry.grid import dense_map
from ecg_trt.geometry.heatmaps import peaks
from ecg_trt.geometry.homography import apply_homography, letterbox
from ecg_trt.layout import MARKED_WORDS
from ecg_trt.ops.select import open_ops
from ecg_trt.page.realignment import rotate90
from ecg_trt.stages.align import Align, largest_patch, other_patches, settle_axes
from ecg_trt.stages.rectify import Rectify
from ecg_trt.stages.scaling import ALIGN_LOG_SCALE_UNIT
from ecg_trt.stages.trace import Trace, tile_starts
from ecg_trt.synth.capture import Capture, draw_capture
from ecg_trt.synth.page import Page, draw_page
from ecg_trt.synth.signals import simulate
from ecg_trt.synth.spec import draw_spec
from ecg_trt.types import Array, PageAlignment, Photo, RectifiedPage
from tests.marks import slow_but
from train.data import samples

_HW = (1500, 2000)
_SURE = 12.0  # logit of certainty


def _logit(p: Array) -> Array:
    return np.log(np.clip(p, 1e-5, 1 - 1e-5) / np.clip(1 - p, 1e-5, 1)).astype(np.float32)


def _scene(seed: int, severity: float) -> tuple[Page, Capture, Photo]:
    rng = np.random.default_rng(seed)
    page = draw_page(rng, simulate(rng), 500.0, px_per_mm=2.0, spec=draw_spec(rng, layout="3x4+1", clutter=0.0))
    capture = draw_capture(rng, page.spec.size_mm, _HW, kind="photo", severity=severity)
    return page, capture, Photo(np.full((*_HW, 3), 200, np.uint8))


def _align_network(page: Page, capture: Capture) -> FakeBackend:
    photo_from_canvas = np.linalg.inv(letterbox(_HW, (512, 512)))
    rows, cols = np.mgrid[:64, :64]
    cells = apply_homography(photo_from_canvas, np.stack([8 * cols + 3.5, 8 * rows + 3.5], -1).astype(float))
    uv = capture.page_from_photo(cells)
    jac = samples._jacobian(capture, cells, 4.0) / photo_from_canvas[0, 0]
    length = np.linalg.norm(jac, axis=-2)
    axes = jac / length[..., None, :]
    on = samples._inside(uv, page.spec.grid_mm) & ((cells >= 0) & (cells < _HW[::-1])).all(-1)
    out = {
        "page": np.where(on, _SURE, -_SURE)[None, None],
        "axes": np.stack([axes[..., 0, 0], axes[..., 1, 0], axes[..., 0, 1], axes[..., 1, 1]])[None],
        "log_scale": (np.log(length) - ALIGN_LOG_SCALE_UNIT).transpose(2, 0, 1)[None],
    }
    return FakeBackend(lambda feed: {k: v.astype(np.float32) for k, v in out.items()})


@pytest.mark.parametrize("seed", slow_but([0, 1], range(4)))
def test_align_recovers_a_flat_pages_homography(seed: int) -> None:
    page, capture, photo = _scene(seed, 0.0)
    found = Align(_align_network(page, capture), open_ops())(photo)
    x0, y0, x1, y1 = page.spec.grid_mm
    columns, rows = np.linspace(x0 + 20, x1 - 20, 7), np.linspace(y0 + 20, y1 - 20, 5)
    inside = np.stack(np.meshgrid(columns, rows), -1).reshape(-1, 2)
    photo_xy = capture.photo_from_page(inside)
    seen = ((photo_xy > 0) & (photo_xy < _HW[::-1])).all(-1)
    miss = apply_homography(found.page_from_photo, photo_xy[seen]) - inside[seen]
    assert np.abs(miss - np.median(miss, axis=0)).max() < 4.0  # mm over the whole page: lens and cells are left
    assert found.inlier.mean() > 0.9


def test_four_quarter_turns_are_none() -> None:
    page, capture, photo = _scene(1, 0.0)
    found = Align(_align_network(page, capture), open_ops())(photo)
    w, h = found.size_mm
    once = rotate90(found, 1)
    assert once.size_mm == (h, w)
    corner = apply_homography(np.linalg.inv(found.page_from_photo), np.array([[0.0, 0.0]]))
    np.testing.assert_allclose(apply_homography(once.page_from_photo, corner), [[h, 0.0]], atol=1e-6)
    again = rotate90(once, 3)
    np.testing.assert_allclose(again.page_from_photo, found.page_from_photo, atol=1e-9)
    assert again.quarter_turns == found.quarter_turns == (rotate90(found, 2).quarter_turns + 2) % 4


def test_settle_axes_lets_the_majority_decide() -> None:
    angle = np.deg2rad(40.0)
    axes = np.zeros((4, 8, 8))
    axes[0], axes[1], axes[2], axes[3] = np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)
    axes[:, :2] *= -1  # a quarter of the cells point the wrong way
    axes[2:, 5] *= -1  # and some have only their y axis wrong
    settled, share = settle_axes(axes, np.ones((8, 8)))
    np.testing.assert_allclose(settled[0], np.broadcast_to([[[np.cos(angle)]], [[np.sin(angle)]]], (2, 8, 8)))
    np.testing.assert_allclose(settled[1], np.broadcast_to([[[-np.sin(angle)]], [[np.cos(angle)]]], (2, 8, 8)))
    assert share == pytest.approx(0.75)


def test_largest_patch_takes_one_of_several_sheets() -> None:
    score = np.zeros((20, 20))
    score[2:6, 2:6], score[10:18, 8:18] = 0.9, 0.8
    patch = largest_patch(score)
    assert patch.sum() == 80 and patch[10:18, 8:18].all()


def test_other_large_patches_are_other_sheets() -> None:
    score = np.zeros((40, 40))
    score[2:5, 2:6], score[6:18, 2:18], score[22:38, 8:38] = 0.9, 0.9, 0.8
    page = largest_patch(score)
    assert other_patches(score, page) == pytest.approx(np.array([[9.5, 11.5]]))
    assert len(other_patches(score * page, page)) == 0


class _RectifyNetwork:
    """Answers with the truth of whatever canvas it is shown; the canvas's place is taken from the alignment."""

    name = "oracle"
    inputs = ()

    def __init__(self, page: Page, capture: Capture, alignment: PageAlignment) -> None:
        self.page, self.capture, self.alignment = page, capture, alignment

    def infer(self, feed: dict[str, Array]) -> dict[str, Array]:
        from ecg_trt.stages.rectify import _canvas

        canvas_from_page, hw = _canvas(self.alignment, None)
        assert feed["image"].shape == (1, *hw, 3)
        photo_from_canvas = np.linalg.inv(canvas_from_page @ self.alignment.page_from_photo)
        rows, cols = np.mgrid[: hw[0] // 4, : hw[1] // 4]
        cells = apply_homography(photo_from_canvas, np.stack([4 * cols + 1.5, 4 * rows + 1.5], -1).astype(float))
        seen = np.all((cells >= 0) & (cells < _HW[::-1]), axis=-1)
        maps = samples._page_maps(self.page, self.capture.page_from_photo(cells), seen)
        return {k: (v if k == "offset" else _logit(v))[None] for k, v in maps.items()}


def _true_alignment(page: Page, capture: Capture) -> PageAlignment:
    x0, y0, x1, y1 = page.spec.grid_mm
    shift = np.array([[1, 0, -x0], [0, 1, -y0], [0, 0, 1.0]])
    none = np.zeros(0)
    return PageAlignment(shift @ capture.plane_from_photo, (x1 - x0, y1 - y0), none, none > 0, none, 0)


@pytest.mark.parametrize(
    ("seed", "severity"),
    [(0, 0.0), pytest.param(1, 0.4, marks=pytest.mark.slow), pytest.param(2, 0.7, marks=pytest.mark.slow), (3, 0.9)],
)
def test_rectify_recovers_the_paper_of_a_crumpled_page(seed: int, severity: float) -> None:
    page, capture, photo = _scene(seed, severity)
    alignment = _true_alignment(page, capture)
    network = _RectifyNetwork(page, capture, alignment)
    grid, marks = Rectify(network, open_ops())(photo, alignment)  # type: ignore[arg-type]
    assert grid.measured.mean() > 0.4
    rows, cols = np.nonzero(grid.measured)
    true = capture.page_from_photo(grid.node_xy[rows, cols].astype(float))
    expected = np.stack([cols, rows], -1) * 5.0
    miss = true - expected
    miss -= np.round(np.median(miss, axis=0) / 5) * 5 + np.remainder(np.array(page.spec.grid_mm[:2]), 5.0)
    miss -= np.round(np.median(miss, axis=0) / 5) * 5
    assert np.percentile(np.hypot(*miss.T), 95) < 0.15  # mm
    assert marks.label.shape == (len(MARKED_WORDS), *marks.zero.shape)


def test_node_candidates_are_sub_pixel() -> None:
    node = np.zeros((10, 10), np.float32)
    node[4, 6] = 0.9
    offset = np.zeros((2, 10, 10), np.float32)
    offset[:, 4, 6] = 0.25, -0.5
    xy, score = peaks(node, offset, 0.3, 4)
    np.testing.assert_allclose(xy, [[4 * 6.25 + 1.5, 4 * 3.5 + 1.5]])
    assert score == pytest.approx(0.9)


def test_tiles_cover_a_strip_with_their_overlap() -> None:
    for length in (1800, 2688, 2689, 5200, 5280, 5281, 10400):
        starts = tile_starts(100, 100 + length, 2688, 96)
        assert starts[0] <= 100 and starts[-1] + 2688 >= 100 + length
        assert all(b - a <= 2688 - 95 for a, b in pairwise(starts))


def test_trace_follows_a_known_pen_across_tiles() -> None:
    width, zero = 5400, 400
    pen = zero + 40 * np.sin(np.arange(width) / 180.0)
    ends = np.full(width, -9.0)  # of leads, which the network sees
    ends[[200, 2700, 5200]] = 9.0
    image = np.zeros((800, width, 3), np.uint8)
    image[..., 0] = np.arange(width) % 251  # lets the network see which columns it was shown
    image[..., 1] = np.arange(width) // 251

    def network(feed: Mapping[str, Array]) -> dict[str, Array]:
        tile = feed["image"][0].astype(int)
        assert tile.shape == (320, 2688, 3)
        inside = (tile[..., 2] == 0).all(0)  # grey beyond the page
        x = np.where(inside, tile[0, :, 0] + 251 * tile[0, :, 1], -1)
        row = np.where(inside, pen[x] - (zero - 160), 160.0)
        logit = -0.5 * (np.arange(320)[:, None] - row) ** 2
        presence, border = np.where(inside, 9.0, -9.0), np.where(inside, ends[x], -9.0)
        return {"ridge": logit[None, None].astype(np.float32), "presence": presence[None], "border": border[None]}

    from ecg_trt.types import Strip

    page = RectifiedPage(image, (20.0, 8.0), (0.0, 0.0), np.ones((800, width), bool), 10.0)
    strip = Strip((zero - 0.5) / 8.0, (10.0, 260.0), 1.0)
    found = Trace(FakeBackend(network), open_ops())(page, [strip])
    on = slice(170, 5231)  # 1.5 mm beyond the span
    assert np.abs(found.ridge_row[0, on] - pen[on]).max() < 0.05
    assert np.isnan(found.ridge_row[0, :170]).all() and np.isnan(found.ridge_row[0, 5231:]).all()
    assert found.confidence[0, on].min() > 0.9
    assert np.flatnonzero(found.border[0] > 0.5).tolist() == [200, 2700, 5200]
    assert found.border[0, on].min() == pytest.approx(1 / (1 + np.exp(9)), rel=1e-3)
    assert not found.border[0, :170].any() and not found.border[0, 5231:].any()


def test_flatten_resamples_the_photo_where_the_lattice_says() -> None:
    ramp = np.zeros((300, 400, 3), np.uint8)
    ramp[..., 0] = np.arange(400) // 2
    nodes = np.stack(np.meshgrid(20.0 + 50 * np.arange(7), 30.0 + 40 * np.arange(6)), -1).astype(np.float32)
    from ecg_trt.types import GridWarp

    grid = GridWarp(nodes, 5.0, 0.0, np.ones(nodes.shape[:2], bool))
    rectify = Rectify(FakeBackend(lambda feed: {}), open_ops())
    page = rectify.flatten(Photo(ramp), grid, (10.0, 8.0), (5.0, 5.0), (20.0, 15.0))
    assert page.image.shape == (120, 200, 3) and page.seen.all()
    where = dense_map(nodes, 5.0, (5.0, 5.0), (10.0, 8.0), (120, 200))
    assert np.abs(page.image[..., 0] - where[..., 0] / 2).max() < 1.5
    assert page.photo_px_per_mm == pytest.approx(10.0)

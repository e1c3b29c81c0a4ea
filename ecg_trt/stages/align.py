"""Stage 0: location, orientation and perspective of the page.

The network sees the whole photo, letterboxed. For each cell it predicts whether the cell lies on ECG paper, the
directions of the page's axes, and the pixels a millimetre along each. These local frames are integrated to page
coordinates; a homography is fitted to them by RANSAC, so that a fold or a neighbouring sheet does not bend it.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from ecg_trt.backends.base import Backend
from ecg_trt.errors import NoEcgFoundError, ResolutionError
from ecg_trt.geometry.heatmaps import sigmoid
from ecg_trt.geometry.homography import apply_homography, fit_homography, letterbox, turn_about
from ecg_trt.geometry.local_frames import integrate_frames
from ecg_trt.ops.base import ImageOps
from ecg_trt.stages.scaling import ALIGN_INPUT_PX, ALIGN_LOG_SCALE_UNIT, ALIGN_STRIDE, BESIDE_GREY, cell_centre
from ecg_trt.types import Array, PageAlignment, Photo

_PAGE_THRESHOLD = 0.5
_LEAST_CELLS = 40  # Of 4096 cells; a page smaller than a tenth of the frame's side in each direction is no page.
_OTHER_SHARE = 0.4  # Least size of another page, as a share of the page's.
_RANSAC_MM = 4.0
_MOST_MM = 2000.0  # Longest side of a page; what is longer is a fit that reaches the horizon.
_RULING_PX_PER_MM = 3.0  # Scale at which the orientation of the grid is measured.
_LEAST_COHERENCE = 0.15  # Least coherence of the structure tensor at which a grid is seen.
_FIRST_GUESS = 0.75  # Share of the least resolution asked for here, as the first scale may be 20 % too small.
_SHEET_MM = 280.0  # Assumed longer side of a sheet; it may be wrong, as the scale is read from the paper later.
_CLOSE_UP_MARGIN = 0.2  # Margin on either side, as a share of the page's longer side.
_DARK, _BRIGHT = (1, 20), (99, 235)  # Percentiles of a picture, and the values that stretching gives them.


def largest_patch(score: Array, threshold: float = _PAGE_THRESHOLD) -> Array:
    """Mask (h, w) the connected cells above the threshold with the greatest total score."""
    count, names = cv2.connectedComponents((score > threshold).astype(np.uint8), connectivity=4)
    if count < 2:
        return np.zeros(score.shape, bool)
    weight = np.bincount(names.ravel(), score.ravel().astype(np.float64), count)
    weight[0] = 0
    return np.asarray(names == int(weight.argmax()))


def other_patches(score: Array, on: Array, threshold: float = _PAGE_THRESHOLD) -> Array:
    """Find the patches of ECG paper beside the page that are not much smaller.

    Args:
        score: (h, w) that a cell lies on ECG paper.
        on: (h, w) bool, the cells of the page.
        threshold: least score of a cell.

    Returns:
        (n, 2), the middle (x, y) of each, in cells.
    """
    count, names, _, middles = cv2.connectedComponentsWithStats(
        ((score > threshold) & ~on).astype(np.uint8), connectivity=4
    )
    total = np.bincount(names.ravel(), score.ravel().astype(np.float64), count)
    least = _OTHER_SHARE * float(score[on].sum())
    return np.array([middles[k] for k in range(1, count) if total[k] > max(least, _LEAST_CELLS)]).reshape(-1, 2)


def settle_axes(axes: Array, weight: Array) -> tuple[Array, float]:
    """Make the local frames of all cells agree on one orientation.

    A cell that shows nothing but the grid may point the wrong way; the line on which its x axis lies is still right.

    Args:
        axes: (4, h, w), x axis (x, y) then y axis (x, y).
        weight: (h, w), 0 off the page.

    Returns:
        (2, 2, h, w) unit vectors, [axis][component], right-handed in a y-down frame, and the share of votes for the
        direction chosen, 0.5 to 1.
    """
    unit = axes.reshape(2, 2, *axes.shape[1:]).astype(np.float64)
    unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-6)
    x_axis, y_axis = unit[0], unit[1]
    moment = np.einsum("ihw,jhw,hw->ij", x_axis, x_axis, weight)
    main = np.linalg.eigh(moment)[1][:, 1]
    along = np.einsum("ihw,i->hw", x_axis, main)
    votes = float((np.sign(along) * weight).sum() / max(weight.sum(), 1e-9))
    main_sign = 1.0 if votes >= 0 else -1.0
    x_axis = x_axis * np.where(along * main_sign < 0, -1.0, 1.0)
    turned = x_axis[0] * y_axis[1] - x_axis[1] * y_axis[0]
    y_axis = y_axis * np.where(turned < 0, -1.0, 1.0)
    return np.stack([x_axis, y_axis]), 0.5 + abs(votes) / 2


class Align:
    """Stage 0: photo to `PageAlignment`.

    Args:
        backend: runs the network ``stage0``.
        ops: pixel work.
    """

    def __init__(self, backend: Backend, ops: ImageOps) -> None:
        self.backend, self.ops = backend, ops

    def __call__(
        self,
        photo: Photo,
        *,
        min_px_per_mm: float = 0.0,
        stretched: bool = False,
        near: PageAlignment | None = None,
        sheet: Array | None = None,
    ) -> PageAlignment:
        """Find the page.

        Args:
            photo: the photo.
            min_px_per_mm: least resolution of the page; what is found here is a first guess, so that only a page far
                below it is rejected.
            stretched: stretch the contrast first, for a page in the dark.
            near: an earlier alignment, from which a close-up of the page is made first.
            sheet: (4, 2) photo px, corners of a sheet of paper. Everything else is hidden, and where none of the sheet
                looks like ECG paper, it is taken for the page all the same.

        Raises:
            NoEcgFoundError: nothing looks like ECG paper.
            ResolutionError: the page is too small in the photo.
        """
        hw = (ALIGN_INPUT_PX, ALIGN_INPUT_PX)
        if sheet is not None:
            near = sheet_alignment(sheet)
        canvas_from_photo = letterbox(photo.image.shape[:2], hw) if near is None else _close_up(near, hw)
        canvas = self.ops.warp_homography(photo.image, canvas_from_photo, hw, fill=BESIDE_GREY)
        if stretched:
            canvas = stretch_contrast(self.ops.download(canvas)[0], BESIDE_GREY)
        if sheet is not None:
            corners = apply_homography(canvas_from_photo, sheet).astype(np.int32)
            inside = cv2.fillConvexPoly(np.zeros(hw, np.uint8), corners, 1) > 0
            canvas = np.where(inside[..., None], self.ops.download(canvas)[0], np.uint8(BESIDE_GREY))
        out = self.backend.infer({"image": canvas.reshape(1, *canvas.shape)})
        page, axes, log_scale = self.ops.download(out["page"], out["axes"], out["log_scale"])
        score = sigmoid(page[0, 0].astype(np.float64))
        on = largest_patch(score)
        if on.sum() >= _LEAST_CELLS:
            alignment = self._fit(axes[0], log_scale[0], score, on, canvas_from_photo)
            _check_size(alignment.size_mm, photo.source)
        elif sheet is not None and near is not None:
            alignment = near
        else:
            raise NoEcgFoundError(
                f"no ECG page found in {photo.source}",
                got=f"{int(on.sum())} of {on.size} cells that look like ECG paper",
                expected=f"at least {_LEAST_CELLS}",
                hint="Photograph the whole page from above, filling the frame, in even light.",
            )
        if near is not None:
            alignment = replace(alignment, quarter_turns=(alignment.quarter_turns + near.quarter_turns) % 4)
        for _ in range(2):
            alignment = self._straighten(photo, alignment)
        check_resolution(_px_per_mm(alignment), _FIRST_GUESS * min_px_per_mm, photo.source, min_px_per_mm)
        return alignment

    def _straighten(self, photo: Photo, alignment: PageAlignment) -> PageAlignment:
        """Rotate the page's frame until the grid of the paper is upright; unchanged where no grid is seen."""
        w, h = alignment.size_mm
        scale = np.diag([_RULING_PX_PER_MM, _RULING_PX_PER_MM, 1.0])
        hw = (round(h * _RULING_PX_PER_MM), round(w * _RULING_PX_PER_MM))
        view = scale @ alignment.page_from_photo
        angle, coherence = self.ops.grid_orientation(photo.image, view, hw)
        if coherence < _LEAST_COHERENCE:
            return alignment
        return rotate(alignment, -angle)

    def _fit(self, axes: Array, log_scale: Array, score: Array, on: Array, canvas_from_photo: Array) -> PageAlignment:
        unit, _ = settle_axes(axes, score * on)
        # Both axes share one scale. A slant of 30 degrees squeezes a page by 13 %, and the predicted scales of the two
        # axes may differ by more than that.
        both = np.clip(log_scale.astype(np.float64), -3, 3).mean(0)
        px_per_mm = np.broadcast_to(np.exp(both + ALIGN_LOG_SCALE_UNIT), log_scale.shape)
        frame = np.moveaxis(unit * px_per_mm[:, None], (0, 1), (-1, -2))  # d px / d mm, [component, axis]
        rows, cols = np.mgrid[: on.shape[0], : on.shape[1]]
        cells = np.stack([cell_centre(cols, ALIGN_STRIDE), cell_centre(rows, ALIGN_STRIDE)], -1).astype(np.float64)
        frame = np.where(on[..., None, None], frame, np.eye(2))
        page_mm = integrate_frames(cells, on, np.linalg.inv(frame), score * on)
        fit = fit_homography(cells[on], page_mm[on], threshold=_RANSAC_MM, weights=score[on])
        flat = apply_homography(fit.dst_from_src, cells[on])
        half = ALIGN_STRIDE / 2 / np.median(px_per_mm[:, on])
        low = np.percentile(flat, 0.5, axis=0) - half
        high = np.percentile(flat, 99.5, axis=0) + half
        shift = np.array([[1, 0, -low[0]], [0, 1, -low[1]], [0, 0, 1]])
        mean_x = unit[0][:, on].mean(1)
        middles = cell_centre(other_patches(score, on), ALIGN_STRIDE)
        return PageAlignment(
            page_from_photo=shift @ fit.dst_from_src @ canvas_from_photo,
            size_mm=(float(high[0] - low[0]), float(high[1] - low[1])),
            score=score[on],
            inlier=fit.inlier,
            residual_mm=fit.residual,
            quarter_turns=int(np.round(np.arctan2(mean_x[1], mean_x[0]) / (np.pi / 2))) % 4,
            others=apply_homography(np.linalg.inv(canvas_from_photo), middles),
        )


def _check_size(size_mm: tuple[float, float], source: str) -> None:
    if not max(size_mm) <= _MOST_MM:
        raise NoEcgFoundError(
            f"no ECG page found in {source}",
            got=f"a page of {size_mm[0]:.0f} x {size_mm[1]:.0f} mm",
            expected=f"sides of at most {_MOST_MM:.0f} mm",
            hint="Photograph the whole page from above, filling the frame.",
        )


def sheet_alignment(corners: Array) -> PageAlignment:
    """Align a sheet, as if it were right-angled and as long as a page.

    Args:
        corners: (4, 2) photo px, in any order.
    """
    around = corners - corners.mean(0)
    corners = corners[np.argsort(np.arctan2(around[:, 1], around[:, 0]))].astype(np.float64)
    sides = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
    size = np.array([sides[0] + sides[2], sides[1] + sides[3]])
    w, h = _SHEET_MM * size / size.max()
    page_from_photo = cv2.getPerspectiveTransform(
        corners.astype(np.float32), np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32)
    )
    none: Array = np.zeros(0)
    return PageAlignment(page_from_photo, (float(w), float(h)), none, none > 0, none, 0)


def _close_up(alignment: PageAlignment, hw: tuple[int, int]) -> Array:
    """Build the homography (3, 3) from photo px to a canvas that shows a page upright in the middle, with margins."""
    w, h = alignment.size_mm
    scale = min(hw) / (max(w, h) * (1 + 2 * _CLOSE_UP_MARGIN))
    shift = [(side - 1 - scale * size) / 2 for side, size in zip(hw[::-1], (w, h), strict=True)]
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]], [0, 0, 1.0]]) @ alignment.page_from_photo


def stretch_contrast(image: Array, beside: int) -> Array:
    """Stretch the contrast of a picture (H, W, 3) uint8; pixels that are `beside` in all channels stay as they are."""
    shown = (image != beside).any(-1)
    inside = image[shown]
    if not inside.size:
        return image
    low, high = (float(np.percentile(inside, share)) for share, _ in (_DARK, _BRIGHT))
    stretched = _DARK[1] + (inside.astype(np.float32) - low) * (_BRIGHT[1] - _DARK[1]) / max(high - low, 1.0)
    out = image.copy()
    out[shown] = np.clip(np.rint(stretched), 0, 255).astype(np.uint8)
    return np.asarray(out)


def _px_per_mm(alignment: PageAlignment) -> float:
    """Resolution of the photo in the middle of the page, mean over both axes."""
    middle = np.array(alignment.size_mm) / 2
    around = apply_homography(
        np.linalg.inv(alignment.page_from_photo), middle + np.array([[-5.0, 0], [5, 0], [0, -5], [0, 5]])
    )
    return float(np.hypot(*(around[1] - around[0])) + np.hypot(*(around[3] - around[2]))) / 20


def check_resolution(px_per_mm: float, least: float, source: str, expected: float | None = None) -> None:
    """Reject a page whose millimetres are smaller than letters and pens need.

    Args:
        px_per_mm: of the page in the photo.
        least: below which it is rejected.
        source: of the photo.
        expected: what the message asks for, `least` if None.

    Raises:
        ResolutionError: it is too small.
    """
    if px_per_mm < least:
        raise ResolutionError(
            f"the page in {source} is too small",
            got=f"{px_per_mm:.2f} px/mm",
            expected=f"at least {least if expected is None else expected:g}, better 6",
            hint="Move closer, or send the photo in its original size.",
        )


def rotate(alignment: PageAlignment, angle_rad: float) -> PageAlignment:
    """Rotate an alignment about the middle of its page, x towards y if the angle is positive."""
    w, h = alignment.size_mm
    return replace(alignment, page_from_photo=turn_about(angle_rad, (w / 2, h / 2)) @ alignment.page_from_photo)

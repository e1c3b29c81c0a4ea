"""Pixel work on the CPU, with OpenCV."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from ecg_trt.errors import OptionError
from ecg_trt.geometry.grid import dense_map
from ecg_trt.geometry.heatmaps import heatmaps_on_page, peaks, sigmoid
from ecg_trt.geometry.homography import apply_homography
from ecg_trt.geometry.lines import line_angle
from ecg_trt.geometry.offsets import LineOffsets, LinePlaces, line_offsets
from ecg_trt.geometry.ridge import decode_ridge, follow_ridge
from ecg_trt.ops.base import Interpolation, TextMask
from ecg_trt.ops.reduction import (
    as_buffer_hw,
    as_map,
    as_rows,
    as_windows,
    averaged,
    bad,
    invertible,
    reduction_of_homography,
    reduction_of_map,
)
from ecg_trt.types import Array

_MAX_SIDE = 32766  # OpenCV's warps use 16-bit coordinates.
_FLAGS: dict[str, int] = {"linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}
_NOWHERE = -16.0


class Cv2Ops:
    """`ImageOps` in numpy memory; images of one channel and of float32 are accepted as well.

    Sides of more than 32766 px are averaged down, cropped or rejected.
    """

    def copy_to_pinned(self, image: Array) -> Array:
        """See `ImageOps.copy_to_pinned`: the photo as it is."""
        return image

    def upload(self, image: Array) -> Array:
        """See `ImageOps.upload`: the photo as it is."""
        return image

    def download(self, *arrays: Array) -> tuple[Array, ...]:
        """See `ImageOps.download`: the arrays as they are."""
        return arrays

    def warp_homography(
        self,
        image: Array,
        dst_from_src: Array,
        out_hw: tuple[int, int],
        interpolation: Interpolation = "linear",
        *,
        fill: int = 0,
        buffer_hw: tuple[int, int] | None = None,
    ) -> Array:
        """See `ImageOps.warp_homography`."""
        h = invertible(dst_from_src)
        _check(image, out_hw)
        image, small_from_src = _reduced(image, reduction_of_homography(h, out_hw))
        view = _warp(image, h @ np.linalg.inv(small_from_src), out_hw, interpolation, fill)
        return view if buffer_hw in (None, out_hw) else _pasted(view, (0, 0), as_buffer_hw(buffer_hw, out_hw), fill)

    def grid_orientation(self, image: Array, view: Array, out_hw: tuple[int, int]) -> tuple[float, float]:
        """See `ImageOps.grid_orientation`."""
        flat = self.warp_homography(image, view, out_hw)
        xy = np.stack(np.meshgrid(np.arange(out_hw[1]), np.arange(out_hw[0])), -1)
        back = apply_homography(np.linalg.inv(view), xy)
        seen = np.asarray(((back >= 0) & (back <= np.array(image.shape[1::-1]) - 1)).all(-1))
        return line_angle(cv2.cvtColor(flat, cv2.COLOR_RGB2GRAY), seen)

    def remap(
        self, image: Array, map_xy: Array, interpolation: Interpolation = "cubic", fill: int = 255
    ) -> tuple[Array, Array]:
        """Resample an image at given positions, as `rectify` does with its map.

        Args:
            image: (H, W, 3) uint8.
            map_xy: (h, w, 2) float32 source px of every output pixel, NaN = nowhere.
            interpolation: between source pixels.
            fill: value of pixels that lie nowhere or outside the source.

        Returns:
            The image (h, w, 3), and seen (h, w) bool.

        Raises:
            OptionError: a size is not workable.
        """
        places = as_map(map_xy)
        _check(image, places.shape[:2])
        src_h, src_w = image.shape[:2]
        # NaN lies in no range.
        seen = cv2.inRange(places, (-0.5, -0.5), (src_w - 0.5, src_h - 0.5)) > 0
        image, places = _within_reach(image, places, seen)
        image, small_from_src = _reduced(image, reduction_of_map(places, seen))
        if small_from_src[0, 0] != 1:
            places = places * np.float32(small_from_src[0, 0]) + np.float32(small_from_src[0, 2])
        if max(image.shape[:2]) > _MAX_SIDE:
            raise _too_large(image.shape[:2])
        all_seen = bool(seen.all())
        if not all_seen:
            places = np.where(seen[..., None], places, np.float32(_NOWHERE))
        # Replicated borders keep the fill colour out of the border's pixels.
        out = cv2.remap(image, places, None, _FLAGS[interpolation], borderMode=cv2.BORDER_REPLICATE)
        if not all_seen:
            out[~seen] = fill
        return np.asarray(out), seen

    def rectify(
        self, image: Array, node_xy: Array, mm_per_cell: float, origin_mm: tuple[float, float],
        px_per_mm: tuple[float, float], out_hw: tuple[int, int], interpolation: Interpolation = "cubic",
        fill: int = 255,
    ) -> tuple[Array, Array]:  # fmt: skip
        """See `ImageOps.rectify`."""
        where = dense_map(node_xy, mm_per_cell, origin_mm, px_per_mm, out_hw)
        return self.remap(image, where, interpolation, fill)

    def line_offsets(self, page: Array, px_per_mm: tuple[float, float], places: LinePlaces) -> LineOffsets:
        """See `ImageOps.line_offsets`."""
        return line_offsets(page, px_per_mm, places)

    def crop_tiles(self, page: Array, corners: Array, tile_hw: tuple[int, int], *, fill: int = 114) -> Array:
        """See `ImageOps.crop_tiles`."""
        where = as_windows(corners, tile_hw)
        return np.stack([_pasted(page, (-int(left), -int(top)), tile_hw, fill) for top, left in where])

    def gather_rows(self, plane: Array, row: Array) -> Array:
        """See `ImageOps.gather_rows`."""
        return np.asarray(plane[as_rows(row, plane.shape), np.arange(plane.shape[1])])

    def node_candidates(self, logit: Array, offset: Array, threshold: float, stride: int) -> tuple[Array, Array]:
        """See `ImageOps.node_candidates`."""
        return peaks(sigmoid(logit), offset, threshold, stride)

    def page_heatmaps(
        self, logits: Mapping[str, Array], node_xy: Array, mm_per_cell: float, stride: int
    ) -> dict[str, Array]:
        """See `ImageOps.page_heatmaps`."""
        return heatmaps_on_page(
            {name: sigmoid(planes) for name, planes in logits.items()}, node_xy, mm_per_cell, stride
        )

    def ridge(self, logits: Array, text_mask: TextMask | None = None) -> tuple[Array, Array]:
        """See `ImageOps.ridge`."""
        penalised = logits
        if text_mask is not None:
            covered = text_mask.mask[text_mask.row[:, :, None], text_mask.column[:, None]]
            penalised = logits - np.float32(text_mask.penalty) * covered
        return decode_ridge(logits, centre=follow_ridge(penalised))


def _too_large(hw: tuple[int, ...]) -> OptionError:
    return bad(f"{hw[1]} x {hw[0]} px", f"sides of at most {_MAX_SIDE} px", "Make the picture smaller first.")


def _check(image: Array, out_hw: tuple[int, ...]) -> None:
    if image.ndim not in (2, 3) or 0 in image.shape or image.dtype not in (np.uint8, np.float32):
        raise bad(
            f"an array {image.shape} of {image.dtype}",
            "(H, W) or (H, W, C), not empty, uint8 or float32",
            "Decode the picture with ecg_trt.io.readers.photo.",
        )
    if min(out_hw) <= 0 or max(out_hw) > _MAX_SIDE:
        raise bad(
            f"a result of {out_hw[1]} x {out_hw[0]} px",
            f"sides of 1 to {_MAX_SIDE} px",
            "Ask for a smaller result.",
        )


def _reduced(image: Array, factor: int) -> tuple[Array, Array]:
    """Average an image over factor x factor px (without a rest at the border); return it and small_from_src."""
    height, width = (side // max(factor, 1) for side in image.shape[:2])
    if factor < 2 or min(height, width) < 1:
        return image, np.eye(3)
    whole = image[: height * factor, : width * factor]
    small = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
    return small, averaged(factor)


def _warp(image: Array, h: Array, out_hw: tuple[int, int], interpolation: Interpolation, fill: int) -> Array:
    if max(image.shape[:2]) > _MAX_SIDE:
        raise _too_large(image.shape[:2])
    size, border = (out_hw[1], out_hw[0]), (float(fill),) * 4
    flags = _FLAGS[interpolation]
    if np.allclose(h[2], [0, 0, h[2, 2]], rtol=0, atol=1e-15 * abs(h[2, 2])):
        affine = h[:2] / h[2, 2]
        whole = np.rint(affine[:, 2]).astype(int)
        if np.allclose(affine, np.column_stack([np.eye(2), whole]), rtol=0, atol=1e-6):
            return _pasted(image, (int(whole[0]), int(whole[1])), out_hw, fill)
        return np.asarray(cv2.warpAffine(image, affine, size, flags=flags, borderValue=border))
    return np.asarray(cv2.warpPerspective(image, h, size, flags=flags, borderValue=border))


def _pasted(image: Array, shift: tuple[int, int], out_hw: tuple[int, int], fill: int) -> Array:
    """Shift an image by whole pixels, which is a copy."""
    out = np.full((*out_hw, *image.shape[2:]), fill, image.dtype)
    (x, y), (height, width) = shift, image.shape[:2]
    top, left = max(y, 0), max(x, 0)
    bottom, right = min(y + height, out_hw[0]), min(x + width, out_hw[1])
    if top < bottom and left < right:
        out[top:bottom, left:right] = image[top - y : bottom - y, left - x : right - x]
    return out


def _within_reach(image: Array, places: Array, seen: Array) -> tuple[Array, Array]:
    """Crop an image that OpenCV could not address to the part that the map needs."""
    if max(image.shape[:2]) <= _MAX_SIDE or not seen.any():
        return image[:_MAX_SIDE, :_MAX_SIDE] if not seen.any() else image, places
    used = places[seen]
    low = np.maximum(np.floor(used.min(axis=0)).astype(int) - 8, 0)
    high = np.ceil(used.max(axis=0)).astype(int) + 9
    return image[low[1] : high[1], low[0] : high[0]], places - low.astype(np.float32)

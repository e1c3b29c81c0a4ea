"""Pixel work on the GPU."""

from __future__ import annotations

import numpy as np

from ecg_trt.cuda.kernel_set import ROW_BLOCK
from ecg_trt.cuda.memory import DeviceArray
from ecg_trt.geometry.grid import grid_taps
from ecg_trt.networks import PAGE, TILES, VIEW
from ecg_trt.ops.base import Interpolation
from ecg_trt.ops.cuda_decode import CudaDecoding
from ecg_trt.ops.cuda_lines import CudaLines
from ecg_trt.ops.cuda_work import AnyArray, Argument, check_image
from ecg_trt.ops.reduction import (
    as_buffer_hw,
    as_windows,
    averaged,
    bad,
    invertible,
    reduction_of_grid,
    reduction_of_homography,
)
from ecg_trt.types import Array


class CudaOps(CudaDecoding, CudaLines):
    """`ImageOps` on (H, W, 3) uint8 images on one GPU, queued on a stream of its own.

    Images may be numpy arrays, which are uploaded, or device arrays. Results are device arrays unless stated otherwise;
    each lies in memory that the next call of the same method uses again. Only what returns host arrays
    waits. See `CudaWork` for the arguments.
    """

    def warp_homography(
        self,
        image: AnyArray,
        dst_from_src: Array,
        out_hw: tuple[int, int],
        interpolation: Interpolation = "linear",
        *,
        fill: int = 0,
        buffer_hw: tuple[int, int] | None = None,
    ) -> DeviceArray:
        """See `ImageOps.warp_homography`."""
        h = invertible(dst_from_src)
        _check_hw(out_hw)
        buffer = as_buffer_hw(buffer_hw or out_hw, out_hw)
        source, factor = self._reduced(self.upload(image), reduction_of_homography(h, out_hw))
        into = self.memory.array(VIEW, (*buffer, 3), np.uint8)
        view = _view(np.linalg.inv(h @ np.linalg.inv(averaged(factor))), out_hw)
        self.run(
            f"warp_{interpolation}",
            (buffer[1], buffer[0]),
            source,
            *source.shape[:2],
            *view,
            fill,
            into,
            *out_hw,
            *buffer,
        )
        return into

    def rectify(
        self, image: AnyArray, node_xy: Array, mm_per_cell: float, origin_mm: tuple[float, float],
        px_per_mm: tuple[float, float], out_hw: tuple[int, int], interpolation: Interpolation = "cubic",
        fill: int = 255,
    ) -> tuple[DeviceArray, DeviceArray]:  # fmt: skip
        """See `ImageOps.rectify`; the map is nowhere stored."""
        taps = grid_taps(node_xy, mm_per_cell, origin_mm, px_per_mm, out_hw)
        photo = self.upload(image)
        source, factor = self._reduced(photo, reduction_of_grid(taps, photo.shape))
        page, seen = self._page(out_hw)
        self.run(
            f"flatten_{interpolation}", (out_hw[1], out_hw[0]), *self.grid_arguments(taps),
            *_source(source, photo, factor), fill, page, seen, *out_hw,
        )  # fmt: skip
        return page, seen

    def grey(self, image: AnyArray) -> DeviceArray:
        """Convert to (H, W) uint8, as OpenCV's RGB2GRAY does."""
        source = self.upload(image)
        into = self.memory.array("grey", source.shape[:2], np.uint8)
        pixels = source.shape[0] * source.shape[1]
        self.run("grey", (pixels,), source, into, pixels, block=ROW_BLOCK)
        return into

    def grid_orientation(self, image: AnyArray, view: Array, out_hw: tuple[int, int]) -> tuple[float, float]:
        """See `ImageOps.grid_orientation`; the view is `warp_homography`'s, and lies where its last result lay."""
        photo, h = self.upload(image), invertible(view)
        return self.line_orientation(
            self.grey(self.warp_homography(photo, h, out_hw)), _view(np.linalg.inv(h), out_hw), photo.shape
        )

    def crop_tiles(
        self, page: DeviceArray, corners: Array, tile_hw: tuple[int, int], *, fill: int = 114
    ) -> DeviceArray:
        """See `ImageOps.crop_tiles`."""
        check_image(page)
        where = as_windows(corners, tile_hw)
        into = self.memory.array(TILES, (len(where), *tile_hw, 3), np.uint8)
        (there,) = self.memory.upload_all("corners", where)
        words = 3 * tile_hw[1] // 4
        self.run("cut", (words, tile_hw[0], len(where)), page, *page.shape[:2], there, fill, into, *tile_hw)
        return into

    def _page(self, hw: tuple[int, ...]) -> tuple[DeviceArray, DeviceArray]:
        return self.memory.array(PAGE, (*hw, 3), np.uint8), self.memory.array("seen", hw, np.bool_)

    def _reduced(self, image: DeviceArray, factor: int) -> tuple[DeviceArray, int]:
        """Average an image over factor x factor px; return both, or the image and 1 where it is too small."""
        height, width = (side // max(factor, 1) for side in image.shape[:2])
        if factor < 2 or min(height, width) < 1:
            return image, 1
        small = self.memory.array("reduced", (height, width, 3), np.uint8)
        self.run("reduce", (3 * width, height), image, image.shape[1], factor, small, height, width)
        return small, factor


def _source(image: DeviceArray, photo: DeviceArray, factor: int) -> tuple[Argument, ...]:
    """Make the arguments that kernels take of a photo: itself or an average of it, and where its pixels lie in that."""
    small = averaged(factor)
    return image, *image.shape[:2], *photo.shape[:2], np.float32(small[0, 0]), np.float32(small[0, 2])


def _view(src_from_dst: Array, out_hw: tuple[int, int]) -> tuple[np.generic, ...]:
    """Make the arguments of `View` in view.cuh: a homography, counted from an output pixel well before the horizon."""
    right, bottom = out_hw[1] - 1, out_hw[0] - 1
    places = np.array([[right / 2, bottom / 2, 1], [0, 0, 1], [right, 0, 1], [0, bottom, 1], [right, bottom, 1.0]])
    depth = np.abs(places @ src_from_dst[2])
    at = places[0 if depth[0] > 0.01 * depth.max() else int(depth.argmax())]
    x, y, w = src_from_dst @ at
    x, y = x / w, y / w
    slope = (src_from_dst[:2, :2] - np.outer([x, y], src_from_dst[2, :2])) / w
    values = (at[0], at[1], x, y, *slope.ravel(), *(src_from_dst[2, :2] / w))
    return tuple(np.float32(value) for value in values)


def _check_hw(hw: tuple[int, ...]) -> None:
    if min(hw) <= 0:
        raise bad(f"a result of {hw[1]} x {hw[0]} px", "sides above zero", "Ask for a larger result.")

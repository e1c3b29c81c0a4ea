"""The pixel work on the GPU."""

from __future__ import annotations

import numpy as np

from ecg_trt.cuda.memory import DeviceArray
from ecg_trt.cuda.module import ROW_BLOCK
from ecg_trt.geometry.grid import lattice_taps
from ecg_trt.ops.base import Interpolation
from ecg_trt.ops.cuda_decode import CudaDecoding
from ecg_trt.ops.cuda_lines import CudaLines
from ecg_trt.ops.cuda_work import AnyArray, Argument, check_image
from ecg_trt.ops.scale import (
    as_map,
    averaged,
    bad,
    invertible,
    reduction_of_homography,
    reduction_of_lattice,
    reduction_of_map,
)
from ecg_trt.types import Array


class CudaOps(CudaDecoding, CudaLines):
    """`ImageOps` on (H, W, 3) uint8 images on one GPU, queued on a stream of its own.

    Images may be numpy arrays, which are uploaded, or device arrays. Results are device arrays unless said otherwise;
    each lies in memory that the next call of the same method uses again, or in `out`. Only what returns host arrays
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
        out: DeviceArray | None = None,
    ) -> DeviceArray:
        """See `ImageOps.warp_homography`; `out` (h, w, 3) uint8 takes the result, a network's input for example."""
        h = invertible(dst_from_src)
        return self._warp(image, h, reduction_of_homography(h, out_hw), out_hw, interpolation, fill, out)

    def _warp(
        self,
        image: AnyArray,
        h: Array,
        factor: int,
        out_hw: tuple[int, int],
        interpolation: Interpolation,
        fill: int,
        out: DeviceArray | None,
    ) -> DeviceArray:
        _check_hw(out_hw)
        source, factor = self._reduced(self.upload(image), factor)
        into = self._into("warped", (*out_hw, 3), out)
        view = _view(np.linalg.inv(h @ np.linalg.inv(averaged(factor))), out_hw)
        self.run(
            f"warp_{interpolation}", (out_hw[1], out_hw[0]), source, *source.shape[:2], *view, fill, into, *out_hw
        )
        return into

    def remap(
        self, image: AnyArray, map_xy: AnyArray, interpolation: Interpolation = "cubic", fill: int = 255
    ) -> tuple[DeviceArray, DeviceArray]:
        """See `ImageOps.remap`. A map on the GPU is fetched to find its step: `flatten` needs no map."""
        photo = self.upload(image)
        places = as_map(self.download(map_xy)[0] if isinstance(map_xy, DeviceArray) else map_xy)
        _check_hw(places.shape[:2])
        inside = (places >= -0.5) & (places <= np.array(photo.shape[1::-1], np.float32) - 0.5)
        source, factor = self._reduced(photo, reduction_of_map(places, np.asarray(inside.all(-1))))
        there = map_xy if isinstance(map_xy, DeviceArray) else self.memory.upload("map", places)
        page, seen = self._page(places.shape[:2])
        self.run(
            f"remap_{interpolation}", places.shape[1::-1], *_source(source, photo, factor), there, fill, page, seen,
            *places.shape[:2],
        )  # fmt: skip
        return page, seen

    def dense_map(
        self, node_xy: Array, mm_per_cell: float, origin_mm: tuple[float, float], px_per_mm: tuple[float, float],
        out_hw: tuple[int, int],
    ) -> DeviceArray:  # fmt: skip
        """See `geometry.grid.dense_map`: (H, W, 2) float32 on the GPU."""
        taps = lattice_taps(node_xy, mm_per_cell, origin_mm, px_per_mm, out_hw)
        into = self.memory.array("map", (*out_hw, 2), np.float32)
        self.run("dense_map", (out_hw[1], out_hw[0]), *self.lattice(taps), into, *out_hw)
        return into

    def flatten(
        self, image: AnyArray, node_xy: Array, mm_per_cell: float, origin_mm: tuple[float, float],
        px_per_mm: tuple[float, float], out_hw: tuple[int, int], interpolation: Interpolation = "cubic",
        fill: int = 255,
    ) -> tuple[DeviceArray, DeviceArray]:  # fmt: skip
        """`remap` by the map that `geometry.grid.dense_map` makes of a lattice, which is nowhere stored.

        Args:
            image: (H, W, 3) uint8, the photo.
            node_xy: (rows, cols, 2) photo px, NaN = missing.
            mm_per_cell: spacing of the lattice, mm.
            origin_mm: page mm of page pixel (0, 0).
            px_per_mm: (x, y) of the page.
            out_hw: (height, width) of the page, px.
            interpolation: between the photo's pixels.
            fill: value of pixels that the photo does not show.

        Returns:
            The page (h, w, 3) uint8, and seen (h, w) bool.

        Raises:
            OptionError: nodes or sizes that are not workable.
        """
        taps = lattice_taps(node_xy, mm_per_cell, origin_mm, px_per_mm, out_hw)
        photo = self.upload(image)
        source, factor = self._reduced(photo, reduction_of_lattice(taps, photo.shape))
        page, seen = self._page(out_hw)
        self.run(
            f"flatten_{interpolation}", (out_hw[1], out_hw[0]), *self.lattice(taps), *_source(source, photo, factor),
            fill, page, seen, *out_hw,
        )  # fmt: skip
        return page, seen

    def grey(self, image: AnyArray) -> DeviceArray:
        """(H, W) uint8, as OpenCV's RGB2GRAY has it."""
        source = self.upload(image)
        into = self.memory.array("grey", source.shape[:2], np.uint8)
        pixels = source.shape[0] * source.shape[1]
        self.run("grey", (pixels,), source, into, pixels, block=ROW_BLOCK)
        return into

    def ruling(self, image: AnyArray, view: Array, hw: tuple[int, int]) -> tuple[float, float]:
        """See `Cv2Ops.ruling`; the view is `warp_homography`'s, and lies where its last result lay."""
        photo, h = self.upload(image), invertible(view)
        return self.ruled(self.grey(self.warp_homography(photo, h, hw)), _view(np.linalg.inv(h), hw), photo.shape)

    def cut(
        self, page: DeviceArray, corners: Array, tile_hw: tuple[int, int], *, fill: int = 114,
        out: DeviceArray | None = None,
    ) -> DeviceArray:  # fmt: skip
        """Windows of a page.

        Args:
            page: (H, W, 3) uint8.
            corners: (n, 2) whole px, top and left of each window; they may lie outside.
            tile_hw: (height, width) of the windows; a width in fours.
            fill: value beyond the page.
            out: (n, height, width, 3) uint8 that takes the result.

        Raises:
            OptionError: no window, or a width that is no multiple of 4.
        """
        check_image(page)
        _check_hw(tile_hw)
        where = np.ascontiguousarray(corners, np.int32)
        if where.ndim != 2 or where.shape[1] != 2 or not len(where) or tile_hw[1] % 4:
            got = f"corners {where.shape} of windows {tile_hw[1]} px wide"
            raise bad(got, "(n, 2), n > 0, and a width in fours", "Pass them so.")
        into = self._into("tiles", (len(where), *tile_hw, 3), out)
        (there,) = self.memory.upload_all("corners", where)
        words = 3 * tile_hw[1] // 4
        self.run("cut", (words, tile_hw[0], len(where)), page, *page.shape[:2], there, fill, into, *tile_hw)
        return into

    def _into(self, name: str, shape: tuple[int, ...], out: DeviceArray | None) -> DeviceArray:
        if out is None:
            return self.memory.array(name, shape, np.uint8)
        if out.shape != shape or out.dtype != np.uint8:
            raise bad(f"out {out.shape} of {out.dtype}", f"{shape} of uint8", "Pass memory of the result's shape.")
        return out

    def _page(self, hw: tuple[int, ...]) -> tuple[DeviceArray, DeviceArray]:
        return self.memory.array("page", (*hw, 3), np.uint8), self.memory.array("seen", hw, np.bool_)

    def _reduced(self, image: DeviceArray, factor: int) -> tuple[DeviceArray, int]:
        """An image averaged over factor x factor px, and the factor; as it is, and 1, where that is not to be had."""
        height, width = (side // max(factor, 1) for side in image.shape[:2])
        if factor < 2 or min(height, width) < 1:
            return image, 1
        small = self.memory.array("reduced", (height, width, 3), np.uint8)
        self.run("reduce", (3 * width, height), image, image.shape[1], factor, small, height, width)
        return small, factor


def _source(image: DeviceArray, photo: DeviceArray, factor: int) -> tuple[Argument, ...]:
    """The arguments that kernels take of a photo: itself or an average of it, and where its pixels lie in that."""
    small = averaged(factor)
    return image, *image.shape[:2], *photo.shape[:2], np.float32(small[0, 0]), np.float32(small[0, 2])


def _view(src_from_dst: Array, out_hw: tuple[int, int]) -> tuple[np.generic, ...]:
    """The arguments of `View` in warp.cu: a homography, counted from an output pixel well before the horizon."""
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

"""What every implementation of the pixel work offers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from ecg_trt.types import Array

Interpolation = Literal["nearest", "linear", "cubic", "lanczos"]


@dataclass(frozen=True, slots=True)
class Letters:
    """Where a ridge would run along printed letters.

    Attributes:
        mask: (h, w) bool or uint8, letters.
        row: (n, H) the mask's row of each row of each tile.
        column: (n, W) the mask's column of each column of each tile.
        price: nats that a letter's pixels lose.
    """

    mask: Array
    row: Array
    column: Array
    price: float


class ImageOps(Protocol):
    """Pixel work on (H, W) or (H, W, C) images, uint8 or float32; results keep the input's dtype.

    Matrices are dst_from_src, maps hold the source position of every output pixel, pixel centres lie at
    integers. Where the output is less than half as fine as the source, the source is averaged first, so that
    nothing aliases.
    """

    def warp_homography(
        self,
        image: Array,
        dst_from_src: Array,
        out_hw: tuple[int, int],
        interpolation: Interpolation = "linear",
        *,
        fill: int = 0,
    ) -> Array:
        """Sees an image through a homography.

        Args:
            image: (H, W) or (H, W, C), uint8 or float32.
            dst_from_src: (3, 3).
            out_hw: (height, width) of the result.
            interpolation: between source pixels.
            fill: value of pixels outside the source.

        Raises:
            OptionError: a size is not workable, or the matrix cannot be inverted.
        """
        ...

    def remap(
        self, image: Array, map_xy: Array, interpolation: Interpolation = "cubic", fill: int = 255
    ) -> tuple[Array, Array]:
        """Resamples an image at given positions.

        Args:
            image: (H, W) or (H, W, C), uint8 or float32.
            map_xy: (h, w, 2) float32 source px of every output pixel, NaN = nowhere.
            interpolation: between source pixels.
            fill: value of pixels that lie nowhere or outside the source.

        Returns:
            The image (h, w[, C]), and seen (h, w) bool.

        Raises:
            OptionError: a size is not workable.
        """
        ...

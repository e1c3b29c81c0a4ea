"""Protocol of the pixel work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from ecg_trt.geometry.offsets import LineOffsets, LinePlaces
from ecg_trt.types import Array

Interpolation = Literal["linear", "cubic"]


@dataclass(frozen=True, slots=True)
class TextMask:
    """Printed text that the ridge must not follow.

    Attributes:
        mask: (h, w) bool or uint8, not 0 where text is printed.
        row: (n, H) the mask's row of each row of each tile.
        column: (n, W) the mask's column of each column of each tile.
        penalty: nats that a text pixel loses.
    """

    mask: Array
    row: Array
    column: Array
    penalty: float


class ImageOps(Protocol):
    """Pixel work on (H, W, 3) uint8 images, and decoding of a network's maps.

    Images, maps and masks may lie on a device, and stay there; small results come back to the host, as each method
    states. A result on a device lies in memory that the next call of the same method uses again.

    Matrices are dst_from_src, maps hold the source position of every output pixel, pixel centres lie at
    integers. Where the output is less than half as fine as the source, the source is averaged first, so that
    nothing aliases.
    """

    def copy_to_pinned(self, image: Array) -> Array:
        """Copy a photo (H, W, 3) uint8 to pinned memory, from any thread, so that any worker slot can `upload` it fast.

        What is returned is good for one upload and for nothing else.
        """
        ...

    def upload(self, image: Array) -> Array:
        """Copy a photo (H, W, 3) uint8 to the device of the pixel work."""
        ...

    def download(self, *arrays: Array) -> tuple[Array, ...]:
        """Wait for the work and return host copies of results."""
        ...

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
        """Warp an image by a homography.

        Args:
            image: (H, W, 3) uint8.
            dst_from_src: (3, 3).
            out_hw: (height, width) of the view.
            interpolation: between source pixels.
            fill: value of pixels outside the source.
            buffer_hw: (height, width) of the result, at least `out_hw`, which is at its top left; the rest is `fill`.
                `out_hw` if None.

        Raises:
            OptionError: a size is not workable, or the matrix cannot be inverted.
        """
        ...

    def grid_orientation(self, image: Array, view: Array, out_hw: tuple[int, int]) -> tuple[float, float]:
        """Measure the rotation of the paper's grid in a view.

        Args:
            image: (H, W, 3) uint8, the photo.
            view: (3, 3) view px from photo px.
            out_hw: (height, width) of the view.

        Returns:
            Angle (rad) and coherence, as `geometry.lines.line_angle` gives them for what the photo shows of the view.
        """
        ...

    def rectify(
        self,
        image: Array,
        node_xy: Array,
        mm_per_cell: float,
        origin_mm: tuple[float, float],
        px_per_mm: tuple[float, float],
        out_hw: tuple[int, int],
        interpolation: Interpolation = "cubic",
        fill: int = 255,
    ) -> tuple[Array, Array]:
        """Resample a photo by the map that `geometry.grid.dense_map` makes of a grid.

        Args:
            image: (H, W, 3) uint8, the photo.
            node_xy: (rows, cols, 2) photo px, NaN = missing.
            mm_per_cell: spacing of the grid, mm.
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
        ...

    def line_offsets(self, page: Array, px_per_mm: tuple[float, float], places: LinePlaces) -> LineOffsets:
        """Measure the offsets of the page's lines, on the host, as `geometry.offsets.line_offsets` does."""
        ...

    def crop_tiles(self, page: Array, corners: Array, tile_hw: tuple[int, int], *, fill: int = 114) -> Array:
        """Crop windows of a page.

        Args:
            page: (H, W, 3) uint8.
            corners: (n, 2) whole px, top and left of each window; they may lie outside.
            tile_hw: (height, width) of the windows; a width in fours.
            fill: value beyond the page.

        Returns:
            (n, height, width, 3) uint8.

        Raises:
            OptionError: no window, or a width that is no multiple of 4.
        """
        ...

    def gather_rows(self, plane: Array, row: Array) -> Array:
        """Gather one value of each column of a mask.

        Args:
            plane: (H, W) bool.
            row: (n, W) whole rows, within the plane.

        Returns:
            (n, W) bool on the host: plane[row[k, x], x].

        Raises:
            OptionError: rows of another width, or outside.
        """
        ...

    def node_candidates(self, logit: Array, offset: Array, threshold: float, stride: int) -> tuple[Array, Array]:
        """Find the peaks of a heatmap of logits (h, w), on the host, as `geometry.heatmaps.peaks` does."""
        ...

    def page_heatmaps(
        self, logits: Mapping[str, Array], node_xy: Array, mm_per_cell: float, stride: int
    ) -> dict[str, Array]:
        """Warp heatmaps of logits to the page, on the host; values below 0.02 may be 0 (`heatmaps_on_page`)."""
        ...

    def ridge(self, logits: Array, text_mask: TextMask | None = None) -> tuple[Array, Array]:
        """Locate the pen in each column of each tile.

        Args:
            logits: (n, H, W) float32 of the trace network.
            text_mask: what the pen is not to be followed along.

        Returns:
            On the host: row (n, W) float32, px, and share (n, W) float32 of the column's softmax around it; as
            `geometry.ridge.decode_ridge` gives them around `follow_ridge`.

        Raises:
            OptionError: logits of another kind.
        """
        ...

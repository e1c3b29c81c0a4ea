"""Stage 2: row of the pen in every column of every strip.

Each strip is cropped from the flat page around its zero line, at a scale that suits its gain, in tiles of one fixed
shape. The network predicts logits over the rows of each column, and the probability that the column shows the strip's
own trace at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecg_trt.backends.base import Backend, static_batch
from ecg_trt.geometry.heatmaps import sigmoid
from ecg_trt.inference.views import View
from ecg_trt.ops.base import ImageOps, TextMask
from ecg_trt.stages.scaling import BESIDE_GREY, TRACE_PX_PER_MM, TRACE_TILE_HW
from ecg_trt.types import Array, RectifiedPage, Strip, TraceMap

# Views of a strip over which predictions are averaged; `RuntimeOptions.views` is their number.
TRACE_VIEWS = (View(), View(mirrored=True), View(dy=1), View(dy=-1, mirrored=True))
BEYOND_MM = 1.5  # Traced beyond both ends of a strip, as these are known less well than its columns.
_OVERLAP_PX = round(4.8 * TRACE_PX_PER_MM[0])
_MARGIN_PX = _OVERLAP_PX // 2
_TEXT_PENALTY = 3.0  # Nats a column for a ridge that runs along a letter, half of the ridge's floor.


def tile_starts(left: int, right: int, tile: int, overlap: int) -> list[int]:
    """Spread the starts of the fewest tiles that cover [left, right) evenly, overlapping by at least `overlap`."""
    length = right - left
    count = max(1, int(np.ceil((length - overlap) / (tile - overlap))))
    if count == 1:
        return [left - (tile - length) // 2]
    return [round(left + k * (length - tile) / (count - 1)) for k in range(count)]


@dataclass(frozen=True, slots=True)
class _Tile:
    """A window of the page that shows part of a strip.

    Attributes:
        strip: number of the strip.
        top: first row, page px.
        start: first column, page px.
        left: first column of the strip, page px.
        right: last column of the strip, page px.
    """

    strip: int
    top: int
    start: int
    left: int
    right: int


class Trace:
    """Stage 2: flat page and strips to `TraceMap`.

    Args:
        backend: runs the network ``stage2``.
        ops: pixel work.
    """

    def __init__(self, backend: Backend, ops: ImageOps) -> None:
        self.backend, self.ops = backend, ops

    def __call__(self, page: RectifiedPage, strips: Sequence[Strip], text_mask: Array | None = None) -> TraceMap:
        """Trace the strips.

        Args:
            page: the flat page.
            strips: its rows.
            text_mask: (H, W) bool at 1 px/mm of page mm, the lead names: a V must not be taken for an S wave.

        Returns:
            Rows in page px, NaN more than `BEYOND_MM` outside the printed span.
        """
        width = page.image.shape[1]
        ridge = np.full((len(strips), width), np.nan, np.float32)
        confidence, border = (np.zeros((len(strips), width), np.float32) for _ in range(2))
        tiles = [tile for k, strip in enumerate(strips) for tile in _tiles(page, k, strip)]
        batch = static_batch(self.backend)
        for first in range(0, len(tiles), batch):
            some = tiles[first : first + batch]
            for tile, *columns in zip(some, *self._read(page, some, text_mask), strict=False):
                _place(tile, columns, [of_strip[tile.strip] for of_strip in (ridge, confidence, border)])
        hidden = self._hidden(page, ridge)
        ridge[hidden] = np.nan
        confidence[hidden] = 0
        return TraceMap(ridge, confidence, border)

    def _read(self, page: RectifiedPage, tiles: Sequence[_Tile], text_mask: Array | None) -> tuple[Array, ...]:
        """Read each column of each tile, padding comes last.

        Returns:
            (n, W) each: row of the pen, page px; its confidence; and that a lead begins or ends there.
        """
        corners = np.array([(tile.top, tile.start) for tile in tiles])
        corners = np.pad(corners, ((0, static_batch(self.backend) - len(tiles)), (0, 0)), mode="edge")
        out = self.backend.infer({"image": self.ops.crop_tiles(page.image, corners, TRACE_TILE_HW, fill=BESIDE_GREY)})
        n, _, height, width = out["ridge"].shape
        covered = None if text_mask is None else _text_on_tiles(text_mask, page, corners)
        row, share = self.ops.ridge(out["ridge"].reshape(n, height, width), covered)
        presence, border = self.ops.download(out["presence"], out["border"])
        confidence = np.nan_to_num(sigmoid(presence) * np.sqrt(share)).astype(np.float32)  # NaN is an overflow.
        return row + corners[:, :1], confidence, np.nan_to_num(sigmoid(border)).astype(np.float32)

    def _hidden(self, page: RectifiedPage, ridge: Array) -> Array:
        """Mask (strips, W) columns without a trace, or with one where the photo shows nothing."""
        rows = np.clip(np.nan_to_num(np.round(ridge)), 0, page.seen.shape[0] - 1).astype(np.int32)
        return np.asarray(np.isnan(ridge) | ~self.ops.gather_rows(page.seen, rows))


def _tiles(page: RectifiedPage, k: int, strip: Strip) -> list[_Tile]:
    """Lay out the tiles of one strip."""
    h, w = TRACE_TILE_HW
    left, right = page.columns_between((strip.x_mm[0] - BEYOND_MM, strip.x_mm[1] + BEYOND_MM))
    top = round(page.row(strip.zero_y_mm) - (h - 1) / 2)
    starts = tile_starts(left - _MARGIN_PX, right + _MARGIN_PX, w, _OVERLAP_PX)
    return [_Tile(k, top, start, left, right) for start in starts]


def _text_on_tiles(text_mask: Array, page: RectifiedPage, corners: Array) -> TextMask:
    """Sample the page's text_mask in the tiles at `corners`."""
    places = []
    for axis, (side, to_mm) in enumerate(zip(TRACE_TILE_HW, (page.y_mm, page.x_mm), strict=True)):
        mm = to_mm(corners[:, axis, None] + np.arange(side))
        places.append(np.round(mm).astype(np.int32).clip(0, text_mask.shape[axis] - 1))
    return TextMask(text_mask, places[0], places[1], _TEXT_PENALTY)


def _place(tile: _Tile, columns: Sequence[Array], of_strip: Sequence[Array]) -> None:
    """Write what was read of a tile's columns into its strip's (W,) on the page.

    Where tiles overlap, the column farther from a tile's edge counts, as it has more context on both sides.
    """
    w = TRACE_TILE_HW[1]
    left, right, start = tile.left, tile.right, tile.start
    at = np.arange(w)
    inner = np.minimum(at, w - 1 - at) >= (_OVERLAP_PX // 2 if right - left > w - 2 * _MARGIN_PX else 0)
    edge = (start <= left - _MARGIN_PX) & (at < w // 2) | (start + w >= right + _MARGIN_PX) & (at > w // 2)
    x = at + start
    ok = (inner | edge) & (x >= max(0, left)) & (x <= min(len(of_strip[0]) - 1, right))
    for read, whole in zip(columns, of_strip, strict=True):
        whole[x[ok]] = read[ok]

"""Stage 2: the pen's height in every column of every strip.

Each strip is cut out of the flat page around its zero line, at the pixels a millimetre that its gain asks for, in tiles
of one fixed shape; the network answers with logits over the rows of each column and with whether the column shows the
strip's own trace at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecg_trt.backends.base import Backend, static_batch
from ecg_trt.geometry.heatmaps import sigmoid
from ecg_trt.inference.views import View
from ecg_trt.ops.base import ImageOps, TextMask
from ecg_trt.stages.scaling import BESIDE_GREY, TRACE_TILE_HW
from ecg_trt.types import Array, RectifiedPage, Strip, TraceMap

# The first so many of these are what `Options.views` shows of a strip.
TRACE_VIEWS = (View(), View(mirrored=True), View(dy=1), View(dy=-1, mirrored=True))
BEYOND_MM = 1.5  # looked at on both sides of a strip, as its ends are known less well than its columns
_OVERLAP_PX = 48
_MARGIN_PX = 24
_LETTER_PRICE = 6.0  # nats a column, for a ridge that runs along a letter: half of what is all but impossible


def tile_starts(left: int, right: int, tile: int, overlap: int) -> list[int]:
    """Evenly spread starts of the fewest tiles that cover [left, right) and overlap by at least `overlap`."""
    length = right - left
    count = max(1, int(np.ceil((length - overlap) / (tile - overlap))))
    if count == 1:
        return [left - (tile - length) // 2]
    return [round(left + k * (length - tile) / (count - 1)) for k in range(count)]


@dataclass(frozen=True, slots=True)
class _Tile:
    """A window of the page that shows part of a strip: its strip's number, and its place in page px."""

    strip: int
    top: int
    start: int
    left: int  # of the strip
    right: int


class Trace:
    """Flat page and strips to `TraceMap`.

    Args:
        backend: runs the network ``stage2``.
        ops: pixel work.
    """

    def __init__(self, backend: Backend, ops: ImageOps) -> None:
        self.backend, self.ops = backend, ops

    def __call__(self, page: RectifiedPage, strips: Sequence[Strip], letters: Array | None = None) -> TraceMap:
        """Traces the strips.

        Args:
            page: the flat page.
            strips: its rows.
            letters: (H, W) bool at 1 px/mm of page mm, where lead names stand; a V must not be taken for an S wave.

        Returns:
            Rows in page px, NaN more than `BEYOND_MM` outside the printed span.
        """
        width = page.image.shape[1]
        ridge = np.full((len(strips), width), np.nan, np.float32)
        confidence = np.zeros((len(strips), width), np.float32)
        tiles = [tile for k, strip in enumerate(strips) for tile in _tiles(page, k, strip)]
        batch = static_batch(self.backend)
        for first in range(0, len(tiles), batch):
            some = tiles[first : first + batch]
            for tile, row, sure in zip(some, *self._read(page, some, letters), strict=False):
                _place(tile, row, sure, ridge[tile.strip], confidence[tile.strip])
        hidden = self._hidden(page, ridge)
        ridge[hidden] = np.nan
        confidence[hidden] = 0
        return TraceMap(ridge, confidence)

    def _read(self, page: RectifiedPage, tiles: Sequence[_Tile], letters: Array | None) -> tuple[Array, Array]:
        """Row of the pen in each column of each tile (n, W), and how sure that is; what fills up a batch comes last."""
        corners = np.array([(tile.top, tile.start) for tile in tiles])
        corners = np.pad(corners, ((0, static_batch(self.backend) - len(tiles)), (0, 0)), mode="edge")
        out = self.backend.infer({"image": self.ops.crop_tiles(page.image, corners, TRACE_TILE_HW, fill=BESIDE_GREY)})
        n, _, height, width = out["ridge"].shape
        covered = None if letters is None else _on_tiles(letters, page, corners)
        row, share = self.ops.ridge(out["ridge"].reshape(n, height, width), covered)
        (presence,) = self.ops.download(out["presence"])
        return row, np.nan_to_num(sigmoid(presence) * np.sqrt(share)).astype(np.float32)  # NaN: the network overflowed

    def _hidden(self, page: RectifiedPage, ridge: Array) -> Array:
        """(strips, W) bool, columns without a trace, or with one where the photo shows nothing."""
        rows = np.clip(np.nan_to_num(np.round(ridge)), 0, page.seen.shape[0] - 1).astype(np.int32)
        return np.asarray(np.isnan(ridge) | ~self.ops.gather_rows(page.seen, rows))


def _tiles(page: RectifiedPage, k: int, strip: Strip) -> list[_Tile]:
    """The windows of one strip."""
    h, w = TRACE_TILE_HW
    (sx, sy), (ox, oy) = page.px_per_mm, page.origin_mm
    left, right = (round((x + d - ox) * sx) for x, d in zip(strip.x_mm, (-BEYOND_MM, BEYOND_MM), strict=True))
    top = round((strip.zero_y_mm - oy) * sy - (h - 1) / 2)
    starts = tile_starts(left - _MARGIN_PX, right + _MARGIN_PX, w, _OVERLAP_PX)
    return [_Tile(k, top, start, left, right) for start in starts]


def _on_tiles(letters: Array, page: RectifiedPage, corners: Array) -> TextMask:
    """The page's letters as the tiles at `corners` see them."""
    places = []
    for axis, side in enumerate(TRACE_TILE_HW):
        px = corners[:, axis, None] + np.arange(side)
        mm = px / page.px_per_mm[1 - axis] + page.origin_mm[1 - axis]
        places.append(np.round(mm).astype(np.int32).clip(0, letters.shape[axis] - 1))
    return TextMask(letters, places[0], places[1], _LETTER_PRICE)


def _place(tile: _Tile, row: Array, sure: Array, ridge: Array, confidence: Array) -> None:
    """Writes a tile's columns into its strip's (W,) on the page.

    Where tiles overlap, the column farther from a tile's edge counts: it has seen more on both sides.
    """
    w = TRACE_TILE_HW[1]
    left, right, start = tile.left, tile.right, tile.start
    at = np.arange(w)
    inner = np.minimum(at, w - 1 - at) >= (_OVERLAP_PX // 2 if right - left > w - 2 * _MARGIN_PX else 0)
    edge = (start <= left - _MARGIN_PX) & (at < w // 2) | (start + w >= right + _MARGIN_PX) & (at > w // 2)
    x = at + start
    ok = (inner | edge) & (x >= max(0, left)) & (x <= min(len(ridge) - 1, right))
    ridge[x[ok]] = row[ok] + tile.top
    confidence[x[ok]] = sure[ok]

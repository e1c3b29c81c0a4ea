"""Stage 2: the pen's height in every column of every strip.

Each strip is cut out of the flat page around its zero line, at fixed pixels a millimetre, in tiles of one fixed
shape; the network answers with logits over the rows of each column and with whether the column shows the strip's own
trace at all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ecg_trt.backends.base import Backend
from ecg_trt.geometry.signal import decode_ridge, follow_ridge
from ecg_trt.stages.frames import TRACE_TILE_HW
from ecg_trt.types import Array, RectifiedPage, Strip, TraceMap

BEYOND_MM = 1.5  # looked at on both sides of a strip, as its ends are known less well than its columns
_OVERLAP_PX = 48
_MARGIN_PX = 24
_PAPER_GREY = 114
_LETTER_PRICE = 3.0  # nats a column, for a ridge that runs along a letter


def tile_starts(left: int, right: int, tile: int, overlap: int) -> list[int]:
    """Evenly spread starts of the fewest tiles that cover [left, right) and overlap by at least `overlap`."""
    length = right - left
    count = max(1, int(np.ceil((length - overlap) / (tile - overlap))))
    if count == 1:
        return [left - (tile - length) // 2]
    return [round(left + k * (length - tile) / (count - 1)) for k in range(count)]


def cut(image: Array, top: int, left: int, hw: tuple[int, int]) -> Array:
    """A window of an image (H, W, 3), grey where it reaches beyond."""
    out = np.full((*hw, 3), _PAPER_GREY, np.uint8)
    ya, xa = max(0, top), max(0, left)
    yb, xb = min(image.shape[0], top + hw[0]), min(image.shape[1], left + hw[1])
    if ya < yb and xa < xb:
        out[ya - top : yb - top, xa - left : xb - left] = image[ya:yb, xa:xb]
    return out


def _on_tile(letters: Array, page: RectifiedPage, top: int, left: int, hw: tuple[int, int]) -> Array:
    """(H, W) float32, 1 where a tile's pixels lie on letters."""
    (sx, sy), (ox, oy) = page.px_per_mm, page.origin_mm
    y = np.round((top + np.arange(hw[0])) / sy + oy).astype(int).clip(0, letters.shape[0] - 1)
    x = np.round((left + np.arange(hw[1])) / sx + ox).astype(int).clip(0, letters.shape[1] - 1)
    return letters[np.ix_(y, x)].astype(np.float32)


class Trace:
    """Flat page and strips to `TraceMap`.

    Args:
        backend: runs the network ``stage2``.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

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
        for k, strip in enumerate(strips):
            self._trace(page, strip, letters, ridge[k], confidence[k])
        return TraceMap(ridge, confidence)

    def _trace(
        self, page: RectifiedPage, strip: Strip, letters: Array | None, ridge: Array, confidence: Array
    ) -> None:
        h, w = TRACE_TILE_HW
        (sx, sy), (ox, oy) = page.px_per_mm, page.origin_mm
        left, right = (round((x + d - ox) * sx) for x, d in zip(strip.x_mm, (-BEYOND_MM, BEYOND_MM), strict=True))
        top = round((strip.zero_y_mm - oy) * sy - (h - 1) / 2)
        for start in tile_starts(left - _MARGIN_PX, right + _MARGIN_PX, w, _OVERLAP_PX):
            out = self.backend.infer({"image": cut(page.image, top, start, (h, w))[None]})
            logits = out["ridge"][:, 0]
            covered = None if letters is None else _on_tile(letters, page, top, start, (h, w))
            centre = follow_ridge(logits if covered is None else logits - _LETTER_PRICE * covered)
            row, peak = decode_ridge(logits, centre=centre)
            present = 1 / (1 + np.exp(-out["presence"][0]))
            sure = (present * np.sqrt(peak[0])).astype(np.float32)
            # Where tiles overlap, the column farther from a tile's edge counts: it has seen more on both sides.
            at = np.arange(w)
            inner = np.minimum(at, w - 1 - at) >= (_OVERLAP_PX // 2 if right - left > w - 2 * _MARGIN_PX else 0)
            edge = (start <= left - _MARGIN_PX) & (at < w // 2) | (start + w >= right + _MARGIN_PX) & (at > w // 2)
            x = at + start
            ok = (inner | edge) & (x >= max(0, left)) & (x <= min(len(ridge) - 1, right))
            ridge[x[ok]] = row[0][ok] + top
            confidence[x[ok]] = sure[ok]
        shown = np.zeros(len(ridge), bool)
        shown[max(0, left) : max(0, right + 1)] = True
        rows = np.clip(np.nan_to_num(np.round(ridge)), 0, page.seen.shape[0] - 1).astype(int)
        shown &= page.seen[rows, np.arange(len(ridge))]
        ridge[~shown] = np.nan
        confidence[~shown] = 0

"""Decoding on the GPU: from a network's maps, which stay there, to the few numbers that the host needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ecg_trt.cuda.kernel_set import ROW_BLOCK
from ecg_trt.cuda.memory import DeviceArray
from ecg_trt.geometry.grid import grid_taps
from ecg_trt.geometry.ridge import (
    RIDGE_CANDIDATES,
    RIDGE_FLOOR,
    RIDGE_FREE_ROWS,
    RIDGE_HALF_WINDOW,
    RIDGE_JUMP_PENALTY,
    RIDGE_MOST_PENALTY,
)
from ecg_trt.ops.base import TextMask
from ecg_trt.ops.cuda_work import CHUNK_ROWS, ENTRIES_AT_ONCE, ENTRY, PEAK, PEAKS_AT_ONCE, AnyArray, Argument, CudaWork
from ecg_trt.ops.reduction import as_rows, bad
from ecg_trt.types import Array

_MOST_MOVE = 1.5  # An offset moves a node by at most as many cells.
_INDICES = 1 << 24  # Number of indices that an entry of the list can hold.
_LEAST_VALUE = 5  # Of 255: values below 2 % carry no information, and are many.
_PATH_PENALTIES = tuple(np.float32(v) for v in (RIDGE_FREE_ROWS, RIDGE_JUMP_PENALTY, RIDGE_MOST_PENALTY, RIDGE_FLOOR))


class CudaDecoding(CudaWork):
    """Decoding of the networks' outputs on the GPU; results are host arrays."""

    def ridge(self, logits: AnyArray, text_mask: TextMask | None = None) -> tuple[Array, Array]:
        """Find the pen's row in each column, on the path that `geometry.ridge.follow_ridge` takes.

        Args:
            logits: (n, H, W) float32 of the trace network.
            text_mask: what the path is to be found without.

        Returns:
            Host arrays: position (n, W) float32 px, and share (n, W) float32 in [0, 1] of the softmax in the window;
            as from `geometry.ridge.decode_ridge`.

        Raises:
            OptionError: logits of another kind.
        """
        maps = self.floats("ridge logits", logits, 3)
        n, _, width = maps.shape
        rows, score, position, share = self._ridge_candidates(maps, text_mask)
        steps = self.memory.array("ridge path", (13 * n * width,), np.uint8)
        back, out = steps.part(0, (n, width), np.uint32), steps.part(4 * n * width, (2, n, width), np.float32)
        chosen = steps.part(12 * n * width, (n, width), np.uint8)
        self.run("ridge_path", (n,), rows, score, width, *_PATH_PENALTIES, back, chosen, block=(1, 1, 1))
        self.run("ridge_gather", (width, n), chosen, position, share, n, width, out, block=ROW_BLOCK)
        found = self.download(out)[0]
        return found[0], found[1]

    def _ridge_candidates(
        self, maps: DeviceArray, text_mask: TextMask | None
    ) -> tuple[DeviceArray, DeviceArray, DeviceArray, DeviceArray]:
        """Find row int16, score, position and share float32, each (n, K, W): see `ridge_merge` in ridge.cu."""
        n, height, width = maps.shape
        chunks = -(-height // CHUNK_ROWS)
        masked = self._text_mask_arguments(text_mask, maps.shape)
        value = self.memory.array("chunk value", (n, chunks, RIDGE_CANDIDATES, width), np.float32)
        row = self.memory.array("chunk row", (n, chunks, RIDGE_CANDIDATES, width), np.int32)
        mass = self.memory.array("chunk mass", (n, chunks, 2, width), np.float32)
        self.run(
            "ridge_chunks", (width, chunks, n), maps, height, width, CHUNK_ROWS, *masked, value, row, mass,
            block=ROW_BLOCK,
        )  # fmt: skip
        shape = (n, RIDGE_CANDIDATES, width)
        count = n * RIDGE_CANDIDATES * width
        whole = self.memory.array("ridge", (14 * count,), np.uint8)
        score, position, share = (whole.part(4 * k * count, shape, np.float32) for k in range(3))
        rows = whole.part(12 * count, shape, np.int16)
        self.run(
            "ridge_merge", (width, n), maps, height, width, chunks, RIDGE_HALF_WINDOW, value, row, mass, rows,
            score, position, share, block=ROW_BLOCK,
        )  # fmt: skip
        return rows, score, position, share

    def node_candidates(self, logit: AnyArray, offset: AnyArray, threshold: float, stride: int) -> tuple[Array, Array]:
        """Find the peaks of a heatmap, moved by their offsets, in the order of their cells.

        Args:
            logit: (h, w) float32.
            offset: (2, h, w) float32, x and y to the node, cells.
            threshold: least height of a peak, after the sigmoid.
            stride: px a cell.

        Returns:
            Host arrays: (N, 2) float64 canvas px and (N,) float64 score.

        Raises:
            OptionError: a heatmap of another kind.
        """
        logits, move = self.floats("node logits", logit, 2), self.floats("node offsets", offset, 3)
        height, width = logits.shape
        if move.shape != (2, height, width):
            raise bad(f"offsets {move.shape}", f"(2, {height}, {width})", "Pass the output that goes with the heatmap.")
        found = self._list("peaks", PEAK, height * width)
        self.run(
            "peaks", (width, height), logits, move, height, width, np.float32(threshold), np.float32(_MOST_MOVE), found,
            found.part(PEAK.itemsize, (height * width,), PEAK),
        )  # fmt: skip
        count, peaks = self._listed(found, PEAKS_AT_ONCE)
        if count > len(peaks):
            peaks = self.download(found.part(PEAK.itemsize, (count,), PEAK))[0]
        peaks = peaks[peaks["index"].argsort()]
        return stride * peaks["xy"].astype(np.float64) + (stride - 1) / 2, peaks["score"].astype(np.float64)

    def page_heatmaps(
        self, logits: Mapping[str, AnyArray], node_xy: Array, mm_per_cell: float, stride: int
    ) -> dict[str, Array]:
        """Warp heatmaps of logits to 1 px a page mm, in steps of 1/255; values below 5 of these are 0.

        Args:
            logits: name to (C, h, w) float32.
            node_xy: (rows, cols, 2) canvas px of the grid.
            mm_per_cell: its spacing, mm.
            stride: canvas px a cell of the heatmaps.

        Returns:
            Name to host array (C, H, W) float32 in [0, 1].

        Raises:
            OptionError: heatmaps or nodes of another kind.
        """
        hw = (int(mm_per_cell * (len(node_xy) - 1)), int(mm_per_cell * (node_xy.shape[1] - 1)))
        grid = self.grid_arguments(grid_taps(node_xy, mm_per_cell, (0.0, 0.0), (1.0, 1.0), hw))
        maps = {name: self.floats(f"{name} logits", a, 3) for name, a in logits.items()}
        ends = np.cumsum([plane.shape[0] for plane in maps.values()])
        whole = self.memory.array("page heatmaps", (int(ends[-1]), *hw), np.uint8)
        found = self._list("heatmap entries", ENTRY, ENTRIES_AT_ONCE)
        capacity = ENTRIES_AT_ONCE if whole.nbytes <= _INDICES else 0
        for plane, end in zip(maps.values(), ends, strict=True):
            self.run(
                "marks", (hw[1], hw[0]), *grid, plane, *plane.shape, np.float32(stride),
                np.float32((stride - 1) / 2), whole, *hw, int(end) - plane.shape[0], _LEAST_VALUE, found,
                found.part(ENTRY.itemsize, (ENTRIES_AT_ONCE,), ENTRY), capacity,
            )  # fmt: skip
        count, listed = self._listed(found, capacity)
        if count > len(listed):
            out = self.download(whole)[0].astype(np.float32) / 255
        else:
            out = np.zeros(whole.shape, np.float32)
            out.reshape(-1)[listed % _INDICES] = (listed >> 24).astype(np.float32) / 255
        return dict(zip(maps, np.split(out, ends[:-1]), strict=True))

    def gather_rows(self, plane: DeviceArray, row: Array) -> Array:
        """See `ImageOps.gather_rows`."""
        rows = as_rows(row, plane.shape)
        (there,) = self.memory.upload_all("rows", rows)
        into = self.memory.array("gathered rows", rows.shape, np.bool_)
        self.run("at_rows", (rows.shape[1], len(rows)), plane, there, *rows.shape, into)
        return self.download(into)[0]

    def _list(self, name: str, kind: np.dtype[Any], capacity: int) -> DeviceArray:
        """Make an empty list: one entry whose first word is the count, and space for `capacity` entries behind it."""
        whole = self.memory.array(name, (capacity + 1,), kind)
        self.driver.fill(whole.address, 0, 4, self.stream.handle)
        return whole

    def _listed(self, whole: DeviceArray, at_once: int) -> tuple[int, Array]:
        """Download the length of a list and its first entries at once, as two downloads in turn are slow."""
        begin = whole.part(0, (min(at_once + 1, *whole.shape),), whole.dtype)
        entries = self.download(begin)[0]
        count = int(entries[:1].view(np.uint32)[0])
        return count, entries[1 : count + 1]

    def _text_mask_arguments(self, text_mask: TextMask | None, shape: tuple[int, ...]) -> tuple[Argument, ...]:
        """Make the arguments that `ridge_chunks` takes of a text mask."""
        if text_mask is None:
            return None, 0, None, None, np.float32(0)
        _check_text_mask(text_mask, shape)
        mask, row, column = self.memory.upload_all(
            "text mask", np.asarray(text_mask.mask, np.uint8), np.asarray(text_mask.row, np.int32),
            np.asarray(text_mask.column, np.int32),
        )  # fmt: skip
        return mask, mask.shape[1], row, column, np.float32(text_mask.penalty)


def _check_text_mask(text_mask: TextMask, shape: tuple[int, ...]) -> None:
    """Raise `OptionError` if an index points outside the mask, as the GPU would read there."""
    n, height, width = shape
    places = ((text_mask.row, (n, height)), (text_mask.column, (n, width)))
    for (at, wanted), side in zip(places, text_mask.mask.shape, strict=True):
        if at.shape != wanted or at.min() < 0 or at.max() >= side:
            raise bad(
                f"a text mask read at {at.shape} places, {at.min()} to {at.max()}", f"{wanted} places, 0 to {side - 1}",
                "Pass the mask's row and column of every row and column of every tile.",
            )  # fmt: skip

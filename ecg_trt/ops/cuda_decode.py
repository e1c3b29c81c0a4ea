"""Decoding on the GPU: from a network's maps, which stay there, to the few numbers that the host thinks about."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ecg_trt.cuda.memory import DeviceArray
from ecg_trt.cuda.module import ROW_BLOCK
from ecg_trt.geometry.grid import lattice_taps
from ecg_trt.geometry.signal import RIDGE_CANDIDATES, RIDGE_HALF_WINDOW, RidgeCandidates
from ecg_trt.ops.base import Letters
from ecg_trt.ops.cuda_work import CHUNK_ROWS, AnyArray, Argument, CudaWork
from ecg_trt.ops.scale import bad
from ecg_trt.types import Array

_MOST_MOVE = 1.5  # cells, by which an offset may move a node


class CudaDecoding(CudaWork):
    """Decodes what the networks put out; results are host arrays."""

    def ridge(
        self, logits: AnyArray, letters: Letters | None = None, *, half_window: int = RIDGE_HALF_WINDOW
    ) -> RidgeCandidates:
        """Where the pen may be: the highest local maxima of each column, for `RidgeCandidates.followed`.

        Args:
            logits: (n, H, W) float32 of the trace network.
            letters: what the maxima are to be found without.
            half_window: rows on either side of a candidate over which its position is averaged.

        Returns:
            Host arrays.

        Raises:
            OptionError: logits of another kind.
        """
        maps = self.floats("ridge logits", logits, 3)
        n, height, width = maps.shape
        chunks = -(-height // CHUNK_ROWS)
        masked = self._letters(letters, maps.shape)
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
        floats = [whole.part(4 * k * count, shape, np.float32) for k in range(3)]
        rows = whole.part(12 * count, shape, np.int16)
        self.run(
            "ridge_merge", (width, n), maps, height, width, chunks, half_window, value, row, mass, rows, *floats,
            block=ROW_BLOCK,
        )  # fmt: skip
        at, score, shift, share = self.download(rows, *floats)
        return RidgeCandidates(at, score, at + shift, share)

    def node_candidates(
        self, logit: AnyArray, offset: AnyArray, threshold: float, stride: int
    ) -> tuple[Array, Array]:
        """Peaks of a heatmap, moved by their offsets, in the order of their cells.

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
        heat, move = self.floats("node logits", logit, 2), self.floats("node offsets", offset, 3)
        height, width = heat.shape
        if move.shape != (2, height, width):
            raise bad(f"offsets {move.shape}", f"(2, {height}, {width})", "Pass the output that goes with the heatmap.")
        count = self.memory.array("peak count", (1,), np.int32)
        index = self.memory.array("peak index", (height * width,), np.int32)
        found = self.memory.array("peak", (height * width, 3), np.float32)
        self.driver.fill(count.address, 0, count.nbytes, self.stream.handle)
        self.run(
            "peaks", (width, height), heat, move, height, width, np.float32(threshold), np.float32(_MOST_MOVE), count,
            index, found,
        )  # fmt: skip
        n = int(self.download(count)[0][0])
        if not n:
            return np.zeros((0, 2)), np.zeros(0)
        where, peaks = self.download(index.part(0, (n,), np.int32), found.part(0, (n, 3), np.float32))
        peaks = peaks[where.argsort()].astype(np.float64)
        return stride * peaks[:, :2] + (stride - 1) / 2, peaks[:, 2]

    def marks(
        self, logits: Mapping[str, AnyArray], node_xy: Array, mm_per_cell: float, stride: int
    ) -> dict[str, Array]:
        """Heatmaps of logits at 1 px a page mm.

        Args:
            logits: name to (C, h, w) float32.
            node_xy: (rows, cols, 2) canvas px of the lattice.
            mm_per_cell: its spacing, mm.
            stride: canvas px a cell of the heatmaps.

        Returns:
            Name to host array (C, H, W) uint8, 255 where the network is certain.

        Raises:
            OptionError: heatmaps or nodes of another kind.
        """
        hw = (int(mm_per_cell * (len(node_xy) - 1)), int(mm_per_cell * (node_xy.shape[1] - 1)))
        lattice = self.lattice(lattice_taps(node_xy, mm_per_cell, (0.0, 0.0), (1.0, 1.0), hw))
        maps = {name: self.floats(f"{name} logits", a, 3) for name, a in logits.items()}
        whole = self.memory.array("marks", (sum(m.shape[0] for m in maps.values()), *hw), np.uint8)
        out: dict[str, DeviceArray] = {}
        done = 0
        for name, plane in maps.items():
            shape = (plane.shape[0], *hw)
            out[name] = whole.part(done * hw[0] * hw[1], shape, np.uint8)
            self.run(
                "marks", (hw[1], hw[0]), *lattice, plane, *plane.shape, np.float32(stride),
                np.float32((stride - 1) / 2), out[name], *hw,
            )  # fmt: skip
            done += plane.shape[0]
        return dict(zip(out, self.download(*out.values()), strict=True))

    def _letters(self, letters: Letters | None, shape: tuple[int, ...]) -> tuple[Argument, ...]:
        """The arguments that `ridge_chunks` takes of letters."""
        if letters is None:
            return None, 0, None, None, np.float32(0)
        _check_letters(letters, shape)
        mask, row, column = self.memory.upload_all(
            "letters", np.asarray(letters.mask, np.uint8), np.asarray(letters.row, np.int32),
            np.asarray(letters.column, np.int32),
        )  # fmt: skip
        return mask, mask.shape[1], row, column, np.float32(letters.price)


def _check_letters(letters: Letters, shape: tuple[int, ...]) -> None:
    """The GPU reads wherever it is sent: nothing may point outside the mask."""
    n, height, width = shape
    places = ((letters.row, (n, height)), (letters.column, (n, width)))
    for (at, wanted), side in zip(places, letters.mask.shape, strict=True):
        if at.shape != wanted or at.min() < 0 or at.max() >= side:
            raise bad(
                f"letters at {at.shape} places, {at.min()} to {at.max()}", f"{wanted} places, 0 to {side - 1}",
                "Pass the mask's row and column of every row and column of every tile.",
            )  # fmt: skip

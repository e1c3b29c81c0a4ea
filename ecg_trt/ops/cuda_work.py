"""Common base of all work on the GPU: a stream, the kernels, named memory, and the launch of kernels."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from ecg_trt.closeable import Closeable
from ecg_trt.cuda.driver import Driver
from ecg_trt.cuda.kernel_set import BLOCK, Kernels
from ecg_trt.cuda.memory import DeviceArray, Workspace
from ecg_trt.cuda.staging import StagedPhoto, Staging
from ecg_trt.cuda.stream import Stream
from ecg_trt.geometry.grid import GridTaps
from ecg_trt.geometry.ridge import RIDGE_CANDIDATES
from ecg_trt.networks import NETWORKS, PAGE, TILES, VIEW
from ecg_trt.ops.reduction import bad
from ecg_trt.types import Array

AnyArray: TypeAlias = "Array | DeviceArray"
Argument: TypeAlias = "DeviceArray | np.generic | int | None"
CHUNK_ROWS = 40  # Rows of a column that one thread reads.
PEAK = np.dtype([("index", np.uint32), ("xy", np.float32, 2), ("score", np.float32)])  # This is Peak in peaks.cu.
ENTRY = np.dtype(np.uint32)  # See marks.cu.
# As many entries are downloaded together with their count; most pages have fewer.
PEAKS_AT_ONCE, ENTRIES_AT_ONCE = 4096, 32768
ORIENTATION_ROWS = 64  # Rows of a view's column that one thread sums up.
POWER_BINS = 46 << 8  # Bins of the histogram of squared gradients, all below 2^26.
_MOST_NODES, _MOST_LINES = 1 << 13, 1 << 12  # Of a grid, and of lines in one direction; a view has no more columns.
_PROFILE_BYTES = 160  # At each node two lines cross, of which 19 px and 9 px are read.


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of the memory that is allocated at the start; growth on demand is logged.

    Attributes:
        photo_px: pixels of the largest expected photo.
        view_px: of the largest warped view.
        page_px: of the flat page, as traces are read.
        lines_px: of the flat page, as its lines are measured.
        tiles: strips' tiles traced at a time.
        tile_hw: their height and width.
        heatmap_cells: cells of a heatmap.
        heatmaps_bytes: heatmaps on the page, all planes.
    """

    photo_px: int = 12_600_000
    view_px: int = 1_640_000
    page_px: int = 8_000_000
    lines_px: int = 4_000_000
    tiles: int = NETWORKS["stage2"].batch
    tile_hw: tuple[int, int] = NETWORKS["stage2"].hw
    heatmap_cells: int = 103_000
    heatmaps_bytes: int = 3_600_000

    def device(self) -> dict[str, int]:
        """Map names to bytes of device memory."""
        height, width = self.tile_hw
        column = self.tiles * width
        chunks = -(-height // CHUNK_ROWS)
        return {
            "photo": 3 * self.photo_px, "reduced": 3 * self.photo_px // 4, VIEW: 3 * self.view_px,
            "grey": self.view_px, PAGE: 3 * self.page_px, "seen": self.page_px, "grid": 1 << 19,
            TILES: 3 * self.tiles * height * width, "corners": 4096, "text mask": 1 << 20,
            "chunk value": 4 * chunks * RIDGE_CANDIDATES * column, "chunk row": 4 * chunks * RIDGE_CANDIDATES * column,
            "chunk mass": 8 * chunks * column, "ridge": 14 * RIDGE_CANDIDATES * column, "ridge path": 13 * column,
            "peaks": PEAK.itemsize * (self.heatmap_cells + 1), "page heatmaps": self.heatmaps_bytes,
            "heatmap entries": ENTRY.itemsize * (ENTRIES_AT_ONCE + 1), "page planes": 2 * self.lines_px,
            "page sums": 4 * self.lines_px, "page contrast": 8 * self.lines_px, "page sample": self.lines_px // 8,
            "line columns": 4 * _MOST_LINES, "line places": 8 * _MOST_LINES,
            "line profiles": _PROFILE_BYTES * _MOST_NODES, "line peaks": 16 * _MOST_NODES,
            "blurred rows": 4 * self.view_px, "blurred": 4 * self.view_px, "orientation powers": 4 * POWER_BINS,
            "rows": 1 << 19, "gathered rows": 1 << 17,
            "orientation sums": 12 * (self.view_px // ORIENTATION_ROWS + 2 * _MOST_LINES),
        }  # fmt: skip

    def pinned(self) -> dict[str, int]:
        """Map names to bytes of pinned memory."""
        return {
            "photo": 3 * self.photo_px, "grid": 1 << 19, "corners": 4096, "text mask": 1 << 20,
            "line columns": 4 * _MOST_LINES, "line places": 8 * _MOST_LINES, "rows": 1 << 19,
            "download": max(4 * self.page_px, self.heatmaps_bytes),
        }  # fmt: skip


class CudaWork(Closeable):
    """Stream of work on one GPU.

    Args:
        driver: of the GPU; stays open when this is closed.
        kernels: of the driver, shared with others; loaded and owned here if None.
        sizes: of what is allocated at the start.

    Raises:
        BackendUnavailableError: the kernels are not compiled, and NVRTC is not installed.
        DeviceError: the GPU cannot serve; nothing stays allocated.
    """

    def __init__(self, driver: Driver, kernels: Kernels | None = None, sizes: Sizes | None = None) -> None:
        sizes = sizes or Sizes()
        self.driver = driver
        with ExitStack() as stack:
            self.stream = stack.enter_context(Stream(driver))
            self._kernels = kernels or stack.enter_context(Kernels(driver))
            self.memory = Workspace(driver, self.stream, sizes.device(), sizes.pinned())
            stack.callback(self.memory.close)
            self._staging = stack.enter_context(Staging(driver))
            self._stack = stack.pop_all()

    def close(self) -> None:
        """Free everything; more than once is fine."""
        self._stack.close()

    def copy_to_pinned(self, image: Array) -> Any:
        """See `ImageOps.copy_to_pinned`: in pinned memory, which `upload` copies straight."""
        check_image(image)
        return self._staging.copy_to_pinned(image) if self.driver.any_thread else image

    def upload(self, image: AnyArray | StagedPhoto) -> DeviceArray:
        """Upload a photo (H, W, 3) uint8 to the GPU."""
        check_image(image)
        if isinstance(image, StagedPhoto):
            there = self.memory.array("photo", image.shape, image.dtype)
            image.copy_to(there, self.stream)
            return there
        return image if isinstance(image, DeviceArray) else self.memory.upload("photo", image)

    def download(self, *arrays: DeviceArray | Array) -> tuple[Array, ...]:
        """Wait for all that is queued and return host copies; host arrays are returned as they are."""
        there = iter(self.memory.download(*(array for array in arrays if isinstance(array, DeviceArray))))
        return tuple(next(there) if isinstance(array, DeviceArray) else array for array in arrays)

    def run(
        self, kernel: str, extent: tuple[int, ...], *arguments: Argument,
        block: tuple[int, int, int] = BLOCK,
    ) -> None:  # fmt: skip
        """Queue a kernel; arrays become their addresses, None the address 0, and ints int32."""
        ready: list[np.generic[Any]] = []
        for value in arguments:
            if isinstance(value, DeviceArray) or value is None:
                ready.append(np.uint64(0 if value is None else value.address))
            else:
                ready.append(value if isinstance(value, np.generic) else np.int32(value))
        self._kernels.launch(kernel, extent, self.stream, *ready, block=block)

    def floats(self, name: str, array: AnyArray, ndim: int) -> DeviceArray:
        """Bring a network's output (float32, `ndim` axes) to the GPU. Raises `OptionError` if it is something else."""
        if array.ndim != ndim or 0 in array.shape or array.dtype != np.float32:
            raise bad(f"{name} {array.shape} of {array.dtype}", f"{ndim} axes of float32", "Pass the network's output.")
        return array if isinstance(array, DeviceArray) else self.memory.upload(name, array)

    def grid_arguments(self, taps: GridTaps) -> tuple[Argument, ...]:
        """Make the arguments that kernels take of a grid."""
        rows, cols = taps.node_xy.shape[:2]
        spare = ((0, max(0, 4 - rows)), (0, max(0, 4 - cols)), (0, 0))  # Padded nodes have weight 0.
        node = np.pad(taps.node_xy, spare, mode="edge").astype(np.float32)
        axes = [a for t in (taps.x, taps.y) for a in (t.first, t.cell, t.weight.astype(np.float32))]
        node_there, blank, *there = self.memory.upload_all("grid", node, taps.blank.astype(np.uint8), *axes)
        return node_there, blank, node.shape[1], taps.blank.shape[1], *there


def check_image(image: AnyArray | StagedPhoto) -> None:
    """Raise `OptionError` unless an image is (H, W, 3) uint8."""
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape or image.dtype != np.uint8:
        got = f"an array {image.shape} of {image.dtype}"
        raise bad(got, "(H, W, 3), not empty, uint8", "Decode the picture first.")

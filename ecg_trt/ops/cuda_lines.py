"""Measurement of the paper's printed lines on the GPU: their direction, and their offsets from the expected places."""

from __future__ import annotations

import cv2
import numpy as np

from ecg_trt.cuda.kernel_set import ROW_BLOCK
from ecg_trt.cuda.memory import DeviceArray
from ecg_trt.geometry.lines import BLUR_SIGMA, BLUR_TAPS, LIMIT_PERCENT, SEEN_REACH, mean_direction, most_power
from ecg_trt.geometry.offsets import (
    LEAST_BARE,
    LEAST_SHARE,
    LEAST_SPREAD,
    PEN_HALO,
    PEN_REACH,
    SAMPLE_PX,
    SAMPLE_ROWS,
    SAMPLE_STEPS,
    LineOffsets,
    LinePlaces,
    Profiles,
    darkness_range,
    line_columns,
    paper_window,
    thresholds,
)
from ecg_trt.ops.cuda_work import ORIENTATION_ROWS, POWER_BINS, Argument, CudaWork, check_image
from ecg_trt.ops.reduction import bad
from ecg_trt.types import Array

_MOST_WINDOW = 257  # A sum of bytes over as many px is below 2^16.
_FIRST_BIN = (127 - 20) << 8  # Bin of the power 2^-20; ruling_powers counts 256 bins an octave.


class CudaLines(CudaWork):
    """Measurement of lines on the GPU; results are host arrays and numbers."""

    def line_offsets(self, page: DeviceArray, px_per_mm: tuple[float, float], places: LinePlaces) -> LineOffsets:
        """See `geometry.offsets.line_offsets`.

        Args:
            page: (H, W, 3) uint8, the flat page.
            px_per_mm: (x, y) of the page.
            places: where the lines should be.

        Returns:
            Host arrays.

        Raises:
            OptionError: no page, no lines, or a scale at which lines cannot be resolved.
        """
        check_image(page)
        height, width = page.shape[:2]
        upright, level = Profiles.both((height, width), px_per_mm, places)
        counts = [at.line_px.size * at.at_px.size for at in (upright, level)]
        if not all(counts) or min(upright.reach, level.reach) < 1:
            got = f"{len(places.x_mm)} x {len(places.y_mm)} lines at {px_per_mm} px/mm"
            raise bad(got, "at least one each way, and 1.2 px/mm", "Flatten the page at a finer scale.")
        dark, bare, scale = self._darkness(page, px_per_mm, places.x_mm)
        px = [(at.line_px.astype(np.int32), at.at_px.astype(np.int32)) for at in (upright, level)]
        there = self.memory.upload_all("line places", *px[0], *px[1])
        found = self.memory.array("line peaks", (2 * sum(counts),), np.float32)
        frames = (height, width, width, 1), (width, height, 1, width)
        results = []
        for k, at in enumerate((upright, level)):
            part = found.part(8 * k * counts[0], (2 * counts[k],), np.float32)
            self._profiles(dark, bare, scale, at, frames[k], (there[2 * k], there[2 * k + 1]), part)
        (host,) = self.download(found)
        for at, peaks in zip((upright, level), np.split(host, [2 * counts[0]]), strict=True):
            peak, prominence = peaks.reshape(2, at.at_px.size, at.line_px.size)
            results.append((at.offset(peak), prominence))
        (x, x_prominence), (y, y_prominence) = results
        return LineOffsets(x, x_prominence, y.T, y_prominence.T)

    def _darkness(
        self, page: DeviceArray, px_per_mm: tuple[float, float], x_mm: Array
    ) -> tuple[DeviceArray, DeviceArray, tuple[float, float]]:
        """Compute darkness (H, W) float32, pixels without pen (H, W) uint8, and the range of darkness that counts."""
        (height, width), pixels = page.shape[:2], page.shape[0] * page.shape[1]
        window = paper_window(px_per_mm)
        if max(window) > _MOST_WINDOW:
            raise bad(f"{px_per_mm} px/mm", "at most 64", "Flatten the page at a coarser scale.")
        planes = self.memory.array("page planes", (2, height, width), np.uint8)
        sums = self.memory.array("page sums", (2, height, width), np.uint16)
        contrast = self.memory.array("page contrast", (2, height, width), np.float32)
        self.run("page_planes", (pixels,), page, pixels, planes, block=ROW_BLOCK)
        self.run("paper_columns", (width, height, 2), planes, height, width, window[1] // 2, sums)
        self.run(
            "paper_darkness", (width, height, 2), planes, sums, height, width, window[0] // 2, window[0] * window[1],
            contrast,
        )  # fmt: skip
        dark, colourless = (contrast.part(4 * k * pixels, (height, width), np.float32) for k in (0, 1))
        limit, weak, strong = self._thresholds(dark, colourless, px_per_mm[0], x_mm)
        # The planes and sums are not needed any more, so their memory is used again.
        near, pen = (planes.part(k * pixels, (height, width), np.uint8) for k in (0, 1))
        bare = sums.part(0, (height, width), np.uint8)
        self.run("pen_rows", (width, height), colourless, height, width, np.float32(strong), PEN_REACH, near)
        self.run("pen_columns", (width, height), colourless, near, height, width, np.float32(weak), PEN_REACH, pen)
        self.run("pen_halo", (width, height), pen, height, width, PEN_HALO, bare)
        return dark, bare, darkness_range(limit)

    def _thresholds(
        self, dark: DeviceArray, colourless: DeviceArray, px_per_mm: float, x_mm: Array
    ) -> tuple[float, float, float]:
        """See `geometry.offsets.thresholds`; the sample that it judges by is all that is downloaded."""
        height, width = dark.shape
        columns, reach = line_columns(x_mm, px_per_mm, width)
        shape = (-(-height // SAMPLE_PX), -(-width // SAMPLE_PX))
        lines = (-(-height // SAMPLE_ROWS), len(columns))
        whole = self.memory.array("page sample", (shape[0] * shape[1] + lines[0] * lines[1],), np.int16)
        steps = np.float32(SAMPLE_STEPS)
        self.run("every_pixel", shape[::-1], dark, width, SAMPLE_PX, steps, whole, *shape)
        if len(columns):
            (there,) = self.memory.upload_all("line columns", columns.astype(np.int32))
            darkest = whole.part(2 * shape[0] * shape[1], lines, np.int16)
            self.run(
                "every_line", lines[::-1], colourless, width, SAMPLE_ROWS, there, lines[1], reach, steps, darkest,
                lines[0],
            )  # fmt: skip
        sample = self.download(whole)[0]
        return thresholds(sample[: shape[0] * shape[1]], sample[shape[0] * shape[1] :])

    def _profiles(
        self, dark: DeviceArray, bare: DeviceArray, scale: tuple[float, float], at: Profiles,
        frame: tuple[int, int, int, int], px: tuple[DeviceArray, DeviceArray], out: DeviceArray,
    ) -> None:  # fmt: skip
        """Measure peaks and prominences (2, m, n) of lines at px[0], sampled at px[1]; `frame` is sizes and strides."""
        n, m, length = px[0].shape[0], px[1].shape[0], 2 * at.reach + 1
        whole = self.memory.array("line profiles", (2, m, n, length), np.float32)
        mean, share = (whole.part(k * whole.nbytes // 2, (m, n, length), np.float32) for k in (0, 1))
        least, most = (np.float32(limit) for limit in scale)
        self.run(
            "line_profiles", (n * length, m), dark, bare, *frame, least, most, *px, n, at.reach, at.window // 2,
            np.float32(LEAST_SHARE), mean, share, block=ROW_BLOCK,
        )  # fmt: skip
        self.run(
            "line_peaks", (n, m), mean, share, *frame[:2], *px, n, m, at.reach, *at.middle, np.float32(LEAST_BARE),
            np.float32(LEAST_SPREAD), out, block=ROW_BLOCK,
        )  # fmt: skip

    def line_orientation(
        self, grey: DeviceArray, view: tuple[np.generic, ...], photo_hw: tuple[int, ...]
    ) -> tuple[float, float]:
        """Measure the direction of lines in a view of a photo, as `geometry.lines.line_angle` does.

        Args:
            grey: (H, W) uint8, the view.
            view: arguments of `View` in view.cuh, which decides what pixels of the photo are valid.
            photo_hw: (height, width) of the photo, px.
        """
        height, width = grey.shape
        taps = [np.float32(w) for w in cv2.getGaussianKernel(BLUR_TAPS, BLUR_SIGMA)[BLUR_TAPS // 2 :, 0]]
        rows, smooth = (self.memory.array(name, grey.shape, np.float32) for name in ("blurred rows", "blurred"))
        self.run("ruling_rows", (width, height), grey, height, width, *taps, rows)
        self.run("ruling_columns", (width, height), rows, height, width, *taps, smooth)
        shared: tuple[Argument, ...] = (smooth, height, width, *view, *photo_hw[:2], SEEN_REACH)
        counts = self.memory.array("orientation powers", (POWER_BINS,), np.int32)
        self.driver.fill(counts.address, 0, counts.nbytes, self.stream.handle)
        self.run("ruling_powers", (width, height), *shared, _FIRST_BIN, POWER_BINS, counts)
        limit = most_power(_percentile(self.download(counts)[0], height * width))
        chunks = -(-height // ORIENTATION_ROWS)
        whole = self.memory.array("orientation sums", (3 * (chunks + 1) * width,), np.float32)
        sums, part = whole.part(0, (3, width), np.float32), whole.part(12 * width, (3, chunks, width), np.float32)
        self.run("ruling_chunks", (width, chunks), *shared, np.float32(limit), ORIENTATION_ROWS, part, block=ROW_BLOCK)
        self.run("ruling_sums", (width, 3), part, chunks, width, sums, block=ROW_BLOCK)
        weight, cosine, sine = self.download(sums)[0].sum(1, dtype=np.float64)
        return mean_direction(float(cosine), float(sine), float(weight))


def _percentile(counts: Array, pixels: int) -> float:
    """Compute the `LIMIT_PERCENT`-th percentile of the powers of all pixels; those not counted are 0."""
    rank = LIMIT_PERCENT / 100 * (pixels - 1)
    below = pixels - counts.sum(dtype=np.int64) + np.cumsum(counts, dtype=np.int64)
    k = int(np.searchsorted(below, rank, side="right"))
    if k == 0 and rank < below[0] - counts[0]:
        return 0.0
    k = min(k, len(counts) - 1)
    low, high = (np.array([_FIRST_BIN + k, _FIRST_BIN + k + 1], np.uint32) << 15).view(np.float32).astype(np.float64)
    return float(low + (high - low) * min(1.0, (rank - (below[k] - counts[k]) + 0.5) / max(counts[k], 1)))

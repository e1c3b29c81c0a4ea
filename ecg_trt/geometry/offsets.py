"""Offsets of the printed lines from where the grid expects them, measured on the page that it rectified.

A line shows as darkness. Averaging windows along the lines makes this far finer than any single intersection.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ecg_trt.types import Array, GridWarp

LEAST_BARE = 0.25  # Share of a window's length that must be free of the pen for its line to count.
LEAST_SHARE = 0.1  # Least share by which a window's darkness is divided, so that hardly any paper does not blow it up.
LEAST_SPREAD = 1e-4  # Least spread of a profile, so that the prominence of a flat one stays finite.
PEN_REACH = 3  # Pixels from certain pen within which weaker ink is pen, too; farther off it may be a grey line.
PEN_HALO = 2  # Pixels around the pen that are left out, because its blurred rim is neither pen nor paper.
SAMPLE_PX, SAMPLE_ROWS = 7, 5  # The darkness of the whole page is sampled at every 7th pixel, and in every 5th row.
SAMPLE_STEPS = 32767.0  # Steps of darkness from 0 to 1 in that sample, so that a GPU sends back 16 bits a value.
_REACH_MM = 0.45  # Less than half a small box, so that a 1 mm line is never taken for its neighbour.
_WINDOW_MM, _SHORT_WINDOW_MM = 5.0, 4.0  # Lengths of line that are averaged.
_PAPER_MM = 4.0  # Side of the square over which the brightness of the paper is averaged.
_LINE_MM = 0.3  # A line is sought this far on either side of its expected place when its darkness is estimated.
# Darkness of weak and of certain pen, as multiples of the median darkness of lines, in the channel that shows the
# lines least.
_PEN = (1.3, 1.9)


@dataclass(frozen=True, slots=True)
class LinePlaces:
    """Expected lines and the places along them at which they are measured, in mm from the page's pixel (0, 0).

    Attributes:
        x_mm: (cols,) of vertical lines.
        y_mm: (rows,) of horizontal lines.
        at_x_mm: (k,) places along horizontal lines.
        at_y_mm: (l,) places along vertical lines.
        window_mm: length of line that is averaged.
    """

    x_mm: Array
    y_mm: Array
    at_x_mm: Array
    at_y_mm: Array
    window_mm: float

    @staticmethod
    def of(grid: GridWarp, origin_mm: tuple[float, float], every: int = 1) -> LinePlaces:
        """Expect a line at every `every`-th row and column of a grid, on a page with its pixel (0, 0) at origin_mm.

        Lines are measured at all nodes on them; with shorter windows where nodes are dense.
        """
        x, y = (
            np.arange(n) * grid.mm_per_cell - start
            for n, start in zip(grid.node_xy.shape[1::-1], origin_mm, strict=True)
        )
        return LinePlaces(x[::every], y[::every], x, y, _WINDOW_MM if every == 1 else _SHORT_WINDOW_MM)


@dataclass(frozen=True, slots=True)
class LineOffsets:
    """Measured offsets of the page's lines from their `LinePlaces`.

    Attributes:
        x: (l, cols) float64, mm by which vertical lines lie too far right.
        x_prominence: (l, cols) float32, height of the line's peak over the rest of its profile, in units of the
            profile's spread; 0 where the line lies outside the page or is hidden.
        y: (rows, k) float64, mm by which horizontal lines lie too low.
        y_prominence: (rows, k) float32, likewise.
    """

    x: Array
    x_prominence: Array
    y: Array
    y_prominence: Array


@dataclass(frozen=True, slots=True)
class Profiles:
    """Windows of pixels in which vertical lines are measured; horizontal ones are measured on the transposed page.

    Attributes:
        line_px: (n,) int64, the pixel nearest to where each line should be.
        exact_px: (n,) float64, where each line should be.
        at_px: (m,) int64, the row at which to measure.
        reach: px on either side of a line.
        window: px along the line that are averaged, odd.
        middle: first and last + 1 of the 2 * reach + 1 px in which the line's peak is looked for.
        inside: (m, n) bool, where all of the profile lies on the page.
        across: px per mm across the lines.
    """

    line_px: Array
    exact_px: Array
    at_px: Array
    reach: int
    window: int
    middle: tuple[int, int]
    inside: Array
    across: float

    @staticmethod
    def both(hw: tuple[int, int], px_per_mm: tuple[float, float], places: LinePlaces) -> tuple[Profiles, Profiles]:
        """Lay out the profiles of the vertical lines, and of the horizontal lines on the transposed page."""
        sx, sy = px_per_mm
        return (
            Profiles.of(hw, sy, sx, places.x_mm, places.at_y_mm, places.window_mm),
            Profiles.of(hw[::-1], sx, sy, places.y_mm, places.at_x_mm, places.window_mm),
        )

    @staticmethod
    def of(
        hw: tuple[int, int], along: float, across: float, lines_mm: Array, at_mm: Array, window_mm: float
    ) -> Profiles:
        """Lay out the profiles of a page (H, W) of vertical lines, `along` and `across` being px per mm.

        Positions in mm are counted from pixel 0.
        """
        reach = round(2 * _REACH_MM * across)
        rows = np.round(at_mm * along).astype(int)
        columns = lines_mm * across
        whole = np.round(columns).astype(int)
        inside = np.outer((rows >= 0) & (rows < hw[0]), (whole >= reach) & (whole + reach < hw[1]))
        middle = (reach // 2, reach + 1 + (reach + 1) // 2)
        window = 2 * round(window_mm * along / 2) + 1
        return Profiles(whole, columns, rows, reach, window, middle, inside, across)

    def offset(self, peak: Array) -> Array:
        """Convert peaks (m, n), px from `line_px`, to offsets (m, n) float64, mm."""
        return np.asarray((peak + self.line_px - self.exact_px) / self.across)


def paper_window(px_per_mm: tuple[float, float]) -> tuple[int, int]:
    """Size (x, y) of the window over which the brightness of the paper is averaged, odd, px."""
    x, y = (2 * round(_PAPER_MM * s / 2) + 1 for s in px_per_mm)
    return x, y


def line_columns(x_mm: Array, px_per_mm: float, width: int) -> tuple[Array, int]:
    """Columns (k,) of the page where vertical lines are expected, and px on either side that belong to them."""
    columns = np.round(x_mm * px_per_mm).astype(int)
    return columns[(columns >= 0) & (columns < width)], round(_LINE_MM * px_per_mm)


def sampled(dark: Array) -> Array:
    """Quantise darkness for `thresholds`: int16, -1 to 1 in steps of 1 / `SAMPLE_STEPS`."""
    return np.asarray(np.rint(dark.clip(-1, 1) * np.float32(SAMPLE_STEPS)).astype(np.int16))


def thresholds(dark: Array, darkest: Array) -> tuple[float, float, float]:
    """Compute the darkness at which the 15 % darkest pixels begin, and those of weak and of certain pen.

    Args:
        dark: `sampled` darkness, at every `SAMPLE_PX`-th pixel of every `SAMPLE_PX`-th row.
        darkest: (h, k) `sampled`, of the brightest channel, near each of the k lines in every `SAMPLE_ROWS`-th row.
    """
    limit = float(np.percentile(dark, 85)) / SAMPLE_STEPS
    line = float(np.median(darkest)) / SAMPLE_STEPS if darkest.size else 0.0
    weak, strong = (times * max(line, 0.05) for times in _PEN)
    return limit, weak, strong


def darkness_range(limit: float) -> tuple[float, float]:
    """Range to which darkness is clipped, so that neither glare nor a letter outweighs the lines."""
    return -2 * limit, 2 * limit + 0.02


def darkness(image: Array, px_per_mm: tuple[float, float], x_mm: Array) -> tuple[Array, Array]:
    """Measure the darkness relative to the paper around, and mask the pen: both (H, W) float32, 0 under the pen.

    Lines are mostly coloured and pens are not: the brightest of the three channels hardly shows a line.

    Args:
        image: (H, W, 3) uint8 RGB, the flat page.
        px_per_mm: (x, y).
        x_mm: places where vertical lines are expected, mm from pixel 0.
    """
    size = paper_window(px_per_mm)

    def against_paper(grey: Array) -> Array:
        return np.asarray(1 - grey / np.maximum(cv2.blur(grey, size), 1))

    dark = against_paper(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32))
    red, green, blue = cv2.split(image)
    colourless = against_paper(cv2.max(cv2.max(red, green), blue).astype(np.float32))
    columns, reach = line_columns(x_mm, px_per_mm[0], image.shape[1])
    darkest = cv2.dilate(colourless[::SAMPLE_ROWS], np.ones((1, 2 * reach + 1), np.uint8))
    limit, weak, strong = thresholds(sampled(dark[::SAMPLE_PX, ::SAMPLE_PX]), sampled(darkest[:, columns]))
    pen = _spread(_spread(colourless > strong, PEN_REACH) & (colourless > weak), PEN_HALO)
    return np.clip(dark, *darkness_range(limit)), (~pen).astype(np.float32)


def _spread(mask: Array, reach: int) -> Array:
    """Dilate a mask (H, W) by `reach` px along both axes."""
    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * reach + 1,) * 2, np.uint8)) > 0


def _offsets(dark: Array, bare: Array, at: Profiles) -> tuple[Array, Array]:
    """Measure the offsets of vertical lines.

    Args:
        dark: (H, W) darkness.
        bare: (H, W), 0 under the pen, else 1.
        at: windows in which to measure.

    Returns:
        Offsets (m, n), mm, and prominence (m, n), 0 where the line lies outside the page or is hidden.
    """
    reach, window = at.reach, (1, at.window)
    share = cv2.blur(bare, window)
    mean = cv2.blur(dark * bare, window) / np.maximum(share, LEAST_SHARE)
    rows, near = at.at_px, at.line_px[:, None] + np.arange(-reach, reach + 1)
    where = np.ix_(np.clip(rows, 0, dark.shape[0] - 1), np.clip(near, 0, dark.shape[1] - 1).ravel())
    profile, clear = (m[where].reshape(len(rows), *near.shape) for m in (mean, share))
    k = profile[:, :, slice(*at.middle)].argmax(2) + at.middle[0]
    k = np.clip(k, 1, 2 * reach - 1)
    pick = np.ix_(range(len(rows)), range(len(near)))
    left, top, right = (profile[(*pick, k + d)] for d in (-1, 0, 1))
    bend = np.minimum(left - 2 * top + right, -1e-9)
    peak = k + np.clip(0.5 * (left - right) / bend, -0.5, 0.5) - reach
    rest = np.median(np.abs(profile - np.median(profile, 2, keepdims=True)), 2) + LEAST_SPREAD
    prominence = (top - np.median(profile, 2)) / rest
    return at.offset(peak), prominence * (at.inside & (clear.min(2) > LEAST_BARE))


def line_offsets(image: Array, px_per_mm: tuple[float, float], places: LinePlaces) -> LineOffsets:
    """Measure the offsets of the printed lines.

    Args:
        image: (H, W, 3) uint8 RGB, the flat page or part of it.
        px_per_mm: (x, y) of the page.
        places: expected lines.
    """
    dark, bare = darkness(image, px_per_mm, places.x_mm)
    upright, level = Profiles.both(dark.shape, px_per_mm, places)
    x, x_prominence = _offsets(dark, bare, upright)
    turned, bare_turned = (np.ascontiguousarray(m.T) for m in (dark, bare))
    y, y_prominence = _offsets(turned, bare_turned, level)
    return LineOffsets(x, x_prominence, y.T, y_prominence.T)

"""How far the printed lines lie from where the lattice expects them, on the page that was flattened with it.

A line shows as darkness. Windows along the lines make this far finer than any single crossing.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ecg_trt.types import Array, GridWarp

LEAST_BARE = 0.25  # of a window's length that must be free of the pen
LEAST_SHARE = 0.1  # of it: with less, its darkness is taken for fainter than it is
LEAST_SPREAD = 1e-4  # of a profile
PEN_REACH = 3  # px: part of a pen is what has a pen surely that near; farther on, grey lines would be taken for it
PEN_HALO = 2  # px, around the pen: its blurred rim is neither pen nor paper
SAMPLE_PX, SAMPLE_ROWS = 7, 5  # every how many pixels and rows the whole page's darkness is judged by
SAMPLE_STEPS = 32767.0  # of darkness from 0 to 1, in that sample: 16 bits a value are what a GPU sends back
_REACH_MM = 0.45  # less than half a small box, so that a 1 mm line is never taken for its neighbour
_WINDOW_MM, _SHORT_WINDOW_MM = 5.0, 4.0  # lengths of line that are averaged
_PAPER_MM = 4.0  # paper brightness is averaged over this
_LINE_MM = 0.3  # on either side of where it is expected, a line is looked for when the usual line is judged
_PEN = (1.3, 1.9)  # times as dark as most lines, in the channel that sees lines least: part of a pen, surely a pen


@dataclass(frozen=True, slots=True)
class LinePlaces:
    """Where lines should be, and where along them they are measured; mm from the page's pixel (0, 0).

    Attributes:
        x_mm: (cols,) upright lines.
        y_mm: (rows,) level lines.
        at_x_mm: (k,) along level lines.
        at_y_mm: (l,) along upright lines.
        window_mm: length of line that is averaged.
    """

    x_mm: Array
    y_mm: Array
    at_x_mm: Array
    at_y_mm: Array
    window_mm: float

    @staticmethod
    def of(grid: GridWarp, origin_mm: tuple[float, float], every: int = 1) -> LinePlaces:
        """On a page with its pixel (0, 0) at origin_mm: a line is printed at every `every`-th row and column of nodes.

        Lines are measured at all nodes that lie on them, where nodes are dense with shorter windows.
        """
        x, y = (
            np.arange(n) * grid.mm_per_cell - start
            for n, start in zip(grid.node_xy.shape[1::-1], origin_mm, strict=True)
        )
        return LinePlaces(x[::every], y[::every], x, y, _WINDOW_MM if every == 1 else _SHORT_WINDOW_MM)


@dataclass(frozen=True, slots=True)
class LineOffsets:
    """Where the page's lines lie, against where they should (`LinePlaces`).

    Attributes:
        x: (l, cols) float64, mm by which upright lines lie too far right.
        x_prominence: (l, cols) float32, of the line over what is beside it; 0 where it lies outside or is hidden.
        y: (rows, k) float64, mm by which level lines lie too low.
        y_prominence: (rows, k) float32.
    """

    x: Array
    x_prominence: Array
    y: Array
    y_prominence: Array


@dataclass(frozen=True, slots=True)
class Profiles:
    """Across which pixels lines are looked for, and along which: lines upright, along = down.

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
        """Those of the upright lines, and those of the level lines on the page turned over its diagonal."""
        sx, sy = px_per_mm
        return (
            Profiles.of(hw, sy, sx, places.x_mm, places.at_y_mm, places.window_mm),
            Profiles.of(hw[::-1], sx, sy, places.y_mm, places.at_x_mm, places.window_mm),
        )

    @staticmethod
    def of(
        hw: tuple[int, int], along: float, across: float, lines_mm: Array, at_mm: Array, window_mm: float
    ) -> Profiles:
        """Of a page (H, W), lines upright, at `along` and `across` px per mm; mm are counted from pixel 0."""
        reach = round(2 * _REACH_MM * across)
        rows = np.round(at_mm * along).astype(int)
        columns = lines_mm * across
        whole = np.round(columns).astype(int)
        inside = np.outer((rows >= 0) & (rows < hw[0]), (whole >= reach) & (whole + reach < hw[1]))
        middle = (reach // 2, reach + 1 + (reach + 1) // 2)
        window = 2 * round(window_mm * along / 2) + 1
        return Profiles(whole, columns, rows, reach, window, middle, inside, across)

    def offset(self, peak: Array) -> Array:
        """(m, n) float64 mm of lines whose peaks lie (m, n) px from `line_px`."""
        return np.asarray((peak + self.line_px - self.exact_px) / self.across)


def paper_window(px_per_mm: tuple[float, float]) -> tuple[int, int]:
    """(x, y) px over which the paper's brightness is averaged, odd."""
    x, y = (2 * round(_PAPER_MM * s / 2) + 1 for s in px_per_mm)
    return x, y


def line_columns(x_mm: Array, px_per_mm: float, width: int) -> tuple[Array, int]:
    """(k,) columns of the page where upright lines are expected, and px on either side that belong to them."""
    columns = np.round(x_mm * px_per_mm).astype(int)
    return columns[(columns >= 0) & (columns < width)], round(_LINE_MM * px_per_mm)


def sampled(dark: Array) -> Array:
    """Darkness float32 as `thresholds` takes it: int16, -1 to 1 in steps of 1 / `SAMPLE_STEPS`."""
    return np.asarray(np.rint(dark.clip(-1, 1) * np.float32(SAMPLE_STEPS)).astype(np.int16))


def thresholds(dark: Array, darkest: Array) -> tuple[float, float, float]:
    """What is as dark as darkness counts, and what is part of a pen, and surely a pen.

    Args:
        dark: `sampled` darkness, at every `SAMPLE_PX`-th pixel of every `SAMPLE_PX`-th row.
        darkest: (h, k) `sampled`, of the brightest channel, near each of the k lines in every `SAMPLE_ROWS`-th row.
    """
    limit = float(np.percentile(dark, 85)) / SAMPLE_STEPS
    line = float(np.median(darkest)) / SAMPLE_STEPS if darkest.size else 0.0
    weak, strong = (times * max(line, 0.05) for times in _PEN)
    return limit, weak, strong


def darkness_range(limit: float) -> tuple[float, float]:
    """Least and most darkness that counts: neither glare nor a letter must outweigh the lines."""
    return -2 * limit, 2 * limit + 0.02


def darkness(image: Array, px_per_mm: tuple[float, float], x_mm: Array) -> tuple[Array, Array]:
    """How much darker than the paper around, and where there is no pen: both (H, W) float32.

    Lines are mostly coloured and pens are not: the brightest of the three channels hardly sees a line.

    Args:
        image: (H, W, 3) uint8 RGB, the flat page.
        px_per_mm: (x, y).
        x_mm: where upright lines are expected, mm from pixel 0.
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
    """(H, W) bool: what has something of a mask within `reach` px along both axes."""
    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * reach + 1,) * 2, np.uint8)) > 0


def _offsets(dark: Array, bare: Array, at: Profiles) -> tuple[Array, Array]:
    """Offsets of upright lines.

    Args:
        dark: (H, W), lines upright.
        bare: (H, W), 0 under the pen, else 1.
        at: where to look.

    Returns:
        (m, n) mm, and prominence, 0 where the line lies outside.
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
    """Measures the printed lines.

    Args:
        image: (H, W, 3) uint8 RGB, the flat page or part of it.
        px_per_mm: (x, y) of the page.
        places: where the lines should be.
    """
    dark, bare = darkness(image, px_per_mm, places.x_mm)
    upright, level = Profiles.both(dark.shape, px_per_mm, places)
    x, x_prominence = _offsets(dark, bare, upright)
    turned, bare_turned = (np.ascontiguousarray(m.T) for m in (dark, bare))
    y, y_prominence = _offsets(turned, bare_turned, level)
    return LineOffsets(x, x_prominence, y.T, y_prominence.T)

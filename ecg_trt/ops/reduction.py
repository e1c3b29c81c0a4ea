"""Decisions of the pixel work on the host: checks of arguments, and the averaging before a warp."""

from __future__ import annotations

import numpy as np

from ecg_trt.errors import OptionError
from ecg_trt.geometry.grid import GridTaps
from ecg_trt.geometry.homography import jacobian
from ecg_trt.types import Array


def bad(got: str, expected: str, hint: str) -> OptionError:
    """Make the error of pixel work that cannot be done."""
    return OptionError("The image cannot be resampled", got=got, expected=expected, hint=hint)


def invertible(dst_from_src: Array) -> Array:
    """Convert a matrix to (3, 3) float64. Raises `OptionError` if it has no inverse."""
    h = np.asarray(dst_from_src, np.float64)
    if h.shape != (3, 3) or not np.isfinite(h).all() or abs(np.linalg.det(h)) < 1e-30:
        raise bad(f"the matrix {h.tolist()}", "a (3, 3) matrix with an inverse", "Check the homography.")
    return h


def as_map(map_xy: Array) -> Array:
    """Convert a map to (h, w, 2) float32. Raises `OptionError` if it has another shape."""
    places = np.asarray(map_xy, np.float32)
    if places.ndim != 3 or places.shape[2] != 2:
        raise bad(f"a map of shape {places.shape}", "(h, w, 2)", "Pass the source px of every output pixel.")
    return places


def as_buffer_hw(buffer_hw: tuple[int, int], out_hw: tuple[int, int]) -> tuple[int, int]:
    """Check the size of the buffer for a view. Raises `OptionError` if the view is larger."""
    if buffer_hw[0] < out_hw[0] or buffer_hw[1] < out_hw[1]:
        wanted = f"at least {out_hw[1]} x {out_hw[0]} px"
        raise bad(f"a buffer of {buffer_hw[1]} x {buffer_hw[0]} px", wanted, "Ask for a larger buffer.")
    return buffer_hw


def as_windows(corners: Array, tile_hw: tuple[int, int]) -> Array:
    """Convert corners to (n, 2) int32. Raises `OptionError` for no window, or a width that is no multiple of 4."""
    where = np.ascontiguousarray(corners, np.int32)
    if where.ndim != 2 or where.shape[1] != 2 or not len(where) or min(tile_hw) <= 0 or tile_hw[1] % 4:
        got = f"corners {where.shape} of windows {tile_hw[1]} x {tile_hw[0]} px"
        raise bad(got, "(n, 2), n > 0, and a width in fours", "Pass them so.")
    return where


def as_rows(row: Array, hw: tuple[int, ...]) -> Array:
    """Convert rows to (n, W) int32. Raises `OptionError` for rows of another width than the plane's, or outside it."""
    rows = np.ascontiguousarray(row, np.int32)
    if rows.ndim != 2 or rows.shape[1] != hw[1] or not rows.size or rows.min() < 0 or rows.max() >= hw[0]:
        raise bad(f"rows {rows.shape} of a plane {hw}", f"(n, {hw[1]}), from 0 to {hw[0] - 1}", "Clip them first.")
    return rows


def averaged(factor: int) -> Array:
    """Make the (3, 3) small_from_src of an image averaged over factor x factor px."""
    scale = 1 / factor
    shift = 0.5 * scale - 0.5
    return np.array([[scale, 0, shift], [0, scale, shift], [0, 0, 1]])


def reduction_of_homography(dst_from_src: Array, out_hw: tuple[int, int]) -> int:
    """Count the source pixels that an output pixel steps over, rounded down; median of the corners and the middle."""
    w, v = out_hw[1] - 1, out_hw[0] - 1
    places = np.array([[0, 0], [w, 0], [0, v], [w, v], [w / 2, v / 2]], np.float64)
    area = np.abs(np.linalg.det(jacobian(np.linalg.inv(dst_from_src), places)))
    return int(np.sqrt(np.nanmedian(area)) + 1e-6)


def sparse_step(out_hw: tuple[int, ...]) -> int:
    """Choose the step in pixels at which `reduction_of_map` samples a map."""
    return max(1, max(out_hw) // 64)


def reduction_of_map(places: Array, seen: Array) -> int:
    """Count the source pixels that an output pixel steps over, rounded down; median over a sparse sample.

    Args:
        places: (h, w, 2) source px.
        seen: (h, w) bool.
    """
    by = sparse_step(places.shape[:2])
    steps = []
    for axis in (0, 1):
        if places.shape[axis] > 1:
            sparse = [slice(None, None, by)] * 2
            sparse[axis] = slice(None, -1, by)
            here = places[tuple(sparse)]
            ahead = [s if k != axis else slice(1, None, by) for k, s in enumerate(sparse)]
            steps.append(_lengths(here, places[tuple(ahead)], seen[tuple(sparse)]))
    return _whole(steps)


def _lengths(here: Array, ahead: Array, seen: Array) -> Array:
    length = np.linalg.norm(ahead - here, axis=-1)[seen]
    return np.asarray(length[np.isfinite(length)])


def _whole(steps: list[Array]) -> int:
    if not steps or not min(s.size for s in steps):
        return 1
    return int(min(np.median(s) for s in steps) + 1e-3)


def reduction_of_grid(taps: GridTaps, photo_hw: tuple[int, ...]) -> int:
    """Compute `reduction_of_map` of the map that a grid makes, from the sampled pixels alone."""
    height, width = len(taps.y.first), len(taps.x.first)
    by = sparse_step((height, width))
    rows, columns = np.arange(0, height, by), np.arange(0, width, by)
    here = taps.places(rows, columns)
    inside = np.asarray(((here >= -0.5) & (here <= np.array(photo_hw[1::-1]) - 0.5)).all(-1))
    steps = []
    if height > 1:
        some = slice(np.searchsorted(rows, height - 1))
        steps.append(_lengths(here[some], taps.places(rows[some] + 1, columns), inside[some]))
    if width > 1:
        some = slice(np.searchsorted(columns, width - 1))
        steps.append(_lengths(here[:, some], taps.places(rows, columns[some] + 1), inside[:, some]))
    return _whole(steps)

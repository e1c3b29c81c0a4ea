"""Training samples of each stage: the input of the network, and the truth in its frame.

The truth is never measured on pixels: every photo pixel's page coordinate is known, so heatmaps are distances on the
paper.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from ecg_trt.layout import (
    LEADS,
    MARKED_WORDS,
)
from ecg_trt.stages.scaling import (
    ALIGN_LOG_SCALE_UNIT,
    ALIGN_STRIDE,
    RECTIFY_PX_PER_MM,
    RECTIFY_STRIDE,
    TRACE_PX_PER_MM,
    cell_centre,
)
from ecg_trt.synth.background import is_hidden
from ecg_trt.synth.capture import Capture, draw_capture, photograph
from ecg_trt.synth.page import Page
from ecg_trt.synth.paper_surface import bounds
from ecg_trt.synth.plain import draw_plain_page
from ecg_trt.types import Array, Strip
from train.data.signals import PageSource

Sample = dict[str, Array]

_ALIGN_PAGE_PX_PER_MM = 3.0
# Of stage 0's photos: small pages in large photos, strips of one row, mirrored, negatives ("dark mode"), in strongly
# coloured light, on chequered cloth or tiles.
_UNUSUAL_SHARES = (0.12, 0.06, 0.05, 0.04, 0.08, 0.06)
_SMALL_FILL = (0.15, 0.45)  # of the photo's width or height
_RARE_SHARE = 0.35  # of the crops of a page with words beyond the twelve leads, that are centred on one of them
_WORD_MM = 1.0  # sigma of a word's Gaussian in the heatmap
_PULSE_EACH_SHARE = 0.08  # of traces' pages, with a pulse before each column
_RASTER_PX_PER_MM, _RASTER_SHARES = (6.0, 8.0, 12.0), (0.15, 0.2, 0.65)  # 150 to 300 dpi, of traces' pages
_BORDER_MM = 0.1  # sigma of a border's Gaussian along time
_NEAREST_CELL = 0.6  # least heatmap value in the cell that a word's middle lies in, whose corner may be 0.8 mm off


def _gaussian(uv: Array, points: Array, sigma_mm: float) -> Array:
    """(h, w) heatmap of the nearest of the points (k, 2), mm on the paper."""
    best = np.full(uv.shape[:2], 1e6, np.float32)
    for x, y in points:
        np.minimum(best, (uv[..., 0] - x) ** 2 + (uv[..., 1] - y) ** 2, out=best)
    return np.exp(-best / (2 * sigma_mm**2))


def _inside(uv: Array, box: tuple[float, float, float, float]) -> Array:
    x, y = uv[..., 0], uv[..., 1]
    return (x >= box[0]) & (y >= box[1]) & (x <= box[2]) & (y <= box[3])


def _jacobian(capture: Capture, xy: Array, step: float) -> Array:
    """(..., 2, 2) d photo px / d page mm at photo points (..., 2), by central differences."""
    x, y = step * np.eye(2)
    dx = capture.page_from_photo(xy + x) - capture.page_from_photo(xy - x)
    dy = capture.page_from_photo(xy + y) - capture.page_from_photo(xy - y)
    return _inverse(np.stack([dx, dy], -1) / (2 * step))


def _inverse(m: Array) -> Array:
    """(..., 2, 2) inverses; a singular one becomes huge rather than an error."""
    a, b, c, d = m[..., 0, 0], m[..., 0, 1], m[..., 1, 0], m[..., 1, 1]
    det = a * d - b * c
    det = np.where(np.abs(det) < 1e-9, 1e-9, det)
    return np.stack([np.stack([d, -b], -1), np.stack([-c, a], -1)], -2) / det[..., None, None]


def _trace_box(page: Page) -> tuple[float, float, float, float]:
    """The part of the paper that counts as an ECG page: the grid, or the strips where none is printed."""
    if page.has_grid:
        return page.spec.grid_mm
    x0, x1 = page.strips[0].x_mm
    return x0 - 10, page.strips[0].zero_y_mm - 15, x1 + 10, page.strips[-1].zero_y_mm + 15


def align_sample(rng: np.random.Generator, source: PageSource, size: int = 512, kind: str | None = None) -> Sample:
    """Stage 0: a letterboxed photo (size, size, 3) and page, axes, log_scale at stride 8.

    Of a mirrored photo, the truth is that of the same place seen through the paper: axes always turn clockwise.
    """
    is_small, is_cut, is_mirrored, is_negative, is_tinted, is_chequered = rng.random(6) < _UNUSUAL_SHARES
    aspect = rng.choice([4 / 3, 16 / 9, 1.0, 3 / 4, 9 / 16, 1.3], p=[0.3, 0.3, 0.05, 0.15, 0.1, 0.1])
    w, h = (size, round(size / aspect)) if aspect >= 1 else (round(size * aspect), size)
    plain = rng.random() < 0.1
    page = None if plain else source.page(rng, _ALIGN_PAGE_PX_PER_MM)
    size_mm, top_mm = page.spec.size_mm if page else (280.0, 210.0), 0.0
    image = page.image if page else draw_plain_page(rng, size_mm, _ALIGN_PAGE_PX_PER_MM)
    if page is not None and is_cut:
        top_mm, size_mm = _around_a_row(rng, page)
        image = image[round(top_mm * _ALIGN_PAGE_PX_PER_MM) :][: round(size_mm[1] * _ALIGN_PAGE_PX_PER_MM)]
    if page is not None and size_mm[0] / size_mm[1] > 1.9 and rng.random() < 0.7:
        w, h = size, int(np.clip(round(size * size_mm[1] / size_mm[0] * 1.1), 32 if is_cut else 160, size))
    capture = draw_capture(rng, size_mm, (h, w), kind=kind, fill=rng.uniform(*_SMALL_FILL) if is_small else None)
    if is_chequered:
        texture = ("checks", *rng.uniform(60, 220, 3), rng.uniform(0, np.pi), rng.uniform(0.1, 0.6))
        capture = replace(capture, photometrics=replace(capture.photometrics, background=texture))
    photo = photograph(255 - image if is_negative else image, _ALIGN_PAGE_PX_PER_MM, capture, rng)
    if is_tinted:
        photo = np.clip(photo * rng.uniform(0.55, 1.1, 3), 0, 255).astype(np.uint8)
    canvas = np.full((size, size, 3), 114, np.uint8)
    top, left = (size - h) // 2, (size - w) // 2
    canvas[top : top + h, left : left + w] = photo
    cells = cell_centre(np.stack(np.meshgrid(*2 * [np.arange(size // ALIGN_STRIDE)]), -1), ALIGN_STRIDE) - [left, top]
    uv = capture.page_from_photo(cells) + np.array([0.0, top_mm])
    in_photo = (cells >= 0).all(-1) & (cells[..., 0] < w) & (cells[..., 1] < h)
    on_paper = (uv[..., 1] >= top_mm) & (uv[..., 1] <= top_mm + size_mm[1])
    on = in_photo & on_paper & _inside(uv, _trace_box(page)) if page else np.zeros(uv.shape[:2], bool)
    jac = _jacobian(capture, cells, 4.0)
    length = np.linalg.norm(jac, axis=-2).clip(1e-3, 1e3)  # px per mm along the page's x and y
    axes = jac / length[..., None, :]
    sample = {
        "image": canvas,
        "page": on[None].astype(np.float32),
        "axes": np.stack([axes[..., 0, 0], axes[..., 1, 0], axes[..., 0, 1], axes[..., 1, 1]]).astype(np.float32),
        "log_scale": (np.log(length) - ALIGN_LOG_SCALE_UNIT).transpose(2, 0, 1).astype(np.float32),
    }
    return _mirrored(sample) if is_mirrored else sample


def _around_a_row(rng: np.random.Generator, page: Page) -> tuple[float, tuple[float, float]]:
    """Top, and (width, height), mm, of a strip of paper around one row, as it is torn off or cut out."""
    zero = page.strips[rng.integers(len(page.strips))].zero_y_mm
    top = max(0.0, zero - rng.uniform(10, 22))
    return top, (page.spec.size_mm[0], min(page.spec.size_mm[1], zero + rng.uniform(8, 20)) - top)


def _mirrored(sample: Sample) -> Sample:
    """Mirror a sample of stage 0; the page's x axis, mirrored with it, is turned over."""
    flipped = {name: value[:, ::-1] if name == "image" else value[..., ::-1] for name, value in sample.items()}
    axes = flipped["axes"] * np.array([1, -1, -1, 1], np.float32)[:, None, None]
    return {name: np.ascontiguousarray(value) for name, value in {**flipped, "axes": axes}.items()}


def _window(photo_xy: Array, photo_hw: tuple[int, int]) -> tuple[int, int, int, int]:
    """Smallest (x, y, w, h) window of the photo that holds the points, never empty."""
    low, high = bounds(photo_xy)
    low, high = np.floor(low).astype(int) - 3, np.ceil(high).astype(int) + 4
    low = np.clip(low, 0, [photo_hw[1] - 8, photo_hw[0] - 8])
    high = np.clip(high, low + 8, [photo_hw[1], photo_hw[0]])
    return int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])


def _photograph_at(
    image: Array, px_per_mm: float, capture: Capture, rng: np.random.Generator, photo_xy: Array
) -> Array:
    """Sample a photo at points (h, w, 2); only the window that they need is rendered."""
    window = _window(photo_xy, capture.photo_hw)
    patch = photograph(image, px_per_mm, capture, rng, window=window)
    where = (photo_xy - np.array(window[:2])).astype(np.float32)
    return cv2.remap(patch, where, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT, borderValue=(114,) * 3)


def _upsample(coarse: Array, hw: tuple[int, int]) -> Array:
    """Values at every 8th pixel to all (H, W) pixels, straight between them."""
    x, y = np.meshgrid(np.arange(hw[1], dtype=np.float32) / 8, np.arange(hw[0], dtype=np.float32) / 8)
    return np.asarray(cv2.remap(coarse.astype(np.float32), x, y, cv2.INTER_LINEAR))


def _photo_hw(rng: np.random.Generator, size_mm: tuple[float, float], px_per_mm: float) -> tuple[int, int]:
    """A frame in which a page that fills it has about the given resolution."""
    w, h = size_mm[0] * px_per_mm * 1.15, size_mm[1] * px_per_mm * 1.15
    if rng.random() < 0.5:
        w, h = max(w, h * 4 / 3), max(h, w * 3 / 4)
    return round(h), round(w)


def rectify_samples(
    rng: np.random.Generator,
    source: PageSource,
    hw: tuple[int, int] = (384, 384),
    count: int = 3,
    kind: str | None = None,
) -> list[Sample]:
    """Stage 1: parts of a roughly aligned page at about 4 px/mm, and the maps of `STAGES["stage1"]` at stride 4."""
    ppm = 6.0
    page = source.page(rng, ppm) if rng.random() < 0.94 else None
    size_mm = page.spec.size_mm if page else (280.0, 210.0)
    image = page.image if page else draw_plain_page(rng, size_mm, ppm)
    capture = draw_capture(rng, size_mm, _photo_hw(rng, size_mm, float(rng.uniform(3.0, 6.5))), kind=kind)
    return [_rectify_crop(rng, page, image, ppm, capture, hw) for _ in range(count if page else 1)]


def _rectify_crop(rng: np.random.Generator, page: Page | None, image: Array, px_per_mm: float, capture: Capture,
                  hw: tuple[int, int]) -> Sample:  # fmt: skip
    scale = RECTIFY_PX_PER_MM * np.exp(rng.normal(0, 0.12))
    turn = np.deg2rad(rng.normal(0, 2.0))
    shear = rng.normal(0, 0.03, 4)
    mm_from_px = np.array([[np.cos(turn) + shear[0], -np.sin(turn) + shear[1]],
                           [np.sin(turn) + shear[2], np.cos(turn) + shear[3]]]) / scale  # fmt: skip
    reach = mm_from_px @ np.array([hw[1], hw[0]]) / 2 - 12  # a little of the background beside the page is shown
    size = np.array(capture.size_mm)
    aim = rng.uniform(-5, size + 5)
    rare = [m for m in (*page.labels, *page.calibration_text) if m.word not in LEADS] if page else []
    if rare and rng.random() < _RARE_SHARE:
        aim = rare[rng.integers(len(rare))].xy_mm + rng.uniform(-0.9, 0.9, 2) * reach
    centre = np.clip(aim, np.minimum(reach, size / 2), np.maximum(size - reach, size / 2))
    photo_xy = _upsample(capture.photo_from_plane(_coarse_mm(hw, mm_from_px, centre)), hw)
    uv, seen = _cells(capture, photo_xy, RECTIFY_STRIDE)
    return {"image": _photograph_at(image, px_per_mm, capture, rng, photo_xy), **_page_maps(page, uv, seen)}


def _coarse_mm(hw: tuple[int, int], mm_from_px: Array, centre: Array) -> Array:
    """(h, w, 2) mm of every 8th pixel of a crop around `centre`."""
    coarse = np.stack(np.meshgrid(np.arange(0, hw[1] + 8, 8), np.arange(0, hw[0] + 8, 8)), -1)
    return np.asarray((coarse - (np.array(hw[::-1]) - 1) / 2) @ mm_from_px.T + centre)


def _cells(capture: Capture, photo_xy: Array, stride: int) -> tuple[Array, Array]:
    """Page mm of a crop's output cells (h, w, 2), and their visibility in the photo (h, w)."""
    h, w = photo_xy.shape[:2]
    cells = photo_xy.reshape(h // stride, stride, w // stride, stride, 2).mean((1, 3))
    seen = ((cells >= 0) & (cells <= np.array(capture.photo_hw[::-1]) - 1)).all(-1)
    return capture.page_from_photo(cells), seen


def _page_maps(page: Page | None, uv: Array, seen: Array) -> Sample:
    """Stage 1's truth at cells whose page coordinate (h, w, 2), mm, is known."""
    h, w = uv.shape[:2]
    maps = {"offset": np.zeros((2, h, w)), "label": np.zeros((len(MARKED_WORDS), h, w))}
    for name in ("node", "zero", "start", "end", "pulse", "paper"):
        maps[name] = np.zeros((1, h, w))
    if page is not None:
        x0, y0, x1, y1 = page.spec.grid_mm
        if page.has_grid:
            offset_mm = (np.array([x0, y0]) + 5 * np.round((uv - [x0, y0]) / 5)) - uv
            inside = _inside(uv + offset_mm, (x0 - 0.1, y0 - 0.1, x1 + 0.1, y1 + 0.1))
            jac = np.stack([np.gradient(uv, axis=1), np.gradient(uv, axis=0)], -1)  # d mm / d cell
            maps["offset"] = np.einsum("hwij,hwj->ihw", _inverse(jac), offset_mm).clip(-3, 3)
            maps["node"][0] = np.exp(-(offset_mm**2).sum(-1) / (2 * 0.6**2)) * inside
        maps["paper"][0] = _inside(uv, _trace_box(page))
        for strip in page.strips:
            flat = np.exp(-((uv[..., 1] - strip.zero_y_mm) ** 2) / (2 * 1.0**2))
            maps["zero"][0] = np.maximum(
                maps["zero"][0], flat * (uv[..., 0] >= strip.x_mm[0]) * (uv[..., 0] <= strip.x_mm[1])
            )
        starts = np.array([(s.x_mm[0], p.zero_y_mm) for p in page.strips for s in p.segments])
        maps["start"][0] = _gaussian(uv, starts, 1.2)
        maps["end"][0] = _gaussian(uv, np.array([(p.x_mm[1], p.zero_y_mm) for p in page.strips]), 1.2)
        for box in page.pulses_mm:
            maps["pulse"][0] = np.maximum(maps["pulse"][0], _inside(uv, tuple(box)))
        low, high = bounds(uv)
        for mark in (*page.labels, *page.calibration_text):
            if (mark.xy_mm > low - _WORD_MM).all() and (mark.xy_mm < high + _WORD_MM).all():
                plane = maps["label"][MARKED_WORDS.index(mark.word)]
                np.maximum(plane, _word_heat(uv, mark.xy_mm), out=plane)
    return {name: np.where(seen, m, -1.0 if name == "zero" else 0.0).astype(np.float32) for name, m in maps.items()}


def _word_heat(uv: Array, xy_mm: tuple[float, float]) -> Array:
    """(h, w) heatmap of one word: the cell nearest to its middle counts as its middle."""
    heat = _gaussian(uv, np.array([xy_mm]), _WORD_MM)
    top = heat.max()
    return heat / top if top > _NEAREST_CELL else heat


def _wobble(rng: np.random.Generator, n: int, px_per_mm: float) -> Array:
    """(n,) mm: residual error of the rectification along a strip, mostly below 0.1 mm."""
    x = np.arange(n) / px_per_mm
    amplitude = float(np.exp(rng.normal(np.log(0.05), 0.6)))
    waves = [np.sin(2 * np.pi * x / rng.uniform(8, 80) + rng.uniform(0, 6.3)) for _ in range(3)]
    return amplitude * np.sum(waves, 0)


def trace_samples(
    rng: np.random.Generator,
    source: PageSource,
    hw: tuple[int, int] = (320, 768),
    count: int = 12,
    kind: str | None = None,
) -> list[Sample]:
    """Stage 2: parts of strips of one page, with the pen's row in every column, and the borders of its leads."""
    ppm = float(rng.choice(_RASTER_PX_PER_MM, p=_RASTER_SHARES))
    voltage = float(np.clip(np.exp(rng.normal(0.15, 0.35)), 0.5, 2.5))  # tall waves are rare, and most of the power
    look = {"pulse": "each"} if rng.random() < _PULSE_EACH_SHARE else {}
    page = source.page(rng, ppm, voltage, **look)
    resolution = float(np.clip(np.exp(rng.normal(np.log(8.0), 0.35)), 3.5, 14))
    capture = draw_capture(rng, page.spec.size_mm, _photo_hw(rng, page.spec.size_mm, resolution), kind=kind)
    return [_trace_crop(rng, page, capture, int(rng.integers(len(page.strips))), hw) for _ in range(count)]


def _trace_crop(rng: np.random.Generator, page: Page, capture: Capture, row: int, hw: tuple[int, int]) -> Sample:
    ppm_x, ppm_y = TRACE_PX_PER_MM
    h, w = hw
    strip = page.strips[row]
    low, high = sorted((strip.x_mm[0] - 12, strip.x_mm[1] + 12 - w / ppm_x))
    left = rng.uniform(low, high)
    middle = strip.zero_y_mm + rng.normal(0, 1.0)
    u = left + np.arange(w) / ppm_x + _wobble(rng, w, ppm_x)
    lift = _wobble(rng, w, ppm_x)
    coarse = np.arange(0, max(h, w) + 8, 8)
    cx, cy = coarse[coarse < w + 8], coarse[coarse < h + 8]
    v = middle + (np.arange(h + 8) - (h - 1) / 2)[:, None] / ppm_y
    at_u, at_lift = np.interp(cx, np.arange(w), u), np.interp(cx, np.arange(w), lift)
    uv = np.stack(np.broadcast_arrays(at_u[None], v[cy] + at_lift[None]), -1)
    photo_xy = _upsample(capture.photo_from_page(uv), hw)
    image = _photograph_at(page.image, page.px_per_mm, capture, rng, photo_xy)
    pen = np.interp(u, page.pen_x_mm[row], page.pen_y_mm[row])
    line = (pen - lift - middle) * ppm_y + (h - 1) / 2
    present = np.zeros(w, bool)
    for segment in strip.segments:
        present |= (u >= segment.x_mm[0]) & (u <= segment.x_mm[1] - page.spec.gap_mm)
    on_row = photo_xy[np.clip(np.round(line), 0, h - 1).astype(int), np.arange(w)]
    seen = ((on_row >= 0) & (on_row <= np.array(capture.photo_hw[::-1]) - 1)).all(-1)
    pen_mm = np.stack([u, pen], -1).astype(np.float32)[None]
    seen &= ~is_hidden(capture.photometrics, pen_mm, page.spec.size_mm)[0]
    judged = ~present | ((line > 1) & (line < h - 2))
    weight = steepness_weight(line)  # Separators stand on the first columns of a segment.
    for segment in strip.segments:
        weight = weight + 3.0 * (np.abs(u - segment.x_mm[0]) < 1.0)
    truth = {"row": line.clip(0, h - 1), "present": present & seen, "judged": judged, "weight": weight,
             "border": np.where(seen, _border_heat(u, _borders_mm(page, strip)), -1.0)}  # fmt: skip
    step = -1 if rng.random() < 0.5 else 1
    columns = {name: np.ascontiguousarray(value[::step], np.float32) for name, value in truth.items()}
    return {"image": np.ascontiguousarray(image[:, ::step]), **columns}


def steepness_weight(line: Array) -> Array:
    """(n,) weight, 1 to 4, of the columns of a pen's row (n,) px: most of a signal's power lies in a few steep ones."""
    ppm_x, ppm_y = TRACE_PX_PER_MM
    return np.asarray(1 + np.minimum(0.3 * np.abs(np.gradient(line, ppm_y / ppm_x)), 3.0))


def _borders_mm(page: Page, strip: Strip) -> Array:
    """(k,) mm where a lead of the strip begins or ends."""
    return np.unique([x for s in strip.segments for x in (s.x_mm[0], s.x_mm[1] - page.spec.gap_mm)])


def _border_heat(u: Array, borders_mm: Array) -> Array:
    """(n,) heat of columns at mm `u`: a Gaussian around each border."""
    nearest = np.abs(u[:, None] - borders_mm).min(1)
    return np.asarray(np.exp(-0.5 * (nearest / _BORDER_MM) ** 2))

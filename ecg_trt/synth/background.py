"""Everything that is not the page: background, shadow, hands and pens that occlude it, stains, dust."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np

from ecg_trt.synth.light import Photometrics
from ecg_trt.synth.paper_surface import bounds
from ecg_trt.types import Array

Place = Callable[[Array], Array]  # from px of a loose sheet to fixed-point px in the scene
_TILE = 512
_SCENE_ORIGIN_AND_SCALE = (-170.0, 2.5)  # origin (mm) of the scene of loose sheets, and its px a millimetre


@lru_cache(maxsize=8)
def _tile(kind: str, tone: tuple[float, float, float], seed: int) -> Array:
    """Draw a (1024, 1024, 3) uint8 texture that wraps, being mirrored."""
    rng = np.random.default_rng(seed)
    size = (_TILE, _TILE)
    level = np.zeros(size, np.float32)
    if kind == "wood":
        for count, weight in ((8, 0.04), (30, 0.05), (128, 0.06), (512, 0.04)):
            streak = rng.standard_normal((max(3, count // 40), count)).astype(np.float32)
            level += weight * cv2.resize(streak, size, interpolation=cv2.INTER_CUBIC)
    elif kind == "speckle":
        for count, weight in ((24, 0.06), (150, 0.12), (512, 0.12)):
            level += weight * cv2.resize(rng.standard_normal((count, count)).astype(np.float32), size)
    elif kind == "cloth":
        k = 2 * np.pi * int(rng.integers(24, 120)) / _TILE
        wave = np.sin(k * np.arange(_TILE, dtype=np.float32))
        level += np.float32(rng.uniform(0.04, 0.2)) * (wave[None] + wave[:, None])
        level += 0.03 * cv2.resize(
            rng.standard_normal((12, 12)).astype(np.float32), size, interpolation=cv2.INTER_CUBIC
        )
    elif kind == "checks":  # a tablecloth, or tiles
        side = int(rng.choice([16, 32, 64]))
        band = (np.arange(_TILE) // side % 2).astype(np.float32)
        level += np.float32(rng.uniform(-0.35, 0.35)) * (band[None] + band[:, None] - 1)
    elif kind != "blank":
        level += 0.03 * cv2.resize(rng.standard_normal((16, 16)).astype(np.float32), size)
    colour = np.array(tone, np.float32)
    tile = np.clip(colour * (1 + level[..., None]) + 5 * level[..., None], 0, 255).astype(np.uint8)
    return cv2.copyMakeBorder(tile, 0, _TILE, 0, _TILE, cv2.BORDER_REFLECT)


@lru_cache(maxsize=4)
def _scene(seed: int, size_mm: tuple[float, float]) -> tuple[Array, Array]:
    """Draw loose sheets of paper round the page: colours (H, W, 3) and mask (H, W), uint8."""
    rng = np.random.default_rng(seed)
    start, ppm = _SCENE_ORIGIN_AND_SCALE
    width, height = (int((side - 2 * start) * ppm) for side in size_mm)
    colours, mask = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8)
    for _ in range(int(rng.integers(1, 5))):
        side = rng.uniform(90, 300, 2) * ppm
        angle, middle = rng.uniform(0, 2 * np.pi), np.array([width, height]) / 2
        away = rng.uniform(0.55, 1.1) * middle * 1.3 * (np.cos(a := rng.uniform(0, 2 * np.pi)), np.sin(a))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])

        def place(points: Array, turn: Array = turn, at: Array = middle + away) -> Array:
            return np.asarray(np.round((points @ turn.T + at) * 16).astype(np.int32))

        corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * side / 2
        paper = tuple(float(t) for t in rng.uniform(205, 250) + rng.normal(0, 4, 3))
        cv2.fillPoly(colours, [place(corners)], paper, cv2.LINE_AA, 4)
        cv2.fillPoly(mask, [place(corners)], 255.0, cv2.LINE_AA, 4)
        (_grid_lines if rng.random() < 0.45 else _text_lines)(rng, colours, side, ppm, place)
    return colours, mask


def _grid_lines(rng: np.random.Generator, image: Array, side: Array, ppm: float, place: Place) -> None:
    """Draw an ECG-like sheet: a 5 mm grid and a few wavy traces."""
    tone = tuple(float(t) for t in rng.uniform((200, 110, 110), (240, 190, 180)))
    half = side / 2 - 5 * ppm
    step = 5 * ppm
    for axis in (0, 1):
        for t in np.arange(-half[axis], half[axis], step):
            ends = np.array([[t, -half[1]], [t, half[1]]] if axis == 0 else [[-half[0], t], [half[0], t]])
            cv2.polylines(image, [place(ends)], False, tone, 1, cv2.LINE_AA, 4)
    for row in np.linspace(-0.7, 0.7, int(rng.integers(2, 6))):
        x = np.arange(-half[0], half[0], 2.0)
        beat = np.exp(-((((x % (18 * ppm)) - 6 * ppm) / ppm) ** 2)) * rng.uniform(4, 12) * ppm
        trace = np.stack([x, row * half[1] - beat + rng.normal(0, 0.3, x.size)], 1)
        cv2.polylines(image, [place(trace)], False, (30, 30, 40), 1, cv2.LINE_AA, 4)


def _text_lines(rng: np.random.Generator, image: Array, side: Array, ppm: float, place: Place) -> None:
    """Draw a letter: rows of short strokes."""
    half = side / 2 - 12 * ppm
    for y in np.arange(-half[1], half[1], rng.uniform(3.5, 6) * ppm):
        x, end = -half[0], half[0] * rng.uniform(0.3, 1)
        while x < end:
            word = rng.uniform(3, 14) * ppm
            stroke = place(np.array([[x, y], [min(x + word, end), y]]))
            cv2.polylines(image, [stroke], False, (90, 90, 95), 3, cv2.LINE_AA, 4)
            x += word + 2 * ppm


def draw_background(photometrics: Photometrics, page_mm: Array, size_mm: tuple[float, float]) -> Array:
    """Draw the background at (h, w, 2) float32 page mm, as (h, w, 3) uint8."""
    kind, r, g, b, angle, texel_mm = photometrics.background
    cos, sin = np.float32(np.cos(angle) / texel_mm), np.float32(np.sin(angle) / texel_mm)
    turn = np.array([[cos, -sin, 0], [sin, cos, 0]], np.float32)
    first = bounds(cv2.transform(page_mm[::8, ::8], turn))[0]
    turn[:, 2] = -2 * _TILE * np.floor(first / (2 * _TILE))  # as cv2 is slow where it has to wrap
    at = cv2.transform(page_mm, turn)
    texture = "plain" if kind == "sheets" else kind
    out = cv2.remap(
        _tile(texture, (r, g, b), photometrics.seed), at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
    )
    if kind == "sheets":
        start, ppm = _SCENE_ORIGIN_AND_SCALE
        colours, mask = _scene(photometrics.seed, size_mm)
        where = (page_mm - np.float32(start)) * np.float32(ppm)
        flags = {"interpolation": cv2.INTER_LINEAR, "borderMode": cv2.BORDER_CONSTANT}
        share = cv2.remap(mask, where, None, **flags)
        if share.any():
            out = mix(out, cv2.remap(colours, where, None, **flags), share.astype(np.float32) / 255)
    return np.asarray(out)


def mix(below: Array, above: Array, share: Array) -> Array:
    """Blend as ``below + share (above - below)``; pictures (h, w, 3) uint8, share (h, w) float32."""
    return np.asarray(cv2.blendLinear(below, above, 1 - share, share))


def edge_distance(
    photometrics: Photometrics,
    page_mm: Array,
    size_mm: tuple[float, float],
    offset_mm: tuple[float, float] = (0.0, 0.0),
) -> Array:
    """Measure the distance (h, w) float32 to the paper's edge, mm, positive on it; torn edges wander inwards."""
    u, v = (cv2.subtract(cv2.extractChannel(page_mm, k), offset_mm[k]) for k in (0, 1))
    sides = [u, v, cv2.subtract(size_mm[0], u), cv2.subtract(size_mm[1], v)]
    for k, rough in enumerate(photometrics.torn_mm):
        if rough > 0:
            rng = np.random.default_rng(photometrics.seed + k)
            wander = np.abs(np.cumsum(rng.normal(0, 0.35, 1024)) % 4 - 2) + rng.normal(0, 0.08, 1024)
            wander = wander.astype(np.float32)
            along = (v if k % 2 == 0 else u) * np.float32(1.6) + 200
            sides[k] = sides[k] - np.float32(rough / 2) * wander[np.clip(along, 0, 1023).astype(np.int32)]
    return np.asarray(cv2.min(cv2.min(sides[0], sides[2]), cv2.min(sides[1], sides[3])))


def lay_occluder(image: Array, photometrics: Photometrics, page_mm: Array, px_per_mm: float) -> Array:
    """Draw a hand, a pen or a label over the page, (h, w, 3) uint8."""
    if not photometrics.occluder or not _is_near_occluder(photometrics, page_mm):
        return image
    shapes, tone = _occluder_shapes(photometrics)
    is_flat = photometrics.occluder == "label"
    for shape in shapes:
        distance, radius = _occluder_distance(photometrics, page_mm, shape)
        share = np.clip((np.float32(radius) - distance) * np.float32(px_per_mm) + 0.5, 0, 1)
        if not share.any():
            continue
        round_off = 1 - (0.0 if is_flat else 0.4) * np.clip(distance / np.float32(radius), 0, 1) ** 3
        shadow = 1 - (0.1 if is_flat else 0.35) * np.clip(1 - (distance - np.float32(radius)) / 5, 0, 1)
        body = np.clip(round_off[..., None] * tone, 0, 255).astype(np.uint8)
        image = mix((image * shadow[..., None]).astype(np.uint8), body, share)
    return image


def is_hidden(photometrics: Photometrics, page_mm: Array, size_mm: tuple[float, float]) -> Array:
    """Mask (h, w) points of the page, mm, that an occluder covers, or that are torn off."""
    hidden = edge_distance(photometrics, page_mm, size_mm) < 0
    if photometrics.occluder and _is_near_occluder(photometrics, page_mm):
        for shape in _occluder_shapes(photometrics)[0]:
            distance, radius = _occluder_distance(photometrics, page_mm, shape)
            hidden |= distance < radius
    return np.asarray(hidden)


_OccluderShape = tuple[float, float, float, float]  # Tip and shift, mm; radius or half the height, mm; lean or length.
_OCCLUDER_REACH_MM = 170.0


def _is_near_occluder(photometrics: Photometrics, page_mm: Array) -> bool:
    at = np.array(photometrics.occluder_at[:2])
    low, high = bounds(page_mm)
    return bool((at > low - _OCCLUDER_REACH_MM).all() and (at < high + _OCCLUDER_REACH_MM).all())


def _occluder_shapes(photometrics: Photometrics) -> tuple[list[_OccluderShape], Array]:
    """Draw the fingers of a hand, the pen or the label by lot, and its tone (3,)."""
    rng = np.random.default_rng(photometrics.seed + 9)
    if photometrics.occluder == "label":
        label = (0.0, 0.0, rng.uniform(2.5, 12), rng.uniform(6, 35))
        return [label], np.float32(rng.uniform(225, 255)) * np.ones(3, np.float32)
    if photometrics.occluder == "pen":
        pen = (-rng.uniform(5, 20), rng.uniform(-10, 10), 4.2, rng.normal(0, 1.0))
        colours = [(25, 25, 30), (30, 50, 130), (220, 220, 225), (150, 30, 35)]
        return [pen], np.array(colours[int(rng.integers(4))], np.float32)
    count = int(rng.choice([1, 3, 4]))
    fingers = [(-rng.uniform(6, 26) + 4 * abs(k - 1), (k - (count - 1) / 2) * 19.0, rng.uniform(8, 9.5),
                0.08 * (k - (count - 1) / 2)) for k in range(count)]  # fmt: skip
    tones = [(228, 180, 150), (200, 145, 112), (150, 98, 70), (95, 62, 46)]
    return fingers, np.array(tones[int(rng.integers(4))], np.float32)


def _occluder_distance(photometrics: Photometrics, page_mm: Array, shape: _OccluderShape) -> tuple[Array, float]:
    """Measure the distance (h, w) from a shape's middle line, mm, and the one at which it ends."""
    x0, y0, angle = photometrics.occluder_at
    u, v = cv2.extractChannel(page_mm, 0) - np.float32(x0), cv2.extractChannel(page_mm, 1) - np.float32(y0)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    along, across = cos * u + sin * v, cos * v - sin * u  # along points away from the page
    if photometrics.occluder == "label":
        _, _, half, length = shape
        return cv2.max(np.abs(across), np.abs(along) - np.float32(length - half)), half
    tip, shift, radius, lean = shape
    a, c = along - np.float32(tip), across - np.float32(shift) - np.float32(lean) * along
    a = cv2.max(np.float32(radius) - a, 0.0) if photometrics.occluder == "hand" else cv2.max(-a, 0.0)
    return cv2.magnitude(a, c), radius


def soil(
    light: Array, photometrics: Photometrics, page_mm: Array, size_mm: tuple[float, float], px_per_mm: float
) -> Array:
    """Multiply stains, mould and dust into the (h, w, 3) float32 light."""
    stains, mould, dust, _ = photometrics.grime
    if stains + mould + dust <= 0:
        return light
    rng = np.random.default_rng(photometrics.seed + 5)
    low, high = bounds(page_mm)
    for x, y, radius, ring, left in _draw_spots(rng, size_mm, stains, mould, dust):
        if low[0] - radius < x < high[0] + radius and low[1] - radius < y < high[1] + radius:
            _spot(light, page_mm, (x, y, radius), ring, left, px_per_mm)
    return light


def _draw_spots(
    rng: np.random.Generator, size_mm: tuple[float, float], stains: float, mould: float, dust: float
) -> list[tuple[float, float, float, bool, Array]]:
    """Draw by lot each spot's x, y, radius (all mm), ring or disc, and the colour (3,) of the light that it leaves."""
    spots = []
    for _ in range(int(4 * stains + 0.5)):
        at, ring = rng.random(2) * size_mm, rng.random() < 0.5
        spots.append((*at, rng.uniform(8, 40), ring, 1 - rng.uniform(0.3, 1) * np.array([0.16, 0.27, 0.45])))
    for _ in range(int(4 * mould + 0.9)):
        centre = rng.random(2) * size_mm
        for _ in range(int(rng.integers(6, 22))):
            left = rng.uniform((0.45, 0.5, 0.4), (0.85, 0.88, 0.8))
            spots.append((*(centre + rng.normal(0, 12, 2)), rng.uniform(0.4, 3.5), False, left))
    for _ in range(int(120 * dust)):
        spots.append((*(rng.random(2) * size_mm), rng.uniform(0.08, 0.35), False, np.full(3, rng.uniform(0.2, 0.8))))
    return [(float(x), float(y), float(r), bool(ring), np.asarray(left, np.float32)) for x, y, r, ring, left in spots]


def _spot(
    light: Array, page_mm: Array, at: tuple[float, float, float], ring: bool, left: Array, px_per_mm: float
) -> None:
    """Draw one soft disc or ring, in place; only the pixels near it are touched."""
    x, y, radius = at
    reach = radius * 1.2 + 4 / px_per_mm
    near = (np.abs(page_mm[::4, ::4, 0] - x) < reach) & (np.abs(page_mm[::4, ::4, 1] - y) < reach)
    rows, cols = np.flatnonzero(near.any(1)), np.flatnonzero(near.any(0))
    if not rows.size:
        return
    part = np.s_[max(0, rows[0] * 4 - 4) : rows[-1] * 4 + 8, max(0, cols[0] * 4 - 4) : cols[-1] * 4 + 8]
    u, v = page_mm[part][..., 0], page_mm[part][..., 1]
    distance = cv2.magnitude(u - np.float32(x), v - np.float32(y)) / np.float32(radius)
    if radius > 4:  # liquids have no round border
        wobble = np.sin(u * np.float32(5 / radius) + v / 9) + np.sin(v * np.float32(4 / radius) - u / 7)
        distance *= 1 + np.float32(0.07) * wobble
    inside = np.clip((1 - distance) * np.float32(4.0 if radius > 4 else 2.0), 0, 1)
    if ring:
        inside *= 0.35 + 0.65 * np.clip(1 - np.abs(distance - 0.92) * 9, 0, 1)
    light[part] *= 1 - inside[..., None] * (1 - left)

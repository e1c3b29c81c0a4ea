"""Pictures that hold no ECG that can be read, drawn by lot, for a digitizer to reject.

Three kinds: other paper (`decoys`) before the synthetic camera; pictures of other things; and pages of an ECG that
were spoiled: out of focus, cut to a corner, too small in the frame, too dark.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import cv2
import numpy as np

from ecg_trt.synth.capture import Photometrics, draw_capture, photograph
from ecg_trt.synth.decoys import DECOYS
from ecg_trt.synth.sample import make_sample
from ecg_trt.types import Array

_DECOY_PX_PER_MM = 5.0
_HW = (1200, 1600)
_CAPTURES = {"photo": 0.75, "scan": 0.25}


def _decoy(rng: np.random.Generator, kind: str) -> Array:
    """Photograph or scan a decoy on paper."""
    size = [(297.0, 210.0), (210.0, 297.0), (280.0, 216.0)][rng.integers(3)]
    shape = (round(size[1] * _DECOY_PX_PER_MM), round(size[0] * _DECOY_PX_PER_MM), 3)
    image = np.full(shape, rng.integers(235, 256), np.uint8)
    DECOYS[kind](rng, image, _DECOY_PX_PER_MM, size)
    return photograph_flat(rng, image, _DECOY_PX_PER_MM, size, _HW if size[0] > size[1] else _HW[::-1])


def photograph_flat(rng: np.random.Generator, image: Array, px_per_mm: float, size_mm: tuple[float, float],
                    photo_hw: tuple[int, int], *, shares: Mapping[str, float] = _CAPTURES,
                    is_alone: bool = False, is_screen: bool = False) -> Array:  # fmt: skip
    """Photograph or scan a flat drawing.

    Args:
        rng: source of randomness.
        image: (H, W, 3) uint8 RGB raster of the drawing.
        px_per_mm: of the raster.
        size_mm: (width, height) of the drawing.
        photo_hw: height and width of the picture, px.
        shares: of the kinds of captures.
        is_alone: no other paper lies around it, which might show an ECG.
        is_screen: it is no paper, that is: neither folded nor torn nor soiled.

    Returns:
        (h, w, 3) uint8 RGB.
    """
    kind = str(rng.choice(list(shares), p=list(shares.values())))
    capture = draw_capture(rng, size_mm, photo_hw, kind=kind, severity=0.0 if is_screen else None)
    photometrics = capture.photometrics
    if is_alone and photometrics.background[0] == "sheets":
        photometrics = replace(photometrics, background=("plain", *photometrics.background[1:]))
    if is_screen:
        clean = Photometrics(photometrics.seed)
        photometrics = replace(photometrics, grime=clean.grime, torn_mm=clean.torn_mm)
    return photograph(image, px_per_mm, replace(capture, photometrics=photometrics), rng)


def _grain(rng: np.random.Generator, image: Array) -> Array:
    """Add a sensor's noise to a picture."""
    return np.clip(image + rng.normal(0, rng.uniform(1, 6), image.shape), 0, 255).astype(np.uint8)


def _heart_beat(phase: Array) -> Array:
    """A beat as monitors show it; the phase counts beats."""
    at = phase % 1.0
    waves = ((0.2, 0.03, 0.15), (0.36, 0.008, -0.12), (0.38, 0.012, 1.0), (0.41, 0.012, -0.25), (0.62, 0.05, 0.25))
    return np.asarray(sum(high * np.exp(-((at - middle) ** 2) / (2 * wide**2)) for middle, wide, high in waves))


def monitor(rng: np.random.Generator) -> Array:
    """A bedside monitor: bright curves and large numbers on black."""
    h, w = _HW
    image = np.full((h, w, 3), rng.integers(0, 30), np.uint8)
    if rng.random() < 0.4:
        image[:: int(rng.integers(40, 90))] = (45, 45, 50)
        image[:, :: int(rng.integers(40, 90))] = (45, 45, 50)
    tones = [(60, 230, 90), (240, 220, 70), (80, 200, 240), (240, 240, 240), (240, 90, 90)]
    n, right = int(rng.integers(2, 6)), int(w * rng.uniform(0.65, 0.85))
    for k in range(n):
        tone, zero = tones[int(rng.integers(5))], int(h * (k + 0.6) / n)
        x = np.arange(30, right)
        phase = x / rng.uniform(120, 320)
        if k == 0 or rng.random() < 0.3:
            wave = _heart_beat(phase)
        else:
            wave = np.abs(np.sin(np.pi * phase)) ** rng.uniform(0.7, 3)
        y = zero - wave * 0.45 * h / n
        points = np.stack([x, y], -1).round().astype(np.int32)
        cv2.polylines(image, [points], False, tone, int(rng.integers(2, 6)), cv2.LINE_AA)
        number, name = str(rng.integers(40, 180)), str(rng.choice(["II", "ECG", "SpO2", "Resp", "ART", "V"]))
        for label, at, size, width in ((number, (right + 20, zero), 4.0, 9),
                                       (name, (35, zero - int(0.4 * h / n)), 1.3, 2)):  # fmt: skip
            cv2.putText(image, label, at, cv2.FONT_HERSHEY_DUPLEX, size, tone, width, cv2.LINE_AA)
    image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.5, 1.6)))
    lean = cv2.getRotationMatrix2D((w / 2, h / 2), float(rng.normal(0, 6)), float(rng.uniform(0.75, 1.1)))
    return _grain(rng, cv2.warpAffine(image, lean, (w, h), borderValue=(70, 75, 80)))


def face(rng: np.random.Generator) -> Array:
    """A face before a background."""
    h, w = _HW[::-1] if rng.random() < 0.6 else _HW
    corners = rng.integers(40, 220, (3, 3, 3)).astype(np.uint8)
    image = cv2.resize(corners, (w, h), interpolation=cv2.INTER_CUBIC)
    cx, cy, r = w * rng.uniform(0.35, 0.65), h * rng.uniform(0.4, 0.55), min(h, w) * rng.uniform(0.22, 0.38)
    skin = np.array([224, 172, 140]) * rng.uniform(0.35, 1.1)
    hair = rng.integers(10, 110, 3)

    def oval(x: float, y: float, a: float, b: float, tone: Array, angle: float = 0.0) -> None:
        centre, axes = (round(cx + x * r), round(cy + y * r)), (round(a * r), round(b * r))
        cv2.ellipse(image, centre, axes, angle, 0, 360, [int(c) for c in np.clip(tone, 0, 255)], -1, cv2.LINE_AA)

    oval(0, 2.4, 1.7, 1.2, rng.integers(20, 230, 3))
    oval(0, 1.2, 0.45, 0.7, 0.85 * skin)
    oval(0, -0.25, 1.0, 1.25, hair)
    oval(0, 0.1, 0.82, 1.1, skin)
    for side in (-1, 1):
        oval(0.33 * side, -0.1, 0.16, 0.09, np.full(3, 240))
        oval(0.33 * side, -0.1, 0.07, 0.08, rng.integers(20, 110, 3))
        oval(0.33 * side, -0.32, 0.2, 0.045, 0.7 * hair, 8 * side)
    oval(0, 0.3, 0.1, 0.2, 0.9 * skin)
    oval(0, 0.65, 0.3, rng.uniform(0.05, 0.15), np.array([170, 80, 85]))
    light = cv2.resize(rng.uniform(0.6, 1.2, (2, 2)), (w, h), interpolation=cv2.INTER_LINEAR)[..., None]
    return _grain(rng, cv2.GaussianBlur(np.clip(image * light, 0, 255), (0, 0), 3.0))


def noise(rng: np.random.Generator) -> Array:
    """Noise of any colour, fine or coarse."""
    step = int(rng.choice([1, 2, 5, 20]))
    small = rng.integers(0, 256, (_HW[0] // step, _HW[1] // step, 3 if rng.random() < 0.5 else 1)).astype(np.uint8)
    image = cv2.resize(small, _HW[::-1], interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(np.broadcast_to(image.reshape(*_HW, -1), (*_HW, 3)))


def texture(rng: np.random.Generator) -> Array:
    """Clouds, stone, foliage: noise whose power falls with frequency."""
    fy, fx = np.fft.fftfreq(512)[:, None], np.fft.rfftfreq(512)[None]
    stretch = rng.uniform(0.15, 1.0)
    fall = np.maximum(np.hypot(fy, fx * stretch), 1 / 512) ** -rng.uniform(0.8, 2.0)
    planes = [np.fft.irfft2(fall * np.exp(2j * np.pi * rng.random(fall.shape))) for _ in range(2)]
    height = np.stack([planes[0], 0.7 * planes[0] + 0.3 * planes[1], planes[1]], -1)
    height = height / height.std() * rng.uniform(20, 60) + rng.uniform(70, 190, 3)
    return _grain(rng, cv2.resize(np.clip(height, 0, 255).astype(np.uint8), _HW[::-1], interpolation=cv2.INTER_CUBIC))


def wood(rng: np.random.Generator) -> Array:
    """Boards with their grain."""
    y, x = np.mgrid[: _HW[0], : _HW[1]].astype(np.float32)
    warp = cv2.resize(rng.normal(0, 1, (6, 9)).astype(np.float32), _HW[::-1], interpolation=cv2.INTER_CUBIC)
    rings = np.sin((y + 60 * warp + 0.02 * x) / rng.uniform(4, 14)) * 14 + 10 * warp
    rings[:: int(rng.integers(180, 400))] -= 60
    image = rings[..., None] + np.array([170, 125, 85]) * rng.uniform(0.5, 1.2)
    return _grain(rng, np.clip(image, 0, 255))


def bricks(rng: np.random.Generator) -> Array:
    """A wall of bricks or tiles: a grid, if not of paper."""
    high, wide = int(rng.integers(25, 140)), int(rng.integers(25, 260))
    image = np.full((*_HW, 3), rng.integers(120, 230), np.uint8)
    tone, joint, offset = rng.uniform(60, 220, 3), int(rng.integers(2, 9)), int(rng.integers(0, 2))
    for row, y in enumerate(range(0, _HW[0], high)):
        for x in range(-(row % 2) * offset * wide // 2, _HW[1], wide):
            colour = np.clip(tone * rng.uniform(0.85, 1.15), 0, 255)
            cv2.rectangle(image, (x, y), (x + wide - joint, y + high - joint), [int(c) for c in colour], -1)
    return _grain(rng, image)


def plaid(rng: np.random.Generator) -> Array:
    """Checked cloth."""
    across, along = (cv2.blur((rng.random((n // k + 1, 1)) < 0.4).repeat(k, 0)[:n].astype(np.float64), (1, 5))
                     for n, k in zip(_HW, rng.integers(6, 40, 2), strict=True))  # fmt: skip
    image = 230 - 70 * across[..., None] * rng.random(3) - 70 * along.T[..., None] * rng.random(3)
    image = image + 8 * (np.indices(_HW).sum(0) % 4 < 2)[..., None]
    lean = cv2.getRotationMatrix2D((_HW[1] / 2, _HW[0] / 2), float(rng.normal(0, 15)), 1.5)
    return _grain(rng, cv2.warpAffine(image, lean, _HW[::-1]))


def plain(rng: np.random.Generator) -> Array:
    """A wall, a sheet of paper or the sky: almost one colour."""
    corners = rng.uniform(-25, 25, (2, 2, 3)) + rng.uniform(20, 235, 3)
    return _grain(rng, cv2.resize(corners, _HW[::-1], interpolation=cv2.INTER_LINEAR))


def keyboard(rng: np.random.Generator) -> Array:
    """Keys with letters, seen from above."""
    image = np.full((*_HW, 3), rng.integers(20, 90), np.uint8)
    side = int(rng.integers(90, 150))
    for row, y in enumerate(range(side, _HW[0] - side, side)):
        for x in range(20 + 30 * (row % 3), _HW[1] - side, side):
            cv2.rectangle(image, (x, y), (x + side - 14, y + side - 14), (200, 200, 205), -1)
            letter = chr(int(rng.integers(65, 91)))
            cv2.putText(image, letter, (x + 15, y + 50), cv2.FONT_HERSHEY_SIMPLEX, 1.3, (30, 30, 30), 3, cv2.LINE_AA)
    return _grain(rng, cv2.GaussianBlur(image, (0, 0), 1.2))


def _page(rng: np.random.Generator, width_px: int = 1600) -> Array:
    """A sound photo of an ECG, to be spoiled."""
    return make_sample(int(rng.integers(1 << 31)), width_px=width_px)[0]


def out_of_focus(rng: np.random.Generator) -> Array:
    """An ECG whose pen is wider than its waves."""
    image = _page(rng)
    spread = max(image.shape) / 300 * rng.uniform(1.3, 3.0)  # a page is some 300 mm long
    return _grain(rng, cv2.GaussianBlur(image, (0, 0), float(spread)))


def shaken(rng: np.random.Generator) -> Array:
    """An ECG, the camera in motion."""
    image = _page(rng)
    n = int(max(image.shape) / 300 * rng.uniform(7, 14)) | 1
    line = np.zeros((n, n), np.float32)
    direction = rng.uniform(0, np.pi)
    reach = (n - 1) / 2 * np.array([np.cos(direction), np.sin(direction)])
    ends = np.round((n - 1) / 2 + np.array([-reach, reach])).astype(int).tolist()
    cv2.line(line, ends[0], ends[1], 1.0, 1)
    return _grain(rng, cv2.filter2D(image, -1, line / line.sum()))


def corner(rng: np.random.Generator) -> Array:
    """A part of an ECG that is too small to show a whole lead."""
    image = _page(rng, 2400)
    h, w = (int(s * rng.uniform(0.16, 0.26)) for s in image.shape[:2])
    y, x = (int(rng.uniform(0.2, 0.8) * (s - part)) for s, part in zip(image.shape, (h, w), strict=False))
    return cv2.resize(image[y : y + h, x : x + w], None, fx=2.0, fy=2.0, interpolation=cv2.INTER_CUBIC)


def far_away(rng: np.random.Generator) -> Array:
    """An ECG of one or two pixels a millimetre somewhere in a picture."""
    image = _page(rng)
    factor = rng.uniform(0.12, 0.24)
    small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    scene = texture(rng)
    y, x = (int(rng.uniform(0.1, 0.9) * (s - part)) for s, part in zip(scene.shape, small.shape[:2], strict=False))
    scene[y : y + small.shape[0], x : x + small.shape[1]] = small
    return scene


def dark(rng: np.random.Generator) -> Array:
    """An ECG in the dark: little light, much noise."""
    image = _page(rng) * rng.uniform(0.02, 0.05)
    return np.clip(image + rng.normal(3, rng.uniform(8, 16), image.shape), 0, 255).astype(np.uint8)


_PICTURES: tuple[Callable[[np.random.Generator], Array], ...] = (
    monitor, face, noise, texture, wood, bricks, plaid, plain, keyboard, out_of_focus, shaken, corner, far_away, dark,
)  # fmt: skip
KINDS = (*DECOYS, *(draw.__name__ for draw in _PICTURES))


def draw_negative(kind: str, seed: int) -> Array:
    """Draw one picture to be rejected.

    Args:
        kind: one of `KINDS`.
        seed: the same seed gives the same picture, given the same fonts.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    if kind in DECOYS:
        return _decoy(rng, kind)
    return next(draw for draw in _PICTURES if draw.__name__ == kind)(rng)

"""Crops of printed text with their characters, for the caption network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from ecg_trt.layout import LEAD_WORDS
from ecg_trt.printed import CHARACTERS, class_of
from ecg_trt.stages.scaling import CAPTION_HW, CAPTION_PX_PER_MM
from ecg_trt.synth.printed_text import draw_remark
from ecg_trt.types import Array

MOST_CHARACTERS = 48  # of a crop of 32 mm; the truth is filled up with 0
_PX_PER_MM = 16.0  # of the raster that is photographed
_BORDER_MM = 3.0  # of the raster around the crop
_SHARES = {"setting": 0.5, "name": 0.15, "remark": 0.2, "noise": 0.15}
_SPEEDS = ("25", "50", "12.5", "100", "10", "6.25", "5", "20", "15", "250")
_GAINS = ("10", "5", "20", "2.5", "40", "4", "8", "15", "1.25", "100")
_CENTIMETRES = ("1", "0.5", "2", "1.0", "0.25", "4", "2.0", "0,5", "1,0")
_SPEED_UNITS = ("mm/s", "mm/s", "mm/s", "mm/sec", "mm/sec.", "mm/S", "MM/S", "mm/Sek", "mm/seg", "MM/SEC")
_GAIN_UNITS = ("mm/mV", "mm/mV", "mm/mV", "mm/mv", "MM/MV", "mm/mV.")
_BEFORE_SPEED = ("", "", "", "", "Speed: ", "Speed ", "Paper speed: ", "Vel: ", "Vel.: ", "Device: ", "V:",
                 "Vorschub: ", "Vitesse ", "Velocidad: ", "SPEED ")  # fmt: skip
_BEFORE_GAIN = ("", "", "", "", "Gain: ", "Gain ", "Sens: ", "Limb: ", "Chest: ", "Ampl: ", "A:", "Limb ", "Chest ",
                "Std: ", "Prec: ", "Extr. ", "Ganancia: ", "GAIN ")  # fmt: skip
_AFTER = ("", "", "", " 0.05-150 Hz", " 0.15-35Hz", " 50 Hz", " AC", " 60", " W", " 12SL", "  F 50", " 35 Hz", "  PH08",
          " 100Hz", " LP 40")  # fmt: skip
_OTHER_NAMES = ("D1", "D2", "D3", "DI", "DII", "DIII", "L1", "L2", "AVR", "AVL", "AVF", "-AVR", "VR", "VL", "VF",
                "C1", "C2", "C3", "C4", "C5", "C6", "V1R", "V2R", "V5R", "V6R", "CM5", "CC5", "MCL1", "Nehb D",
                "Nehb A", "Nehb J", "D", "A", "J", "aVr", "aVl", "aVf", "V 1", "Lead I", "Lead II")  # fmt: skip
_DOTTED_SHARE, _DOTTED_PX = 0.15, (7, 13)  # of texts, set in coarse dots; their height in dots
_DARK_SHARE = 0.05  # of crops, bright on dark
_NOT_LATIN = ("symbol", "d050000", "dingbat", "math", "emoji", "ocr-", "z003")


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of text as it was set: coverage (h, w) uint8, and the middle of each character, px from its left edge."""

    text: str
    mask: Array
    middles: Array


@lru_cache(maxsize=1)
def font_paths() -> tuple[Path, ...]:
    """List the outline fonts with Latin letters that are installed, sorted; matplotlib's among them."""
    folders = [Path("/usr/share/fonts"), Path("/Library/Fonts"), Path("C:/Windows/Fonts"), Path.home() / ".fonts"]
    try:
        import matplotlib

        folders.append(Path(matplotlib.get_data_path()) / "fonts" / "ttf")
    except ImportError:
        pass
    found = {path for folder in folders for end in ("ttf", "otf", "t1") for path in folder.rglob(f"*.{end}")}
    return tuple(sorted(p for p in found if not any(word in p.name.lower() for word in _NOT_LATIN)))


def text_samples(
    rng: np.random.Generator, source: object = None, hw: tuple[int, int] = CAPTION_HW, count: int = 12,
    kind: str | None = None,
) -> list[dict[str, Array]]:  # fmt: skip
    """Captions: crops (H, W, 3) uint8 at 8 px/mm whose middle line is to be read, and its classes (48,), then 0.

    Args:
        rng: source of randomness.
        source: of pages; text is drawn without one.
        hw: size of a crop.
        count: crops to draw.
        kind: of picture; all are drawn alike.
    """
    return [_crop(rng, hw) for _ in range(count)]


def _crop(rng: np.random.Generator, hw: tuple[int, int]) -> dict[str, Array]:
    height, width = (round((n / CAPTION_PX_PER_MM + 2 * _BORDER_MM) * _PX_PER_MM) for n in hw)
    image = _paper(rng, height, width)
    dark, tone = rng.random() < _DARK_SHARE, rng.uniform(0, 90) + rng.normal(0, 12, 3)
    line = _set(rng, _text(rng))
    offset = _BORDER_MM * _PX_PER_MM
    x = width / 2 - _aim(rng, line)
    y = height / 2 + rng.uniform(-1.0, 1.0) * _PX_PER_MM - line.mask.shape[0] / 2
    kept = _characters_in(line, x - offset, hw[1] / CAPTION_PX_PER_MM * _PX_PER_MM)
    if rng.random() < 0.45:
        below = rng.choice([-1, 1]) * line.mask.shape[0] * rng.uniform(1.35, 2.6)
        other = _set(rng, _text(rng))
        _ink(
            image, other.mask, (x + rng.normal(0, 80), y + below + (line.mask.shape[0] - other.mask.shape[0]) / 2), tone
        )
    _ink(image, line.mask, (x, y), tone)
    if rng.random() < 0.25:
        _stroke(image, rng, tone)
    if rng.random() < 0.2:
        _separator(image, rng, x, y, line, tone)
    if dark:
        image = 255 - image
    truth = np.zeros(MOST_CHARACTERS, np.int64)
    classes = class_of(kept)[:MOST_CHARACTERS]
    truth[: len(classes)] = classes
    return {"image": _photographed(image, rng, hw), "text": truth}


def _text(rng: np.random.Generator) -> str:
    """Draw a line of text by lot, of `CHARACTERS` alone."""
    kind = rng.choice(list(_SHARES), p=list(_SHARES.values()))
    made: dict[str, Callable[[], str]] = {
        "setting": lambda: _setting(rng), "name": lambda: _pick(rng, (*LEAD_WORDS, *_OTHER_NAMES)),
        "remark": lambda: draw_remark(rng), "noise": lambda: _noise(rng),
    }  # fmt: skip
    text = "".join(c for c in made[kind]() if c in CHARACTERS)
    return " ".join(text.split()) or "I"


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[rng.integers(len(options))]


def _setting(rng: np.random.Generator) -> str:
    """Draw by lot speed, gain, or both, in the words of one device or another."""
    space, comma = _pick(rng, ("", " ")), rng.random() < 0.2
    number = _pick(rng, _SPEEDS if rng.random() < 0.8 else (str(rng.integers(1, 300)),))
    speed = _pick(rng, _BEFORE_SPEED) + number + (".0" if rng.random() < 0.1 and "." not in number else "") + space
    speed += _pick(rng, _SPEED_UNITS)
    form = rng.random()
    if form < 0.6:
        value = _pick(rng, _GAINS if rng.random() < 0.8 else (str(rng.integers(1, 120)),))
        value += ".0" if rng.random() < 0.1 and "." not in value else ""
        value += f"/{_pick(rng, _GAINS)}" if rng.random() < 0.08 else ""
        gain = value + space + _pick(rng, _GAIN_UNITS)
    elif form < 0.8:
        gain = _pick(rng, _CENTIMETRES) + space + _pick(rng, ("cm/mV", "cm/mV", "CM/MV", "cm/mv"))
    else:
        gain = _pick(rng, ("1mV={}mm", "1 mV = {} mm", "1mV = {}mm", "1 mV={} mm")).format(_pick(rng, _GAINS))
    gain = _pick(rng, _BEFORE_GAIN) + gain
    gap = " " * int(rng.integers(1, 4))
    both = (speed, gain) if rng.random() < 0.85 else (gain, speed)
    text = (gap.join(both), speed, gain)[rng.choice(3, p=[0.5, 0.2, 0.3])] + _pick(rng, _AFTER)
    return text.replace(".", ",") if comma else text


def _noise(rng: np.random.Generator) -> str:
    """Draw characters by lot: what is printed need not be a word."""
    groups = [rng.choice(list(CHARACTERS[1:]), rng.integers(1, 7)) for _ in range(int(rng.integers(1, 6)))]
    digits = rng.random() < 0.4
    return " ".join("".join(rng.choice(list("0123456789./,"), len(g)) if digits else g) for g in groups)


def _set(rng: np.random.Generator, text: str) -> _Line:
    """Set a line in one of the fonts, capitals 1.3 to 3.8 mm high."""
    from PIL import Image, ImageDraw, ImageFont

    high = float(np.exp(rng.uniform(np.log(1.3), np.log(3.8)))) * _PX_PER_MM
    dotted = rng.random() < _DOTTED_SHARE
    px = float(rng.integers(*_DOTTED_PX)) if dotted else high
    paths = font_paths()
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont
    if paths and rng.random() < 0.95:
        font = ImageFont.truetype(str(paths[rng.integers(len(paths))]), px * 1.37)
    else:
        font = ImageFont.load_default(px * 1.37)
    left, top, right, bottom = font.getbbox(text)
    canvas = Image.new("L", (max(1, int(right - left)) + 4, max(1, int(bottom - top)) + 4))
    ImageDraw.Draw(canvas).text((2 - left, 2 - top), text, 255, font=font)
    mask = np.asarray(canvas)
    middles = np.array([font.getlength(text[:k]) + font.getlength(c) / 2 for k, c in enumerate(text)]) - left + 2
    stretch = float(np.exp(rng.normal(0, 0.12)))
    scale = high / px
    if dotted:
        mask = np.where(mask > 110, 255, 0).astype(np.uint8)
    size = max(1, round(mask.shape[1] * scale * stretch)), max(1, round(mask.shape[0] * scale))
    mask = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST if dotted else cv2.INTER_LINEAR)
    return _Line(text, mask, middles * scale * stretch)


def _aim(rng: np.random.Generator, line: _Line) -> float:
    """Draw the place along a line at which a crop is aimed, px from its left edge."""
    if rng.random() < 0.15:
        return float(rng.uniform(0, line.mask.shape[1]))
    middle = float(rng.choice(line.middles)) if line.mask.shape[1] > 28 * _PX_PER_MM else line.mask.shape[1] / 2
    return middle + float(rng.normal(0, 1.5)) * _PX_PER_MM


def _characters_in(line: _Line, x: float, width: float) -> str:
    """Characters whose middle lies in the crop, the line's left edge being at x px of `width` px."""
    edge = 0.3 * _PX_PER_MM
    inside = (line.middles + x > edge) & (line.middles + x < width - edge)
    return "".join(c for c, is_in in zip(line.text, inside, strict=True) if is_in).strip()


def _paper(rng: np.random.Generator, height: int, width: int) -> Array:
    """Draw paper, mostly with a grid."""
    paper = rng.uniform(170, 255) + rng.normal(0, 8, 3)
    image = np.full((height, width, 3), paper.clip(120, 255), np.float32)
    if rng.random() < 0.75:
        ink = (
            np.array([rng.uniform(150, 250), *rng.uniform(60, 210, 2)])
            if rng.random() < 0.7
            else rng.uniform(60, 220, 3)
        )
        shift = rng.uniform(0, 5, 2)
        for pitch, strength in ((1.0, rng.uniform(0, 0.6)), (5.0, rng.uniform(0.1, 1.0))):
            thick = max(1, round(rng.uniform(0.06, 0.3) * _PX_PER_MM))
            for axis, length in ((0, height), (1, width)):
                for at in np.arange(shift[axis] % pitch, length / _PX_PER_MM, pitch):
                    k = round(at * _PX_PER_MM)
                    part = image[k : k + thick] if axis == 0 else image[:, k : k + thick]
                    part += strength * (ink - part)
    return image


def _ink(image: Array, mask: Array, at: tuple[float, float], tone: Array) -> None:
    """Print a mask at (x, y) px in place."""
    x, y = round(at[0]), round(at[1])
    h, w = mask.shape
    xa, ya, xb, yb = max(x, 0), max(y, 0), min(x + w, image.shape[1]), min(y + h, image.shape[0])
    if xa < xb and ya < yb:
        alpha = mask[ya - y : yb - y, xa - x : xb - x, None].astype(np.float32) / 255
        part = image[ya:yb, xa:xb]
        part += alpha * (tone.clip(0, 200) - part)


def _stroke(image: Array, rng: np.random.Generator, tone: Array) -> None:
    """Draw a trace, a line or a mark of a pen across the crop, in place."""
    x = np.linspace(0, image.shape[1], 60)
    y = image.shape[0] * rng.uniform(0.1, 0.9) + np.cumsum(rng.normal(0, rng.uniform(0.5, 12), 60))
    if rng.random() < 0.3:
        y = y + 60 * np.exp(-(((x - rng.uniform(0, image.shape[1])) / 8) ** 2)) * rng.choice([-1, 1])
    cv2.polylines(image, [np.stack([x, y], -1).astype(np.int32)], False, tone.clip(0, 200).tolist(),
                  max(1, round(rng.uniform(0.1, 0.5) * _PX_PER_MM)), cv2.LINE_AA)  # fmt: skip


def _separator(image: Array, rng: np.random.Generator, x: float, y: float, line: _Line, tone: Array) -> None:
    """Draw the upright line that parts two leads, left of the text or right of it, in place."""
    h, w = line.mask.shape
    side = rng.uniform(0.4, 3.0) * _PX_PER_MM
    at = round(x - side if rng.random() < 0.8 else x + w + side)
    top = round(y + rng.uniform(-2.5, 1.0) * h)
    tall, wide = round(rng.uniform(1.5, 6.0) * h), max(1, round(rng.uniform(0.15, 0.8) * _PX_PER_MM))
    cv2.rectangle(image, (at, top), (at + wide - 1, top + tall), tone.clip(0, 200).tolist(), -1)


def _photographed(image: Array, rng: np.random.Generator, hw: tuple[int, int]) -> Array:
    """Take a picture of the raster, and sample the crop from it as it is sampled from a flattened page."""
    resolution = float(np.clip(np.exp(rng.normal(np.log(7.0), 0.4)), 3.5, 14.0))
    shrink = resolution / _PX_PER_MM
    low = cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    h, w = low.shape[:2]
    across, down = np.meshgrid(np.linspace(-1, 1, w), np.linspace(-1, 1, h))
    light = 1 + rng.normal(0, 0.08) * across + rng.normal(0, 0.08) * down
    low = cv2.GaussianBlur(low, (0, 0), float(np.exp(rng.normal(np.log(0.5), 0.5))))
    gain, lift = np.exp(rng.normal(-0.2, 0.18)), rng.normal(0, 8)
    cast = np.exp(rng.normal(0, 0.05, 3))
    low = low * light[..., None] * gain * cast + lift + rng.normal(0, np.exp(rng.normal(1.0, 0.7)), low.shape)
    low = low.clip(0, 255).astype(np.uint8)
    if rng.random() < 0.1:
        low = np.repeat(cv2.cvtColor(low, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
    if rng.random() < 0.7:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 96))]
        low = cv2.imdecode(cv2.imencode(".jpg", low, quality)[1], cv2.IMREAD_COLOR)
    turn, scale = (
        np.deg2rad(rng.normal(0, 1.5)),
        np.exp(rng.normal(0, 0.06, 2)) * shrink * _PX_PER_MM / CAPTION_PX_PER_MM,
    )
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn) + rng.normal(0, 0.03), np.cos(turn)]]) * scale
    middle = np.array([hw[1] - 1, hw[0] - 1]) / 2
    shift = np.array([w - 1, h - 1]) / 2 - matrix @ middle
    how = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(low, np.c_[matrix, shift], hw[::-1], flags=how, borderMode=cv2.BORDER_REPLICATE))

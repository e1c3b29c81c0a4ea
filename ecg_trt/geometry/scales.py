"""Paper speed and gain: what the page prints about them in words, and what its calibration pulses measure.

Maps are (H, W) float32 in [0, 1], pixel (x, y) is page mm (x, y).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ecg_trt.geometry.naming import Naming
from ecg_trt.layout import (
    GAIN_WORDS,
    GAINS_MM_PER_MV,
    PAPER_SPEEDS_MM_PER_S,
    RECORD_SECONDS,
    SPEED_WORDS,
    STRIPS,
    USUAL_GAIN_MM_PER_MV,
    USUAL_SPEED_MM_PER_S,
    WORDS,
)
from ecg_trt.types import Array, Strip

_WORD_SEEN, _WORD_SURE = 0.35, 0.6  # response at which a setting is taken as read, and at which a pulse cannot deny it
_RIVAL = 0.4  # greatest response to another setting, as a share of the best
# What a pulse of 0.2 s measures at each speed. Its half next to the trace is often seen with less conviction, so that
# it looks too narrow; between the two ranges it may be either.
_PULSE_WIDTHS_MM = {25.0: (2.0, 6.5), 50.0: (8.5, 16.0)}
_ENOUGH_PULSES = 2  # a single patch may be anything
_PULSE_SEEN, _MEAN_SEEN = 0.25, 0.3  # least response in the middle of a pulse, and of their mean
_CLEARLY_SEEN = 0.5  # mean response at which a pulse may say something unusual
_PULSE_REACH_MM, _PULSE_SLACK_MM = 25, 2  # how far from a strip's end a pulse stands, and how well that end is known
_PULSE_RISE_MM = round(max(GAINS_MM_PER_MV)) + 3
_PULSE_FEET_MM = 5  # by which the lower end of a pulse may miss the zero line
_FULL_PAGE = 1.2  # by which a row is longer than the record at one speed, so that it must be the next


@dataclass(frozen=True, slots=True)
class Pulse:
    """What the calibration pulses say, None where there are none."""

    speed_mm_per_s: float | None
    gain_mm_per_mv: float | None


@dataclass(frozen=True, slots=True)
class Scales:
    """Paper speed and gain, and where they come from.

    Attributes:
        speed_mm_per_s: paper speed.
        gain_mm_per_mv: gain.
        assumed: of "speed" and "gain", those that were neither read nor given.
        notes: where print and pulse contradict each other, in words.
    """

    speed_mm_per_s: float
    gain_mm_per_mv: float
    assumed: tuple[str, ...]
    notes: tuple[str, ...]


def read_scales(
    label: Array, pulse: Array, naming: Naming, *, speed: float | None = None, gain: float | None = None
) -> Scales:
    """Speed and gain: what is given, else what print and pulse say together, else the usual, named as assumed.

    Args:
        label: (words, H, W) map of the words of `layout.WORDS`.
        pulse: (H, W) map of the insides of pulses.
        naming: the page's strips.
        speed: mm/s, if it is known.
        gain: mm/mV, if it is known.
    """
    pulses = read_pulses(pulse, naming.strips)
    assumed, notes, values = [], [], []
    for name, unit, given, words, measured, usual in (
        ("speed", "mm/s", speed, SPEED_WORDS, pulses.speed_mm_per_s or _speed_of_rows(naming), USUAL_SPEED_MM_PER_S),
        ("gain", "mm/mV", gain, GAIN_WORDS, pulses.gain_mm_per_mv, USUAL_GAIN_MM_PER_MV),
    ):
        printed, response = read_setting(label, words)
        told = measured if printed is None or (measured is not None and response < _WORD_SURE) else printed
        if given is None and told is None:
            assumed.append(name)
        if given is None and None is not printed != measured is not None:
            notes.append(f"The page prints a {name} of {printed:g} {unit}, but its calibration pulse measures "
                         f"{measured:g} {unit}: {told:g} {unit} was taken.")  # fmt: skip
        values.append(float(given or told or usual))
    return Scales(values[0], values[1], tuple(assumed), tuple(notes))


def read_setting(label: Array, words: Mapping[str, float]) -> tuple[float | None, float]:
    """The one setting that the page prints in words, None where none or several are read, and the response to it."""
    response = {value: float(label[WORDS.index(word)].max(initial=0)) for word, value in words.items()}
    best = max(response, key=lambda value: response[value])
    rival = max(r for value, r in response.items() if value != best)
    is_read = response[best] > _WORD_SEEN and rival < _RIVAL * response[best]
    return (best if is_read else None), response[best]


def read_pulses(pulse: Array, strips: Sequence[Strip]) -> Pulse:
    """Speed and gain from the size of the calibration pulses (1 mV, 0.2 s) that stand at the ends of the strips.

    All pulses of a page are alike: they are laid over each other, and their mean is measured at half of its height.

    Args:
        pulse: (H, W) map of the insides of pulses.
        strips: rows of the page; a pulse stands on a row's zero line, before its beginning or behind its end.
    """
    for mean in sorted((_mean_pulse(pulse, strips, side) for side in (0, 1)), key=lambda m: -m.max()):
        size = _standing(mean)
        if size is not None:
            speeds = [speed for speed, (low, high) in _PULSE_WIDTHS_MM.items() if low <= size[0] < high]
            speed, gain = (speeds[0] if speeds else None), _nearest(size[1], GAINS_MM_PER_MV)
            is_clear = mean.max() > _CLEARLY_SEEN  # a faint pulse may be cut, or none: it only confirms what is usual
            return Pulse(speed if is_clear or speed == USUAL_SPEED_MM_PER_S else None,
                         gain if is_clear or gain == USUAL_GAIN_MM_PER_MV else None)  # fmt: skip
    return Pulse(None, None)


def _mean_pulse(pulse: Array, strips: Sequence[Strip], side: int) -> Array:
    """(H', W') what stands on the zero lines of one side, where something does; zeros if that are too few."""
    border = _PULSE_REACH_MM + _PULSE_RISE_MM
    padded = np.pad(pulse.astype(np.float32), border)
    height, width = _PULSE_RISE_MM + _PULSE_SLACK_MM + 1, _PULSE_REACH_MM + _PULSE_SLACK_MM
    windows = np.zeros((len(strips), height, width), np.float32)
    for window, strip in zip(windows, strips, strict=True):
        top = round(strip.zero_y_mm) - _PULSE_RISE_MM + border
        left = round(strip.x_mm[side]) - (_PULSE_SLACK_MM if side else _PULSE_REACH_MM) + border
        part = padded[max(0, top) : max(0, top + height), max(0, left) : max(0, left + width)]
        window[: part.shape[0], : part.shape[1]] = part
    strength = windows.max((1, 2), initial=0)
    strong = strength > max(_PULSE_SEEN, 0.5 * strength.max(initial=0))
    if strong.sum() < max(1, min(_ENOUGH_PULSES, len(strips))):
        return np.zeros((height, width), np.float32)
    return np.asarray(windows[strong].mean(0))


def _standing(mean: Array) -> tuple[float, float] | None:
    """Width and height (mm) of the greatest patch on the zero line, at half of its height; None if it is no pulse."""
    if mean.max() < _MEAN_SEEN:
        return None
    lit = mean > 0.5 * mean.max()
    stats = cv2.connectedComponentsWithStats(lit.astype(np.uint8), connectivity=4)[2][1:]
    x, y, w, h, area = (int(v) for v in stats[stats[:, cv2.CC_STAT_AREA].argmax()])
    # Feet are often hidden by the trace's beginning, heads are not.
    if not (area >= 8 and w >= 2 and h >= 3 and area > 0.5 * w * h and abs(y + h - _PULSE_RISE_MM) <= _PULSE_FEET_MM):
        return None
    return float(np.median(lit[y : y + h, x : x + w].sum(1))), float(_PULSE_RISE_MM - y)


def _nearest(value: float, options: tuple[float, ...]) -> float | None:
    """The option nearest in ratio, None if none is within a factor of 1.5."""
    ratio = np.abs(np.log(np.array(options) / max(float(value), 1e-6)))
    return options[int(ratio.argmin())] if ratio.min() < np.log(1.5) else None


def _speed_of_rows(naming: Naming) -> float | None:
    """A row of a known layout shows no more than the record's 10 s: one too long for 25 mm/s was printed at 50."""
    slow, fast = PAPER_SPEEDS_MM_PER_S
    return fast if naming.layout.name != STRIPS and naming.longest_mm > _FULL_PAGE * RECORD_SECONDS * slow else None

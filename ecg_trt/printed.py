"""Words printed on a page: the characters that are recognised, and what captions and lead names mean.

Devices print paper speed and gain in many ways, `25 mm/s`, `1 cm/mV`, `1mV=10mm` or `Limb: 10 mm/mV Chest: 5 mm/mV`,
and lead names in several languages and systems.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import numpy as np

from ecg_trt.layout import GAINS_MM_PER_MV, LEAD_WORDS, LEADS, PAPER_SPEEDS_MM_PER_S
from ecg_trt.types import Array

CHARACTERS = " 0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz/.,=:+-%()"
"""Characters that the caption network tells apart; class k is character k - 1, class 0 is the gap between two."""
CLASSES = len(CHARACTERS) + 1
_NEAR = 0.02  # Relative difference up to which a printed number is one of the values that devices have.


class Quantity(str, Enum):
    """What a caption states."""

    SPEED = "speed"  # mm/s
    GAIN = "gain"  # mm/mV, of all leads
    LIMB_GAIN = "limb gain"  # mm/mV
    CHEST_GAIN = "chest gain"  # mm/mV

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text as it was read.

    Attributes:
        text: its characters.
        sure: (n,) probability of each.
        x_mm: (n,) place of each, page mm.
    """

    text: str
    sure: Array
    x_mm: Array

    def word_at(self, x_mm: float, reach_mm: float) -> tuple[str, float]:
        """Find the word whose middle is nearest to a place; "" and 0 where none is within reach.

        Returns:
            The word, and the least probability of its characters.
        """
        words = [(m.start(), m.end()) for m in re.finditer(r"\S+", self.text)]
        middles = [float(self.x_mm[a:b].mean()) for a, b in words]
        if not words or min(abs(middle - x_mm) for middle in middles) > reach_mm:
            return "", 0.0
        a, b = words[min(range(len(words)), key=lambda k: abs(middles[k] - x_mm))]
        return self.text[a:b], float(self.sure[a:b].min())


@dataclass(frozen=True, slots=True)
class Setting:
    """A value that a caption states.

    Attributes:
        quantity: what it is.
        value: in mm/s or mm/mV, one of those that devices have.
        span: indices of its first character and behind its last, in the text.
    """

    quantity: Quantity
    value: float
    span: tuple[int, int]


def class_of(text: str) -> list[int]:
    """Classes of the characters of a text, all of `CHARACTERS`."""
    return [CHARACTERS.index(character) + 1 for character in text]


def decoded(logits: Array) -> tuple[str, Array, Array]:
    """Decode the likeliest path: of equal classes in a row one is kept, and gaps are dropped (Graves 2006, CTC).

    Args:
        logits: (CLASSES, T).

    Returns:
        Text; the probability (n,) of each character, and its column (n,) of the greatest.
    """
    share = np.exp(logits - logits.max(0))
    share = share / share.sum(0)
    best, sure = share.argmax(0), share.max(0)
    edges = np.flatnonzero(np.diff(best, prepend=-1))
    kept = [(int(best[a]), a + int(sure[a:b].argmax())) for a, b in zip(edges, [*edges[1:], len(best)], strict=True)
            if best[a] > 0]  # fmt: skip
    columns = np.array([column for _, column in kept], int)
    return "".join(CHARACTERS[k - 1] for k, _ in kept), np.asarray(sure[columns]), columns


_NUMBER = r"(\d+(?:[.,]\d+)?)"
_SPEED = re.compile(_NUMBER + r" ?mm ?/ ?s", re.IGNORECASE)
_GAIN = re.compile(_NUMBER + r"(?: ?/ ?" + _NUMBER + r")? ?([cm])m ?/ ?mv", re.IGNORECASE)
_EQUATION = re.compile(r"1 ?mv ?= ?" + _NUMBER + r" ?([cm])m", re.IGNORECASE)
_LIMB = re.compile(r"limb|extr|std|glied|[^a-z]ext", re.IGNORECASE)
_CHEST = re.compile(r"chest|prec|brust|thor|[^a-z]v ?:", re.IGNORECASE)
_BEFORE = 14  # Characters before a gain in which the leads that it is of are named.


def settings_of(text: str) -> Iterator[Setting]:
    """Find the paper speeds and gains that a text states; numbers that no device has are none."""
    for found in _SPEED.finditer(text):
        if value := _value(found[1], 1.0, PAPER_SPEEDS_MM_PER_S):
            yield Setting(Quantity.SPEED, value, found.span())
    last = 0
    for found in sorted((*_GAIN.finditer(text), *_EQUATION.finditer(text)), key=lambda match: match.start()):
        numbers = [group for group in found.groups()[:-1] if group]
        scale = 10.0 if found.groups()[-1] in "cC" else 1.0
        before = text[max(last, found.start() - _BEFORE) : found.start()]
        of_all = Quantity.LIMB_GAIN if _LIMB.search(before) else Quantity.GAIN
        kinds = [Quantity.LIMB_GAIN, Quantity.CHEST_GAIN] if len(numbers) == 2 else [of_all]
        if len(numbers) == 1 and _CHEST.search(before):
            kinds = [Quantity.CHEST_GAIN]
        for quantity, number in zip(kinds, numbers, strict=True):
            if value := _value(number, scale, GAINS_MM_PER_MV):
                yield Setting(quantity, value, found.span())
        last = found.end()


_NAMES = {name.lower(): name for name in LEAD_WORDS} | {f"c{k}": f"V{k}" for k in range(1, 7)}
_NAMES |= {f"av{c}": f"aV{c.upper()}" for c in "rlf"} | {f"v{c}": f"aV{c.upper()}" for c in "rlf"}
_LIMB_NAME = re.compile(r"(?:d|l|lead)?\.?([1i|l!]{1,3}|[23])", re.IGNORECASE)
_LEAD_BEFORE = re.compile(r"lead ([A-Za-z0-9]{1,4})", re.IGNORECASE)


def lead_of(word: str) -> str | None:
    """Find the lead that a printed name means: D2 and DII are II, C4 is V4, AVR is aVR; None for other words."""
    plain = word.strip(".:,()=+").lower()
    limb = _LIMB_NAME.fullmatch(plain)
    if limb is not None:
        number = {"1": 1, "2": 2, "3": 3}.get(limb[1], len(limb[1]))
        return LEADS[number - 1]
    return _NAMES.get(plain)


def lead_in(text: str) -> str | None:
    """Find the lead that a caption names, as in "Lead I, 512 Hz"; None where it names none."""
    found = _LEAD_BEFORE.search(text)
    return None if found is None else lead_of(found[1])


def _value(number: str, scale: float, known: tuple[float, ...]) -> float | None:
    value = float(number.replace(",", ".")) * scale
    return next((v for v in known if abs(value - v) <= _NEAR * v), None)

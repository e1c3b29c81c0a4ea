"""Words printed on a page: the characters that are recognised, and what captions and lead names mean.

Devices print paper speed and gain in many ways, `25 mm/s`, `1 cm/mV`, `1mV=10mm` or `Limb: 10 mm/mV Chest: 5 mm/mV`,
and lead names in several languages and systems.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ecg_trt.layout import GAINS_MM_PER_MV, LEAD_WORDS, LEADS, PAPER_SPEEDS_MM_PER_S
from ecg_trt.str_enum import StrEnum
from ecg_trt.types import Array

CHARACTERS = " 0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz/.,=:+-%()"
"""Characters that the caption network tells apart; class k is character k - 1, class 0 is the gap between two."""
CLASSES = len(CHARACTERS) + 1
# Columns before a text, wide enough for a digit that was overlooked, and behind it, unless another character is there.
_BEFORE_COLUMNS, _BESIDE = 14, 3
_ILLEGIBLE = 0.02  # Probability of a text below which nothing can be made of it.
_NEAR = 0.02  # Relative difference up to which a printed number is one of the values that devices have.


class Quantity(StrEnum):
    """Kind of value that a caption states."""

    SPEED = "speed"  # mm/s
    GAIN = "gain"  # mm/mV, of all leads
    LIMB_GAIN = "limb gain"  # mm/mV
    CHEST_GAIN = "chest gain"  # mm/mV


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text as it was read.

    Attributes:
        text: its characters.
        probability: (n,) of each.
        x_mm: (n,) place of each, page mm.
        logits: (CLASSES, T) that it was decoded from.
        columns_mm: (T,) place of each column, page mm.
    """

    text: str
    probability: Array
    x_mm: Array
    logits: Array
    columns_mm: Array

    def extent(self, span: tuple[int, int]) -> tuple[float, float, float]:
        """Measure the places of the first and the last character of a span, and their mean distance, mm."""
        first, last = self.x_mm[[span[0], span[1] - 1]].tolist()
        return first, last, (last - first) / max(1, span[1] - span[0] - 1)

    def leads_at(self, x_mm: float, reach_mm: float) -> Array:
        """Probability (len(LEAD_WORDS),) that all the text within reach of a place is the name of each lead."""
        near = np.abs(self.columns_mm - x_mm) <= reach_mm
        found = np.zeros(len(LEAD_WORDS))
        np.add.at(found, np.array(_SPELLED_LEADS), spelled(self.logits[:, near], _SPELLINGS))
        return found

    def probability_of(self, setting: Setting) -> float:
        """Probability of a setting of this line among all values that devices have, printed in the same words."""
        (first, end), (a, b) = setting.span, setting.number
        text, low, high = self.text[first:end], a - first, b - first
        known = PAPER_SPEEDS_MM_PER_S if setting.quantity is Quantity.SPEED else GAINS_MM_PER_MV
        numbers = [f"{value / setting.scale:g}" for value in known if value != setting.value]
        if "," in text[low:high]:
            numbers = [number.replace(".", ",") for number in numbers]
        at = np.searchsorted(self.columns_mm, self.x_mm)
        start = max(at[first] - _BEFORE_COLUMNS, at[first - 1] + 1 if first else 0)
        stop = min(at[end - 1] + _BESIDE + 1, at[end] if end < len(at) else len(self.columns_mm))
        share = spelled(self.logits[:, start:stop], [text, *(text[:low] + number + text[high:] for number in numbers)])
        return float(share[0] / (share.sum() + _ILLEGIBLE))


@dataclass(frozen=True, slots=True)
class Setting:
    """A value that a caption states.

    Attributes:
        quantity: what it is.
        value: in mm/s or mm/mV, one of those that devices have.
        span: indices of its first character and behind its last, in the text.
        number: those of its number.
        scale: value of 1 in the unit that is printed, 10 for cm/mV.
    """

    quantity: Quantity
    value: float
    span: tuple[int, int]
    number: tuple[int, int]
    scale: float = 1.0


def class_of(text: str) -> list[int]:
    """Classes of the characters of a text, all of `CHARACTERS`."""
    return [CHARACTERS.index(character) + 1 for character in text]


def _softmax(logits: Array) -> Array:
    """Probabilities of the classes of each column, of logits (CLASSES, T)."""
    share = np.exp(logits - logits.max(0))
    return np.asarray(share / share.sum(0))


def decoded(logits: Array) -> tuple[str, Array, Array]:
    """Decode the likeliest path: of equal classes in a row one is kept, and gaps are dropped (Graves 2006, CTC).

    Args:
        logits: (CLASSES, T).

    Returns:
        Text; the probability (n,) of each character, and its column (n,) of the greatest.
    """
    share = _softmax(logits)
    best, probability = share.argmax(0), share.max(0)
    edges = np.flatnonzero(np.diff(best, prepend=-1))
    runs = zip(edges, [*edges[1:], len(best)], strict=True)
    kept = [(int(best[a]), a + int(probability[a:b].argmax())) for a, b in runs if best[a] > 0]
    columns = np.array([column for _, column in kept], int)
    return "".join(CHARACTERS[k - 1] for k, _ in kept), np.asarray(probability[columns]), columns


def spelled(logits: Array, words: Sequence[str]) -> Array:
    """Probability (n,) that a line reads exactly as each word, by the forward algorithm (Graves 2006, CTC, eq. 6 to 8).

    Args:
        logits: (CLASSES, T).
        words: of `CHARACTERS`, none empty.
    """
    share, (path, skips) = _softmax(logits), _paths(tuple(words))
    reached = np.zeros((len(words), path.shape[1] + 2))  # Two columns before the first, from which nothing comes.
    forward = reached[:, 2:]
    forward[:, :2] = share[path[:, :2], 0] if share.shape[1] else 0.0
    for column in share.T[1:]:
        forward[:] = (forward + reached[:, 1:-1] + skips * reached[:, :-2]) * column[path]
    ends = 2 * np.array(list(map(len, words)))
    at = np.arange(len(words))
    return np.asarray(forward[at, ends] + forward[at, ends - 1])


@lru_cache(maxsize=32)
def _paths(words: tuple[str, ...]) -> tuple[Array, Array]:
    """Classes (n, 2 longest + 1) of words with gaps before, between and behind all characters; and which skip a gap."""
    path = np.zeros((len(words), 2 * max(map(len, words)) + 1), int)
    for row, word in zip(path, words, strict=True):
        row[1 : 2 * len(word) : 2] = class_of(word)
    skips = np.zeros(path.shape, bool)
    skips[:, 3::2] = (path[:, 3::2] != path[:, 1:-2:2]) & (path[:, 3::2] > 0)
    return path, skips


_NUMBER = r"(\d+(?:[.,]\d+)?)"
# A letter of a unit may be hidden by a curve, or read twice: "10 m/mV", "10 mm/m" and "10 mmm/mV" are no other units.
_SPEED = re.compile(_NUMBER + r" ?m{1,3} ?/ ?s", re.IGNORECASE)
_GAIN = re.compile(_NUMBER + r"(?: ?/ ?" + _NUMBER + r")? ?(cm|m{1,3}) ?/ ?m(?:v|\b)", re.IGNORECASE)
_EQUATION = re.compile(r"1 ?mv ?= ?" + _NUMBER + r" ?([cm]m)", re.IGNORECASE)
_LIMB = re.compile(r"limb|extr|std|glied|[^a-z]ext", re.IGNORECASE)
_CHEST = re.compile(r"chest|prec|brust|thor|[^a-z]v ?:", re.IGNORECASE)
_BEFORE = 14  # Characters before a gain in which the leads that it is of are named.


def settings_of(text: str) -> Iterator[Setting]:
    """Find the paper speeds and gains that a text states; numbers that no device has are none."""
    for found in _SPEED.finditer(text):
        if value := _value(found[1], 1.0, PAPER_SPEEDS_MM_PER_S):
            yield Setting(Quantity.SPEED, value, found.span(), found.span(1))
    last = 0
    for found in sorted((*_GAIN.finditer(text), *_EQUATION.finditer(text)), key=lambda match: match.start()):
        *numbers, unit = (k for k in range(1, len(found.groups()) + 1) if found[k])
        scale = 10.0 if found[unit][0] in "cC" else 1.0
        before = text[max(last, found.start() - _BEFORE) : found.start()]
        kinds = [Quantity.LIMB_GAIN if _LIMB.search(before) else Quantity.GAIN]
        if len(numbers) == 2:
            kinds = [Quantity.LIMB_GAIN, Quantity.CHEST_GAIN]
        elif _CHEST.search(before):
            kinds = [Quantity.CHEST_GAIN]
        for quantity, k in zip(kinds, numbers, strict=True):
            if value := _value(found[k], scale, GAINS_MM_PER_MV):
                yield Setting(quantity, value, found.span(), found.span(k), scale)
        last = found.end()


_LIMB_SPELLINGS = (("I", "l", "1", "DI", "D1", "L1"), ("II", "ll", "11", "DII", "D2", "L2", "Il", "lI"),
                   ("III", "lll", "111", "DIII", "D3", "L3", "Ill"))  # fmt: skip
_LEAD_SPELLINGS: dict[str, tuple[str, ...]] = (
    {name: (name, name.upper(), name.lower()) for name in LEAD_WORDS}
    | dict(zip(LEADS[:3], _LIMB_SPELLINGS, strict=True))
    | {f"aV{c}": (f"aV{c}", f"AV{c}", f"aV{c.lower()}", f"V{c}", f"av{c}") for c in "RLF"}
    | {f"V{k}": (f"V{k}", f"C{k}", f"v{k}") for k in range(1, 7)}
)
"""Ways in which devices print the name of a lead: D1 and DI are I, C4 is V4."""
_SPELLINGS, _SPELLED_LEADS = zip(*(
    (word, LEAD_WORDS.index(lead)) for lead, words in _LEAD_SPELLINGS.items() for word in dict.fromkeys(words)
), strict=True)  # fmt: skip
_LEAD_BEFORE = re.compile(r"\blead ?([A-Za-z0-9]{1,4})\b", re.IGNORECASE)


def lead_in(text: str) -> str | None:
    """Find the lead that a caption names, as in "Lead I, 512 Hz"; None where it names none."""
    found = _LEAD_BEFORE.search(text)
    return spelled_lead(found[1]) if found else None


def spelled_lead(word: str) -> str | None:
    """Find the lead that a word names, such as II for D2; None if it names none."""
    return next((lead for lead, words in _LEAD_SPELLINGS.items() if word in words), None)


def _value(number: str, scale: float, known: tuple[float, ...]) -> float | None:
    value = float(number.replace(",", ".")) * scale
    return next((v for v in known if abs(value - v) <= _NEAR * v), None)

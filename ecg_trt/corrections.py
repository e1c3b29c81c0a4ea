"""Corrections by a person of how a page was read: values, checked at the door, and their JSON form.

Corrections describe the difference from the first reading, which nobody corrected. Each time all of them are given, so
that a correction is undone by leaving it out. `Digitizer.correct` applies them.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

from ecg_trt.config import ReadOptions, check_choice, check_number
from ecg_trt.errors import OptionError
from ecg_trt.layout import GAINS_MM_PER_MV, LAYOUTS, LEAD_WORDS, PAPER_SPEEDS_MM_PER_S, STRIPS
from ecg_trt.printed import spelled_lead

Point: TypeAlias = tuple[float, float]

_CORNERS = 4
_LEAST_POINTS = 2
_MOST_ROTATION_DEG = 45.0  # What is turned by more is turned by quarters.
_LEAST_SINE = 0.02  # Of the angle at a corner; with less, three corners lie on one line.


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A stretch of a row that is not to be used.

    Attributes:
        row: from 0 at the top.
        x_mm: (start, end), page mm.

    Raises:
        OptionError: a value outside its range.
    """

    row: int
    x_mm: tuple[float, float]

    def __post_init__(self) -> None:
        """Check every value."""
        object.__setattr__(self, "row", _index("left_out", self.row))
        object.__setattr__(self, "x_mm", _increasing("left_out", self.x_mm))
        if len(self.x_mm) != 2:
            raise _wrong("left_out", f"{len(self.x_mm)} places", "a start and an end, page mm")


@dataclass(frozen=True, slots=True)
class Redrawn:
    """A stretch of a row's trace that a person has drawn: straight lines between points.

    Attributes:
        row: from 0 at the top.
        x_mm: n increasing places, page mm.
        y_mm: n heights of the trace there, page mm, y down.

    Raises:
        OptionError: a value outside its range.
    """

    row: int
    x_mm: tuple[float, ...]
    y_mm: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check every value."""
        object.__setattr__(self, "row", _index("redrawn", self.row))
        object.__setattr__(self, "x_mm", _increasing("redrawn", self.x_mm))
        object.__setattr__(self, "y_mm", _numbers("redrawn", self.y_mm))
        if len(self.x_mm) != len(self.y_mm):
            raise _wrong("redrawn", f"{len(self.x_mm)} x and {len(self.y_mm)} y", "as many of both")


@dataclass(frozen=True, slots=True)
class Corrections:
    """All corrections of one reading. What is None, 0 or empty stays as it was read.

    The page is corrected first: `corners`, `quarter_turns`, `rotation_deg`, `mirrored` and `layout`; a page that they
    change is read anew, in a frame of its own. Rows, columns and page mm of the others are those of the page after
    that.

    Attributes:
        corners: top left, top right, bottom right and bottom left of the page's area as an upright reader sees it,
            photo px. Their order gives the way up, and whether the photo is mirrored.
        quarter_turns: how often the page lies turned by 90 degrees clockwise in the photo, as
            `PageAlignment.quarter_turns`.
        rotation_deg: by which the upright page is to be turned further about its centre, clockwise, -45 .. 45.
        mirrored: True if the photo shows the page mirrored.
        layout: a name in `layout.LAYOUTS`, or "strips".
        speed: one of `layout.PAPER_SPEEDS_MM_PER_S`.
        gain: one of `layout.GAINS_MM_PER_MV`; of all leads, unless `chest_gain` is given.
        chest_gain: that of all but the limb leads.
        names: (row, column), both from 0, to the name of the lead that is printed there: one of `layout.LEAD_WORDS`, of
            a layout's own, or as devices spell them, such as D2.
        zero_lines: row to the height of its zero line, page mm, y down.
        left_out: stretches that are not to be used.
        redrawn: stretches whose trace was drawn by hand; what is left out stays so.

    Raises:
        OptionError: a value outside its range.

    Example:
        >>> corrections = Corrections(speed=50, names={(0, 1): "V1"})
        >>> Corrections.from_json(corrections.to_json()) == corrections
        True
    """

    corners: tuple[Point, ...] | None = None
    quarter_turns: int | None = None
    rotation_deg: float = 0.0
    mirrored: bool | None = None
    layout: str | None = None
    speed: float | None = None
    gain: float | None = None
    chest_gain: float | None = None
    names: Mapping[tuple[int, int], str] = field(default_factory=dict)
    zero_lines: Mapping[int, float] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()
    redrawn: tuple[Redrawn, ...] = ()

    def __post_init__(self) -> None:
        """Check every value, and spell names as a record does."""
        if self.corners is not None:
            object.__setattr__(self, "corners", _checked_corners(self.corners))
        if self.quarter_turns is not None and (type(self.quarter_turns) is not int or not 0 <= self.quarter_turns < 4):
            raise _wrong("quarter_turns", repr(self.quarter_turns), "one of 0, 1, 2, 3")
        if self.mirrored is not None and type(self.mirrored) is not bool:
            raise _wrong("mirrored", repr(self.mirrored), "True or False")
        check_choice("layout", self.layout, (None, *LAYOUTS, STRIPS))
        (rotation,) = _numbers("rotation_deg", (self.rotation_deg,))
        if abs(rotation) > _MOST_ROTATION_DEG:
            raise _wrong("rotation_deg", f"{rotation:g}", f"-{_MOST_ROTATION_DEG:g} to {_MOST_ROTATION_DEG:g} degrees")
        object.__setattr__(self, "rotation_deg", rotation)
        for name, choices, unit in (
            ("speed", PAPER_SPEEDS_MM_PER_S, "mm/s"),
            ("gain", GAINS_MM_PER_MV, "mm/mV"),
            ("chest_gain", GAINS_MM_PER_MV, "mm/mV"),
        ):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, check_number(name, getattr(self, name), choices, unit))
        _check_kind("names", self.names, Mapping)
        _check_kind("zero_lines", self.zero_lines, Mapping)
        object.__setattr__(self, "names", {_place(place): _lead(lead) for place, lead in self.names.items()})
        heights = {_index("zero_lines", row): _numbers("zero_lines", (y,))[0] for row, y in self.zero_lines.items()}
        object.__setattr__(self, "zero_lines", heights)
        for name, kind in (("left_out", LeftOut), ("redrawn", Redrawn)):
            _check_kind(name, getattr(self, name), Sequence)
            for stretch in getattr(self, name):
                _check_kind(name, stretch, kind)
            object.__setattr__(self, name, tuple(getattr(self, name)))

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the attributes that correct something."""
        nothing = Corrections()
        return tuple(f.name for f in fields(self) if getattr(self, f.name) != getattr(nothing, f.name))

    def over(self, options: ReadOptions) -> ReadOptions:
        """Options in which layout, speed and gains are as corrected."""
        values = {name: getattr(self, name) for name in ("layout", "speed", "gain", "chest_gain")}
        return replace(options, **{name: value for name, value in values.items() if value is not None})

    @property
    def moves_page(self) -> bool:
        """True if the page is aligned anew, for which its photo is needed."""
        return self.of_alignment != Corrections()

    @property
    def of_alignment(self) -> Corrections:
        """Those of the place of the page in the photo alone."""
        return Corrections(self.corners, self.quarter_turns, self.rotation_deg, self.mirrored)

    @property
    def of_page(self) -> Corrections:
        """Those that change which rows are read, and the frame of the others: of the alignment, and the layout."""
        return replace(self.of_alignment, layout=self.layout)

    def to_json(self) -> dict[str, Any]:
        """Convert to plain dictionaries, lists, strings and numbers, with a key for every attribute."""
        return {
            "corners": None if self.corners is None else [list(corner) for corner in self.corners],
            "quarter_turns": self.quarter_turns,
            "rotation_deg": self.rotation_deg,
            "mirrored": self.mirrored,
            "layout": self.layout,
            "speed": self.speed,
            "gain": self.gain,
            "chest_gain": self.chest_gain,
            "names": [{"row": row, "column": column, "lead": lead} for (row, column), lead in self.names.items()],
            "zero_lines": [{"row": row, "y_mm": y_mm} for row, y_mm in self.zero_lines.items()],
            "left_out": [{"row": stretch.row, "x_mm": list(stretch.x_mm)} for stretch in self.left_out],
            "redrawn": [{"row": s.row, "x_mm": list(s.x_mm), "y_mm": list(s.y_mm)} for s in self.redrawn],
        }

    @classmethod
    def from_json(cls, content: object) -> Corrections:
        """Convert from what `to_json` gives; keys may be left out.

        Raises:
            OptionError: an unknown key, or a value outside its range.
        """
        given = _object("corrections", content, frozenset(f.name for f in fields(cls)))
        for name, keys, build in _PARTS:
            if name in given:
                _check_kind(name, given[name], Sequence)
                parts = [_object(name, part, keys, needs_all=True) for part in given[name]]
                given[name] = build(parts)
        return cls(**given)


def read_corrections(path: str | os.PathLike[str]) -> Corrections:
    """Read corrections from a JSON file.

    Raises:
        OptionError: the file cannot be read, is no JSON, or holds a value outside its range.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        got = "no such file" if isinstance(error, FileNotFoundError) else f"{type(error).__name__}: {error}"
        raise OptionError(
            f"The corrections in {path} cannot be read", got=got, expected="a JSON file",
            hint="docs/corrections.md shows one.",
        ) from error  # fmt: skip
    return Corrections.from_json(content)


def _names_of(parts: Sequence[Mapping[str, Any]]) -> dict[tuple[Any, Any], Any]:
    return {_place((part["row"], part["column"])): part["lead"] for part in parts}


def _zero_lines_of(parts: Sequence[Mapping[str, Any]]) -> dict[Any, Any]:
    return {_index("zero_lines", part["row"]): part["y_mm"] for part in parts}


def _left_out_of(parts: Sequence[Mapping[str, Any]]) -> tuple[LeftOut, ...]:
    return tuple(LeftOut(**part) for part in parts)


def _redrawn_of(parts: Sequence[Mapping[str, Any]]) -> tuple[Redrawn, ...]:
    return tuple(Redrawn(**part) for part in parts)


_PARTS: tuple[tuple[str, frozenset[str], Callable[[Sequence[Mapping[str, Any]]], Any]], ...] = (
    ("names", frozenset({"row", "column", "lead"}), _names_of),
    ("zero_lines", frozenset({"row", "y_mm"}), _zero_lines_of),
    ("left_out", frozenset({"row", "x_mm"}), _left_out_of),
    ("redrawn", frozenset({"row", "x_mm", "y_mm"}), _redrawn_of),
)
"""Attributes that JSON holds as lists of objects: their keys, and the values that these make."""


def _wrong(name: str, got: str, expected: str) -> OptionError:
    hint = "Leave it out to keep what was read; docs/corrections.md describes every correction."
    return OptionError(f"A correction cannot be used: {name}", got=got, expected=expected, hint=hint)


def _check_kind(name: str, value: object, kind: type) -> None:
    if not isinstance(value, kind) or isinstance(value, str):
        raise _wrong(name, repr(value), f"a {kind.__name__}")


def _object(name: str, content: object, keys: frozenset[str], *, needs_all: bool = False) -> dict[str, Any]:
    """Check the keys of a JSON object, and copy it."""
    if not isinstance(content, Mapping):
        raise _wrong(name, repr(content), f"an object with the keys {', '.join(sorted(keys))}")
    given = {str(key) for key in content}
    if given - keys or (needs_all and keys - given):
        raise _wrong(name, f"the keys {', '.join(sorted(given))}", ", ".join(sorted(keys)))
    return dict(content)


def _index(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _wrong(name, repr(value), "a row or column, a whole number from 0")
    return value


def _place(place: object) -> tuple[int, int]:
    if not isinstance(place, tuple) or len(place) != 2:
        raise _wrong("names", repr(place), "(row, column), both from 0")
    return _index("names", place[0]), _index("names", place[1])


def _lead(lead: object) -> str:
    """Spell a name as a record does."""
    known = dict.fromkeys((*LEAD_WORDS, *(own for layout in LAYOUTS.values() for row in layout.rows for own in row)))
    name = None if not isinstance(lead, str) else lead if lead in known else spelled_lead(lead)
    if name is None:
        raise _wrong("names", repr(lead), f"one of {', '.join(known)}")
    return name


def _numbers(name: str, values: object) -> tuple[float, ...]:
    """Convert to finite numbers."""
    try:
        numbers = tuple(float(value) for value in values)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        numbers = (math.nan,)
    if not all(map(math.isfinite, numbers)):
        raise _wrong(name, repr(values), "finite numbers")
    return numbers


def _increasing(name: str, values: object) -> tuple[float, ...]:
    places = _numbers(name, values)
    if len(places) < _LEAST_POINTS or any(b <= a for a, b in pairwise(places)):
        raise _wrong(name, repr(values), f"{_LEAST_POINTS} or more places from left to right, page mm")
    return places


def _checked_corners(corners: object) -> tuple[Point, ...]:
    """Check that four corners span a convex area."""
    _check_kind("corners", corners, Sequence)
    pairs = [_numbers("corners", corner) for corner in corners]  # type: ignore[attr-defined]
    if len(pairs) != _CORNERS or any(len(pair) != 2 for pair in pairs):
        order = "top left, top right, bottom right, bottom left"
        raise _wrong("corners", repr(corners), f"four points (x, y), photo px: {order}")
    points = tuple((x, y) for x, y in pairs)
    turns = []
    for k in range(_CORNERS):
        (ax, ay), (bx, by), (cx, cy) = (points[(k + step) % _CORNERS] for step in range(3))
        lengths = math.hypot(bx - ax, by - ay) * math.hypot(cx - bx, cy - by)
        turns.append(((bx - ax) * (cy - by) - (by - ay) * (cx - bx)) / lengths if lengths > 0 else 0.0)
    if not (min(turns) > _LEAST_SINE or max(turns) < -_LEAST_SINE):
        raise _wrong("corners", repr(corners), "corners of a convex area, one after the other around it")
    return points

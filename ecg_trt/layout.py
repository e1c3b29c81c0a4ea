"""Layouts: how leads are spread over a page; and the words that are printed on it.

A layout is one entry of `LAYOUTS`. Rows, columns, their seconds and their leads are free: stages, page reading,
generator and training derive all that they need from the entry.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ecg_trt.types import Array

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
PAPER_SPEEDS_MM_PER_S = (5.0, 6.25, 10.0, 12.5, 25.0, 50.0, 100.0)
GAINS_MM_PER_MV = (2.5, 5.0, 10.0, 20.0, 40.0)
"""Speeds and gains that devices have, and that a page may print."""
COMMON_SPEEDS_MM_PER_S = (25.0, 50.0)
COMMON_GAINS_MM_PER_MV = (5.0, 10.0, 20.0)
"""Speeds and gains that pulses, rows and beats are compared with, and that the generator draws."""
STANDARD_SPEED_MM_PER_S, STANDARD_GAIN_MM_PER_MV = 25.0, 10.0
SMALL_BOX_MM, LARGE_BOX_MM = 1.0, 5.0  # Boxes of ECG paper.
PULSE_SECONDS = 0.2  # Width of a calibration pulse; its height is 1 mV.
STANDARD_RECORD_SECONDS = 10.0
"""Length of a row where nothing else is stated: resting ECGs last 10 s on most devices."""
MOST_COLUMNS = 6
"""Columns of a row at most, on a page of no known layout."""
ROW_LENGTH_TOLERANCE = 0.06
"""Share by which a row may be longer or shorter than devices print it."""
SHOWN_SHARES = (0.5, 1.0)
"""Shares of a layout's seconds that one page shows: devices print the whole record, or half of it."""

STRIPS = "strips"
"""Name of the layout of a page that is read row by row."""
INVERTED_AVR = "-aVR"
LIMB_LEADS = (*LEADS[:6], INVERTED_AVR)
OTHER_LEADS = ("V7", "V8", "V9", "V3R", "V4R", "X", "Y", "Z")
LEAD_WORDS = (*LEADS, INVERTED_AVR, *OTHER_LEADS)
"""Lead names that stage 1 was trained to recognise. A layout may print others: see `Layout`."""
SETTING = "setting"
MARKED_WORDS = (*LEAD_WORDS, SETTING)
"""Words of stage 1's label planes, in their order: lead names, and any printed paper speed or gain."""
_UNNAMED = "strip"


@dataclass(frozen=True, slots=True)
class Layout:
    """Spread of leads over a page.

    A row of one column beside rows of several is a rhythm strip. One that repeats a lead may repeat another than the
    layout states, as devices let their users choose it: the name that is plainly read counts.

    A name that is none of `LEAD_WORDS` can be printed and is given to its segment, but the network cannot recognise
    it as a label: a row is matched by the names that it does know, and by where its columns meet.

    Attributes:
        name: for example "3x4+1".
        rows: names of the leads that are printed in each row, left to right, rows from the top.
        column_seconds: seconds of each column of each row, in the shape of `rows`; where none are given, the columns
            of a row share `STANDARD_RECORD_SECONDS` equally.
        weight: how often the generator draws the layout, relative to the others of `LAYOUTS`; never at 0.
        may_invert_avr: -aVR may be printed in place of aVR, as most devices do in the Cabrera order.

    Raises:
        ValueError: there is an empty row, or the seconds are not positive or not in the shape of the rows.
    """

    name: str
    rows: tuple[tuple[str, ...], ...]
    column_seconds: tuple[tuple[float, ...], ...] = ()
    weight: float = 1.0
    may_invert_avr: bool = False

    def __post_init__(self) -> None:
        """Fill in the seconds of the columns, and check them."""
        shared = tuple((STANDARD_RECORD_SECONDS / max(1, len(row)),) * len(row) for row in self.rows)
        seconds = self.column_seconds or shared
        object.__setattr__(self, "column_seconds", seconds)
        lengths, expected = [len(row) for row in seconds], [len(row) for row in self.rows]
        if lengths != expected or 0 in expected or not all(s > 0 for row in seconds for s in row):
            raise ValueError(f"layout {self.name}: got columns of {seconds} s; expected a positive number of seconds "
                             f"for each of {expected} columns")  # fmt: skip

    @property
    def columns(self) -> int:
        """Number of columns of the row that has most."""
        return max(map(len, self.rows))

    @property
    def rhythm_rows(self) -> tuple[int, ...]:
        """Indices of the rhythm strips."""
        return tuple(k for k, row in enumerate(self.rows) if len(row) == 1 < self.columns)

    @property
    def seconds(self) -> float:
        """Length of the record: that of the longest row."""
        return max(map(math.fsum, self.column_seconds))

    @property
    def row_lengths_mm(self) -> frozenset[float]:
        """Lengths of its rows on paper, at any paper speed, whether it shows all of the record or half."""
        return _row_lengths_mm(self.column_seconds)

    def widths(self, row: int) -> tuple[float, ...]:
        """Widths of a row's columns, relative to the narrowest."""
        narrowest = min(self.column_seconds[row])
        return tuple(seconds / narrowest for seconds in self.column_seconds[row])

    def spans(self, row: int, shown_s: float | None = None) -> tuple[tuple[str, float, float], ...]:
        """Place the leads of one row in time.

        Args:
            row: its index.
            shown_s: seconds that the longest row shows; all of the record if None.

        Returns:
            (lead, start_s, end_s) of each lead.
        """
        share = math.fsum(self.column_seconds[row]) / self.seconds
        edges = column_edges(0.0, (self.seconds if shown_s is None else shown_s) * share, self.widths(row)).tolist()
        return tuple(zip(self.rows[row], edges[:-1], edges[1:], strict=True))

    @property
    def leads(self) -> tuple[str, ...]:
        """Leads of a record of this page: the twelve, if it shows them all, before any others."""
        shown = tuple(dict.fromkeys(upright(lead)[0] for row in self.rows for lead in row))
        return twelve_first(shown) if set(LEADS) <= set(shown) else shown

    def with_inverted_avr(self) -> Layout:
        """Copy with -aVR in place of aVR, as most devices print the Cabrera order."""
        rows = tuple(tuple(INVERTED_AVR if lead == "aVR" else lead for lead in row) for row in self.rows)
        return replace(self, rows=rows)


def layout_of(rows: Sequence[Sequence[str]]) -> Layout | None:
    """Find the known layout that prints these names, row by row; None if there is none."""
    return next((layout for layout in LAYOUTS.values() if layout.rows == tuple(map(tuple, rows))), None)


def column_edges(start: float, end: float, widths: Sequence[float]) -> Array:
    """Divide a row into columns.

    Args:
        start: where the row begins, in any unit.
        end: where it ends.
        widths: of n columns, relative to one another.

    Returns:
        (n + 1,) float64 borders of the columns; for columns of equal width those of `numpy.linspace`.
    """
    ends = np.cumsum(widths)
    edges = np.concatenate([[0.0], ends]) * ((end - start) / ends[-1]) + start
    edges[-1] = end
    return edges


def twelve_first(shown: Iterable[str]) -> tuple[str, ...]:
    """List the twelve leads, then the other leads that are shown."""
    return (*LEADS, *(lead for lead in shown if lead not in LEADS))


def upright(printed: str) -> tuple[str, float]:
    """Find the lead of a printed name, and the factor from its print to the lead: -1 for -aVR, else 1."""
    return ("aVR", -1.0) if printed == INVERTED_AVR else (printed, 1.0)


def standard_row_lengths_mm() -> tuple[float, ...]:
    """List the lengths of rows that the known layouts print, in ascending order, mm."""
    return tuple(sorted(_row_lengths_mm(row for layout in LAYOUTS.values() for row in layout.column_seconds)))


def _row_lengths_mm(rows: Iterable[tuple[float, ...]]) -> frozenset[float]:
    """Compute the lengths on paper of rows, given the seconds of their columns."""
    seconds = {math.fsum(row) for row in set(rows)}
    return frozenset(s * share * v for s in seconds for share in SHOWN_SHARES for v in COMMON_SPEEDS_MM_PER_S)


def standard_row_length(length_mm: float, slack: float = ROW_LENGTH_TOLERANCE) -> float | None:
    """Find the length nearest to a row's at which devices print rows.

    Args:
        length_mm: of the row.
        slack: share of the standard length by which the row may differ from it.

    Returns:
        The standard length, mm; None if the row differs by more.
    """
    nearest = min(standard_row_lengths_mm(), key=lambda row: abs(math.log(row / length_mm)))
    return nearest if abs(nearest - length_mm) < slack * nearest else None


def longest_record_seconds() -> float:
    """Find the seconds of the known layout that lasts longest."""
    return max(layout.seconds for layout in LAYOUTS.values())


def unnamed(row: int) -> str:
    """Name a strip that carries no name on the page, rows counted from 0 at the top."""
    return f"{_UNNAMED}{row + 1}"


def is_unnamed(lead: str) -> bool:
    """Tell a name that `unnamed` gave from one that is printed."""
    return lead.startswith(_UNNAMED) and lead[len(_UNNAMED) :].isdigit()


def _by_column(leads: tuple[str, ...], n_rows: int) -> tuple[tuple[str, ...], ...]:
    return tuple(leads[r::n_rows] for r in range(n_rows))


def _cabrera_layouts() -> Iterator[Layout]:
    """Yield layouts with the limb leads in the order of their angles, with the weights of the first training."""
    leads = ("aVL", "I", "aVR", "II", "aVF", "III", *LEADS[6:])
    three, six = _by_column(leads, 3), _by_column(leads, 6)
    for name, rows, weight in (
        ("3x4", three, 0.4),
        ("3x4+1", (*three, ("II",)), 0.5),
        ("3x4+2", (*three, ("II",), ("V1",)), 0.2),
        ("3x4+3", (*three, ("V1",), ("II",), ("V5",)), 0.2),
        ("6x2", six, 0.6),
        ("6x2+1", (*six, ("II",)), 0.3),
        ("12x1", _by_column(leads, 12), 0.5),
    ):
        yield Layout(f"{name}-cabrera", rows, weight=weight, may_invert_avr=True)


_3X4, _6X2 = _by_column(LEADS, 3), _by_column(LEADS, 6)
_4X3, _2X6 = (tuple(LEADS[k : k + n] for k in range(0, 12, n)) for n in (3, 6))

LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        Layout("3x4", _3X4, weight=2.0),
        Layout("3x4+1", (*_3X4, ("II",)), weight=4.0),
        Layout("3x4+2", (*_3X4, ("II",), ("V1",)), weight=0.7),
        Layout("3x4+3", (*_3X4, ("V1",), ("II",), ("V5",)), weight=1.5),
        Layout("4x3", _4X3, weight=0.6),
        Layout("2x6", _2X6, weight=0.5),
        Layout("6x2", _6X2, weight=1.5),
        Layout("6x2+1", (*_6X2, ("II",)), weight=1.0),
        Layout("12x1", _by_column(LEADS, 12), weight=1.5),
        *_cabrera_layouts(),
    )
}

"""Leads, the ways in which devices print them, and the words that are read on a page."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
RECORD_SECONDS = 10.0
PAPER_SPEEDS_MM_PER_S = (25.0, 50.0)
GAINS_MM_PER_MV = (5.0, 10.0, 20.0)
USUAL_SPEED_MM_PER_S, USUAL_GAIN_MM_PER_MV = 25.0, 10.0
STANDARD_ROW_LENGTHS_MM = (125.0, 250.0, 500.0)  # 5 or 10 s at 25 or 50 mm/s
ODD_LENGTH = 0.06
"""By which a row may be longer or shorter than devices print it, as a share."""

STRIPS = "strips"
"""Name of the layout of a page that is read strip by strip."""
INVERTED_AVR = "-aVR"
OTHER_LEADS = ("V7", "V8", "V9", "V3R", "V4R", "X", "Y", "Z")
LEAD_WORDS = (*LEADS, INVERTED_AVR, *OTHER_LEADS)
SPEED_WORDS = {f"{speed:g} mm/s": speed for speed in PAPER_SPEEDS_MM_PER_S}
GAIN_WORDS = {f"{gain:g} mm/mV": gain for gain in GAINS_MM_PER_MV}
SETTING_WORDS = (*SPEED_WORDS, *GAIN_WORDS)
SETTING = "setting"
MARKED_WORDS = (*LEAD_WORDS, SETTING)
"""What stage 1 marks on a page, in the order of its planes: lead names, and any of `SETTING_WORDS` as one."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How leads are spread over a page.

    Attributes:
        name: for example "3x4+1".
        rows: what is printed in each row, left to right, by name; the columns of a row share its time equally.
        rhythm_rows: how many of the last rows are rhythm strips.
    """

    name: str
    rows: tuple[tuple[str, ...], ...]
    rhythm_rows: int = 0

    @property
    def columns(self) -> int:
        """Number of lead columns in the part above the rhythm strips."""
        return len(self.rows[0])

    def spans(self, row: int) -> tuple[tuple[str, float, float], ...]:
        """(lead, start_s, end_s) of each lead of one row."""
        leads = self.rows[row]
        step = RECORD_SECONDS / len(leads)
        return tuple((lead, k * step, (k + 1) * step) for k, lead in enumerate(leads))

    @property
    def leads(self) -> tuple[str, ...]:
        """Leads of a record of this page: the twelve, if it shows them all, before any others."""
        shown = tuple(dict.fromkeys(upright(lead)[0] for row in self.rows for lead in row))
        return twelve_first(shown) if set(LEADS) <= set(shown) else shown

    def with_inverted_avr(self) -> Layout:
        """The same page with -aVR in place of aVR, as most devices print the Cabrera order."""
        rows = tuple(tuple(INVERTED_AVR if lead == "aVR" else lead for lead in row) for row in self.rows)
        return replace(self, rows=rows)


def marked_as(word: str) -> str:
    """Under which of `MARKED_WORDS` a printed word is marked."""
    return SETTING if word in SETTING_WORDS else word


def twelve_first(shown: Iterable[str]) -> tuple[str, ...]:
    """The twelve leads, then those of the shown that are none of them."""
    return (*LEADS, *(lead for lead in shown if lead not in LEADS))


def upright(printed: str) -> tuple[str, float]:
    """The lead behind a printed name, and the factor from its print to the lead: -1 for -aVR, else 1."""
    return ("aVR", -1.0) if printed == INVERTED_AVR else (printed, 1.0)


def standard_row_length(length_mm: float, slack: float = ODD_LENGTH) -> float | None:
    """Find the length nearest to a row's at which devices print rows.

    Args:
        length_mm: of the row.
        slack: share of the standard length by which the row may differ from it.

    Returns:
        The standard length, mm; None if the row differs by more.
    """
    nearest = min(STANDARD_ROW_LENGTHS_MM, key=lambda row: abs(math.log(row / length_mm)))
    return nearest if abs(nearest - length_mm) < slack * nearest else None


def unnamed(row: int) -> str:
    """What a strip is called that carries no name, counted from 0 at the top."""
    return f"strip{row + 1}"


def _by_column(leads: tuple[str, ...], n_rows: int) -> tuple[tuple[str, ...], ...]:
    return tuple(leads[r::n_rows] for r in range(n_rows))


_CABRERA = ("aVL", "I", "aVR", "II", "aVF", "III", "V1", "V2", "V3", "V4", "V5", "V6")
_3X4, _6X2 = _by_column(LEADS, 3), _by_column(LEADS, 6)
_4X3, _2X6 = (tuple(LEADS[k : k + n] for k in range(0, 12, n)) for n in (3, 6))
_3X4C, _6X2C = _by_column(_CABRERA, 3), _by_column(_CABRERA, 6)

LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        Layout("3x4", _3X4),
        Layout("3x4+1", (*_3X4, ("II",)), 1),
        Layout("3x4+2", (*_3X4, ("II",), ("V1",)), 2),
        Layout("3x4+3", (*_3X4, ("V1",), ("II",), ("V5",)), 3),
        Layout("4x3", _4X3),
        Layout("2x6", _2X6),
        Layout("6x2", _6X2),
        Layout("6x2+1", (*_6X2, ("II",)), 1),
        Layout("12x1", _by_column(LEADS, 12)),
        Layout("3x4-cabrera", _3X4C),
        Layout("3x4+1-cabrera", (*_3X4C, ("II",)), 1),
        Layout("3x4+2-cabrera", (*_3X4C, ("II",), ("V1",)), 2),
        Layout("3x4+3-cabrera", (*_3X4C, ("V1",), ("II",), ("V5",)), 3),
        Layout("6x2-cabrera", _6X2C),
        Layout("6x2+1-cabrera", (*_6X2C, ("II",)), 1),
        Layout("12x1-cabrera", _by_column(_CABRERA, 12)),
    )
}

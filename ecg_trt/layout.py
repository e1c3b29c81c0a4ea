"""Leads, and the ways in which devices print them."""

from __future__ import annotations

from dataclasses import dataclass

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
RECORD_SECONDS = 10.0
PAPER_SPEEDS_MM_PER_S = (25.0, 50.0)
GAINS_MM_PER_MV = (5.0, 10.0, 20.0)


@dataclass(frozen=True, slots=True)
class Layout:
    """How leads are spread over a page.

    Attributes:
        name: for example "3x4+1".
        rows: leads of each printed row, left to right; the columns of a row share the record's 10 s equally.
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


def _by_column(leads: tuple[str, ...], n_rows: int) -> tuple[tuple[str, ...], ...]:
    return tuple(leads[r::n_rows] for r in range(n_rows))


_CABRERA = ("aVL", "I", "aVR", "II", "aVF", "III", "V1", "V2", "V3", "V4", "V5", "V6")
_3X4, _6X2 = _by_column(LEADS, 3), _by_column(LEADS, 6)
_3X4C, _6X2C = _by_column(_CABRERA, 3), _by_column(_CABRERA, 6)

LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        Layout("3x4", _3X4),
        Layout("3x4+1", (*_3X4, ("II",)), 1),
        Layout("3x4+3", (*_3X4, ("V1",), ("II",), ("V5",)), 3),
        Layout("6x2", _6X2),
        Layout("6x2+1", (*_6X2, ("II",)), 1),
        Layout("12x1", _by_column(LEADS, 12)),
        Layout("3x4-cabrera", _3X4C),
        Layout("3x4+1-cabrera", (*_3X4C, ("II",)), 1),
        Layout("6x2-cabrera", _6X2C),
        Layout("12x1-cabrera", _by_column(_CABRERA, 12)),
    )
}

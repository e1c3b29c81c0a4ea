"""Which of several looks at a page shows most of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecg_trt.geometry.refine import Refined
from ecg_trt.layout import ROW_LENGTH_TOLERANCE, standard_row_length
from ecg_trt.page.naming import DOUBTFUL_LABELS, Naming
from ecg_trt.stages.rectify import PageMarks
from ecg_trt.types import GridWarp, PageAlignment

# In units of well-read names: a grid, a scale by it or by rows of a usual length, a known layout, a lead of it that is
# not shown; another row, rows twice as long, rows of a usual length, nothing left in doubt.
_GRID_WORTH, _SCALE_WORTH, _LAYOUT_WORTH, _MISSING_WORTH = 0.1, 0.15, 0.15, 0.05
_ROW_WORTH, _DOUBLE_WORTH, _USUAL_WORTH, _SETTLED_WORTH = 0.1, 0.1, 0.05, 0.02
_LIKELY = 0.5  # layout
_FEW = 1.5  # strips of no known layout, with which names count little
_BEYOND_MM = 4.0  # by which a strip may reach beyond the lattice that was seen


@dataclass(frozen=True, slots=True)
class PageCandidate:
    """What one alignment shows.

    Attributes:
        alignment: where the page was taken to be.
        grid: lattice that was seen there.
        marks: what stage 1 saw on it.
        naming: named strips, None where no strip is seen.
        refined: the same after a closer look at the lattice, None until that has been taken.
    """

    alignment: PageAlignment
    grid: GridWarp
    marks: PageMarks
    naming: Naming | None
    refined: Refined | None = None

    @property
    def label_score(self) -> float:
        """How well lead names are read, 0..1."""
        return self.naming.label_score if self.naming else 0.0

    @property
    def names_worth(self) -> float:
        """The same; less where few strips of no known layout carry them, as things seen sideways do now and then."""
        if self.naming is None or self.naming.is_known:
            return self.label_score
        return self.label_score * len(self.naming.strips) / (len(self.naming.strips) + _FEW)

    @property
    def is_upright(self) -> bool:
        """Whether names are read that turned ones are not taken for; where no layout is likely, more of them."""
        return self.names_worth > DOUBTFUL_LABELS * (1 if self.is_likely else 2)

    @property
    def is_likely(self) -> bool:
        """Whether the page has a known layout, as it seems."""
        return self.naming is not None and self.naming.is_known and self.naming.probability > _LIKELY

    @property
    def worth(self) -> float:
        """Looks at one photo are compared by this."""
        if self.naming is None:
            return -1.0
        known = self.naming.probability * self.naming.is_known
        return (self.names_worth + _GRID_WORTH * self.grid.is_seen + _SCALE_WORTH * self.scale_score
                + _LAYOUT_WORTH * known - _MISSING_WORTH * len(self.naming.missing))  # fmt: skip

    @property
    def roomier_worth(self) -> float:
        """The same for looks that differ by their room around the rows, where more and longer ones may stand."""
        rows = len(self.naming.strips) if self.naming else 0
        longer = _DOUBLE_WORTH * float(np.log2(max(self.length_mm, 1.0)))
        is_usual = self._usual_mm is not None
        return self.worth + _ROW_WORTH * rows + longer + _USUAL_WORTH * is_usual + _SETTLED_WORTH * self.settled

    @property
    def length_mm(self) -> float:
        """Median length of the rows."""
        return self.naming.usual_mm if self.naming else 0.0

    @property
    def _usual_mm(self) -> float | None:
        """The length at which devices print rows that these have, about; None if they have none."""
        return standard_row_length(self.length_mm) if self.length_mm > 0 else None

    @property
    def scale_score(self) -> float:
        """How well a lattice or rows of a usual length tell how large the page is, 0..1."""
        if self.grid.is_seen:
            return 1.0
        usual = self._usual_mm
        return 0.0 if usual is None else 1 - abs(self.length_mm / usual - 1) / ROW_LENGTH_TOLERANCE

    @property
    def is_plain(self) -> bool:
        """Whether names, layout and scale are told so well that no other view is needed."""
        return self.is_read and self.is_likely

    @property
    def is_read(self) -> bool:
        """Whether names and scale are told, though it may be of no known layout, or half of a page."""
        return self.is_upright and self.scale_score > 0

    @property
    def settled(self) -> bool:
        """Whether nothing is in doubt."""
        if self.naming is None or self.naming.missing or self.label_score < DOUBTFUL_LABELS:
            return False
        seen = np.flatnonzero(self.grid.measured.any(0)) * self.grid.mm_per_cell
        spans = [s.x_mm for s in self.naming.strips]
        return bool(len(seen)) and all(
            standard_row_length(b - a) is not None and max(seen[0] - a, b - seen[-1]) < _BEYOND_MM for a, b in spans
        )

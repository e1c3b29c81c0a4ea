"""Candidate readings of a page, one an alignment, and the scores by which they are compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecg_trt.geometry.refine import Refined
from ecg_trt.layout import ROW_LENGTH_TOLERANCE, standard_row_length
from ecg_trt.page.naming import DOUBTFUL_LABELS, Naming
from ecg_trt.stages.rectify import PageHeatmaps
from ecg_trt.types import Array, GridWarp, PageAlignment


@dataclass(frozen=True, slots=True)
class _ScoreWeights:
    """Weights of what candidates are compared by, in units of perfectly read names.

    Attributes:
        grid: of a grid that was seen.
        scale: of a scale by a grid or by rows of a standard length.
        layout: of a known layout.
        missing: penalty on each lead of the layout that is not shown.
        double: of rows twice as long: print that is seen sideways makes short ones.
        row: of another row, in `PageCandidate.wide_score` alone, as all that follow.
        standard: of rows of a standard length.
        conclusive: of a conclusive candidate.
    """

    grid: float = 0.1
    scale: float = 0.15
    layout: float = 0.15
    missing: float = 0.05
    double: float = 0.1
    row: float = 0.1
    standard: float = 0.05
    conclusive: float = 0.02


_WEIGHTS = _ScoreWeights()
_LIKELY = 0.5  # Least probability of a layout that counts as known.
_CLEARLY = 2.0  # Score of names that are clearly read, as a multiple of that of upright ones.
_FEW = 1.5  # Number of strips of no known layout at which their names count half.
_BEYOND_MM = 4.0  # Distance by which a strip may reach beyond the grid that was seen.


@dataclass(frozen=True, slots=True)
class PageCandidate:
    """Reading of a page by one alignment.

    Attributes:
        alignment: of the page in the photo.
        grid: the grid that was found with it.
        heatmaps: of the print on that grid.
        naming: named strips, None where no strip is seen.
        refined: what `PageLocator.refine` makes of it, kept so that it is made once.
    """

    alignment: PageAlignment
    grid: GridWarp
    heatmaps: PageHeatmaps
    naming: Naming | None
    refined: Refined | None = None

    @property
    def label_score(self) -> float:
        """Mean response to the lead names, 0..1."""
        return self.naming.label_score if self.naming else 0.0

    @property
    def names_score(self) -> float:
        """`label_score`, lowered where few strips of no known layout carry names, as print seen sideways may do."""
        if self.naming is None or self.naming.is_known:
            return self.label_score
        return self.label_score * len(self.naming.strips) / (len(self.naming.strips) + _FEW)

    @property
    def is_upright(self) -> bool:
        """True if names are read as well as only upright ones are; twice as well where no layout is likely."""
        return self.names_score > DOUBTFUL_LABELS * (1 if self.is_known_layout else 2)

    @property
    def is_known_layout(self) -> bool:
        """True if the page probably has a known layout."""
        return self.naming is not None and self.naming.is_known and self.naming.probability > _LIKELY

    @property
    def score(self) -> float:
        """Score by which candidates of one photo are compared."""
        if self.naming is None:
            return -1.0
        known = self.naming.probability * self.naming.is_known
        return (self.names_score + _WEIGHTS.grid * self.grid.is_seen + _WEIGHTS.scale * self.scale_score
                + _WEIGHTS.layout * known - _WEIGHTS.missing * len(self.naming.missing)
                + _WEIGHTS.double * float(np.log2(max(self.length_mm, 1.0))))  # fmt: skip

    @property
    def wide_score(self) -> float:
        """Score of candidates that differ by their margins around the rows, in which more and longer rows may stand."""
        rows = len(self.naming.strips) if self.naming else 0
        is_standard = self._standard_mm is not None
        return (self.score + _WEIGHTS.row * rows + _WEIGHTS.standard * is_standard
                + _WEIGHTS.conclusive * self.is_conclusive)  # fmt: skip

    @property
    def length_mm(self) -> float:
        """Median length of the rows."""
        return self.naming.median_mm if self.naming else 0.0

    @property
    def _standard_mm(self) -> float | None:
        """Standard length nearest to that of the rows, None if none is near."""
        return standard_row_length(self.length_mm) if self.length_mm > 0 else None

    @property
    def scale_score(self) -> float:
        """Confidence in the scale of the page, 0..1, by a grid or by rows of a standard length."""
        if self.grid.is_seen:
            return 1.0
        standard = self._standard_mm
        return 0.0 if standard is None else 1 - abs(self.length_mm / standard - 1) / ROW_LENGTH_TOLERANCE

    @property
    def is_confident(self) -> bool:
        """True if names, layout and scale are read so well that no other view is needed."""
        return self.is_legible and self.is_known_layout and self.names_score > _CLEARLY * DOUBTFUL_LABELS

    @property
    def is_legible(self) -> bool:
        """True if names and scale are read; the page may be of no known layout, or half of one."""
        return self.is_upright and self.scale_score > 0

    @property
    def is_conclusive(self) -> bool:
        """True if names are read, no lead is missing, and all rows lie on the grid and have a standard length."""
        if self.naming is None or self.naming.missing or self.label_score < DOUBTFUL_LABELS:
            return False
        seen = np.flatnonzero(self.grid.measured.any(0)) * self.grid.mm_per_cell
        spans = [s.x_mm for s in self.naming.strips]
        return bool(len(seen)) and all(
            standard_row_length(b - a) is not None and max(seen[0] - a, b - seen[-1]) < _BEYOND_MM for a, b in spans
        )


@dataclass(frozen=True, slots=True)
class LocatedPage:
    """The page, found: everything in one frame, the page mm of its refined grid.

    Attributes:
        alignment: position in the photo, by which the page was seen best.
        grid: refined grid.
        heatmaps: what stage 1 sees on the page.
        text_mask: (H, W) bool at 1 px/mm, the lead names.
        naming: layout, and named strips.
    """

    alignment: PageAlignment
    grid: GridWarp
    heatmaps: PageHeatmaps
    text_mask: Array
    naming: Naming

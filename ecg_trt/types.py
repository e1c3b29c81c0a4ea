"""Types of the data between the photo and the record.

Frames: *photo px* are pixels of the upright photo; *page mm* are millimetres on the paper as its own grid counts
them (5 mm a large box), x to the right, y down, with the origin at the first grid node of the `GridWarp`;
*page px* are pixels of the `RectifiedPage`. Points are (x, y), shapes are (H, W), pixel centres lie at integers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ecg_trt.str_enum import StrEnum

Array = npt.NDArray[Any]
_Number = TypeVar("_Number", float, Array)


@dataclass(frozen=True, slots=True)
class Photo:
    """A decoded picture.

    Attributes:
        image: (H, W, 3) uint8 RGB, upright per EXIF.
        source: path or description, for messages; with the page's number where a file has several.
        page: its number within the file, from 1.
        metadata: of the file, beside the picture, by the reader's own keys.
    """

    image: Array
    source: str = "<array>"
    page: int = 1
    metadata: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RecordedLead:
    """Lead as a device recorded it.

    Attributes:
        name: one of `layout.LEAD_WORDS`, or what the file calls it.
        samples_mv: (n,) float64 mV, NaN where the file has no value.
        fs: samples a second.
        start_s: time of the first sample on the clock of the file, s.
    """

    name: str
    samples_mv: Array
    fs: float
    start_s: float

    @property
    def end_s(self) -> float:
        """Time at which it ends, s."""
        return self.start_s + len(self.samples_mv) / self.fs


@dataclass(frozen=True, slots=True)
class Recording:
    """The signal itself, which a file holds in place of a picture.

    Attributes:
        leads: in the order of the file, at least one.
        source: path or description, for messages.
        is_derived: the file says that the signal was computed from another, and not recorded.
    """

    leads: tuple[RecordedLead, ...]
    source: str
    is_derived: bool = False


@dataclass(frozen=True, slots=True)
class PhotoView:
    """The photo at a size for pictures that people look at.

    Attributes:
        image: (h, w, 3) uint8 RGB, upright per EXIF; nothing else of the file.
        scale: its pixels a photo px.
    """

    image: Array
    scale: float

    def points(self, photo_xy: Array) -> Array:
        """Convert points (.., 2), photo px, to this view's."""
        return np.asarray((photo_xy + 0.5) * self.scale - 0.5)


@dataclass(frozen=True, slots=True)
class PageAlignment:
    """Position of the page in the photo, to first order.

    Attributes:
        page_from_photo: (3, 3) float64 homography, photo px to mm on the flattened page (origin at the top left of
            the detected area).
        size_mm: (width, height) of the detected area, mm.
        score: (K,) float64 in [0, 1].
        inlier: (K,) bool, cells that agree with the homography.
        residual_mm: (K,) float64, distance of each cell from the homography, mm on the page.
        quarter_turns: how often the photo was turned by 90 degrees clockwise with regard to the page, 0..3.
        others: (n, 2) photo px, the middles of other large patches of ECG paper in the photo.
    """

    page_from_photo: Array
    size_mm: tuple[float, float]
    score: Array
    inlier: Array
    residual_mm: Array
    quarter_turns: int
    others: Array = field(default_factory=lambda: np.zeros((0, 2)))

    @property
    def is_mirrored(self) -> bool:
        """True if the photo shows the page mirrored, as a front camera may."""
        return bool(np.linalg.det(self.page_from_photo) < 0)


@dataclass(frozen=True, slots=True)
class GridWarp:
    """The paper's 5 mm grid in the photo.

    A node is an intersection of two grid lines.

    Attributes:
        node_xy: (rows, cols, 2) float32, photo px, NaN = missing. Node (r, c) is at (c, r) * mm_per_cell page mm.
        mm_per_cell: spacing of the grid, mm.
        residual_px: RMS distance of the measured nodes from the fitted surface, photo px.
        measured: (rows, cols) bool, nodes that were measured and not filled in.
    """

    node_xy: Array
    mm_per_cell: float
    residual_px: float
    measured: Array

    @property
    def is_seen(self) -> bool:
        """True if any node was measured; otherwise the grid is the assumed homography."""
        return bool(self.measured.any())


@dataclass(frozen=True, slots=True)
class LabelMark:
    """A word on the page: the name of a lead, the paper speed or the gain.

    Attributes:
        word: one of `layout.LEAD_WORDS`, or `layout.SETTING`.
        xy_mm: centre of the text, page mm.
        score: in [0, 1].
    """

    word: str
    xy_mm: tuple[float, float]
    score: float


@dataclass(frozen=True, slots=True)
class Segment:
    """The part of a strip that shows one lead.

    Attributes:
        lead: name, as printed: one of `layout.LEAD_WORDS`, or `layout.unnamed`.
        x_mm: (start, end), page mm.
        earlier_mm: by how much of paper it was recorded earlier than its place after the strip's beginning says, as
            where all columns show the same seconds; negative for a row that continues the one above.
    """

    lead: str
    x_mm: tuple[float, float]
    earlier_mm: float = 0.0


@dataclass(frozen=True, slots=True)
class Strip:
    """One printed row.

    Attributes:
        zero_y_mm: height of the zero line, page mm.
        x_mm: (start, end) of the printed trace, page mm.
        score: in [0, 1].
        segments: leads from left to right, empty until named.
    """

    zero_y_mm: float
    x_mm: tuple[float, float]
    score: float
    segments: tuple[Segment, ...] = ()

    @property
    def leads(self) -> tuple[str, ...]:
        """Names of its segments, from left to right."""
        return tuple(segment.lead for segment in self.segments)

    def with_leads(self, leads: Iterable[str]) -> Strip:
        """Copy with other names of the segments, from left to right."""
        named = tuple(replace(segment, lead=lead) for segment, lead in zip(self.segments, leads, strict=True))
        return replace(self, segments=named)

    def moved(self, dx_mm: float, dy_mm: float = 0.0) -> Strip:
        """Shift a strip with its segments, mm to the right and down."""
        segments = tuple(replace(s, x_mm=(s.x_mm[0] + dx_mm, s.x_mm[1] + dx_mm)) for s in self.segments)
        x_mm = self.x_mm[0] + dx_mm, self.x_mm[1] + dx_mm
        return replace(self, zero_y_mm=self.zero_y_mm + dy_mm, x_mm=x_mm, segments=segments)


@dataclass(frozen=True, slots=True)
class RectifiedPage:
    """The page, flat and upright.

    Attributes:
        image: (H, W, 3) uint8 RGB, resampled once from the original photo. Pixel (x, y) lies at
            page mm origin_mm + (x, y) / px_per_mm.
        px_per_mm: (x, y).
        origin_mm: page mm of pixel (0, 0).
        seen: (H, W) bool, False where the photo shows nothing.
        photo_px_per_mm: the photo's own resolution on the page, px/mm (median).
    """

    image: Array
    px_per_mm: tuple[float, float]
    origin_mm: tuple[float, float]
    seen: Array
    photo_px_per_mm: float

    def x_mm(self, column: _Number) -> _Number:
        """Convert columns, page px, to page mm."""
        return column / self.px_per_mm[0] + self.origin_mm[0]

    def y_mm(self, row: _Number) -> _Number:
        """Convert rows, page px, to page mm."""
        return row / self.px_per_mm[1] + self.origin_mm[1]

    def column(self, x_mm: _Number) -> _Number:
        """Convert page mm to columns, page px, not rounded; the inverse of `x_mm`."""
        return (x_mm - self.origin_mm[0]) * self.px_per_mm[0]

    def row(self, y_mm: _Number) -> _Number:
        """Convert page mm to rows, page px, not rounded; the inverse of `y_mm`."""
        return (y_mm - self.origin_mm[1]) * self.px_per_mm[1]

    def columns_between(self, x_mm: tuple[float, float]) -> tuple[int, int]:
        """Convert a span, page mm, to its first and last column, page px, rounded; they may lie outside the page."""
        return round(self.column(x_mm[0])), round(self.column(x_mm[1]))


@dataclass(frozen=True, slots=True)
class TraceMap:
    """Trace of the pen on the flat page.

    Attributes:
        ridge_row: (strips, W) float32, row of the trace in page px, sub-pixel, NaN where there is none.
        confidence: (strips, W) float32 in [0, 1].
        border: (strips, W) float32 in [0, 1], that a lead of the strip begins or ends within 0.1 mm of the column.
    """

    ridge_row: Array
    confidence: Array
    border: Array


@dataclass(frozen=True, slots=True)
class LeadSpan:
    """Where a lead was printed, and the seconds that it shows.

    Attributes:
        lead: name in the record.
        row: from 0 at the top.
        start_s: on the record's clock, s.
        end_s: likewise.
    """

    lead: str
    row: int
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class LimbLeadCheck:
    """Check of limb leads that are printed together against Einthoven's and Goldberger's laws.

    Attributes:
        start_s: where they are on the record's clock, s.
        end_s: likewise.
        leads: names of those that were compared.
        residual: RMS of what the laws cannot explain of them before they were made consistent, over that of leads that
            have nothing to do with each other.
        is_blended: True if they were made consistent.
    """

    start_s: float
    end_s: float
    leads: tuple[str, ...]
    residual: float
    is_blended: bool


@dataclass(frozen=True, slots=True)
class MergedPhoto:
    """One of several photos of a page, and its part in the record that was merged from them.

    Attributes:
        source: the photo.
        weight: (leads,) its share in each lead, 0..1, adding up to 1 over the photos; NaN for a lead that none shows,
            or if the photo was left out.
        lag_s: (leads,) by which it is later than the merged record, s; NaN where it shows nothing of the lead.
        left_out: why it was left out; empty if it was not.
    """

    source: str
    weight: Array
    lag_s: Array
    left_out: str = ""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output of a network.

    Attributes:
        name: of the I/O tensor.
        dtype: numpy name of its type, for example "float32".
        shape: of each axis the length, or the name of a free length, or None for a free one without a name.
    """

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]

    def __str__(self) -> str:
        sides = ", ".join("?" if side is None else str(side) for side in self.shape)
        return f"{self.name} {self.dtype} ({sides})"


class WarningCode(StrEnum):
    """Kinds of `PageWarning`; `docs/quality.md` explains each."""

    UNRELIABLE_PAGE = "unreliable-page"
    UNRELIABLE_LEADS = "unreliable-leads"
    LIMB_LEADS_CONTRADICT = "limb-leads-contradict"
    MIRRORED = "mirrored"
    LAYOUT_UNCERTAIN = "layout-uncertain"
    LAYOUT_UNKNOWN = "layout-unknown"
    UNREAD_PRINT = "unread-print"
    OTHER_PAGES = "other-pages"
    COLUMNS_SIMULTANEOUS = "columns-simultaneous"
    AVR_INVERTED = "avr-inverted"
    TRACE_SHARED = "trace-shared"
    WAVES_CUT = "waves-cut"
    PARTLY_MISSING = "partly-missing"
    LEADS_MISSING = "leads-missing"
    ROWS_TOO_LONG = "rows-too-long"
    ROWS_SHORT = "rows-short"
    SPEED_ASSUMED = "speed-assumed"
    GAIN_ASSUMED = "gain-assumed"
    SPEED_FROM_BEATS = "speed-from-beats"
    SPEED_DISPUTED = "speed-disputed"
    GAIN_DISPUTED = "gain-disputed"
    NO_GRID = "no-grid"
    LOW_RESOLUTION = "low-resolution"
    PHOTOS_DISAGREE = "photos-disagree"
    PHOTO_LEFT_OUT = "photo-left-out"
    LEFT_OUT_BY_HAND = "left-out-by-hand"
    REDRAWN_BY_HAND = "redrawn-by-hand"
    NOT_DIGITIZED = "not-digitized"


@dataclass(frozen=True, slots=True)
class PageWarning:
    """Something that a reader of a record should know of how it was read.

    Attributes:
        code: its kind, for programs.
        text: a sentence for a person.
    """

    code: WarningCode
    text: str

    def __str__(self) -> str:
        return self.text

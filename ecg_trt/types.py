"""What flows from the photo to the record.

Frames: *photo px* are pixels of the upright photo; *page mm* are millimetres on the paper as its own grid counts
them (5 mm a large box), x to the right, y down, with the origin at the first lattice node of the `GridWarp`;
*page px* are pixels of the `RectifiedPage`. Points are (x, y), shapes are (H, W), pixel centres lie at integers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Photo:
    """A decoded picture.

    Attributes:
        image: (H, W, 3) uint8 RGB, upright per EXIF.
        source: path or description, for messages.
    """

    image: Array
    source: str = "<array>"


@dataclass(frozen=True, slots=True)
class PageAlignment:
    """Where the page lies in the photo, to first order.

    Attributes:
        page_from_photo: (3, 3) float64 homography, photo px to mm on the flattened page (origin at the top left of
            the detected area).
        size_mm: (width, height) of the detected area, mm.
        keypoints_xy: (K, 2) float64, photo px.
        score: (K,) float64 in [0, 1].
        inlier: (K,) bool, keypoints that agree with the homography.
        residual_mm: (K,) float64, distance of each keypoint from the homography, mm on the page.
        quarter_turns: how often the photo was turned by 90 degrees clockwise with regard to the page, 0..3.
    """

    page_from_photo: Array
    size_mm: tuple[float, float]
    keypoints_xy: Array
    score: Array
    inlier: Array
    residual_mm: Array
    quarter_turns: int


@dataclass(frozen=True, slots=True)
class GridWarp:
    """The paper's 5 mm lattice in the photo.

    Attributes:
        node_xy: (rows, cols, 2) float32, photo px, NaN = missing. Node (r, c) is at (c, r) * mm_per_cell page mm.
        mm_per_cell: spacing of the lattice, mm.
        residual_px: RMS distance of the measured nodes from the fitted surface, photo px.
        measured: (rows, cols) bool, nodes that were seen and not filled in.
    """

    node_xy: Array
    mm_per_cell: float
    residual_px: float
    measured: Array

    @property
    def is_seen(self) -> bool:
        """Whether any node was; where none was, the lattice is no more than the homography that was assumed."""
        return bool(self.measured.any())


@dataclass(frozen=True, slots=True)
class LabelMark:
    """A word on the page: the name of a lead, the paper speed or the gain.

    Attributes:
        word: one of `layout.LEAD_WORDS` or `layout.SETTING_WORDS`.
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
    """

    lead: str
    x_mm: tuple[float, float]


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

    def moved(self, dx_mm: float, dy_mm: float = 0.0) -> Strip:
        """The strip with its segments, so many mm further right and down."""
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

    def x_mm(self, column: Array) -> Array:
        """Page mm of columns."""
        return column / self.px_per_mm[0] + self.origin_mm[0]

    def y_mm(self, row: Array) -> Array:
        """Page mm of rows."""
        return row / self.px_per_mm[1] + self.origin_mm[1]


@dataclass(frozen=True, slots=True)
class TraceMap:
    """Where the pen was.

    Attributes:
        ridge_row: (strips, W) float32, row of the trace in page px, sub-pixel, NaN where there is none.
        confidence: (strips, W) float32 in [0, 1].
    """

    ridge_row: Array
    confidence: Array


@dataclass(frozen=True, slots=True)
class EcgRecord:
    """Leads in millivolts: the twelve, or those that a page with other leads shows.

    Attributes:
        signal_mv: (leads, n) float32 in the order of `lead_names`, mV, NaN where nothing is printed, or seen.
        fs: samples a second.
        lead_names: I, II, III, aVR, aVL, aVF, V1 .. V6, and behind them what is printed beside them, such as V7; on a
            page of no known layout the names of its strips, ``strip1`` .. where they carry none.
        layout: for example "3x4+1"; "strips" for a page of no known layout.
        paper_speed_mm_per_s: 25 or 50.
        gain_mm_per_mv: 5, 10 or 20.
        quality: (leads,) float32 in [0, 1], NaN for a lead that is not printed; 0.5 stands for an expected SNR of 10 dB
            (`quality.model.quality_of`).
        snr_db: (leads,) float32, the signal-to-noise ratio to be expected of each lead, dB, NaN for a lead that is not
            printed; from a calibration on synthetic pages, no measurement. Infinite for a truth.
        warnings: sentences for a person.
        timings_ms: step to milliseconds.
        backend: what ran the networks.
        weights: network name to the first 12 hex digits of its sha256.
        assumed: names of settings that were neither read nor given, but assumed.
        source: the photo it came from.
        layout_probability: of the layout among all, 1 where it was given.
    """

    signal_mv: Array
    fs: float
    lead_names: tuple[str, ...]
    layout: str
    paper_speed_mm_per_s: float
    gain_mm_per_mv: float
    quality: Array
    snr_db: Array
    warnings: tuple[str, ...] = ()
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    backend: str = ""
    weights: Mapping[str, str] = field(default_factory=dict)
    assumed: tuple[str, ...] = ()
    source: str = ""
    layout_probability: float = 1.0

    @property
    def mean_quality(self) -> float:
        """Mean quality of the leads that are printed, NaN if none is."""
        printed = self.quality[np.isfinite(self.quality)]
        return float(printed.mean()) if printed.size else float("nan")

    def to_csv(self, path: str | Path) -> Path:
        """Writes time_s and one column a lead, mV, blank where NaN. Returns the path."""
        from ecg_trt.io.writers.csv import write_csv

        return write_csv(self, Path(path))

    def to_json(self, path: str | Path) -> Path:
        """Writes everything but the samples. Returns the path."""
        from ecg_trt.io.writers.json import write_json

        return write_json(self, Path(path))

    def to_wfdb(self, path: str | Path) -> Path:
        """Writes a 16-bit WFDB record (header and .dat) in mV. Returns the header's path."""
        from ecg_trt.io.writers.wfdb import write_wfdb

        return write_wfdb(self, Path(path))

    def plot(self) -> Figure:
        """Draws the leads with matplotlib (extra ``plot``)."""
        from ecg_trt.io.writers.plot import plot_record

        return plot_record(self)

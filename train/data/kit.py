"""Pages of ecg-image-kit: a picture, and a JSON file of the same stem with the positions of what was drawn.

The JSON holds points as (y, x), in pixels from the picture's top left corner, after the page was rotated and before it
was padded. Its axes are those of paper at 25 mm/s and 10 mm/mV whose 5 mm grid begins at the left and at the bottom
edge. The angle of rotation is not in the file; it follows from the points themselves.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ecg_trt.errors import InputError
from ecg_trt.io.readers.photo import read_photo
from ecg_trt.layout import LEADS, Layout
from ecg_trt.synth.page import Page
from ecg_trt.synth.spec import draw_spec
from ecg_trt.types import Array, LabelMark, Segment, Strip

SPEED, GAIN = 25.0, 10.0
_FS, _SAMPLES = 500.0, 5000
_PULSE_MM = 5.0
_SPREAD_MM = 0.3  # of a zero line; a record that gives more is not the one on the page
_BESIDE_MM = 1.5
_LEAST_ON_INK = 0.6
_CONTRAST = 0.2  # of what lies between paper and ink


class InvalidPageError(ValueError):
    """Page without a usable truth; the message says why."""


@dataclass(frozen=True, slots=True)
class _Lead:
    """One entry of the JSON, in page mm; `zero_mm` is NaN without a record."""

    name: str
    pen_mm: Array
    zero_mm: float
    text_mm: Array | None


@dataclass(frozen=True, slots=True)
class _Frame:
    """Position of the picture's pixels on the paper.

    Attributes:
        turn: (2, 2) rotation of the page, about the picture's middle.
        middle: (x, y) px.
        pad: px of the border around the paper.
        px_per_mm: of the paper.
    """

    turn: Array
    middle: Array
    pad: float
    px_per_mm: float

    def mm(self, yx: Any) -> Array:
        """Points (k, 2) of the JSON, (y, x) px, to (x, y) mm."""
        px = np.asarray(yx, np.float64).reshape(-1, 2)[:, ::-1]
        return ((px - self.middle) @ self.turn + self.middle + self.pad) / self.px_per_mm

    def straight(self, image: Array, px_per_mm: float) -> Array:
        """Rotate the picture back, at another resolution."""
        h, w = image.shape[:2]
        if abs(self.turn[0, 1]) * max(h, w) > 0.5:
            shift = self.middle - 0.5 - self.turn @ (self.middle - 0.5)
            back = np.column_stack([self.turn, shift])
            how = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
            image = cv2.warpAffine(image, back, (w, h), flags=how, borderMode=cv2.BORDER_REPLICATE)
        scale = px_per_mm / self.px_per_mm
        size = (round(w * scale), round(h * scale))
        return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC))


def find_kit_pages(folder: Path) -> list[tuple[Path, Path]]:
    """Pictures below a folder that have a JSON file of the same stem, and that file, sorted."""
    found = []
    for annotation in sorted(folder.rglob("*.json")):
        pictures = [annotation.with_suffix(s) for s in (".png", ".jpg", ".jpeg")]
        found += [(picture, annotation) for picture in pictures if picture.exists()]
    return found


def read_kit_page(picture: Path, annotation: Path, px_per_mm: float) -> Page:
    """Read one page with its truth.

    Args:
        picture: of the page.
        annotation: its JSON file; a WFDB record beside it gives the exact zero lines, without one they are the medians
            of the traces.
        px_per_mm: resolution of the result.

    Raises:
        InvalidPageError: no such page, or truth and picture do not belong together.
    """
    try:
        table = json.loads(annotation.read_text(encoding="utf-8"))
        image = read_photo(picture, min_pixels=1).image
        frame = _frame(table, image.shape)
        record = _record(annotation)
        leads = [_lead(entry, frame, record) for entry in table["leads"]]
    except (InputError, ValueError, KeyError, TypeError, IndexError) as error:
        if isinstance(error, InvalidPageError):
            raise
        raise InvalidPageError("picture or JSON cannot be read") from error
    if not leads:
        raise InvalidPageError("the JSON names no lead")
    rows = _rows(leads)
    page = _page(frame.straight(image, px_per_mm), px_per_mm, _sheet_mm(table, frame), rows, table)
    if _on_ink(page) < _LEAST_ON_INK:
        raise InvalidPageError("the trace does not lie on ink")
    return page


def _frame(table: dict[str, Any], shape: Sequence[int]) -> _Frame:
    h, w = shape[:2]
    pad = float(table.get("pad_inches", 0) * table.get("resolution", 0))
    if abs(w - table["width"] - 2 * pad) > 2 or abs(h - table["height"] - 2 * pad) > 2:
        raise InvalidPageError("the picture has another size than the JSON says")
    if table.get("crop"):
        raise InvalidPageError("cropped: the points of the JSON do not follow")
    x_grid, y_grid = float(table["x_grid"]), float(table["y_grid"])
    if not 0.98 < x_grid / y_grid < 1.02:
        raise InvalidPageError("the grid is not square")
    points = [np.asarray(entry["plotted_pixels"], np.float64)[:, ::-1] for entry in table["leads"]]
    return _Frame(_turn(points), np.array([w / 2, h / 2]), pad, x_grid / 5)


def _turn(points: Sequence[Array]) -> Array:
    """(2, 2) rotation of the page: samples are equally far apart in time, so that all else is voltage, along y."""
    spread = np.zeros((2, 2))
    for xy in points:
        time = np.stack([np.arange(len(xy)), np.ones(len(xy))], -1)
        rest = xy - time @ np.linalg.lstsq(time, xy, rcond=None)[0]
        spread += rest.T @ rest
    y = np.linalg.eigh(spread)[1][:, -1]
    y = y * np.sign(y[1] or 1.0)
    return np.array([[y[1], y[0]], [-y[0], y[1]]])


def _record(annotation: Path) -> Any:
    """The WFDB record of a page named ``record-0``, or None."""
    stem = annotation.with_name(re.sub(r"-\d+$", "", annotation.stem))
    if not stem.with_suffix(".hea").exists():
        return None
    import wfdb

    return wfdb.rdrecord(str(stem))


def _lead(entry: dict[str, Any], frame: _Frame, record: Any) -> _Lead:
    names = {lead.upper(): lead for lead in LEADS}
    name = names.get(str(entry["lead_name"]).upper())
    if name is None:
        raise InvalidPageError(f"unknown lead {entry['lead_name']!r}")
    pen = frame.mm(entry["plotted_pixels"])
    text = frame.mm(list(entry["text_bounding_box"].values())).mean(0) if "text_bounding_box" in entry else None
    zero = float("nan")
    if record is not None:
        columns = {str(n).upper(): k for k, n in enumerate(record.sig_name)}
        part = slice(int(entry["start_sample"]), int(entry["start_sample"]) + len(pen))
        mv = record.p_signal[part, columns[name.upper()]] if name.upper() in columns else np.empty(0)
        height = pen[:, 1] + GAIN * mv if len(mv) == len(pen) else np.array([np.nan])
        if np.isfinite(height).all() and np.std(height) < _SPREAD_MM:
            zero = float(np.median(height))
    return _Lead(name, pen, zero, text)


def _rows(leads: Sequence[_Lead]) -> list[list[_Lead]]:
    """Leads by printed row from the top; the JSON lists them row by row, left to right."""
    rows: list[list[_Lead]] = []
    for lead in leads:
        if not rows or lead.pen_mm[0, 0] <= rows[-1][-1].pen_mm[0, 0]:
            rows.append([])
        rows[-1].append(lead)
    return sorted(rows, key=_zero_mm)


def _zero_mm(row: Sequence[_Lead]) -> float:
    """Height of a row's zero line, from the record where there is one, else the median of the trace."""
    exact = [lead.zero_mm for lead in row if np.isfinite(lead.zero_mm)]
    return float(np.median(exact if exact else np.concatenate([lead.pen_mm[:, 1] for lead in row])))


def _sheet_mm(table: dict[str, Any], frame: _Frame) -> tuple[float, float, float, float]:
    """Outline of the grid: a node lies at its left and at its bottom edge."""
    pad, w, h = (v / frame.px_per_mm for v in (frame.pad, table["width"], table["height"]))
    return pad, pad + h % 5, pad + w, pad + h


def _strip(row: Sequence[_Lead]) -> Strip:
    begins = [float(lead.pen_mm[0, 0]) for lead in row]
    last = row[-1].pen_mm[:, 0]
    ends = [*begins[1:], float(last[-1] + (last[-1] - last[0]) / (len(last) - 1))]
    segments = tuple(Segment(lead.name, (a, b)) for lead, a, b in zip(row, begins, ends, strict=True))
    return Strip(_zero_mm(row), (begins[0], ends[-1]), 1.0, segments)


def _page(image: Array, px_per_mm: float, grid_mm: tuple[float, float, float, float], rows: Sequence[Sequence[_Lead]],
          table: dict[str, Any]) -> Page:  # fmt: skip
    strips = tuple(_strip(row) for row in rows)
    layout = Layout("user", tuple(tuple(lead.name for lead in row) for row in rows))
    spec = replace(
        draw_spec(np.random.default_rng(0), layout=layout, paper_speed_mm_per_s=SPEED, gain_mm_per_mv=GAIN,
                  separator="tick"),
        size_mm=(image.shape[1] / px_per_mm, image.shape[0] / px_per_mm), grid_mm=grid_mm,
        zero_y_mm=tuple(strip.zero_y_mm for strip in strips), x0_mm=strips[0].x_mm[0],
    )  # fmt: skip
    pulses = [(s.x_mm[0] - _PULSE_MM, s.zero_y_mm - GAIN, s.x_mm[0], s.zero_y_mm) for s in strips]
    labels = [LabelMark(lead.name, (float(lead.text_mm[0]), float(lead.text_mm[1])), 1.0)
              for row in rows for lead in row if lead.text_mm is not None]  # fmt: skip
    pens = [np.concatenate([lead.pen_mm for lead in row]) for row in rows]
    return Page(
        image=image, px_per_mm=px_per_mm, spec=spec, strips=strips, labels=tuple(labels), calibration_text=(),
        pen_x_mm=tuple(pen[:, 0] for pen in pens), pen_y_mm=tuple(pen[:, 1] for pen in pens),
        pulses_mm=np.array(pulses if table.get("dc_pulse", True) else []).reshape(-1, 4),
        leads=LEADS, signal_mv=_signal(strips, pens), fs=_FS, has_grid=bool(table.get("gridlines", True)),
    )  # fmt: skip


def _signal(strips: Sequence[Strip], pens: Sequence[Array]) -> Array:
    """(12, 5000) mV on the record's clock, NaN where the page prints nothing."""
    signal = np.full((len(LEADS), _SAMPLES), np.nan, np.float32)
    times = np.arange(_SAMPLES) / _FS
    for strip, pen in zip(strips, pens, strict=True):
        at = strip.x_mm[0] + SPEED * times
        mv = (strip.zero_y_mm - np.interp(at, pen[:, 0], pen[:, 1])) / GAIN
        for segment in strip.segments:
            on = (at >= segment.x_mm[0]) & (at < segment.x_mm[1])
            signal[LEADS.index(segment.lead), on] = mv[on]
    return signal


def _on_ink(page: Page) -> float:
    """Share of the pen's way that is clearly darker than the paper above and below it; grid lines are not."""
    grey = cv2.GaussianBlur(cv2.cvtColor(page.image, cv2.COLOR_RGB2GRAY), (3, 3), 0).astype(np.float32)
    paper, ink = np.percentile(grey, (50, 1))
    darker = []
    for x, y in zip(page.pen_x_mm, page.pen_y_mm, strict=True):
        at = [(np.stack([x, y + d], -1) * page.px_per_mm - 0.5).astype(np.float32)[None]
              for d in (0.0, -_BESIDE_MM, _BESIDE_MM)]  # fmt: skip
        here, above, below = (cv2.remap(grey, xy, None, cv2.INTER_LINEAR)[0] for xy in at)
        darker.append(np.mean(here < np.minimum(above, below) - _CONTRAST * (paper - ink)))
    return float(np.mean(darker))


class KitPages:
    """Source of pages of ecg-image-kit for the simulated camera.

    Args:
        pages: pictures with their JSON files, all of them valid.
    """

    def __init__(self, pages: Sequence[tuple[Path, Path]]) -> None:
        self.pages = pages

    def page(self, rng: np.random.Generator, px_per_mm: float, voltage: float = 1.0, **look: object) -> Page:
        """Draw one page, with the voltages that it has."""
        del voltage, look
        return read_kit_page(*self.pages[int(rng.integers(len(self.pages)))], px_per_mm)

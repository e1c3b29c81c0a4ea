"""Pages as in the PhysioNet 2025 digitization challenge: ``ID/ID-0001.png`` .. ``ID-0012.png`` and ``ID.csv``.

0001 is the render, the others are scans and photos. The position of the page in a picture is not known; the runtime
rectifies it, and the record gives the pen's way. Each lead is aligned with the reading of the runtime, by the lag and
the level that fit best; where the two agree, the record is the truth, and elsewhere nothing is known.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ecg_trt.digitizer import Digitizer
from ecg_trt.errors import InputError, PageError
from ecg_trt.layout import LEADS, STANDARD_RECORD_SECONDS, upright
from ecg_trt.reading import Reading
from ecg_trt.signal.assemble import segment_starts_s
from ecg_trt.signal.resample import valid_columns
from ecg_trt.stages.scaling import TRACE_PX_PER_MM
from ecg_trt.types import Array, Segment
from train.data.kit import InvalidPageError
from train.data.samples import Sample, steepness_weight

_NAME = re.compile(r"(?P<id>.+)-\d{4}\.(png|jpg|jpeg)", re.IGNORECASE)
_REACH_MM, _STEP_MM = 1.5, 0.05  # by how much a lead may lie beside its place on the clock
_LEAST_AGREEING = 0.75  # of the leads of a page
_PAPER_GREY = 114


@dataclass(frozen=True, slots=True)
class Record:
    """One record and its pictures.

    Attributes:
        name: its id.
        pictures: paths.
        csv: the leads, mV.
        fs: samples a second.
    """

    name: str
    pictures: tuple[Path, ...]
    csv: Path
    fs: float | None


@dataclass(frozen=True, slots=True)
class FlatPage:
    """A flattened page and the pen's truth on it, in page px.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        zero: (strips,) row of the zero lines.
        span: (strips, 2) columns at which the traces begin and end.
        is_certain: (strips, 2) bool, the leads next to these ends agree, so that no trace lies beyond.
        row: (strips, W) the pen's row, NaN where it is not known.
        seen: (strips, W) bool, columns that the photo shows.
    """

    image: Array
    zero: Array
    span: Array
    is_certain: Array
    row: Array
    seen: Array


def find_records(folder: Path) -> list[Record]:
    """Records below a folder, by id. Their rate is read from a ``train.csv`` (id, fs, sig_len) in or above it."""
    tables = [p / "train.csv" for p in (folder, folder.parent) if (p / "train.csv").is_file()]
    rates: dict[str, float] = {}
    for table in tables[:1]:
        rows = [line.split(",") for line in table.read_text(encoding="utf-8").split()]
        k, f = rows[0].index("id"), rows[0].index("fs")
        rates = {row[k]: float(row[f]) for row in rows[1:]}
    found: dict[Path, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        match = _NAME.fullmatch(path.name)
        if match and (path.parent / f"{match['id']}.csv").is_file():
            found.setdefault(path.parent / f"{match['id']}.csv", []).append(path)
    return [Record(csv.stem, tuple(paths), csv, rates.get(csv.stem)) for csv, paths in sorted(found.items())]


def read_leads(record: Record) -> tuple[Array, float]:
    """(12, n) mV, NaN where the page prints nothing, and the rate; a file that names none is taken to hold 10 s.

    Raises:
        InvalidPageError: a file without all twelve leads.
    """
    table = np.genfromtxt(record.csv, delimiter=",", names=True)
    if not set(LEADS) <= set(table.dtype.names or ()):
        raise InvalidPageError("the CSV lacks leads")
    leads = np.stack([table[lead] for lead in LEADS])
    return leads, record.fs or leads.shape[1] / STANDARD_RECORD_SECONDS


def flatten(picture: Path, record: Record, digitizer: Digitizer, least_db: float) -> FlatPage:
    """Rectify one picture and align the record with it.

    Args:
        picture: of the page.
        record: of the leads that it shows.
        digitizer: of the runtime.
        least_db: agreement of a lead below which it is left out; a page with fewer than three leads in four that agree
            is left out whole.

    Raises:
        InvalidPageError: the page cannot be read, or record and page do not agree.
    """
    leads, fs = read_leads(record)
    try:
        reading = digitizer.read(picture)
    except (PageError, InputError) as error:
        raise InvalidPageError("the runtime cannot read it") from error
    truth = np.full(reading.trace.ridge_row.shape, np.nan)
    agreeing: list[list[bool]] = []
    for k, strip in enumerate(reading.strips):
        speed = reading.record.paper_speed_mm_per_s
        agreeing.append([])
        for segment, start in zip(strip.segments, segment_starts_s(strip, speed), strict=True):
            lead, sign = upright(segment.lead)
            if lead not in LEADS:  # a page that was read strip by strip
                agreeing[k].append(False)
                continue
            columns, row, db = _align_lead(reading, k, segment, start, sign * leads[LEADS.index(lead)], fs)
            agreeing[k].append(db >= least_db)
            if db >= least_db:
                truth[k, columns] = row
    if np.mean([agrees for row in agreeing for agrees in row]) < _LEAST_AGREEING:
        raise InvalidPageError("page and record do not agree")
    page = reading.page
    rows = np.nan_to_num(truth).round().clip(0, page.seen.shape[0] - 1).astype(int)
    return FlatPage(
        image=page.image, zero=np.array([page.row(s.zero_y_mm) for s in reading.strips]),
        span=np.array([[page.column(x) for x in s.x_mm] for s in reading.strips]),
        is_certain=np.array([(row[0], row[-1]) for row in agreeing]), row=truth.astype(np.float32),
        seen=page.seen[rows, np.arange(page.seen.shape[1])],
    )  # fmt: skip


def _align_lead(
    reading: Reading, strip: int, segment: Segment, start_s: float, lead: Array, fs: float
) -> tuple[Array, Array, float]:
    """Columns of a segment, the record's row there, page px, and how well it agrees with what was read, dB."""
    page, record = reading.page, reading.record
    sy = page.px_per_mm[1]
    first, last = page.columns_between(segment.x_mm)
    columns = np.arange(max(0, first), min(last, page.seen.shape[1]))
    read = reading.trace.ridge_row[strip, columns]
    is_read = np.isfinite(read) & valid_columns(reading.trace.confidence[strip], page.px_per_mm[0])[columns]
    offset_mm = page.x_mm(columns) - segment.x_mm[0]
    clock = np.arange(len(lead)) / fs
    best: tuple[float, Array] = (np.inf, np.full(len(columns), np.nan))
    for lag in np.arange(-_REACH_MM, _REACH_MM + _STEP_MM / 2, _STEP_MM):
        times = start_s + (offset_mm + lag) / record.paper_speed_mm_per_s
        row = -np.interp(times, clock, lead) * record.gain_of(segment.lead) * sy
        on = is_read & np.isfinite(row)
        if on.sum() < max(40, 0.5 * len(columns)):
            continue
        row = row + np.mean(read[on] - row[on])
        error = float(np.mean((read[on] - row[on]) ** 2))
        if error < best[0]:
            best = error, row
    power = float(np.nanvar(best[1])) if np.isfinite(best[0]) else 0.0
    return columns, best[1], 10 * np.log10(power / max(best[0], 1e-6)) if power > 0 else -np.inf


def save(page: FlatPage, path: Path) -> None:
    """Write a prepared page."""
    coded = cv2.imencode(".png", cv2.cvtColor(page.image, cv2.COLOR_RGB2BGR))[1]
    np.savez(path, image=coded, zero=page.zero, span=page.span, sure=page.is_certain, row=page.row, seen=page.seen)


def load(path: Path) -> FlatPage:
    """Read a prepared page."""
    with np.load(path) as stored:
        image = cv2.cvtColor(cv2.imdecode(stored["image"], cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        return FlatPage(image, stored["zero"], stored["span"], stored["sure"], stored["row"], stored["seen"])


class FlatPages:
    """Source of crops for stage 2 from prepared pages.

    Args:
        paths: of prepared pages.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths

    def samples(self, rng: np.random.Generator, hw: tuple[int, int] = (320, 768), count: int = 8) -> list[Sample]:
        """Draw crops of one page, as `samples.trace_samples` gives them."""
        page = load(self.paths[int(rng.integers(len(self.paths)))])
        known = np.flatnonzero(np.isfinite(page.row).any(1))
        return [_crop(rng, page, int(rng.choice(known)), hw) for _ in range(count)]


def _crop(rng: np.random.Generator, page: FlatPage, strip: int, hw: tuple[int, int]) -> Sample:
    h, w = hw
    begin, end = page.span[strip]
    beside = 12 * TRACE_PX_PER_MM[0]
    left = round(rng.uniform(begin - beside, max(end + beside - w, begin - beside + 1)))
    top = round(page.zero[strip] + rng.normal(0, 1.0) * TRACE_PX_PER_MM[1] - (h - 1) / 2)
    ys, xs = top + np.arange(h), left + np.arange(w)
    height, width = page.image.shape[:2]
    image = page.image[ys.clip(0, height - 1)][:, xs.clip(0, width - 1)]
    image[(ys < 0) | (ys >= height)] = _PAPER_GREY
    image[:, (xs < 0) | (xs >= width)] = _PAPER_GREY
    inside = (xs >= 0) & (xs < width)
    at = xs.clip(0, width - 1)
    line = np.where(inside, page.row[strip, at], np.nan) - top
    present = (xs >= begin) & (xs <= end) & inside
    known = np.isfinite(line) & (line > 1) & (line < h - 2)
    empty = ((xs < begin) & page.is_certain[strip, 0]) | ((xs > end) & page.is_certain[strip, 1])
    line = np.nan_to_num(line, nan=(h - 1) / 2)
    maps = {
        "row": line.clip(0, h - 1), "present": present & page.seen[strip, at], "judged": empty | (present & known),
        "weight": steepness_weight(line), "border": np.full(w, -1.0),
    }  # fmt: skip
    if rng.random() < 0.5:
        image, maps = image[:, ::-1], {name: value[::-1] for name, value in maps.items()}
    return {"image": np.ascontiguousarray(image)} | {
        name: np.ascontiguousarray(value, np.float32) for name, value in maps.items()
    }

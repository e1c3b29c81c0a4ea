"""Search of the thresholds of rejection: `python -m train.thresholds --pages 60 --negatives 2`.

Synthetic pages, and pictures to be rejected, go once through the digitizer; what thresholds act on is kept in a folder:
the heatmap of zero lines, the traces, the non-ECG score, and the truth. Every candidate is then evaluated without
running a network. Strips are judged by how far rows that are found cover the rows that are printed, columns by the
SNR of the signal, and pages by the pictures that are answered although they show no ECG, while hardly any sound page is
rejected. The result is `ecg_trt/weights/thresholds.json`; after a new export, this is run again.
"""

from __future__ import annotations

import argparse
import json
import logging
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np

from ecg_trt.config import ReadOptions, RuntimeOptions
from ecg_trt.digitizer import Digitizer, reading_weights
from ecg_trt.errors import EcgTrtError
from ecg_trt.io.atomic import atomic_path
from ecg_trt.layout import LEADS
from ecg_trt.metrics import score_record
from ecg_trt.page.scales import Scales
from ecg_trt.page.strips import find_strips
from ecg_trt.quality.model import load_calibration
from ecg_trt.reading import Reading, scales_of
from ecg_trt.record import in_order
from ecg_trt.signal.assemble import assemble
from ecg_trt.signal.resample import valid_columns
from ecg_trt.synth.capture import Capture
from ecg_trt.synth.page import Page
from ecg_trt.synth.sample import draw_sample
from ecg_trt.thresholds import FILE, PageThresholds, RunThresholds, Thresholds, load_thresholds
from ecg_trt.types import Array, RectifiedPage, Strip, TraceMap
from ecg_trt.weights import FOLDER
from train.calibrate_quality import (
    CUT_EVERY,
    GROSS_ERROR_DB,
    RANGE_DB,
    add_picture_arguments,
    cut_out,
    identity,
    nothing_known,
    other_pictures,
)
from train.data.signals import SignalSource

log = logging.getLogger("train.thresholds")
SEED = 32_000_000  # neither training's, nor the calibration's, nor a benchmark's
_FS = 500.0
_ROW_STEP_MM = 5.0  # between points of a printed row that are brought to the page as it was found
_SAME_ROW_MM = 3.5  # half of the least pitch of rows
_RECALL = 3.0  # Weight of recall against precision of rows (van Rijsbergen, Information Retrieval, 1979).
_ALIKE_F, _ALIKE_DB = 0.0005, 0.002  # differences that mean nothing
_MOST_REJECTED, _MOST_WARNED = 0.01, 0.05  # shares of sound pages
# Candidates: upper, lower, least length in mm.
_STRIP_GRID = ((0.3, 0.4, 0.5, 0.6, 0.7, 0.8), (0.1, 0.15, 0.2, 0.25, 0.3, 0.4), (10.0, 15.0, 20.0, 25.0, 30.0))
_COLUMN_GRID = ((0.3, 0.4, 0.5, 0.6, 0.7), (0.15, 0.25, 0.35), (0.0, 0.5, 1.0))
_PAGE_GRID = np.arange(0.05, 0.96, 0.05)

Axes = tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Traces:
    """Traces of a page, and all else that its signal is assembled from.

    Attributes:
        page: frame of the trace, without its picture.
        strips: named strips.
        trace: rows of the pen.
        leads: of the record.
        scales: speed and gain.
        seconds: length of the record.
        truth_mv: (12, n) at 500 Hz.
    """

    page: RectifiedPage
    strips: tuple[Strip, ...]
    trace: TraceMap
    leads: tuple[str, ...]
    scales: Scales
    seconds: float
    truth_mv: Array

    def valid(self, thresholds: RunThresholds) -> Array:
        """(strips, W) bool, columns in which the pen was seen."""
        return np.array([valid_columns(row, self.page.px_per_mm[0], thresholds) for row in self.trace.confidence])

    def snr_db(self, thresholds: RunThresholds | None = None) -> float:
        """SNR of the signal that is assembled with some thresholds of its columns, dB."""
        signal, *_ = assemble(
            self.page, self.strips, self.trace, leads=self.leads, speed=self.scales.speed_mm_per_s,
            gain_of=self.scales.gain_of, fs=_FS, seconds=self.seconds, thresholds=thresholds,
        )  # fmt: skip
        score = score_record(self.truth_mv, _FS, in_order(signal, self.leads, LEADS), _FS)
        return float(np.clip(score.snr_db, *RANGE_DB))


@dataclass(frozen=True, slots=True)
class Picture:
    """Responses and scores on which thresholds act, of one picture that was read.

    Attributes:
        zero: (H, W) float16 heatmap of zero lines, 1 px/mm.
        rows_mm: (k, 3) y, x0, x1 of the rows that are printed, page mm; none where there is no ECG.
        non_ecg: non-ECG score.
        traces: None where there is no ECG.
    """

    zero: Array
    rows_mm: Array
    non_ecg: float
    traces: Traces | None


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture that was drawn.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        page: None where it shows no ECG.
        capture: likewise.
        corner_px: (x, y) of its first pixel in what was captured.
    """

    image: Array
    page: Page | None = None
    capture: Capture | None = None
    corner_px: tuple[int, int] = (0, 0)


def pictures(
    pages: int, negatives: int, seed: int, signals: Path | None = None
) -> Iterator[tuple[str, Callable[[], Drawing]]]:
    """Names, and functions that draw the picture.

    With a folder of signals, every second page shows a record that is held out from training.
    """
    records = SignalSource(signals, held_out=True) if signals else None

    def page(number: int) -> Drawing:
        is_recorded = records is not None and number % 2 == 1
        signal = records.draw(np.random.default_rng(number)) if records is not None and is_recorded else None
        image, drawn, capture = draw_sample(number, signal_mv=signal, kind=None)
        if number % CUT_EVERY != CUT_EVERY - 1:
            return Drawing(image, drawn, capture)
        part, corner_px = cut_out(image, number)
        return Drawing(part, drawn, capture, corner_px)

    for number in range(seed, seed + pages):
        yield f"page {number}", partial(page, number)
    for name, draw in other_pictures(negatives, seed):
        yield name, lambda draw=draw: Drawing(draw()[0])  # type: ignore[misc]


def measure(digitizer: Digitizer, drawing: Drawing) -> Picture | None:
    """Read a picture, and keep what thresholds act on; None if it is rejected before its score is known."""
    try:
        reading = digitizer.read(drawing.image)
    except EcgTrtError:
        return None
    zero = reading.heatmaps.zero.astype(np.float16)
    non_ecg = load_calibration().non_ecg_score(reading.features)
    page = drawing.page
    if page is None:
        return Picture(zero, np.zeros((0, 3)), non_ecg, None)
    blank = replace(reading.page, image=np.zeros((0, 0, 3), np.uint8), seen=np.zeros((0, 0), bool))
    record = reading.record
    traces = Traces(
        blank, reading.strips, reading.trace, record.lead_names, scales_of(reading.scale_signs, ReadOptions()),
        record.signal_mv.shape[1] / record.fs, in_order(page.signal_mv, page.leads, LEADS),
    )  # fmt: skip
    return Picture(zero, printed_rows(reading, drawing), non_ecg, traces)


def printed_rows(reading: Reading, drawing: Drawing) -> Array:
    """(k, 3) y, x0, x1 of the printed rows, mm of the page as it was found, as far as picture and grid show them."""
    assert drawing.page is not None and drawing.capture is not None
    found = []
    for strip in drawing.page.strips:
        x = np.arange(strip.x_mm[0], strip.x_mm[1], _ROW_STEP_MM)
        photo = drawing.capture.photo_from_page(np.column_stack([x, np.full(len(x), strip.zero_y_mm)]))
        photo = photo - drawing.corner_px
        xy = reading.page_xy(photo)
        xy = xy[np.isfinite(xy).all(1) & (photo >= 0).all(1) & (photo < drawing.image.shape[1::-1]).all(1)]
        if len(xy) > 1:
            found.append((np.median(xy[:, 1]), xy[:, 0].min(), xy[:, 0].max()))
    return np.array(found).reshape(-1, 3)


def collect(
    folder: Path, wanted: Sequence[tuple[str, Callable[[], Drawing]]], threads: int
) -> dict[str, Picture | None]:
    """Measure the pictures that the folder does not hold yet for these networks."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted_identity, start = identity(), time.monotonic()
    found: dict[str, Picture | None] = {}
    with Digitizer(RuntimeOptions(threads=threads), calibration=nothing_known()) as digitizer:
        for k, (name, draw) in enumerate(wanted):
            path = folder / f"{name.replace(' ', '_')}.pickle"
            kept = pickle.loads(path.read_bytes()) if path.exists() else ("", None)
            if kept[0] != wanted_identity:
                kept = wanted_identity, measure(digitizer, draw())
                with atomic_path(path) as temporary:
                    temporary.write_bytes(pickle.dumps(kept))
            found[name] = kept[1]
            if k % 20 == 19:
                log.info("%d of %d pictures, %.0f s", k + 1, len(wanted), time.monotonic() - start)
    return found


def strip_score(pictures: Sequence[Picture], thresholds: RunThresholds) -> float:
    """F-measure of the rows of all pictures, a row that is found counting by the part that agrees with a printed one.

    The part is intersection over union of the two spans. Rows that are found on no ECG are false. A row that is missed
    costs a lead or more, a false one is mostly left aside when rows are named: recall counts `_RECALL` times.
    """
    shared, total = 0.0, 0.0
    for picture in pictures:
        strips = find_strips(picture.zero.astype(np.float32), thresholds)
        total += len(strips) + _RECALL**2 * len(picture.rows_mm)
        shared += sum(_overlap(row, strips) for row in picture.rows_mm)
    return (1 + _RECALL**2) * shared / max(total, 1)


def _overlap(row: Array, strips: Sequence[Strip]) -> float:
    """Intersection over union of a printed row and the strip nearest to it, 0 if that is another row."""
    y, x0, x1 = row
    nearest = min(strips, key=lambda strip: abs(strip.zero_y_mm - y), default=None)
    if nearest is None or abs(nearest.zero_y_mm - y) > _SAME_ROW_MM:
        return 0.0
    a, b = nearest.x_mm
    return float(max(0.0, min(x1, b) - max(x0, a)) / (max(x1, b) - min(x0, a)))


def column_score(traces: Sequence[Traces], known: dict[tuple[int, bytes], float], thresholds: RunThresholds) -> float:
    """Mean SNR of the pages, dB; what is not read counts as zero, as in the metric.

    Args:
        traces: of the pages.
        known: SNR of each page for the columns that were valid before, which grows.
        thresholds: of the columns.
    """
    keys = [(k, page.valid(thresholds).tobytes()) for k, page in enumerate(traces)]
    for page, key in zip(traces, keys, strict=True):
        if key not in known:
            known[key] = page.snr_db(thresholds)
    return float(np.mean([known[key] for key in keys]))


def search(name: str, axes: Axes, score: Callable[[RunThresholds], float], present: RunThresholds,
           tolerance: float) -> RunThresholds:  # fmt: skip
    """Find the middle of those of a grid of thresholds that are as good as the best, as a single best one is luck.

    Args:
        name: for the log, which gets all candidates.
        axes: upper, lower and least length; lower thresholds above the upper one are left out.
        score: of a candidate, the higher the better.
        present: thresholds of the package, logged for comparison.
        tolerance: difference of scores that means nothing.
    """
    log.info("%s: present %s: %.4f", name, present, score(present))
    scores = np.full(tuple(map(len, axes)), -np.inf)
    for index, values in zip(np.ndindex(scores.shape), product(*axes), strict=True):
        if values[1] <= values[0]:
            scores[index] = score(RunThresholds(*values))
            log.info("%s: upper %.2f, lower %.2f, least %4.1f mm: %.4f", name, *values, scores[index])
    good = np.argwhere(scores >= scores.max() - tolerance)
    best = tuple(good[np.argmin(((good - good.mean(0)) ** 2).sum(1))])
    chosen = RunThresholds(*(float(axis[k]) for axis, k in zip(axes, best, strict=True)))
    log.info("%s: chosen %s: %.4f", name, chosen, scores[best])
    return chosen


def page_threshold(sound: Array, bad: Array, most: float) -> float:
    """Find the score beyond which most bad pictures lie, and of the sound pages at most a share.

    Of thresholds that are alike, the middle is taken.

    Args:
        sound: (n,) non-ECG scores of pages that were read well.
        bad: (m,) of pictures that should lie beyond the threshold.
        most: share of sound pages that may lie beyond it.
    """
    allowed = [t for t in _PAGE_GRID if (sound > t).mean() <= most] or [1.0]
    beyond = [(bad > t).sum() for t in allowed]
    alike = [t for t, count in zip(allowed, beyond, strict=True) if count == max(beyond)]
    return round(float(alike[len(alike) // 2]), 2)


def search_page(found: Sequence[Picture | None]) -> PageThresholds:
    """Find the thresholds of the non-ECG score."""
    seen = [(p.non_ecg, p.traces.snr_db() if p.traces else np.nan) for p in found if p is not None]
    score, db = np.array(seen).reshape(-1, 2).T
    sound, negative = score[db > GROSS_ERROR_DB], score[np.isnan(db)]
    for t in _PAGE_GRID:
        log.info("page: %.2f: %d of %d sound pages beyond it, %d of %d read below 5 dB, %d of %d without an ECG", t,
                 (sound > t).sum(), len(sound), (score[db <= GROSS_ERROR_DB] > t).sum(),
                 (db <= GROSS_ERROR_DB).sum(), (negative > t).sum(), len(negative))  # fmt: skip
    upper = page_threshold(sound, negative, _MOST_REJECTED)
    answered = score[~(db > GROSS_ERROR_DB) & (score <= upper)]
    lower = min(upper, page_threshold(sound, answered, _MOST_WARNED))
    log.info("page: chosen upper %.2f, lower %.2f", upper, lower)
    return PageThresholds(upper, lower)


def searched(found: Sequence[Picture | None]) -> Thresholds:
    """Search all thresholds on pictures that were measured."""
    present = load_thresholds()
    read = [picture for picture in found if picture is not None]
    traces = [picture.traces for picture in read if picture.traces is not None]
    sound = [page for page in traces if page.snr_db() > GROSS_ERROR_DB]  # on others, columns hardly matter
    return Thresholds(
        search_page(found),
        search("strip", _STRIP_GRID, partial(strip_score, read), present.strip, _ALIKE_F),
        search("column", _COLUMN_GRID, partial(column_score, sound, {}), present.column, _ALIKE_DB),
    )


def main() -> None:
    """Measure, search, and write `ecg_trt/weights/thresholds.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_picture_arguments(parser, pages=60, negatives=2, seed=SEED)
    parser.add_argument("--kept", type=Path, default=Path("runs/thresholds"), help="folder of what is measured")
    parser.add_argument("--out", type=Path, default=FOLDER / FILE)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    wanted = list(pictures(args.pages, args.negatives, args.seed, args.signals))
    found = collect(args.kept, wanted, args.threads)
    log.info("%d of %d pictures were read", sum(one is not None for one in found.values()), len(found))
    content = {**asdict(searched(list(found.values()))), "pages": args.pages,
               "pictures_without_ecg": len(found) - args.pages, "networks": reading_weights()}  # fmt: skip
    args.out.write_text(json.dumps(content, indent=1) + "\n")
    log.info("written: %s", args.out)


if __name__ == "__main__":
    main()

"""Decibels that each stage costs: `python benchmarks/oracle.py --pages 16`.

On synthetic photos of 3x4+1 pages at 25 mm/s and 10 mm/mV, one part after the other is replaced by the truth: the map
from page to photo (and with it the places of the strips), the pen's row in every column, or both. What is left with
both is the price of the sampling, of the low-pass and of the interpolation between the nodes of the grid.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.ndimage import map_coordinates

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.common import write_results
from ecg_trt.digitizer import Digitizer
from ecg_trt.errors import EcgTrtError
from ecg_trt.layout import LARGE_BOX_MM, LEADS
from ecg_trt.metrics import score_record
from ecg_trt.signal.assemble import assemble
from ecg_trt.stages.rectify import Rectify, region_of
from ecg_trt.stages.scaling import TRACE_PX_PER_MM
from ecg_trt.stages.trace import Trace
from ecg_trt.synth.capture import Capture, draw_capture, photograph
from ecg_trt.synth.page import Page, draw_page
from ecg_trt.synth.signals import simulate
from ecg_trt.synth.spec import draw_spec
from ecg_trt.types import Array, GridWarp, Photo, RectifiedPage, Strip, TraceMap
from train.data.signals import SignalSource

CASES = ("read", "true map", "true pen on the map that was read", "true map and pen")
_SPEED, _GAIN, _FS = 25.0, 10.0, 500.0
_AROUND_MM = 15.0  # of the grid, beyond the printed one; and of the strips, above and below
_LONG_PX, _SHORT_PX = 3000, 2250


def draw_scene(seed: int, records: Sequence[Array]) -> tuple[Page, Capture, Photo]:
    """A page that shows one of the records (12, 5000) mV, else a simulated one, its capture, and the photo."""
    rng = np.random.default_rng(seed)
    signal = records[seed % len(records)] if records else simulate(rng, fs=_FS, seconds=10.0)
    spec = draw_spec(rng, layout="3x4+1", paper_speed_mm_per_s=_SPEED, gain_mm_per_mv=_GAIN)
    page = draw_page(rng, signal, _FS, px_per_mm=10.0, spec=spec)
    w, h = spec.size_mm
    capture = draw_capture(rng, spec.size_mm, (_SHORT_PX, _LONG_PX) if w >= h else (_LONG_PX, _SHORT_PX), kind="photo")
    return page, capture, Photo(photograph(page.image, page.px_per_mm, capture, rng), f"synthetic, seed {seed}")


def true_grid(page: Page, capture: Capture) -> tuple[GridWarp, tuple[Strip, ...]]:
    """Grid that was photographed, and the strips in its frame."""
    x0, y0, x1, y1 = page.spec.grid_mm
    left, top = x0 - _AROUND_MM, y0 - _AROUND_MM
    cols, rows = (int((b - a + 2 * _AROUND_MM) // LARGE_BOX_MM) + 1 for a, b in ((x0, x1), (y0, y1)))
    mm = np.stack(np.meshgrid(left + LARGE_BOX_MM * np.arange(cols), top + LARGE_BOX_MM * np.arange(rows)), -1)
    grid = GridWarp(capture.photo_from_page(mm).astype(np.float32), LARGE_BOX_MM, 0.0, np.ones((rows, cols), bool))
    return grid, tuple(strip.moved(-left, -top) for strip in page.strips)


def true_pen(page: Page, capture: Capture, grid: GridWarp, flat: RectifiedPage, strips: Sequence[Strip]) -> TraceMap:
    """Trace of the pen on a page that was flattened with `grid`, as a perfect network would give it."""
    true_mm = capture.page_from_photo(grid.node_xy.astype(np.float64))
    row, col = np.mgrid[: true_mm.shape[0], : true_mm.shape[1]]
    off = true_mm - grid.mm_per_cell * np.stack([col, row], -1)

    def at(mm: Array) -> Array:
        places = [mm[:, 1] / grid.mm_per_cell, mm[:, 0] / grid.mm_per_cell]
        return np.stack([map_coordinates(off[..., k], places, order=1, mode="nearest") for k in (0, 1)], -1)

    x_mm = flat.x_mm(np.arange(flat.seen.shape[1]))
    rows = []
    for strip in strips:
        middle = np.array([[sum(strip.x_mm) / 2, strip.zero_y_mm]])
        height = float((middle + at(middle))[0, 1])
        k = int(np.argmin([abs(s.zero_y_mm - height) for s in page.strips]))
        true = np.stack([page.pen_x_mm[k], page.pen_y_mm[k]], -1)
        here = true - np.median(off.reshape(-1, 2), axis=0)
        for _ in range(8):  # the displacement is known where the pen is in the end
            here = true - at(here)
        rows.append(flat.row(np.interp(x_mm, here[:, 0], here[:, 1], left=np.nan, right=np.nan)))
    everywhere = np.ones((len(rows), len(x_mm)), np.float32)
    return TraceMap(np.array(rows, np.float32), everywhere, 0 * everywhere)


def judge(digitizer: Digitizer, seed: int, records: Sequence[Array]) -> list[float]:
    """SNR of each of `CASES`, dB. Raises `EcgTrtError` where the page is not read."""
    page, capture, photo = draw_scene(seed, records)
    reading = digitizer.read(photo)

    def score(flat: RectifiedPage, strips: Sequence[Strip], trace: TraceMap) -> float:
        signal, *_ = assemble(flat, strips, trace, leads=LEADS, speed=_SPEED, gain_of=lambda _: _GAIN, fs=_FS,
                              seconds=page.spec.layout.seconds)  # fmt: skip
        return score_record(page.signal_mv, page.fs, signal, _FS).snr_db

    backends, ops = digitizer.runtime.backends, digitizer.runtime.ops
    grid, strips = true_grid(page, capture)
    origin, size = region_of(strips)
    flat = Rectify(backends["stage1"], ops).flatten(photo, grid, TRACE_PX_PER_MM, origin, size)
    read = reading.page, reading.strips
    return [
        score(*read, reading.trace),
        score(flat, strips, Trace(backends["stage2"], ops)(flat, strips)),
        score(*read, true_pen(page, capture, reading.grid, reading.page, reading.strips)),
        score(flat, strips, true_pen(page, capture, grid, flat, strips)),
    ]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=16)
    parser.add_argument("--seed", type=int, default=40_000_000)
    parser.add_argument(
        "--signals", type=Path, help="recorded signals, see train/README.md; simulated ones if left out"
    )
    parser.add_argument("--json", type=Path, default=None, help="default: runs/benchmarks/oracle--MACHINE.json")
    args = parser.parse_args()
    records = SignalSource(args.signals, held_out=True).records
    rows = []
    with Digitizer() as digitizer:
        for seed in range(args.seed, args.seed + args.pages):
            try:
                rows.append(judge(digitizer, seed, records))
            except EcgTrtError as error:
                print(f"{seed}: {type(error).__name__}: {error.what}", flush=True)
                continue
            print(f"{seed}: " + ", ".join(f"{db:.1f}" for db in rows[-1]), flush=True)
    if not rows:
        parser.error("no page was read")
    table = {
        name: {"mean_db": round(float(np.mean(column)), 2), "median_db": round(float(np.median(column)), 2)}
        for name, column in zip(CASES, zip(*rows, strict=True), strict=True)
    }
    for name, figures in table.items():
        print(f"{name:<36}{figures['mean_db']:8.2f}{figures['median_db']:8.2f}")
    print("written:", write_results("oracle", {"pages": args.pages, "read": len(rows), "cases": table}, args.json))


if __name__ == "__main__":
    main()

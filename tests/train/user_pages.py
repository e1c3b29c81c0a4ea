"""Folders of pages as a user would have them, drawn by our own renderer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ecg_trt.layout import LEADS
from ecg_trt.synth.page import Page, draw_page
from ecg_trt.synth.sample import make_sample
from ecg_trt.synth.signals import simulate
from ecg_trt.synth.spec import GridStyle, PulseStyle, draw_spec
from ecg_trt.types import Array

FS = 500.0
_DPI = 110
_SIZE_MM = (279.4, 215.9)
_RED = GridStyle((230, 120, 120), (0.8, 0.4), (0.25, 0.15), False)


def draw_kit_page(seed: int) -> tuple[Page, Array]:
    """A page as ecg-image-kit lays it out, and its signal (12, 5000), mV."""
    rng = np.random.default_rng(seed)
    signal = simulate(rng, fs=FS, seconds=10.0)
    spec = draw_spec(rng, layout="3x4+1", paper_speed_mm_per_s=25.0, gain_mm_per_mv=10.0, pulse="left", grid=_RED,
                     separator="tick", clutter=0.0)  # fmt: skip
    spec = replace(
        spec, size_mm=_SIZE_MM, grid_mm=(0.0, _SIZE_MM[1] % 5, *_SIZE_MM), paper=(255, 255, 255), x0_mm=15.0,
        zero_y_mm=(60.0, 95.0, 130.0, 170.0), pulse=PulseStyle(("left",), 0.0, 0.0, 0.0, spec.pen),
        calibration_text=False, frame=False, label_offset_mm=(2.0, -5.0),
    )  # fmt: skip
    return draw_page(rng, signal, FS, px_per_mm=_DPI / 25.4, spec=spec), signal


def write_kit_page(folder: Path, name: str, seed: int, *, turn_deg: float = 0.0, pad_inches: int = 0,
                   record: bool = True, **changed: Any) -> Page:  # fmt: skip
    """Writes ``name-0.png``, ``name-0.json`` and the record; returns what was drawn."""
    page, signal = draw_kit_page(seed)
    pad = pad_inches * _DPI
    sheet = page.image[: round(8.5 * _DPI), : 11 * _DPI]
    image = cv2.copyMakeBorder(sheet, *4 * [pad], cv2.BORDER_CONSTANT, value=(255, 255, 255))
    h, w = image.shape[:2]
    angle = np.deg2rad(turn_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.array([w / 2, h / 2])
    moved = np.column_stack([turn, (middle - 0.5) - turn @ (middle - 0.5)])
    image = cv2.warpAffine(image, moved, (w, h), flags=cv2.INTER_CUBIC)

    def told(xy_mm: Array) -> list[list[float]]:
        px = (xy_mm * page.px_per_mm - middle) @ turn.T + middle
        return [[round(float(y), 2), round(float(x), 2)] for x, y in px]

    leads, labels = [], iter(page.labels)
    for strip, x, y in zip(page.strips, page.pen_x_mm, page.pen_y_mm, strict=True):
        for segment in strip.segments:
            on = (x >= segment.x_mm[0] - 1e-6) & (x < segment.x_mm[1] - 1e-6)
            first = round((segment.x_mm[0] - strip.x_mm[0]) / 25.0 * FS)
            corners = np.array(next(labels).xy_mm) + np.array([(-2, -1.5), (2, -1.5), (2, 1.5), (-2, 1.5)])
            leads.append({
                "lead_name": segment.lead, "plotted_pixels": told(np.stack([x[on], y[on]], -1)),
                "text_bounding_box": {str(k): point for k, point in enumerate(told(corners))},
                "start_sample": first, "end_sample": first + int(on.sum()),
            })  # fmt: skip
    table = {"sampling_frequency": FS, "width": w - 2 * pad, "height": h - 2 * pad, "x_grid": round(_DPI * 5 / 25.4, 3),
             "y_grid": round(_DPI * 5 / 25.4, 3), "resolution": _DPI, "pad_inches": pad_inches, "leads": leads,
             "dc_pulse": True, "gridlines": True, "rotate": 10}  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}-0.json").write_text(json.dumps(table | changed))
    cv2.imwrite(str(folder / f"{name}-0.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if record:
        import wfdb

        wfdb.wrsamp(name, fs=FS, units=["mV"] * 12, sig_name=[lead.upper() for lead in LEADS],
                    p_signal=signal.T.astype(np.float64), fmt=["16"] * 12, write_dir=str(folder))  # fmt: skip
    return page


def write_physionet_record(folder: Path, name: str, seed: int, *, wrong: bool = False, suffix: str = "png") -> Array:
    """Writes ``name/name-0001`` and ``name/name.csv`` at 250 Hz; returns the signal that the page shows, 500 Hz."""
    image, truth = make_sample(seed, width_px=1700, kind="render", layout="3x4+1", paper_speed_mm_per_s=25.0,
                               gain_mm_per_mv=10.0, pulse="left", grid=_RED, clutter=0.2)  # fmt: skip
    signal = truth.signal_mv
    other = simulate(np.random.default_rng(99), fs=FS, seconds=10.0)
    told = np.where(np.isfinite(signal), other, np.nan) if wrong else signal
    own = folder / name
    own.mkdir(parents=True)
    cv2.imwrite(str(own / f"{name}-0001.{suffix}"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    lines = [",".join("" if np.isnan(v) else f"{v:.4f}" for v in row) for row in told[:, ::2].T]
    (own / f"{name}.csv").write_text("\n".join([",".join(LEADS), *lines]) + "\n")
    return np.asarray(signal)

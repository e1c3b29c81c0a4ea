"""A fresh synthetic photo with its truth, from a seed."""

from __future__ import annotations

import numpy as np

from ecg_trt.layout import Layout, longest_record_seconds
from ecg_trt.record import EcgRecord
from ecg_trt.synth.capture import Capture, draw_capture, photograph
from ecg_trt.synth.page import Page, draw_page
from ecg_trt.synth.signals import simulate
from ecg_trt.synth.spec import draw_spec
from ecg_trt.types import Array

_FS = 500.0
_PAGE_PX_PER_MM = 10.0


def truth_of(page: Page, source: str) -> EcgRecord:
    """Write the record that a perfect digitizer returns for a page."""
    printed = np.isfinite(page.signal_mv).any(1)
    return EcgRecord(
        signal_mv=page.signal_mv, fs=page.fs, lead_names=page.leads, layout=page.spec.layout.name,
        paper_speed_mm_per_s=page.spec.paper_speed_mm_per_s, gain_mm_per_mv=page.spec.gain_mm_per_mv,
        quality=np.where(printed, 1.0, np.nan).astype(np.float32),
        snr_db=np.where(printed, np.inf, np.nan).astype(np.float32), backend="truth", source=source,
    )  # fmt: skip


def make_sample(
    seed: int, *, signal_mv: Array | None = None, width_px: int = 3000, kind: str | None = "photo",
    severity: float | None = None, **fixed: object,
) -> tuple[Array, EcgRecord]:  # fmt: skip
    """Draw a picture and its truth; arguments as of `draw_sample`.

    Returns:
        (H, W, 3) uint8 RGB and the truth.
    """
    image, page, _ = draw_sample(seed, signal_mv=signal_mv, width_px=width_px, kind=kind, severity=severity, **fixed)
    return image, truth_of(page, f"synthetic, seed {seed}")


def draw_sample(
    seed: int, *, signal_mv: Array | None = None, width_px: int = 3000, kind: str | None = "photo",
    severity: float | None = None, **fixed: object,
) -> tuple[Array, Page, Capture]:  # fmt: skip
    """Draw a page and a picture of it.

    Args:
        seed: the same seed gives the same picture, given the same fonts.
        signal_mv: (12, 5000) float32 mV at 500 Hz; simulated if None.
        width_px: width of a landscape picture.
        kind: "photo", "scan", "render", or None for any.
        severity: of folds and crumples, 0..1; drawn by lot if None.
        fixed: fields of the page that are given, see `synth.spec.draw_spec`; without a
            layout, the page shows the twelve leads.

    Returns:
        (H, W, 3) uint8 RGB, the page, and how it was pictured.
    """
    rng = np.random.default_rng(seed)
    seconds = layout.seconds if isinstance(layout := fixed.get("layout"), Layout) else longest_record_seconds()
    signal = simulate(rng, fs=_FS, seconds=seconds) if signal_mv is None else signal_mv
    page = draw_page(rng, signal, _FS, px_per_mm=_PAGE_PX_PER_MM, spec=draw_spec(rng, **fixed))
    long, short = width_px, round(width_px * 3 / 4)
    w, h = page.spec.size_mm
    if w < h:
        frame = (long, short)
    elif kind == "photo" or w / h < 1.6:
        frame = (short, long)
    else:
        frame = (round(width_px * h / w * 1.02), width_px)
    capture = draw_capture(rng, page.spec.size_mm, frame, kind=kind, severity=severity)
    return photograph(page.image, page.px_per_mm, capture, rng), page, capture

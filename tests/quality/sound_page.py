"""A page that was read, with a pen that is known."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ecg_trt.layout import LAYOUTS, LEADS
from ecg_trt.page.naming import Naming
from ecg_trt.page.scales import Scales
from ecg_trt.quality.features import Evidence
from ecg_trt.types import Array, GridWarp, PageAlignment, RectifiedPage, Segment, Strip, TraceMap

_PX = 10.0
_BEAT_MM = 20.0


def _wave(seed: int) -> Array:
    """(2600,) mm: beats every 20 mm, each lead of its own shape."""
    x = np.arange(2600) / _PX
    rng = np.random.default_rng(seed)
    phase = (x - 5) % _BEAT_MM - _BEAT_MM / 2
    spike = np.exp(-(phase**2) / 0.8)
    wave = np.exp(-((phase - 5) ** 2) / 8)
    return rng.uniform(4, 9) * spike + rng.uniform(1, 3) * wave


def evidence_of_a_page(noise_mm: float = 0.0, doubt: float = 0.002, misnamed: bool = False) -> Evidence:
    """A 3x4+1 page whose limb leads obey their laws, read with some noise and doubt."""
    layout, rng = LAYOUTS["3x4+1"], np.random.default_rng(0)
    mm = {lead: _wave(k) for k, lead in enumerate(LEADS)}
    mm["III"] = mm["II"] - mm["I"]
    mm |= {"aVR": -(mm["I"] + mm["II"]) / 2, "aVL": mm["I"] - mm["II"] / 2, "aVF": mm["II"] - mm["I"] / 2}
    if misnamed:
        mm["I"], mm["aVL"] = mm["V2"], mm["V3"]
    strips, rows = [], np.full((4, 2600), np.nan, np.float32)
    for k, leads in enumerate(layout.rows):
        zero, edges = 20.0 + 25 * k, np.linspace(5.0, 255.0, len(leads) + 1)
        spans = zip(leads, pairwise(edges.tolist()), strict=True)
        segments = tuple(Segment(lead, span) for lead, span in spans)
        strips.append(Strip(zero, (5.0, 255.0), 0.8, segments))
        for segment in segments:
            span = slice(int(segment.x_mm[0] * _PX), int(segment.x_mm[1] * _PX))
            rows[k, span] = (zero - mm[segment.lead][span]) * 4.5
    rows += 4.5 * noise_mm * rng.normal(0, 1, rows.shape).astype(np.float32)
    sure = np.where(np.isfinite(rows), 1 - doubt, 0).astype(np.float32)
    xy = np.stack(np.meshgrid(np.arange(53.0), np.arange(25.0)), -1) * 40
    grid = GridWarp(xy.astype(np.float32), 5.0, 0.8, np.ones(xy.shape[:2], bool))
    alignment = PageAlignment(np.eye(3), (260.0, 120.0), np.ones(4), np.ones(4, bool),
                              np.full(4, 0.3), 0)  # fmt: skip
    seen = np.ones((round(120 * 4.5), 2600), bool)
    page = RectifiedPage(np.zeros((0, 0, 3), np.uint8), (_PX, 4.5), (0.0, 0.0), seen, 8.0)
    naming = Naming(layout, 0.9, tuple(strips), (), 0.4)
    trace = TraceMap(rows, sure, np.zeros_like(sure))
    return Evidence(alignment, grid, page, naming, trace, Scales(25.0, 10.0, 10.0, ("speed",), ()),
                    dict.fromkeys(LEADS, 0.0))  # fmt: skip

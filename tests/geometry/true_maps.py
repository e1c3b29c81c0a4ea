"""Pages, and the maps that a network sees that knows the truth."""

from __future__ import annotations

import numpy as np

from ecg_trt.synth.page import Page, draw_page
from ecg_trt.synth.signals import simulate
from ecg_trt.synth.spec import draw_spec
from ecg_trt.types import Array
from train.data.samples import _page_maps


def maps_of(page: Page) -> dict[str, Array]:
    """Stage 1's truth at 1 px/mm."""
    w, h = (int(side) for side in page.spec.size_mm)
    uv = np.stack(np.meshgrid(np.arange(w), np.arange(h)), -1).astype(float)
    return _page_maps(page, uv, np.ones((h, w), bool))


def page_of(seed: int, **fixed: object) -> Page:
    """A page drawn at a resolution at which only its truth is of use."""
    rng = np.random.default_rng(seed)
    return draw_page(rng, simulate(rng), 500.0, px_per_mm=2.0, spec=draw_spec(rng, **fixed))

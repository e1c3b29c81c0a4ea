"""What a page says about its scales, gathered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecg_trt.layout import LAYOUTS
from ecg_trt.ops.select import open_ops
from ecg_trt.page.calibration import CalibrationReader
from ecg_trt.page.naming import Naming
from ecg_trt.page.scales import read_scales
from ecg_trt.stages.caption import Printed
from ecg_trt.stages.rectify import ROW_MM, SIDE_MM, PageHeatmaps
from ecg_trt.synth.page import draw_page
from ecg_trt.synth.signals import simulate
from ecg_trt.synth.spec import draw_spec
from ecg_trt.types import RectifiedPage, Strip

PX_PER_MM = (8.0, 8.0)
SILENT: Printed = {}


@pytest.fixture(scope="module")
def scene() -> tuple[RectifiedPage, tuple[Strip, ...]]:
    """A page at 50 mm/s and 20 mm/mV with its strips."""
    rng = np.random.default_rng(4)
    spec = draw_spec(rng, layout="3x4+1", pulse="left", clutter=0.0, paper_speed_mm_per_s=50.0, gain_mm_per_mv=20.0)
    page = draw_page(rng, simulate(rng), 500.0, px_per_mm=PX_PER_MM[0], spec=spec)
    around = round(max(SIDE_MM, ROW_MM) * PX_PER_MM[0])
    image = np.pad(page.image, ((around, around), (around, around), (0, 0)), constant_values=255)
    origin = (-around / PX_PER_MM[0], -around / PX_PER_MM[1])
    return RectifiedPage(image, PX_PER_MM, origin, np.ones(image.shape[:2], bool), 8.0), page.strips


def _heatmaps() -> PageHeatmaps:
    nothing = np.zeros((40, 40), np.float32)
    return PageHeatmaps(nothing, nothing, nothing, nothing, nothing[None])


def _naming(strips: tuple[Strip, ...]) -> Naming:
    return Naming(LAYOUTS["3x4+1"], 1.0, strips, (), 1.0)


def test_pulses_are_looked_for_beside_the_strips_of_the_flat_page(
    scene: tuple[RectifiedPage, tuple[Strip, ...]],
) -> None:
    page, strips = scene
    elsewhere = tuple(replace(s, zero_y_mm=s.zero_y_mm + 9, x_mm=(s.x_mm[0] + 9, s.x_mm[1] + 9)) for s in strips)
    find = CalibrationReader(open_ops())
    signs = find(SILENT, _heatmaps(), _naming(strips), page)
    assert signs.longest_mm == pytest.approx(250.0) and signs.record_s == 10.0 and not signs.beats.any()
    found = read_scales(signs)
    assert (found.speed_mm_per_s, found.gain_mm_per_mv, found.assumed) == (50.0, 20.0, ())
    assert read_scales(find(SILENT, _heatmaps(), _naming(elsewhere), page)).assumed == ("speed", "gain")

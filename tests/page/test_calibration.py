"""What a page says about its scales, gathered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecg_trt.layout import LARGE_BOX_MM, LAYOUTS
from ecg_trt.ops.select import open_ops
from ecg_trt.page.calibration import CalibrationReader
from ecg_trt.page.candidate import LocatedPage
from ecg_trt.page.naming import Naming
from ecg_trt.page.scales import read_scales
from ecg_trt.stages.caption import Printed
from ecg_trt.stages.rectify import ROW_MM, SIDE_MM, PageHeatmaps
from ecg_trt.synth.page import draw_page
from ecg_trt.synth.signals import simulate
from ecg_trt.synth.spec import draw_spec
from ecg_trt.types import GridWarp, PageAlignment, RectifiedPage, Strip

PX_PER_MM = (8.0, 8.0)
SILENT: Printed = {}
NO_PAPER = slice(0)


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


def _located(strips: tuple[Strip, ...], heatmaps: PageHeatmaps | None = None, columns: slice = NO_PAPER) -> LocatedPage:
    """A page whose grid is seen at some columns of its nodes."""
    measured = np.zeros((60, 80), bool)
    measured[:, columns] = True
    nodes = 40.0 * np.stack(np.meshgrid(np.arange(80), np.arange(60)), -1).astype(np.float32)
    none: np.ndarray = np.zeros(0)
    alignment = PageAlignment(np.eye(3), (400.0, 300.0), none, none > 0, none, 0)
    grid = GridWarp(nodes, LARGE_BOX_MM, 0.1, measured)
    naming = Naming(LAYOUTS["3x4+1"], 1.0, strips, (), 1.0)
    return LocatedPage(alignment, grid, heatmaps or _heatmaps(), np.zeros((1, 1), bool), naming)


def test_pulses_are_looked_for_beside_the_strips_of_the_flat_page(
    scene: tuple[RectifiedPage, tuple[Strip, ...]],
) -> None:
    page, strips = scene
    elsewhere = tuple(replace(s, zero_y_mm=s.zero_y_mm + 9, x_mm=(s.x_mm[0] + 9, s.x_mm[1] + 9)) for s in strips)
    find = CalibrationReader(open_ops())
    signs = find(SILENT, _located(strips), page)
    assert signs.longest_mm == pytest.approx(250.0) and signs.record_s == 10.0 and not signs.beats.any()
    found = read_scales(signs)
    assert (found.speed_mm_per_s, found.gain_mm_per_mv, found.assumed) == (50.0, 20.0, ())
    assert read_scales(find(SILENT, _located(elsewhere), page)).assumed == ("speed", "gain")


def test_a_pulse_at_the_edge_of_the_paper_may_be_wider(scene: tuple[RectifiedPage, tuple[Strip, ...]]) -> None:
    page, strips = scene
    pulse = np.zeros((300, 400), np.float32)
    for strip in strips:
        foot, start = round(strip.zero_y_mm), round(strip.x_mm[0])
        pulse[foot - 20 : foot, start - 6 : start - 1] = 0.9
    heatmaps = replace(_heatmaps(), pulse=pulse)
    at_start = round(strips[0].x_mm[0] / LARGE_BOX_MM)
    find = CalibrationReader(open_ops())
    for first, is_cut in ((at_start - 1, True), (at_start - 3, False)):
        signs = find(SILENT, _located(strips, heatmaps, slice(max(0, first), None)), page)
        assert signs.pulses.width_mm == pytest.approx(5.0, abs=1) and signs.pulses.is_cut == is_cut
    assert not find(SILENT, _located(strips, heatmaps), page).pulses.is_cut, "without a grid, no edge is known"

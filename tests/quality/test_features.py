"""What speaks for and against a reading, on pages whose pen is known."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from ecg_trt.geometry.strips import Naming
from ecg_trt.layout import LAYOUTS, LEADS
from ecg_trt.quality.features import LEAD_FEATURES, PAGE_FEATURES, Evidence, lead_features
from ecg_trt.types import Array, GridWarp, PageAlignment, RectifiedPage, Segment, Strip, TraceMap

_PX = 10.0
_BEAT_MM = 20.0
_NAMES = (*LEAD_FEATURES, *PAGE_FEATURES)


def _wave(seed: int) -> Array:
    """(2600,) mm: beats every 20 mm, each lead of its own shape."""
    x = np.arange(2600) / _PX
    rng = np.random.default_rng(seed)
    phase = (x - 5) % _BEAT_MM - _BEAT_MM / 2
    spike = np.exp(-(phase**2) / 0.8)
    wave = np.exp(-((phase - 5) ** 2) / 8)
    return rng.uniform(4, 9) * spike + rng.uniform(1, 3) * wave


def _evidence(noise_mm: float = 0.0, doubt: float = 0.002, misnamed: bool = False) -> Evidence:
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
    alignment = PageAlignment(np.eye(3), (260.0, 120.0), np.zeros((4, 2)), np.ones(4), np.ones(4, bool),
                              np.full(4, 0.3), 0)  # fmt: skip
    none = np.zeros((0, 0), bool)
    page = RectifiedPage(np.zeros((0, 0, 3), np.uint8), (_PX, 4.5), (0.0, 0.0), none, 8.0)
    naming = Naming(layout, 0.9, tuple(strips), (), 0.4)
    return Evidence(alignment, grid, page, naming, TraceMap(rows, sure), ("speed",))


def _page(evidence: Evidence) -> dict[str, float]:
    return dict(zip(_NAMES, np.nanmedian(lead_features(evidence), axis=0), strict=True))


def test_a_sound_page_speaks_for_itself() -> None:
    features = lead_features(_evidence())
    assert features.shape == (12, len(_NAMES)) and np.isfinite(features).all()
    page = _page(_evidence())
    assert page["laws"] == pytest.approx(-2, abs=0.1) and page["laws_known"] == 1
    assert page["repeats"] == pytest.approx(-2, abs=0.1) and page["repeats_known"] == 1
    assert page["lattice_off"] == pytest.approx(np.log10(0.1)) and page["lattice_known"] == 1
    assert 10 ** page["beat"] == pytest.approx(_BEAT_MM, abs=1) and page["regular"] > 0.9
    assert page["together"] > 0.8 and page["spiky"] > 0.8
    assert (page["speed_assumed"], page["gain_assumed"], page["missing"], page["rows"]) == (1, 0, 0, 4)


def test_noise_shows_in_the_laws_and_in_repeated_leads() -> None:
    quiet, loud = _page(_evidence(noise_mm=0.1)), _page(_evidence(noise_mm=1.0))
    for name in ("laws", "repeats"):
        assert loud[name] > quiet[name] + 0.7, name
    lead_i = [lead_features(_evidence(noise_mm=mm))[0, _NAMES.index("contradiction")] for mm in (0.1, 1.0)]
    assert lead_i[1] > lead_i[0] + 0.7
    assert loud["fineness"] > quiet["fineness"]


def test_a_wrong_name_breaks_a_law_and_nothing_else() -> None:
    right, wrong = _page(_evidence()), _page(_evidence(misnamed=True))
    assert wrong["laws"] > right["laws"] + 1
    assert wrong["together"] > 0.8 and wrong["repeats"] == right["repeats"]


def test_doubt_counts_where_the_pen_is_steep() -> None:
    evidence = _evidence()
    sure = evidence.trace.confidence.copy()
    slope = np.abs(np.diff(evidence.trace.ridge_row, axis=1, prepend=np.nan))
    sure[slope > 2] = 0.5
    steep, page = _page(replace(evidence, trace=replace(evidence.trace, confidence=sure))), _page(evidence)
    assert steep["unsure_steep"] > page["unsure_steep"] + 1.5
    assert steep["unsure_steep"] > steep["unsure"] + 0.4


def test_what_is_not_printed_or_not_seen() -> None:
    evidence = _evidence()
    first = replace(evidence.naming.strips[0], segments=evidence.naming.strips[0].segments[:3])  # V4 is gone
    naming = replace(evidence.naming, strips=(first, *evidence.naming.strips[1:]), missing=("V4",))
    features = lead_features(replace(evidence, naming=naming))
    gone = np.isnan(features).all(1)
    assert [lead for lead, no in zip(LEADS, gone, strict=True) if no] == ["V4"]
    assert features[0, _NAMES.index("missing")] == pytest.approx(1 / 12)
    blank = TraceMap(np.full_like(evidence.trace.ridge_row, np.nan), np.zeros_like(evidence.trace.confidence))
    unseen = lead_features(replace(evidence, trace=blank))
    assert np.isfinite(unseen).all()
    assert unseen[0, _NAMES.index("unseen")] == pytest.approx(0, abs=0.01)


def test_leads_may_bear_other_names() -> None:
    evidence = _evidence()
    features = lead_features(evidence, ("V1", "V9"))
    assert features.shape[0] == 2 and np.isfinite(features[0]).all() and np.isnan(features[1]).all()

"""What speaks for and against a reading, on pages whose pen is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecg_trt.layout import LEADS
from ecg_trt.quality.features import LEAD_FEATURES, PAGE_FEATURES, Evidence, lead_features
from ecg_trt.types import TraceMap
from tests.quality.sound_page import evidence_of_a_page

_NAMES = (*LEAD_FEATURES, *PAGE_FEATURES)


def _page(evidence: Evidence) -> dict[str, float]:
    return dict(zip(_NAMES, np.nanmedian(lead_features(evidence), axis=0), strict=True))


def test_a_sound_page_speaks_for_itself() -> None:
    features = lead_features(evidence_of_a_page())
    assert features.shape == (12, len(_NAMES)) and np.isfinite(features).all()
    page = _page(evidence_of_a_page())
    assert page["page_limb_residual"] == pytest.approx(-2, abs=0.1) and page["page_limb_residual_known"] == 1
    assert page["repeats"] == pytest.approx(-2, abs=0.1) and page["repeats_known"] == 1
    assert page["grid_off"] == pytest.approx(np.log10(0.1)) and page["grid_known"] == 1
    assert page["regular"] > 0.9
    assert page["synchrony"] > 0.8 and page["slope_concentration"] > 0.8
    assert (page["missing"], page["rows"], page["legible"]) == (0, 4, 0)


def test_noise_shows_in_the_laws_and_in_repeated_leads() -> None:
    quiet, loud = _page(evidence_of_a_page(noise_mm=0.1)), _page(evidence_of_a_page(noise_mm=1.0))
    for name in ("page_limb_residual", "repeats"):
        assert loud[name] > quiet[name] + 0.7, name
    lead_i = [lead_features(evidence_of_a_page(noise_mm=mm))[0, _NAMES.index("limb_residual")] for mm in (0.1, 1.0)]
    assert lead_i[1] > lead_i[0] + 0.7
    assert loud["slope_height_ratio"] > quiet["slope_height_ratio"]


def test_a_wrong_name_breaks_a_law_and_nothing_else() -> None:
    right, wrong = _page(evidence_of_a_page()), _page(evidence_of_a_page(misnamed=True))
    assert wrong["page_limb_residual"] > right["page_limb_residual"] + 1
    assert wrong["synchrony"] > 0.8 and wrong["repeats"] == right["repeats"]


def test_doubt_counts_where_the_pen_is_steep() -> None:
    evidence = evidence_of_a_page()
    sure = evidence.trace.confidence.copy()
    slope = np.abs(np.diff(evidence.trace.ridge_row, axis=1, prepend=np.nan))
    sure[slope > 2] = 0.5
    steep, page = _page(replace(evidence, trace=replace(evidence.trace, confidence=sure))), _page(evidence)
    assert steep["uncertainty_steep"] > page["uncertainty_steep"] + 1.5
    assert steep["uncertainty_steep"] > steep["uncertainty"] + 0.4


def test_what_is_not_printed_or_not_seen() -> None:
    evidence = evidence_of_a_page()
    first = replace(evidence.naming.strips[0], segments=evidence.naming.strips[0].segments[:3])  # V4 is gone
    naming = replace(evidence.naming, strips=(first, *evidence.naming.strips[1:]), missing=("V4",))
    features = lead_features(replace(evidence, naming=naming))
    gone = np.all(np.isnan(features), axis=1)
    assert [lead for lead, no in zip(LEADS, gone, strict=True) if no] == ["V4"]
    assert features[0, _NAMES.index("missing")] == pytest.approx(1 / 12)
    nothing = np.zeros_like(evidence.trace.confidence)
    blank = TraceMap(np.full_like(evidence.trace.ridge_row, np.nan), nothing, nothing)
    unseen = lead_features(replace(evidence, trace=blank))
    assert np.isfinite(unseen).all()
    assert unseen[0, _NAMES.index("unseen")] == pytest.approx(0, abs=0.01)


def test_what_is_lost_does_not_count_as_doubt() -> None:
    evidence = evidence_of_a_page()
    sure = evidence.trace.confidence.copy()
    sure[0, 2050:] = 0.0  # the last four fifths of V4, which a hand covers
    sure[1, 2000:2008] = 0.0  # 0.8 mm of V5, which are bridged
    missing = {**evidence.missing, "V4": 0.8}
    features = lead_features(replace(evidence, trace=replace(evidence.trace, confidence=sure), missing=missing))
    told = dict(
        zip(
            LEADS,
            features[:, [_NAMES.index(name) for name in ("missing_fraction", "unseen", "uncertainty")]],
            strict=True,
        )
    )
    whole = dict(zip(LEADS, lead_features(evidence)[:, _NAMES.index("uncertainty")], strict=True))
    assert told["V4"] == pytest.approx([0.8, -3.0, whole["V4"]], abs=0.05)
    assert told["V5"] == pytest.approx([0.0, np.log10(8 / 625 + 1e-3), whole["V5"]], abs=0.05)


def test_uncertainty_of_the_scales_and_of_the_names_counts_by_its_odds() -> None:
    evidence = evidence_of_a_page()
    for share, expected in ((0.0, -7.0), (0.5, 0.0), (0.9, np.log(9.0)), (1.0, 7.0)):
        page = _page(replace(evidence, scales=replace(evidence.scales, uncertainty=share)))
        assert page["scales_uncertainty"] == pytest.approx(expected)
    assert _page(replace(evidence, naming=replace(evidence.naming, legible=26.0)))["legible"] == pytest.approx(2.0)


def test_leads_may_bear_other_names() -> None:
    evidence = evidence_of_a_page()
    features = lead_features(evidence, ("V1", "V9"))
    assert features.shape[0] == 2 and np.isfinite(features[0]).all() and np.isnan(features[1]).all()

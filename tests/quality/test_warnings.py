"""Warnings and refusals say which leads are meant and what follows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecg_trt.geometry.homography import apply_homography
from ecg_trt.layout import LEADS
from ecg_trt.page.scales import Scales
from ecg_trt.quality.features import Evidence
from ecg_trt.quality.model import FEATURES
from ecg_trt.quality.warnings import reject_low_quality, reject_non_ecg, warnings_of
from ecg_trt.types import WarningCode
from tests.quality.sound_page import evidence_of_a_page

_JARGON = ("residual", "lattice", "homography", "confidence", "px", "SNR")


def _sure_page(*assumed: str) -> Evidence:
    return replace(evidence_of_a_page(), scales=Scales(25.0, 10.0, 10.0, assumed, ()))


def _told(evidence: Evidence, seen: float | list[float] = 0.9, residual: float = 0.1,
          quality: float | list[float] | None = None) -> str:  # fmt: skip
    of_seen, of_all = (np.broadcast_to(values, 12) for values in (seen, seen if quality is None else quality))
    sentences = list(map(str, warnings_of(evidence, of_all, of_seen, residual, leads=LEADS)))
    text = "\n".join(sentences)
    assert all(s[0].isupper() and s.endswith(".") for s in sentences)
    assert not [word for word in _JARGON if word in text], text
    return text


def test_a_sound_page_has_nothing_to_say() -> None:
    assert _told(_sure_page()) == ""


def test_assumptions_name_what_follows() -> None:
    text = _told(_sure_page("speed", "gain"))
    assert "25 mm/s" in text and "QRS" in text and "10 mm/mV" in text and "ST" in text


def test_leads_are_named() -> None:
    evidence = _sure_page()
    assert "V5, V6" in _told(evidence, [0.9] * 10 + [0.2, 0.4])
    assert "any lead" in _told(evidence, 0.2)
    naming = replace(evidence.naming, missing=("V2",), probability=0.3)
    text = _told(replace(evidence, naming=naming))
    assert "V2" in text and "3x4+1" in text
    assert "I, II and III contradict" in _told(evidence, residual=0.8)


def test_a_page_that_hardly_resembles_an_ecg_has_one_warning() -> None:
    bad = np.full(12, 0.2)
    warnings = list(warnings_of(_sure_page(), bad, bad, 0.1, leads=LEADS, is_hardly_ecg=True))
    assert [w.code for w in warnings] == [WarningCode.UNRELIABLE_PAGE] and "resembles" in warnings[0].text


def test_parts_that_are_not_seen_are_told_beside_what_is_read_badly() -> None:
    sound = _sure_page()
    page = replace(sound, missing={**sound.missing, "V4": 0.76, "V5": 0.12, "V6": 0.05})
    text = _told(page)
    assert "left empty: 76 % of V4, 12 % of V5." in text and "V6" not in text and "rely" not in text
    assert "12 % of V5, 5 % of V6." in _told(page, quality=[0.9] * 11 + [0.4]), "a low quality has its reason"
    assert "rely on V5: " in _told(page, [0.9] * 10 + [0.02, 0.9])
    nearly = _told(replace(sound, missing={**sound.missing, "V4": 0.998}), [0.9] * 9 + [0.0, 0.9, 0.9])
    assert "99 % of V4." in nearly and "rely" not in nearly
    gone = _told(replace(sound, missing={**sound.missing, "V4": 1.0}), [0.9] * 9 + [0.0, 0.9, 0.9])
    assert gone == "Not found on the page, cut off or covered: V4. Nothing is given for them."


def test_paper_and_photo() -> None:
    evidence = _sure_page()
    grid = replace(evidence.grid, measured=np.zeros_like(evidence.grid.measured))
    assert "No grid" in _told(replace(evidence, grid=grid))
    assert "2.5 pixels a millimetre" in _told(replace(evidence, page=replace(evidence.page, photo_px_per_mm=2.5)))
    half = tuple(replace(s, x_mm=(5.0, 130.0)) for s in evidence.naming.strips)
    assert "5.0 s instead of 10 s" in _told(replace(evidence, naming=replace(evidence.naming, strips=half)))


def test_print_that_was_not_read_and_other_sheets_are_reported() -> None:
    evidence = _sure_page()
    naming = replace(evidence.naming, unread_mm=246.0)
    assert [w.code for w in naming.warnings] == [WarningCode.UNREAD_PRINT]
    w, h = evidence.alignment.size_mm
    photo_from_page = np.linalg.inv(evidence.alignment.page_from_photo)
    for places, count in (([(w / 2, h + 10)], 0), ([(w / 2, h + 80)], 1), ([(-90, 40), (w + 90, 40)], 2)):
        others = apply_homography(photo_from_page, np.array(places, np.float64))
        text = _told(replace(evidence, alignment=replace(evidence.alignment, others=others)))
        assert ("only the largest was read" in text) is (count > 0) and ("2 further" in text) is (count == 2)


def test_rows_that_were_followed_along_the_same_ink() -> None:
    evidence = _sure_page()
    rows = evidence.trace.ridge_row.copy()
    rows[1, 2000:2100], rows[1, 2200:2300] = rows[2, 2000:2100], rows[2, 2200:2300]  # V5 on V6, for 10 mm twice
    rows[0, 300:350] = rows[1, 300:350]  # I across II for 5 mm
    rows[0, 800:900], rows[3, 800:900] = np.nan, np.nan
    text = _told(replace(evidence, trace=replace(evidence.trace, ridge_row=rows)))
    assert text == ("V5 and V6 were followed along the same line for 0.8 s: one of them shows the other's beats there. "
                    "Compare them with the page.")  # fmt: skip


def test_rows_that_last_longer_than_the_record() -> None:
    evidence = _sure_page()
    long = tuple(replace(s, x_mm=(5.0, 505.0)) for s in evidence.naming.strips)
    naming = replace(evidence.naming, strips=long)
    text = _told(replace(evidence, naming=naming, missing={**evidence.missing, "V4": 1.0, "V5": 1.0, "V6": 1.0}))
    assert "20.0 s at 25 mm/s" in text and "Check the paper speed" in text and "Not found" not in text


def test_waves_that_leave_the_page_are_told() -> None:
    evidence = _sure_page()
    rows = evidence.trace.ridge_row.copy()
    rows[0, 2100:2104] = 1.0  # V4, at the upper rim
    assert "waves of V4 leave" in _told(replace(evidence, trace=replace(evidence.trace, ridge_row=rows)))
    rows[3, 700:703] = 538.0  # the rhythm strip, at the lower one
    assert "waves of V4, II leave" in _told(replace(evidence, trace=replace(evidence.trace, ridge_row=rows)))


def test_refusals_say_why() -> None:
    features = np.zeros((12, len(FEATURES)))
    error = reject_non_ecg(features, "cat.jpg")
    assert "cat.jpg" in str(error) and "no lead names" in error.got and "no 5 mm grid" in error.got
    for name, value in (("names", 0.4), ("grid_known", 1.0), ("synchrony", 0.8), ("page_uncertainty", -2.0)):
        features[:, FEATURES.index(name)] = value
    assert reject_non_ecg(features, "cat.jpg").got == "curves unlike those of an ECG"
    low = reject_low_quality(0.314, 0.5, "page.jpg")
    assert "0.31" in low.got and "0.50" in low.expected and "--min-quality" in low.hint


@pytest.mark.parametrize("rows", [0, 12])
def test_a_page_without_leads_is_described_too(rows: int) -> None:
    assert reject_non_ecg(np.full((rows, len(FEATURES)), np.nan), "x.jpg").got

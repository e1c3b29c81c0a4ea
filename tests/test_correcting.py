"""Corrections of a reading of a synthetic photo, whose truth is known."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecg_trt.config import ReadOptions
from ecg_trt.corrections import Corrections, LeftOut, Redrawn
from ecg_trt.digitizer import Digitizer
from ecg_trt.errors import NoEcgFoundError, OptionError
from ecg_trt.layout import LEADS
from ecg_trt.metrics import score_record
from ecg_trt.page.corrected import with_way_up
from ecg_trt.reading import Reading
from ecg_trt.record import EcgRecord
from ecg_trt.synth.sample import make_sample
from ecg_trt.types import Array, WarningCode
from tests.marks import slow_but

Pair = tuple[Array, EcgRecord]


@pytest.fixture(scope="module")
def sample() -> Pair:
    return make_sample(21, width_px=2200, severity=0.2, layout="3x4+1", paper_speed_mm_per_s=25.0,
                       gain_mm_per_mv=10.0, pulse="left", clutter=0.0)  # fmt: skip


@pytest.fixture(scope="module")
def first(digitizer: Digitizer, sample: Pair) -> Reading:
    return digitizer.read(sample[0])


def snr_db(truth: EcgRecord, reading: Reading) -> float:
    return score_record(truth.signal_mv, truth.fs, reading.record.signal_mv, reading.record.fs).snr_db


def like(first: Reading, sample: Pair) -> float:
    """SNR of the first reading, dB; beyond 25 dB, that of one photo differs by 4 dB as it is turned."""
    return min(snr_db(sample[1], first), 25.0)


def codes(reading: Reading) -> set[WarningCode]:
    return {warning.code for warning in reading.record.warnings}


def row_of(reading: Reading, lead: str) -> tuple[int, int]:
    """Row and column where a lead is printed first."""
    return next((k, n) for k, s in enumerate(reading.strips) for n, g in enumerate(s.segments) if g.lead == lead)


def columns_of(reading: Reading, lead: str, x_mm: tuple[float, float]) -> Array:
    """Samples of a record that show a stretch of the row in which a lead is printed, its ends left out."""
    strip = reading.strips[row_of(reading, lead)[0]]
    record = reading.record
    times = (np.array(x_mm) - strip.x_mm[0]) / record.paper_speed_mm_per_s
    return np.arange(round((times[0] + 0.06) * record.fs), round((times[1] - 0.06) * record.fs))


def test_nothing_corrected_changes_nothing(digitizer: Digitizer, first: Reading) -> None:
    same = digitizer.correct(first, Corrections())
    np.testing.assert_array_equal(same.record.signal_mv, first.record.signal_mv)
    assert same.record.corrected == first.record.corrected == ()
    assert same.record.warnings == first.record.warnings


def test_a_wrong_gain_and_speed_are_set_right(digitizer: Digitizer, first: Reading, sample: Pair) -> None:
    wrong = replace(first, options=ReadOptions(gain=20, speed=50))
    assert digitizer.correct(wrong, Corrections()).record.gain_mm_per_mv == 20
    right = digitizer.correct(wrong, Corrections(gain=10, speed=25))
    assert snr_db(sample[1], right) == pytest.approx(snr_db(sample[1], first), abs=0.01)
    assert right.record.corrected == ("speed", "gain")
    assert right.record.timings_ms.keys() == {"signal", "total"}


def test_what_was_assumed_is_known_once_it_is_given(digitizer: Digitizer, first: Reading) -> None:
    blind = replace(first, traced=replace(first.traced, signs=type(first.scale_signs)(
        printed={}, pulses=replace(first.scale_signs.pulses, ink=np.zeros_like(first.scale_signs.pulses.ink),
                                   response=0.0))))  # fmt: skip
    unknown = digitizer.correct(blind, Corrections())
    assert unknown.record.assumed == ("speed", "gain")
    known = digitizer.correct(blind, Corrections(speed=25, gain=10))
    assert known.record.assumed == ()
    assert {WarningCode.SPEED_ASSUMED, WarningCode.GAIN_ASSUMED} & codes(unknown)
    assert not {WarningCode.SPEED_ASSUMED, WarningCode.GAIN_ASSUMED} & codes(known)


def test_chest_leads_may_have_a_gain_of_their_own(digitizer: Digitizer, first: Reading) -> None:
    other = digitizer.correct(first, Corrections(chest_gain=5)).record
    assert (other.gain_of("II"), other.gain_of("V2")) == (10, 5)
    np.testing.assert_array_equal(other["II"], first.record["II"])
    np.testing.assert_allclose(other["V2"], 2 * first.record["V2"], atol=1e-6)


def test_names_move_curves(digitizer: Digitizer, first: Reading) -> None:
    v1, v2 = row_of(first, "V1"), row_of(first, "V2")
    swapped = digitizer.correct(first, Corrections(names={v1: "V2", v2: "C1"}))
    np.testing.assert_array_equal(swapped.record["V1"], first.record["V2"])
    np.testing.assert_array_equal(swapped.record["V2"], first.record["V1"])
    assert swapped.record.corrected == ("names", "V2", "V1")
    assert swapped.record.layout == "3x4+1"
    back = digitizer.correct(swapped, Corrections())
    np.testing.assert_array_equal(back.record.signal_mv, first.record.signal_mv)


def test_names_of_a_known_layout_make_it(digitizer: Digitizer, first: Reading) -> None:
    shown = {(k, n): g.lead for k, s in enumerate(first.strips) for n, g in enumerate(s.segments)}
    cabrera = dict(zip([(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)], ("aVL", "I", "aVR", "II", "aVF", "III"),
                       strict=True))  # fmt: skip
    named = digitizer.correct(first, Corrections(names=shown | cabrera))
    assert named.record.layout == "3x4+1-cabrera"
    np.testing.assert_array_equal(named.strips[0].segments[0].lead, "aVL")


def test_a_zero_line_moves_its_row(digitizer: Digitizer, first: Reading) -> None:
    row, _ = row_of(first, "V3")
    moved = digitizer.correct(first, Corrections(zero_lines={row: first.strips[row].zero_y_mm + 5}))
    np.testing.assert_allclose(moved.record["V3"], first.record["V3"] + 0.5, atol=1e-3)
    np.testing.assert_allclose(moved.record["V1"], first.record["V1"], atol=1e-3)
    assert "V3" in moved.record.corrected and "V1" not in moved.record.corrected


def test_what_is_left_out_is_missing(digitizer: Digitizer, first: Reading) -> None:
    row, column = row_of(first, "V2")
    start = first.strips[row].segments[column].x_mm[0] + 20
    less = digitizer.correct(first, Corrections(left_out=(LeftOut(row, (start, start + 25)),)))
    inside = columns_of(first, "V2", (start, start + 25))
    assert np.isfinite(first.record["V2"][inside]).all()
    assert np.isnan(less.record["V2"][inside]).all()
    assert np.isnan(less.record["V2"]).sum() < np.isnan(first.record["V2"]).sum() + 600
    assert less.record.corrected == ("left_out", "V2")
    assert {WarningCode.LEFT_OUT_BY_HAND, WarningCode.PARTLY_MISSING} <= codes(less)
    assert "1.00 s of V2" in next(w.text for w in less.record.warnings if w.code == WarningCode.LEFT_OUT_BY_HAND)
    k = LEADS.index("V2")
    assert less.record.quality[k] < first.record.quality[k]


def test_what_is_redrawn_follows_the_points(digitizer: Digitizer, first: Reading) -> None:
    row, column = row_of(first, "V2")
    strip, start = first.strips[row], first.strips[row].segments[column].x_mm[0] + 20
    y = strip.zero_y_mm
    drawn = Redrawn(row, (start, start + 10, start + 20), (y - 4, y + 6, y - 4))
    both = Corrections(redrawn=(drawn,), left_out=(LeftOut(row, (start + 18, start + 20)),))
    corrected = digitizer.correct(first, Corrections(redrawn=(drawn,)))
    inside = columns_of(first, "V2", (start, start + 20))
    x_mm = strip.x_mm[0] + 25 * inside / 500
    wanted = -np.interp(x_mm, drawn.x_mm, [-0.4, 0.6, -0.4])
    assert np.abs(corrected.record["V2"][inside] - wanted).max() < 0.05
    assert corrected.record.corrected == ("redrawn", "V2")
    assert WarningCode.REDRAWN_BY_HAND in codes(corrected)
    k = LEADS.index("V2")
    assert corrected.record.quality[k] <= first.record.quality[k] + 0.02
    assert np.isnan(digitizer.correct(first, both).record["V2"][inside]).sum() > 5


def test_a_gap_that_is_redrawn_is_filled(digitizer: Digitizer, first: Reading) -> None:
    row, column = row_of(first, "V2")
    start = first.strips[row].segments[column].x_mm[0] + 20
    confidence = first.traced.trace.confidence.copy()
    near = slice(*first.page.columns_between((start, start + 20)))
    confidence[row, near] = 0
    blind = replace(first, traced=replace(first.traced, trace=replace(first.traced.trace, confidence=confidence)))
    inside = columns_of(first, "V2", (start, start + 20))
    assert np.isnan(digitizer.correct(blind, Corrections()).record["V2"][inside]).all()
    x_mm = np.linspace(start - 0.2, start + 20.2, 200)
    y_mm = first.page.y_mm(np.interp(first.page.column(x_mm), np.arange(confidence.shape[1]),
                                     first.traced.trace.ridge_row[row]))  # fmt: skip
    drawn = Redrawn(row, tuple(x_mm.tolist()), tuple(y_mm.tolist()))
    filled = digitizer.correct(blind, Corrections(redrawn=(drawn,)))
    assert np.abs(filled.record["V2"] - first.record["V2"])[inside].max() < 0.1


def test_a_layout_names_the_rows_anew_without_networks(digitizer: Digitizer, first: Reading, sample: Pair) -> None:
    other = digitizer.correct(first, Corrections(layout="3x4"))
    assert other.record.layout == "3x4" and other.record.layout_probability == 1.0
    assert "trace" not in other.record.timings_ms
    assert snr_db(sample[1], digitizer.correct(first, Corrections(layout="3x4+1"))) == pytest.approx(
        snr_db(sample[1], first), abs=0.3
    )


def test_rows_without_traces_need_the_photo(digitizer: Digitizer, first: Reading, sample: Pair) -> None:
    with pytest.raises(OptionError, match="photo"):
        digitizer.correct(first, Corrections(layout="strips"))
    by_rows = digitizer.correct(first, Corrections(layout="strips"), sample[0])
    assert by_rows.record.layout == "strips"
    assert WarningCode.LAYOUT_UNKNOWN not in codes(by_rows)


def test_corners_by_hand_read_as_well(digitizer: Digitizer, first: Reading, sample: Pair) -> None:
    near = np.array(first.record.outline_px) + np.array([(6, -9), (-8, 7), (5, 5), (-4, 9)])
    corrections = Corrections(corners=tuple(map(tuple, near.tolist())))
    by_hand = digitizer.correct(first, corrections, sample[0])
    assert snr_db(sample[1], by_hand) > like(first, sample) - 1
    assert by_hand.record.corrected == ("corners",)
    with pytest.raises(OptionError, match="photo"):
        digitizer.correct(first, corrections)
    # With the page as it is, no network runs; for another page the first reading is needed.
    doubled = digitizer.correct(by_hand, replace(corrections, gain=5)).record
    np.testing.assert_allclose(doubled["V1"], 2 * by_hand.record["V1"], atol=1e-6)
    with pytest.raises(OptionError, match="first reading"):
        digitizer.correct(by_hand, Corrections(gain=5), sample[0])


def test_corners_show_a_page_that_is_not_found(
    digitizer: Digitizer, first: Reading, sample: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(*_: object) -> None:
        raise NoEcgFoundError("no ECG page found", got="none", expected="one", hint="Show it.")

    corners = first.record.outline_px
    monkeypatch.setattr(type(digitizer._find), "__call__", nothing)
    with pytest.raises(NoEcgFoundError):
        digitizer.read(sample[0])
    assert snr_db(sample[1], digitizer.read(sample[0], None, Corrections(corners=corners))) > 12


@pytest.mark.parametrize("way", slow_but([(1, True)], [(1, True), (1, False), (2, False), (3, True)]))
def test_the_way_up_by_hand(digitizer: Digitizer, first: Reading, sample: Pair, way: tuple[int, bool]) -> None:
    (turns, is_mirrored), (upright, truth) = way, sample
    image = np.ascontiguousarray(np.rot90(upright[:, ::-1] if is_mirrored else upright, -turns))
    h, w = image.shape[:2]
    rim = np.roll([(0, 0), (w, 0), (w, h), (0, h)], -turns, axis=0)
    corners = tuple(map(tuple, (rim[[1, 0, 3, 2]] if is_mirrored else rim).tolist()))
    by_corners = digitizer.read(image, None, Corrections(corners))
    assert (by_corners.alignment.quarter_turns, by_corners.alignment.is_mirrored) == way
    assert snr_db(truth, by_corners) > like(first, sample) - 1
    wrong = replace(by_corners, corrections=Corrections(), traced=replace(by_corners.traced, located=replace(
        by_corners.traced.located, alignment=with_way_up(
            by_corners.alignment, Corrections(quarter_turns=(turns + 2) % 4, mirrored=not is_mirrored)))))  # fmt: skip
    right = digitizer.correct(wrong, Corrections(quarter_turns=turns, mirrored=is_mirrored), image)
    assert snr_db(truth, right) > like(first, sample) - 1
    assert WarningCode.MIRRORED not in codes(right)


def test_a_rotation_turns_the_upright_page_clockwise(digitizer: Digitizer, first: Reading, sample: Pair) -> None:
    turned = digitizer.correct(first, Corrections(rotation_deg=2), sample[0])
    assert snr_db(sample[1], turned) > like(first, sample) - 1
    assert turned.record.corrected == ("rotation_deg",)


def test_readings_are_kept_in_files(digitizer: Digitizer, first: Reading) -> None:
    kept: Reading = pickle.loads(pickle.dumps(first))
    corrected = digitizer.correct(kept, Corrections(gain=5, names={(0, 0): "II"}))
    again: Reading = pickle.loads(pickle.dumps(corrected))
    assert again.corrections == corrected.corrections
    assert again.record.corrected == ("gain", "names", "II")
    back = digitizer.correct(again, Corrections())
    np.testing.assert_array_equal(back.record.signal_mv, first.record.signal_mv)


def test_places_on_the_page_are_places_in_the_photo(first: Reading) -> None:
    strip = first.strips[1]
    page = np.array([[x, strip.zero_y_mm] for x in np.linspace(*strip.x_mm, 7)])
    photo = first.photo_xy(page)
    np.testing.assert_allclose(first.page_xy(photo), page, atol=1e-6)
    along = np.linalg.norm(np.diff(photo, axis=0), axis=1) / np.diff(page[:, 0])
    assert first.record.px_per_mm == pytest.approx(np.median(along), rel=0.1)
    assert np.isnan(first.photo_xy(np.array([-100.0, 0.0]))).all()
    low, high = np.min(first.record.outline_px, axis=0), np.max(first.record.outline_px, axis=0)
    assert ((photo > low) & (photo < high)).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"names": {(9, 0): "I"}},
        {"names": {(0, 4): "I"}},
        {"zero_lines": {4: 10.0}},
        {"left_out": (LeftOut(7, (10.0, 20.0)),)},
        {"left_out": (LeftOut(0, (900.0, 920.0)),)},
        {"redrawn": (Redrawn(0, (-90.0, -80.0), (1.0, 2.0)),)},
    ],
)
def test_what_the_page_does_not_have_is_named(digitizer: Digitizer, first: Reading, wrong: dict[str, object]) -> None:
    with pytest.raises(OptionError, match="cannot be corrected"):
        digitizer.correct(first, Corrections(**wrong))  # type: ignore[arg-type]


def test_the_command_applies_a_file(tmp_path: Path) -> None:
    import json

    from click.testing import CliRunner

    from ecg_trt.cli import main

    photo = Path(__file__).parents[1] / "examples" / "photo.jpg"
    given = tmp_path / "by_hand.json"
    given.write_text(json.dumps(Corrections(gain=20, names={(0, 2): "V2"}).to_json()))
    result = CliRunner().invoke(main, ["run", str(photo), "-o", str(tmp_path), "--corrections", str(given)])
    assert result.exit_code == 0, result.output
    content = json.loads((tmp_path / "photo.json").read_text())
    assert content["corrected"] == ["gain", "names", "V2"]
    assert content["gain_mm_per_mv"] == 20
    assert len(content["outline_px"]) == 4 and content["px_per_mm"] > 5
    assert not (tmp_path / "photo.overlay.png").exists()

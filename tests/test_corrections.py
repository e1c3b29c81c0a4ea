"""Corrections by a person: their values and their JSON form."""

from __future__ import annotations

import json
import pickle

import pytest

from ecg_trt.config import ReadOptions
from ecg_trt.corrections import Corrections, LeftOut, Redrawn, read_corrections
from ecg_trt.errors import OptionError

ALL = Corrections(
    corners=((10, 10), (200, 12), (198, 150), (8, 148)), quarter_turns=1, rotation_deg=-1.5, mirrored=False,
    layout="3x4+1", speed=50, gain=20, chest_gain=10, names={(0, 3): "V4", (3, 0): "D2"}, zero_lines={1: 41.5},
    left_out=(LeftOut(0, (30.0, 41)),), redrawn=(Redrawn(2, (10, 11, 12.5), (70, 68.5, 70)),),
)  # fmt: skip
SQUARE = ((0, 0), (9, 0), (9, 9), (0, 9))


def test_nothing_is_corrected_by_default():
    assert Corrections().of_page == Corrections()
    assert not Corrections(speed=50, layout="3x4").moves_page


def test_corrections_come_back_from_json_and_pickles():
    assert Corrections.from_json(json.loads(json.dumps(ALL.to_json()))) == ALL
    assert Corrections.from_json({}) == Corrections()
    assert pickle.loads(pickle.dumps(ALL)) == ALL


def test_values_are_brought_to_one_form():
    assert ALL.names == {(0, 3): "V4", (3, 0): "II"}
    assert isinstance(ALL.speed, float)
    assert Corrections(speed="25").speed == 25.0  # type: ignore[arg-type]


def test_those_of_the_page_stand_apart():
    assert ALL.moves_page
    assert ALL.of_alignment == Corrections(ALL.corners, 1, -1.5, False)
    assert ALL.of_page == Corrections(ALL.corners, 1, -1.5, False, "3x4+1")


@pytest.mark.parametrize(
    "wrong",
    [
        {"corners": SQUARE[:3]},
        {"corners": (SQUARE[0], SQUARE[2], SQUARE[1], SQUARE[3])},
        {"corners": ((0, 0), (9, 0), (18, 0), (0, 9))},
        {"corners": ((0, 0), (9, 0), (9, float("nan")), (0, 9))},
        {"corners": "abcd"},
        {"quarter_turns": 4},
        {"quarter_turns": True},
        {"quarter_turns": 1.0},
        {"mirrored": 1},
        {"rotation_deg": 46},
        {"rotation_deg": None},
        {"mirrored": "yes"},
        {"layout": "auto"},
        {"speed": 30},
        {"gain": 0},
        {"chest_gain": 7},
        {"names": {(0, 0): "Q"}},
        {"names": {(0, -1): "I"}},
        {"names": {0: "I"}},
        {"names": ["I"]},
        {"zero_lines": {0: float("inf")}},
        {"zero_lines": {0.5: 3.0}},
        {"left_out": [(0, 1.0, 2.0)]},
        {"redrawn": LeftOut(0, (1, 2))},
    ],
)
def test_what_is_wrong_is_named(wrong):
    with pytest.raises(OptionError) as caught:
        Corrections(**wrong)
    assert next(iter(wrong)) in str(caught.value)


@pytest.mark.parametrize("x_mm", [(2.0, 1.0), (1.0,), (1.0, 2.0, 3.0), (1.0, float("nan"))])
def test_stretches_have_a_start_and_a_later_end(x_mm):
    with pytest.raises(OptionError, match="left_out"):
        LeftOut(0, x_mm)


@pytest.mark.parametrize("y_mm", [(1.0,), (1.0, float("nan")), "ab"])
def test_drawn_points_have_finite_heights(y_mm):
    with pytest.raises(OptionError, match="redrawn"):
        Redrawn(0, (1.0, 2.0), y_mm)


@pytest.mark.parametrize(
    "wrong",
    [
        {"speeds": 50},
        {"names": [{"row": 0, "lead": "I"}]},
        {"left_out": [{"row": 0, "x_mm": [1, 2], "why": "noise"}]},
        {"redrawn": {"row": 0}},
        {"zero_lines": [3]},
        {"zero_lines": [{"row": [1], "y_mm": 3}]},
        {"names": [{"row": 0, "column": {}, "lead": "I"}]},
    ],
)
def test_what_is_wrong_in_json_is_named(wrong):
    with pytest.raises(OptionError) as caught:
        Corrections.from_json(wrong)
    assert next(iter(wrong)) in str(caught.value)
    with pytest.raises(OptionError):
        Corrections.from_json([wrong])


def test_options_give_way_to_corrections():
    options = ReadOptions(layout="6x2", speed=50, fs=250)
    assert Corrections(layout="3x4", gain=5).over(options) == ReadOptions(layout="3x4", speed=50, gain=5, fs=250)
    assert Corrections(names={(0, 0): "I"}).over(options) == options


def test_a_file_of_corrections(tmp_path):
    path = tmp_path / "by_hand.json"
    path.write_text(json.dumps(ALL.to_json()))
    assert read_corrections(path) == ALL
    path.write_text("{")
    for wrong in (path, tmp_path / "none.json"):
        with pytest.raises(OptionError, match=wrong.name):
            read_corrections(wrong)

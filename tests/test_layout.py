"""Words, and what layouts say about a record."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecg_trt.layout import (
    COMMON_GAINS_MM_PER_MV,
    COMMON_SPEEDS_MM_PER_S,
    GAINS_MM_PER_MV,
    LAYOUTS,
    LEADS,
    MARKED_WORDS,
    PAPER_SPEEDS_MM_PER_S,
    Layout,
    column_edges,
    is_unnamed,
    standard_row_length,
    standard_row_lengths_mm,
    unnamed,
    upright,
)


def test_words_begin_with_the_twelve_leads_and_none_comes_twice() -> None:
    assert MARKED_WORDS[:12] == LEADS
    assert MARKED_WORDS[12:] == ("-aVR", "V7", "V8", "V9", "V3R", "V4R", "X", "Y", "Z", "setting")
    assert len(set(MARKED_WORDS)) == len(MARKED_WORDS)
    assert set(COMMON_SPEEDS_MM_PER_S) < set(PAPER_SPEEDS_MM_PER_S) and set(COMMON_GAINS_MM_PER_MV) < set(
        GAINS_MM_PER_MV
    )


def test_every_layout_shows_the_twelve_leads() -> None:
    for name, layout in LAYOUTS.items():
        assert layout.leads == LEADS, name
        above = [row for k, row in enumerate(layout.rows) if k not in layout.rhythm_rows]
        assert layout.seconds == 10.0
        assert sorted(lead for row in above for lead in row) == sorted(LEADS), name
        rows, columns = name.split("-")[0].split("+")[0].split("x")
        assert (len(above), layout.columns) == (int(rows), int(columns))


def test_other_leads_come_behind_the_twelve() -> None:
    fifteen = Layout("3x4+2", (*LAYOUTS["3x4"].rows, ("V8",), ("V7",)))
    assert fifteen.leads == (*LEADS, "V8", "V7")
    assert Layout("3x1", (("Z",), ("II",), ("V7",))).leads == ("Z", "II", "V7")


def test_inverted_avr_is_avr_upside_down() -> None:
    layout = LAYOUTS["6x2-cabrera"].with_inverted_avr()
    assert layout.rows[2] == ("-aVR", "V3")
    assert layout.leads == LEADS
    assert upright("-aVR") == ("aVR", -1.0) and upright("V3") == ("V3", 1.0)


def test_only_the_order_by_angle_may_print_avr_upside_down() -> None:
    assert {name for name, layout in LAYOUTS.items() if layout.may_invert_avr} == {
        name for name in LAYOUTS if name.endswith("-cabrera")
    }


def test_columns_have_seconds_of_their_own() -> None:
    layout = Layout("toy", (("I", "II"), ("V1",)), ((2.0, 4.0), (12.0,)))
    assert layout.seconds == 12.0 and layout.columns == 2 and layout.rhythm_rows == (1,)
    assert layout.widths(0) == (1.0, 2.0) and layout.widths(1) == (1.0,)
    assert layout.spans(0) == (("I", 0.0, 2.0), ("II", 2.0, 6.0))
    assert layout.spans(0, 6.0) == (("I", 0.0, 1.0), ("II", 1.0, 3.0))
    assert layout.row_lengths_mm == {75.0, 150.0, 300.0, 600.0}
    assert Layout("shared", (("I", "II"), ("V1",))).column_seconds == ((5.0, 5.0), (10.0,))


@pytest.mark.parametrize("seconds", [((5.0,), (10.0,)), ((5.0, 0.0), (10.0,)), ((5.0, 5.0),)])
def test_seconds_that_do_not_fit_the_rows_are_rejected(seconds: tuple[tuple[float, ...], ...]) -> None:
    with pytest.raises(ValueError, match="layout toy: got columns"):
        Layout("toy", (("I", "II"), ("V1",)), seconds)
    with pytest.raises(ValueError, match="layout empty"):
        Layout("empty", (("I",), ()))


@given(st.floats(-50, 50), st.floats(20, 600), st.integers(1, 12))
def test_columns_of_one_width_divide_a_row_to_the_bit_as_numpy_does(start: float, length: float, n: int) -> None:
    np.testing.assert_array_equal(
        column_edges(start, start + length, (1.0,) * n), np.linspace(start, start + length, n + 1)
    )


def test_standard_row_lengths_follow_from_the_layouts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert standard_row_lengths_mm() == (125.0, 250.0, 500.0)
    assert standard_row_length(300.0) is None
    monkeypatch.setitem(LAYOUTS, "toy", Layout("toy", (("I",),), ((12.0,),)))
    assert standard_row_lengths_mm() == (125.0, 150.0, 250.0, 300.0, 500.0, 600.0)
    assert standard_row_length(301.0) == 300.0


def test_names_of_rows_without_one_are_told_from_printed_ones() -> None:
    assert is_unnamed(unnamed(3)) and not is_unnamed("II") and not is_unnamed("strip")

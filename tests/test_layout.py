"""Words, and what layouts say about a record."""

from __future__ import annotations

from ecg_trt.layout import GAIN_WORDS, LAYOUTS, LEADS, MARKED_WORDS, SPEED_WORDS, Layout, marked_as, upright


def test_words_begin_with_the_twelve_leads_and_none_comes_twice() -> None:
    assert MARKED_WORDS[:12] == LEADS
    assert MARKED_WORDS[12:] == ("-aVR", "V7", "V8", "V9", "V3R", "V4R", "X", "Y", "Z", "setting")
    assert len(set(MARKED_WORDS)) == len(MARKED_WORDS)
    assert [marked_as(word) for word in ("V3R", *SPEED_WORDS, *GAIN_WORDS)] == ["V3R", *5 * ["setting"]]
    assert SPEED_WORDS["50 mm/s"] == 50.0 and GAIN_WORDS["5 mm/mV"] == 5.0


def test_every_layout_shows_the_twelve_leads() -> None:
    for name, layout in LAYOUTS.items():
        assert layout.leads == LEADS, name
        above = layout.rows[: len(layout.rows) - layout.rhythm_rows]
        assert sorted(lead for row in above for lead in row) == sorted(LEADS), name
        rows, columns = name.split("-")[0].split("+")[0].split("x")
        assert (len(above), layout.columns) == (int(rows), int(columns))


def test_other_leads_come_behind_the_twelve() -> None:
    fifteen = Layout("3x4+2", (*LAYOUTS["3x4"].rows, ("V8",), ("V7",)), 2)
    assert fifteen.leads == (*LEADS, "V8", "V7")
    assert Layout("3x1", (("Z",), ("II",), ("V7",))).leads == ("Z", "II", "V7")


def test_inverted_avr_is_avr_upside_down() -> None:
    layout = LAYOUTS["6x2-cabrera"].with_inverted_avr()
    assert layout.rows[2] == ("-aVR", "V3")
    assert layout.leads == LEADS
    assert upright("-aVR") == ("aVR", -1.0) and upright("V3") == ("V3", 1.0)

"""Lead names that are read letter by letter, against those of a layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from ecg_trt.layout import LAYOUTS, LEAD_WORDS, LEADS, MARKED_WORDS, STRIPS, Layout
from ecg_trt.page.lead_names import named_log_odds, read_names, with_shared_name
from ecg_trt.page.naming import Naming
from ecg_trt.printed import CLASSES, Line, class_of, decoded
from ecg_trt.types import Array, Segment, Strip

NAME_MM = (3.0, -5.0)  # of a name's middle from its segment's start and zero line
Rows = Sequence[Sequence[str]]


def _page(rows: Rows) -> tuple[tuple[Strip, ...], Array]:
    """Strips with these names, and the heatmaps in which stage 1 marks that something stands beside each."""
    label = np.zeros((len(MARKED_WORDS), 40 * len(rows) + 40, 300), np.float32)
    strips = []
    for k, leads in enumerate(rows):
        zero, edges = 40.0 * (k + 1), np.linspace(20.0, 270.0, len(leads) + 1).tolist()
        segments = tuple(Segment(n, (a, b)) for n, a, b in zip(leads, edges, edges[1:], strict=False))
        strips.append(Strip(zero, (20.0, 270.0), 1.0, segments))
        for left in edges[:-1]:
            label[0, round(zero + NAME_MM[1]), round(left + NAME_MM[0])] = 0.9
    return tuple(strips), label


def _reader(strips: Sequence[Strip], printed: Rows, logit: float = 14.0) -> Callable[[Array], Line]:
    """Reader of a page on which these names are printed."""
    words = {(round(g.x_mm[0] + NAME_MM[0]), round(s.zero_y_mm + NAME_MM[1])): word
             for s, names in zip(strips, printed, strict=True)
             for g, word in zip(s.segments, names, strict=True)}  # fmt: skip

    def line_at(place: Array) -> Line:
        text = words[(round(place[0]), round(place[1]))]
        logits = np.zeros((CLASSES, 128))
        path = np.zeros(128, int)
        path[60 : 60 + 2 * len(text) : 2] = class_of(text)
        logits[path, np.arange(128)] = logit
        text, sure, columns = decoded(logits)
        places = place[0] - 16 + (np.arange(128) + 0.5) / 4
        return Line(text, sure, places[columns], logits, places)

    return line_at


def _naming(layout: Layout, strips: tuple[Strip, ...]) -> Naming:
    return Naming(layout, 0.9, strips, (), 0.7)


def _names(strips: Sequence[Strip]) -> list[tuple[str, ...]]:
    return [tuple(g.lead for g in s.segments) for s in strips]


def test_names_in_the_words_of_other_devices_are_those_of_the_layout() -> None:
    layout = LAYOUTS["3x4+1"]
    strips, label = _page(layout.rows)
    other = {"I": "D1", "II": "DII", "III": "D3", "aVR": "AVR", "V1": "C1"}
    printed = [[other.get(name, name) for name in row] for row in layout.rows]
    naming = _naming(layout, strips)
    named = read_names(naming, label, _reader(strips, printed))
    assert named == replace(naming, legible=named.legible) and named.legible > 40


def test_a_page_in_another_order_is_read_as_it_is_printed() -> None:
    strips, label = _page(LAYOUTS["6x2"].rows)
    printed = list(reversed(LAYOUTS["6x2"].rows))
    naming = read_names(_naming(LAYOUTS["6x2"], strips), label, _reader(strips, printed))
    assert _names(naming.strips) == printed and naming.layout.name == STRIPS
    assert naming.leads == LAYOUTS["6x2"].leads, "the twelve come in their order all the same"
    known = read_names(_naming(LAYOUTS["6x2"], strips), label, _reader(strips, LAYOUTS["6x2-cabrera"].rows))
    assert known.layout == LAYOUTS["6x2-cabrera"]


def test_one_odd_name_does_not_outweigh_a_layout_but_names_a_rhythm_strip() -> None:
    layout = LAYOUTS["3x4+1"]
    strips, label = _page(layout.rows)
    naming = _naming(layout, strips)
    odd = [list(row) for row in layout.rows]
    odd[0][2] = "7"
    assert read_names(naming, label, _reader(strips, odd)).strips == strips
    rhythm = [*layout.rows[:3], ("V1",)]
    named = read_names(naming, label, _reader(strips, rhythm))
    assert named.layout == layout and _names(named.strips)[3] == ("V1",)


def test_strips_of_further_leads_below_the_twelve_carry_their_names() -> None:
    layout = LAYOUTS["3x4+3"]
    strips, label = _page(layout.rows)
    further = [("V3R",), ("V4R",), ("V7",)]
    named = read_names(_naming(layout, strips), label, _reader(strips, [*layout.rows[:3], *further]))
    assert _names(named.strips)[3:] == further and named.layout == layout
    assert named.leads == (*layout.leads, "V3R", "V4R", "V7") and layout.leads == LEADS


@pytest.mark.parametrize("shift", [-1, 1])
def test_names_that_stand_nearer_to_the_next_row_are_those_of_the_layout(shift: int) -> None:
    layout = LAYOUTS["12x1"]
    strips, label = _page(layout.rows)
    names = [row[0] for row in layout.rows]
    printed = [[name] for name in ([*names[1:], "="] if shift > 0 else ["=", *names[:-1]])]
    naming = read_names(_naming(layout, strips), label, _reader(strips, printed))
    assert naming.layout == layout and _names(naming.strips) == list(layout.rows)
    assert naming.probability == pytest.approx(0.9, abs=0.01)


def test_what_may_be_another_order_is_less_certain() -> None:
    layout = LAYOUTS["6x2"]
    strips, label = _page(layout.rows)
    odd = [list(row) for row in layout.rows]
    odd[0][1], odd[1][1], odd[2][1] = "V3", "V1", "V2"
    naming = read_names(_naming(layout, strips), label, _reader(strips, odd, logit=8.0))
    assert naming.layout == layout and naming.probability < 0.8


def test_the_sign_of_avr_is_read() -> None:
    layout = LAYOUTS["3x4-cabrera"]
    strips, label = _page(layout.rows)
    printed = [["-aVR" if name == "aVR" else name for name in row] for row in layout.rows]
    naming = read_names(_naming(layout, strips), label, _reader(strips, printed))
    assert naming.layout == layout and _names(naming.strips) == list(map(tuple, printed))
    assert naming.leads == layout.leads


def test_no_name_is_given_twice() -> None:
    rows = (("strip1",), ("strip2",), ("strip3",))
    strips, label = _page(rows)
    naming = _naming(Layout(STRIPS, rows), strips)
    named = read_names(naming, label, _reader(strips, (("II",), ("II",), ("X9Z",)))).strips
    assert sorted(lead for (lead,) in _names(named)) in (["II", "strip2", "strip3"], ["II", "strip1", "strip3"])


def test_columns_are_there_where_names_begin_them() -> None:
    rows = [[f"strip{4 * k + n + 1}" for n in range(4)] for k in range(3)]
    strips, label = _page(rows)
    there = named_log_odds(strips, label, _reader(strips, LAYOUTS["3x4"].rows))
    blank = named_log_odds(strips, label, _reader(strips, [[row[0], "7", "=", "+"] for row in LAYOUTS["3x4"].rows]))
    assert there > 20 and blank < -5


def test_print_that_is_no_name_speaks_against_the_way_up() -> None:
    strips, label = _page(LAYOUTS["6x2"].rows)
    naming = _naming(LAYOUTS["6x2"], strips)
    odd = [["7", "="] for _ in strips]
    assert read_names(naming, label, _reader(strips, odd)).legible < -5
    assert read_names(naming, np.zeros_like(label), _reader(strips, odd)).legible == 0, "nothing is seen there"


def test_a_lead_that_the_caption_names_is_given_to_rows_without_names() -> None:
    rows = (("strip1",), ("strip2",))
    naming = _naming(Layout(STRIPS, rows), _page(rows)[0])
    assert _names(with_shared_name(naming, "I").strips) == [("I",), ("I",)]
    assert with_shared_name(naming, None) == naming


@pytest.mark.parametrize("lead", LEAD_WORDS)
def test_every_lead_word_is_known_to_itself(lead: str) -> None:
    strips, _ = _page((("strip1",),))
    line = _reader(strips, ((lead,),))(np.array([23.0, 35.0]))
    assert line.leads_at(23.0, 6.0).argmax() == LEAD_WORDS.index(lead)

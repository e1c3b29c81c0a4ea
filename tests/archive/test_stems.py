"""Stems under which no two pages meet."""

from __future__ import annotations

from ecg_trt.archive.stems import Stems
from ecg_trt.io.writers import WRITERS

CSV = [WRITERS["csv"], WRITERS["json"]]


def test_names_that_meet_get_a_number():
    stems = Stems(CSV)
    wanted = ["a", "A", "sub/a", "sub/a", "a-2", "a", "\u00e4", "a\u0308"]
    given = [stems.give(stem, number) for number, stem in enumerate(wanted)]
    assert given == ["a", "A-2", "sub/a", "sub/a-2", "a-2-2", "a-3", "\u00e4", "a\u0308-2"]


def test_names_are_compared_as_a_format_writes_them():
    stems = Stems([WRITERS["wfdb"]])
    assert [stems.give(stem, stem) for stem in ("x/a b", "x/a_b", "y/a_b")] == ["x/a b", "x/a_b-2", "y/a_b"]


def test_an_analysis_overwrites_no_record():
    stems = Stems(CSV)
    given = [stems.give(stem, stem) for stem in ("a", "a.analysis", "a.activation", "b.analysis", "b", "a.other")]
    assert given == ["a", "a.analysis-2", "a.activation-2", "b.analysis", "b-2", "a.other"]


def test_names_of_other_files_are_kept_free():
    stems = Stems(CSV, reserved=["results.csv"])
    assert [stems.give(stem, stem) for stem in ("Results", "sub/results")] == ["Results-2", "sub/results"]


def test_a_page_of_an_earlier_run_gets_its_stem_again_and_once():
    stems = Stems(CSV, owners={"a": ("x/a.jpg", 1), "a-2": ("y/a.jpg", 1)})
    assert stems.give("a", ("z/a.jpg", 1)) == "a-3"
    assert stems.give("a", ("y/a.jpg", 1)) == "a-2"
    assert stems.give("a", ("x/a.jpg", 1)) == "a"
    assert stems.give("a", ("x/a.jpg", 1)) == "a-4"

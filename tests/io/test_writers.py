"""Golden files, round trips, and what happens when the disk does not play along."""

from __future__ import annotations

import csv
import errno
import json
import math
import os
import stat
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ecg_trt.errors import OptionError, OutputError
from ecg_trt.io import atomic
from ecg_trt.io.writers.csv import csv_text
from ecg_trt.io.writers.image import write_image
from ecg_trt.io.writers.json import record_as_dict
from ecg_trt.io.writers.wfdb import record_name
from ecg_trt.layout import LEADS
from ecg_trt.types import LeadSpan

WRITERS = ("to_csv", "to_json", "to_wfdb")


@pytest.fixture
def fixed_versions(monkeypatch):
    monkeypatch.setattr("ecg_trt.io.writers.json.versions", lambda: {"ecg_trt": "0.0.0", "numpy": "0.0.0"})


def test_csv_is_golden(record, tmp_path, golden):
    path = record.to_csv(tmp_path / "record.csv")
    assert path.read_bytes() == golden(path)


def test_json_is_golden(record, tmp_path, golden, fixed_versions):
    path = record.to_json(tmp_path / "record.json")
    assert path.read_bytes() == golden(path)


def test_wfdb_is_golden(record, tmp_path, golden):
    header = record.to_wfdb(tmp_path / "record")
    assert header == tmp_path / "record.hea"
    assert header.read_bytes() == golden(header)
    samples = tmp_path / "record.dat"
    assert samples.read_bytes() == golden(samples)


def test_csv_reads_back(record, tmp_path):
    with record.to_csv(tmp_path / "a.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["time_s", *LEADS]
    table = np.array([[float(cell) if cell else np.nan for cell in row] for row in rows])
    np.testing.assert_allclose(table[:, 0], np.arange(len(rows)) / record.fs, atol=1e-5)
    np.testing.assert_allclose(table[:, 1:].T, record.signal_mv, atol=5.1e-5)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(width=32), min_size=12, max_size=12))
def test_csv_of_any_number(values):
    from tests.conftest import make_record

    record = make_record(n=1, signal_mv=np.array(values, np.float32)[:, None])
    cells = csv_text(record).splitlines()[1].split(",")[1:]
    for cell, value in zip(cells, values, strict=True):
        assert (cell == "") == (not math.isfinite(value))
        assert cell != "-0.0000"
        assert not cell or abs(float(cell) - value) <= 5.1e-5 + 1e-6 * abs(value)


def test_csv_is_fast(tools):
    record = tools.record(n=5000, fs=500.0)
    best = math.inf
    for _ in range(3):
        start = time.perf_counter()
        csv_text(record)
        best = min(best, time.perf_counter() - start)
    assert best < 0.25, "60 ms on two idle cores; the rest is room for busy ones"


def test_json_is_strict(record, tmp_path):
    def refuse(word):
        raise AssertionError(word)

    text = record.to_json(tmp_path / "a.json").read_text("utf-8")
    document = json.loads(text, parse_constant=refuse)
    assert document["quality"]["V6"] is None
    assert document["quality"]["I"] == pytest.approx(0.95)
    assert list(document["quality"]) == list(LEADS)
    assert document["expected_snr_db"]["V6"] is None and document["expected_snr_db"]["I"] == pytest.approx(17.5)
    assert document["timings_ms"]["trace"] == 2.5
    assert document["warnings"] == [{"code": str(w.code), "text": w.text} for w in record.warnings]
    assert {"ecg_trt", "numpy", "onnxruntime", "opencv"} <= set(document["versions"])
    assert "not a medical device" in document["notice"]


def test_json_of_a_record_without_anything(record, tmp_path):
    quality = np.full(12, np.nan, np.float32)
    empty = replace(record, quality=quality, timings_ms={"x": math.inf}, source="a\udcff.jpg")
    assert math.isnan(empty.mean_quality)
    document = json.loads(empty.to_json(tmp_path / "a.json").read_text("utf-8"))
    assert document["mean_quality"] is None
    assert document["timings_ms"] == {"x": None}
    assert record_as_dict(empty)["samples"] == 20


def test_wfdb_reads_back(record, tmp_path):
    import wfdb

    record.to_wfdb(tmp_path / "r.hea")
    back = wfdb.rdrecord(str(tmp_path / "r"))
    assert back.sig_name == list(LEADS)
    assert set(back.units) == {"mV"}
    assert set(back.fmt) == {"16"}
    assert back.fs == record.fs
    np.testing.assert_allclose(back.p_signal.T, record.signal_mv, atol=5.1e-4)


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("photo", "photo"),
        ("my photo.v2", "my_photo_v2"),
        ("Übung", "Ubung-c9ebdab8"),
        ("U\u0308bung", "Ubung-c9ebdab8"),
        ("心电图", "record-0a7d2da5"),
        ("心电图 2", "_2-2a5705a4"),
        ("x.HEA", "x"),
        ("x.dat", "x"),
        ("a-b_c", "a-b_c"),
        ("", "record"),
    ],
)
def test_wfdb_names(stem, name):
    assert record_name(stem) == name


def test_wfdb_of_large_signals(record, tmp_path):
    import wfdb

    large = replace(record, signal_mv=record.signal_mv * 40, fs=360.5)
    large.to_wfdb(tmp_path / "large")
    back = wfdb.rdrecord(str(tmp_path / "large"))
    np.testing.assert_allclose(back.p_signal.T, large.signal_mv, atol=1.1e-3)
    with pytest.raises(OutputError, match="peak"):
        replace(record, signal_mv=record.signal_mv * 1e6).to_wfdb(tmp_path / "huge")


def test_wfdb_of_leads_that_begin_each_by_itself(record, tmp_path):
    import wfdb

    record.signal_mv[0, :2] = np.nan
    record.signal_mv[6:10, :12] = np.nan
    spans = (LeadSpan("I", 0, 0.0, 0.2), LeadSpan("V1", 0, 0.1, 0.2), LeadSpan("V1", 1, 0.12, 0.2))
    path = replace(record, spans=spans).save(tmp_path / "r.hea", starts="own")
    back = wfdb.rdrecord(str(path.with_suffix("")))
    signal_mv = back.p_signal.T
    np.testing.assert_allclose(signal_mv[0], record.signal_mv[0], atol=5.1e-4)
    np.testing.assert_allclose(signal_mv[3, :15], record.signal_mv[3, 5:], atol=5.1e-4)
    np.testing.assert_allclose(signal_mv[6, :10], record.signal_mv[6, 10:], atol=5.1e-4)
    np.testing.assert_allclose(signal_mv[7, :8], record.signal_mv[7, 12:], atol=5.1e-4)
    assert np.isnan(signal_mv[3, 15:]).all() and np.isnan(signal_mv[11]).all()
    starts = [comment for comment in back.comments if comment.startswith("start of ")]
    assert len(starts) == 12 and {"start of aVR: 0.05 s", "start of V1: 0.1 s", "start of V6: 0 s"} <= set(starts)


def test_wfdb_is_as_long_as_its_longest_lead(record, tmp_path):
    import wfdb

    for row in range(12):
        record.signal_mv[row, : 5 * (row % 4)] = record.signal_mv[row, 5 * (row % 4) + 5 :] = np.nan
    back = wfdb.rdrecord(str(record.save(tmp_path / "r.hea", starts="own").with_suffix("")))
    assert back.p_signal.shape == (5, 12)
    with pytest.raises(OptionError, match="'lead'; expected one of page, own"):
        record.save(tmp_path / "r.hea", starts="lead")


def test_wfdb_that_reads_back_otherwise_is_refused(record, tmp_path, monkeypatch):
    import wfdb

    honest = wfdb.rdrecord

    def forge(*args, **kwargs):
        back = honest(*args, **kwargs)
        back.p_signal = back.p_signal + 0.01
        return back

    monkeypatch.setattr(wfdb, "rdrecord", forge)
    with pytest.raises(OutputError, match="did not survive"):
        record.to_wfdb(tmp_path / "r")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_leaves_nothing(record, tmp_path, monkeypatch, writer):
    old = tmp_path / "r.csv"
    old.write_text("old")

    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    monkeypatch.setattr(Path, "write_bytes", full)
    monkeypatch.setattr("wfdb.wrsamp", full)
    with pytest.raises(OutputError, match=r"no space.*Make room"):
        getattr(record, writer)(old)
    assert [path.name for path in tmp_path.iterdir()] == ["r.csv"]
    assert old.read_bytes() == b"old"


@pytest.mark.parametrize("writer", WRITERS)
def test_missing_folder(record, tmp_path, writer):
    with pytest.raises(OutputError, match="Make the folder first"):
        getattr(record, writer)(tmp_path / "no" / "r")


@pytest.mark.parametrize("writer", WRITERS)
def test_parent_is_a_file(record, tmp_path, writer):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="not a directory"):
        getattr(record, writer)(tmp_path / "file" / "r")


def test_target_is_a_folder(record, tmp_path):
    (tmp_path / "r.csv").mkdir()
    with pytest.raises(OutputError, match="is a directory"):
        record.to_csv(tmp_path / "r.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["r.csv"]


@pytest.mark.parametrize("writer", WRITERS)
def test_no_permission(record, tmp_path, monkeypatch, writer):
    """Root may write anywhere, so the refusal is simulated."""

    def refuse(*_args, **_kwargs):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    with pytest.raises(OutputError, match=r"permission denied.*-o"):
        getattr(record, writer)(tmp_path / "r")


def test_a_failing_body_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), atomic.atomic_path(tmp_path / "a.txt") as path:
        path.write_text("half")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_atomic_replaces_and_keeps_usual_permissions(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with atomic.atomic_path(target) as path:
        path.write_text("new")
        assert target.read_text() == "old"
        assert path.parent.parent == tmp_path
        assert path.suffix == ".txt"
    assert target.read_text() == "new"
    assert stat.S_IMODE(target.stat().st_mode) & 0o600 == 0o600


def test_make_folder(tmp_path):
    atomic.make_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []
    (tmp_path / "file").write_text("")
    for bad in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OutputError):
            atomic.make_folder(bad)


@pytest.mark.parametrize("leads", [("strip1",), ("II", "V1", "II-2"), (*LEADS, "V7", "V8", "V9")])
def test_records_of_any_leads_are_written(record, tmp_path, leads):
    import wfdb

    rows = np.resize(record.signal_mv, (len(leads), record.signal_mv.shape[1]))
    quality, snr_db = (np.resize(a, len(leads)) for a in (record.quality, record.snr_db))
    any_leads = replace(record, signal_mv=rows, lead_names=leads, quality=quality, snr_db=snr_db)
    header = csv_text(any_leads).splitlines()[0]
    assert header == ",".join(("time_s", *leads))
    assert tuple(record_as_dict(any_leads)["quality"]) == leads
    assert tuple(wfdb.rdrecord(str(any_leads.to_wfdb(tmp_path / "any").with_suffix(""))).sig_name) == leads
    (panel,) = any_leads.plot().axes
    assert {line.get_label() for line in panel.lines} >= set(leads)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPEG"])
def test_images_keep_their_colours(tmp_path, suffix):
    picture = np.full((64, 64, 3), (200, 100, 50), np.uint8)
    path = write_image(picture, tmp_path / f"a{suffix}")
    assert np.abs(np.asarray(Image.open(path)).astype(int) - picture).max() <= 4


def test_images_of_other_suffixes(tmp_path):
    with pytest.raises(OutputError, match=r"\.gif"):
        write_image(np.zeros((9, 9, 3), np.uint8), tmp_path / "a.gif")

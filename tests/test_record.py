"""A record's leads by name, as arrays for models, and as a data frame."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from ecg_trt.errors import NOTICE, OptionError, OutputError
from ecg_trt.io.writers.array import ArraySpec, array_spec, record_as_array
from ecg_trt.layout import LEADS
from ecg_trt.record import in_order
from ecg_trt.types import Array
from tests.conftest import make_record

FREQUENCIES_HZ = np.arange(12) + 5.0  # Of the waves of `make_record`, of 0.1 mV a lead.


def wave(row: int, n: int, fs: float) -> Array:
    """Lead of `make_record` at any rate, without its gaps."""
    return 0.1 * (row + 1) * np.sin(2 * np.pi * FREQUENCIES_HZ[row] * np.arange(n) / fs)


class TestLeadsByName:
    def test_rows_are_ordered_by_their_names(self, record):
        y = record.signal_mv
        np.testing.assert_array_equal(in_order(y[::-1], LEADS[::-1], LEADS), y)
        some = in_order(y[:2], ("II", "strip2"), ("I", "II"))
        assert np.isnan(some[0]).all()
        np.testing.assert_array_equal(some[1], y[0])

    def test_a_lead_is_a_row(self, record):
        np.testing.assert_array_equal(record["II"], record.signal_mv[1])
        assert record["II"].dtype == np.float32
        assert list(record) == list(LEADS) and "II" in record and "V9" not in record

    @pytest.mark.parametrize(("spelling", "lead"), [("D2", "II"), ("C4", "V4"), ("AVL", "aVL"), ("v1", "V1")])
    def test_other_spellings(self, record, spelling, lead):
        np.testing.assert_array_equal(record[spelling], record[lead])

    def test_inverted_avr(self, record):
        np.testing.assert_array_equal(record["-aVR"], -record["aVR"])

    @pytest.mark.parametrize("lead", ["V9", "strip1", ""])
    def test_leads_that_are_not_there(self, record, lead):
        with pytest.raises(KeyError, match=rf"no lead {lead}: the record has I, II, III, aVR"):
            record[lead]

    def test_a_name_of_the_record_comes_before_spellings(self, record):
        odd = replace(record, signal_mv=record.signal_mv[:2], lead_names=("D2", "II"))
        np.testing.assert_array_equal(odd["D2"], record.signal_mv[0])


class TestDataFrames:
    def test_a_column_a_lead(self, record):
        frame = record.to_pandas()
        assert list(frame.columns) == list(LEADS) and frame.index.name == "time_s"
        np.testing.assert_array_equal(frame.index, np.arange(20) / 100)
        np.testing.assert_array_equal(frame["V5"].to_numpy(), record["V5"])
        assert set(frame.dtypes) == {np.dtype(np.float32)}

    def test_it_is_a_copy(self, record):
        frame = record.to_pandas()
        frame.iloc[0, 0] = 9.0
        assert record.signal_mv[0, 0] == 0.0


class TestArrays:
    @pytest.mark.parametrize(("samples", "fs"), [(5000, 500.0), (2500, 250.0), (1000, 100.0), (3600, 360.0)])
    def test_waves_keep_their_place_at_any_rate(self, samples, fs):
        array = make_record(n=5000, fs=500.0).to_array(12, samples, fs)
        assert array.shape == (12, samples) and array.dtype == np.float32
        assert np.isnan(array[11]).all()
        edge = int(fs / 5)
        for row in (0, 1, 9):
            inner = slice(edge, samples - edge)
            np.testing.assert_allclose(array[row, inner], wave(row, samples, fs)[inner], atol=0.01 * 0.1 * (row + 1))

    def test_gaps_are_kept(self):
        record = make_record(n=5000, fs=500.0)
        record.signal_mv[4, 1000:1100] = np.nan
        half = record.to_array(12, 2500, 250.0)
        assert np.isnan(half[3, :625]).all() and np.isfinite(half[3, 625:]).all()
        assert np.isnan(half[4, 500:550]).all() and np.isnan(half[4]).sum() == 50
        finer = record.to_array(12, 10_000, 1000.0)
        assert np.isnan(finer[4]).sum() == 201, "samples between a missing one and another are missing"

    def test_what_is_too_long_is_cut_and_what_is_too_short_is_missing(self, record):
        cut = record.to_array(12, 10, 100.0)
        np.testing.assert_array_equal(cut, record.signal_mv[:, :10])
        longer = record.to_array(12, 30, 100.0)
        np.testing.assert_array_equal(longer[:, :20], record.signal_mv)
        assert np.isnan(longer[:, 20:]).all()

    def test_a_record_as_it_is(self, record):
        np.testing.assert_array_equal(record.to_array(None, None, None), record.signal_mv)

    def test_leads_in_any_order(self, record):
        array = record.to_array(["V5", "II", "V9"], 20, 100.0)
        np.testing.assert_array_equal(array[:2], record.signal_mv[[10, 1]])
        assert np.isnan(array[2]).all()
        np.testing.assert_array_equal(record.to_array("V5,II,V9", 20, 100.0), array)
        np.testing.assert_array_equal(record.to_array(" C5, D2,V9", 20, 100.0), array)
        with pytest.raises(OptionError, match="no such lead: got V55"):
            record.to_array("V5,V55", 20, 100.0)
        np.testing.assert_array_equal(record.to_array(8, 20, 100.0), record.signal_mv[[0, 1, *range(6, 12)]])

    def test_zero(self, record):
        array = record.to_array(12, 30, 100.0, missing="zero")
        np.testing.assert_array_equal(array[:, :20], np.nan_to_num(record.signal_mv))
        assert not array[:, 20:].any()

    def test_repeat_goes_on_with_the_part_that_is_shown(self):
        record = make_record(n=1000, fs=100.0)
        record.signal_mv[1] = np.nan
        record.signal_mv[1, 250:500] = np.arange(250)
        record.signal_mv[1, 600:610] = 7.0
        array = record.to_array(12, 1000, 100.0, missing="repeat")
        assert np.isfinite(array).all() and not array[11].any(), "a lead that shows nothing is 0"
        expected = np.tile(np.arange(250, dtype=np.float32), 4)
        expected[600:610] = 7.0
        np.testing.assert_array_equal(array[1], expected)
        np.testing.assert_array_equal(array[0], record.signal_mv[0])

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"leads": 3}, "number of leads: got 3; expected 12 or 8"),
            ({"samples": 0}, "no such array"),
            ({"fs": -1.0}, "no such array"),
            ({"fs": 0.02}, "no such array"),
            ({"samples": 10**12}, "no such array"),
            ({"fs": np.nan}, "no such array"),
            ({"missing": "mean"}, "'mean'; expected one of nan, zero, repeat"),
        ],
    )
    def test_wrong_arguments(self, record, arguments, message):
        with pytest.raises(OptionError, match=message):
            record.to_array(**arguments)

    def test_a_record_with_none_of_the_leads(self, record):
        strips = replace(record, signal_mv=record.signal_mv[:1], lead_names=("strip1",))
        with pytest.raises(OutputError, match="got the leads strip1; expected at least one of I, II"):
            strips.to_array()
        assert strips.to_array(None, None, None).shape == (1, 20)


class TestFiles:
    @pytest.mark.parametrize(
        ("text", "leads", "samples", "fs"),
        [
            ("12x5000@500", LEADS, 5000, 500.0),
            ("8x2500@250", ("I", "II", *LEADS[6:]), 2500, 250.0),
            ("II,V1x500@62.5", ("II", "V1"), 500, 62.5),
            ("Xx10@100", ("X",), 10, 100.0),
        ],
    )
    def test_specifications(self, text, leads, samples, fs):
        assert array_spec(text, "zero") == ArraySpec(leads, samples, fs, "zero")

    @pytest.mark.parametrize("text", ["12x5000", "5000@500", "12x@500", "12x-5@500", "0x5@500", ",x5@500", "12x0@500"])
    def test_specifications_that_cannot_be_understood(self, text):
        with pytest.raises(OptionError, match=r"such as 12x5000@500|12 or 8"):
            array_spec(text)

    def test_npz_reads_back(self, record, tmp_path):
        path = record.save(tmp_path / "r.npz", array="12x40@200", missing="repeat")
        with np.load(path, allow_pickle=False) as file:
            content = dict(file)
        np.testing.assert_array_equal(content["signal_mv"], record.to_array(12, 40, 200.0, "repeat"))
        assert tuple(content["lead_names"]) == LEADS and content["fs"] == 200.0
        assert json.loads(content["record"].item())["notice"] == NOTICE
        assert zipfile.ZipFile(path).testzip() is None

    def test_npy_reads_back(self, record, tmp_path):
        plain = np.load(record.save(tmp_path / "r.npy"), allow_pickle=False)
        np.testing.assert_array_equal(plain, record.signal_mv)
        rows = np.load(record.save(tmp_path / "rows.npy", array="V5,IIx20@100"), allow_pickle=False)
        np.testing.assert_array_equal(rows, record_as_array(record, ArraySpec(("V5", "II"), 20, 100.0)))

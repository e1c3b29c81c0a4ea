"""Records read from CSV, WFDB and EDF, as this package and others write them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ecg_trt.errors import InputError, NotAnImageError, PhotoNotFoundError
from ecg_trt.io.readers.record_files import _in_mv
from ecg_trt.recorded import is_record_file, record_in_file
from ecg_trt.types import LeadSpan
from tests.conftest import make_record

KEPT = tuple(range(11))  # V6 is not printed.


@pytest.mark.parametrize(("suffix", "error_mv"), [(".csv", 1e-4), (".hea", 6e-4), (".edf", 6e-4)])
def test_what_was_written_is_read(tmp_path, suffix, error_mv):
    record = make_record(n=400)
    back = record_in_file(record.save(tmp_path / f"ecg{suffix}"))
    assert back.fs == record.fs
    assert back.lead_names == record.lead_names
    np.testing.assert_array_equal(np.isfinite(back.signal_mv), np.isfinite(record.signal_mv))
    np.testing.assert_allclose(back.signal_mv, record.signal_mv, atol=error_mv)
    assert not back.is_digitized


def test_the_json_beside_gives_quality_and_layout_back(tmp_path):
    record = make_record(n=400, spans=(LeadSpan("I", 0, 0.0, 4.0),), layout_probability=0.75, chest_gain_mm_per_mv=5.0)
    record.to_json(tmp_path / "ecg.json")
    back = record_in_file(record.to_csv(tmp_path / "ecg.csv"))
    np.testing.assert_allclose(back.quality, record.quality, atol=1e-4)
    np.testing.assert_allclose(back.snr_db, record.snr_db, atol=1e-4)
    assert (back.layout, back.spans, back.assumed, back.warnings) == (
        record.layout, record.spans, record.assumed, record.warnings
    )  # fmt: skip
    assert (back.layout_probability, back.gain_of("II"), back.gain_of("V2")) == (0.75, record.gain_mm_per_mv, 5.0)
    assert back.is_digitized


def test_one_gain_of_all_leads_is_given_back_as_one(tmp_path):
    record = make_record(n=400)
    record.to_json(tmp_path / "ecg.json")
    assert record_in_file(record.to_csv(tmp_path / "ecg.csv")).chest_gain_mm_per_mv is None


@pytest.mark.parametrize("text", ["{", "[]", '{"notice": 1}'])
def test_another_json_beside_is_left_alone(tmp_path, text):
    (tmp_path / "ecg.json").write_text(text)
    assert not record_in_file(make_record(n=400).to_csv(tmp_path / "ecg.csv")).is_digitized


def test_a_json_beside_that_lacks_a_part_is_an_error(tmp_path):
    record = make_record(n=400)
    stored = json.loads(record.to_json(tmp_path / "ecg.json").read_text("utf-8"))
    path = record.to_csv(tmp_path / "ecg.csv")
    for change in ({"paper_speed_mm_per_s": None}, {"warnings": [{"code": "unheard-of", "text": ""}]}):
        (tmp_path / "ecg.json").write_text(json.dumps(stored | change))
        with pytest.raises(NotAnImageError, match=r"ecg\.csv"):
            record_in_file(path)
    del stored["expected_snr_db"]
    (tmp_path / "ecg.json").write_text(json.dumps(stored))
    with pytest.raises(NotAnImageError, match="expected_snr_db"):
        record_in_file(path)


def test_a_table_of_a_spreadsheet(tmp_path):
    path = tmp_path / "ecg.csv"
    path.write_text("time_s,ECG II,C4\n" + "".join(f"{k / 100},{k % 9},0\n" for k in range(50)), encoding="utf-8-sig")
    record = record_in_file(path)
    assert record.lead_names == ("II", "V4") and record.fs == 100
    np.testing.assert_array_equal(record["II"], np.arange(50) % 9)


def test_a_record_of_another_program(tmp_path):
    wfdb = pytest.importorskip("wfdb")
    samples = np.stack([np.arange(720) % 100, np.arange(720) % 70, np.ones(720)], 1) / 100
    wfdb.wrsamp("other", fs=360, units=["mV", "uV", "mmHg"], sig_name=["MLII", "ECG C4", "ABP"], p_signal=samples,
                fmt=["16"] * 3, write_dir=str(tmp_path))  # fmt: skip
    record = record_in_file(tmp_path / "other.hea")
    assert (record.fs, record.lead_names) == (360, ("V4", "MLII"))
    np.testing.assert_allclose(record["MLII"], samples[:, 0], atol=1e-3)
    np.testing.assert_allclose(record["V4"], samples[:, 1] / 1000, atol=1e-5)


@pytest.mark.parametrize("unit", ["uV", "\u00b5V", "\u03bcV"], ids=["u", "micro sign", "Greek mu"])
def test_microvolts(tmp_path, unit):
    leads = _in_mv(tmp_path, [("II", unit, np.array([1000.0]), 500.0), ("Resp", "ohm", np.array([1.0]), 500.0)])
    assert [(lead.name, lead.samples_mv.tolist()) for lead in leads] == [("II", [1.0])]


def test_suffixes():
    assert [is_record_file(name) for name in ("a.CSV", "b.hea", "c.edf", "d.jpg", "e.dcm", "csv")] == [True] * 3 + [
        False
    ] * 3


@pytest.mark.parametrize(
    "text",
    ["", "time_s,I\n", "time_s\n0\n1\n2\n", "name,value\na,1\nb,2\nc,3\n", "time_s,I\n0,1\n1,x\n2,3\n",
     "time_s,I\n0,1\n0,1\n0,1\n", "time_s,I\n0.00,1\n0.01,1\n0.05,1\n0.06,1\n", "time_s,I\n0.00,1\n0.01,1,2\n0.02,1\n"],
    ids=["empty", "no sample", "no lead", "another table", "no number", "no time", "unequal", "ragged"],
)  # fmt: skip
def test_what_is_no_record_is_an_error(tmp_path, text):
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(NotAnImageError) as caught:
        record_in_file(path)
    assert "table.csv" in str(caught.value)


def test_a_header_without_its_samples_is_an_error(tmp_path):
    path = make_record(n=400).to_wfdb(tmp_path / "ecg.hea")
    path.with_suffix(".dat").unlink()
    with pytest.raises(InputError):
        record_in_file(path)


def test_no_file(tmp_path):
    with pytest.raises(PhotoNotFoundError):
        record_in_file(tmp_path / "none.csv")

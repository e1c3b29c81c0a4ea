"""Formats for other programs, each read back by a library that has not written it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import duckdb
import ecgdatakit
import numpy as np
import pydicom
import pyedflib
import pytest
from fhir.resources.R4B.observation import Observation
from pydicom.sr._concepts_dict import concepts

from ecg_trt.errors import NOTICE, OutputError
from ecg_trt.io.lead_codes import lead_code, potential_code
from ecg_trt.io.writers.notes import GAP_NOTE, notes_of
from ecg_trt.io.writers.samples import Gap, gaps
from ecg_trt.layout import LEADS, OTHER_LEADS
from ecg_trt.record import EcgRecord
from ecg_trt.types import Array, MergedPhoto, PageWarning, WarningCode
from tests.conftest import make_record

HALF_UV = 0.5e-3 + 1e-6
XML = {"v3": "urn:hl7-org:v3"}
XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
# Attributes of type 1 and 2 of the modules of PS3.3 tables A.34.3-1 and A.34.4-1: C.7-1, C.7-3, C.7-5a, C.7-8, C.10-8,
# C.7.6.14-1, C.12-1.
FILLED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality", "InstanceNumber",
          "ContentDate", "ContentTime", "AcquisitionDateTime", "WaveformSequence")  # fmt: skip
MAY_BE_EMPTY = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
                "ReferringPhysicianName", "AccessionNumber", "SeriesNumber", "Manufacturer",
                "AcquisitionContextSequence")  # fmt: skip
# Of type 1 in table C.10-9, and of type 1C where the condition is met.
OF_A_GROUP = ("WaveformOriginality", "NumberOfWaveformChannels", "NumberOfWaveformSamples", "SamplingFrequency",
              "ChannelDefinitionSequence", "WaveformBitsAllocated", "WaveformSampleInterpretation",
              "WaveformPaddingValue", "WaveformData")  # fmt: skip
OF_A_CHANNEL = ("ChannelSourceSequence", "ChannelSensitivity", "ChannelSensitivityUnitsSequence",
                "ChannelSensitivityCorrectionFactor", "ChannelBaseline", "ChannelSampleSkew",
                "WaveformBitsStored")  # fmt: skip


@pytest.fixture
def ecg() -> EcgRecord:
    """One second at a rate that every format allows."""
    return make_record(n=500, fs=500.0)


def with_leads(record: EcgRecord, leads: tuple[str, ...]) -> EcgRecord:
    rows = np.resize(record.signal_mv, (len(leads), record.signal_mv.shape[1]))
    quality, snr_db = (np.resize(a, len(leads)) for a in (record.quality, record.snr_db))
    return replace(record, signal_mv=rows, lead_names=leads, quality=quality, snr_db=snr_db)


def assert_same(signal_mv: Array, record: EcgRecord, atol: float = HALF_UV) -> None:
    """Compare leads and gaps."""
    np.testing.assert_allclose(signal_mv, record.signal_mv, atol=atol, rtol=0)


class TestEdf:
    def read(self, path: Path) -> tuple[Array, list[str], list[tuple[float, float, str]], dict[str, Any]]:
        with pyedflib.EdfReader(str(path)) as file:
            assert file.filetype == pyedflib.FILETYPE_EDFPLUS
            assert {file.getPhysicalDimension(k) for k in range(file.signals_in_file)} == {"mV"}
            signal_mv = np.array([file.readSignal(k) for k in range(file.signals_in_file)])
            fs = file.getSampleFrequency(0)
            header = {**file.getHeader(), "fs": fs}
            return signal_mv, file.getSignalLabels(), list(zip(*file.readAnnotations(), strict=True)), header

    @staticmethod
    def with_gaps(signal_mv: Array, labels: list[str], notes: list[tuple[float, float, str]], fs: float) -> Array:
        """Restore the gaps from the annotations alone."""
        signal_mv = signal_mv.copy()
        for onset, duration, text in notes:
            if text.startswith(GAP_NOTE):
                row = labels.index(text.split("@@")[1])
                signal_mv[row, round(onset * fs) : round((onset + duration) * fs)] = np.nan
        return signal_mv

    @pytest.mark.parametrize(("n", "fs"), [(20, 100.0), (5000, 500.0), (4999, 500.0), (721, 360.5), (1234, 333.3)])
    def test_pyedflib_reads_it_back(self, tmp_path, n, fs):
        record = make_record(n=n, fs=fs)
        signal_mv, labels, notes, header = self.read(record.save(tmp_path / "r.edf"))
        assert labels == [f"ECG {lead}" for lead in LEADS]
        assert header["fs"] == pytest.approx(fs, rel=1e-6)
        assert signal_mv[~np.isfinite(record.signal_mv)] == pytest.approx(0.0, abs=1e-4), "a gap is 0 mV"
        assert_same(self.with_gaps(signal_mv, labels, notes, fs), record)

    def test_notes_come_first_and_nobody_is_named(self, ecg, tmp_path):
        path = ecg.save(tmp_path / "r.edf")
        _, _, notes, header = self.read(path)
        texts = {text for onset, _, text in notes if onset == 0.0}
        assert set(notes_of(ecg)) <= texts and any(NOTICE in text for text in texts)
        assert "gain-assumed: Übergröße: 5 µV" in texts
        assert path.read_bytes()[8:88].split() == [b"X"] * 4, "code, sex, birthdate and name of the patient are unknown"
        assert header["equipment"] == "ecg trt", "EDF+ has no spaces within a field, and pyedflib takes _ for one"
        assert b"photo.jpg" not in path.read_bytes()

    def test_large_signals_have_coarser_units(self, ecg, tmp_path):
        large = replace(ecg, signal_mv=ecg.signal_mv * 60)
        signal_mv, labels, notes, _ = self.read(large.save(tmp_path / "r.edf"))
        assert_same(self.with_gaps(signal_mv, labels, notes, large.fs), large, atol=1.1e-3)
        with pytest.raises(OutputError, match="as EDF: got a peak"):
            replace(ecg, signal_mv=ecg.signal_mv * 1e6).save(tmp_path / "r.edf")


class TestDicom:
    def test_ecgdatakit_reads_it_back(self, ecg, tmp_path):
        back = parsed(ecg.save(tmp_path / "r.dcm"))
        assert [lead.label for lead in back.leads] == list(LEADS)
        assert {(lead.units, lead.sampling_rate) for lead in back.leads} == {("mV", 500)}
        assert_same(np.array([lead.samples for lead in back.leads]), ecg)

    def test_samples_are_where_the_standard_has_them(self, ecg, tmp_path):
        """PS3.5: tag (5400,1010), VR OW, two reserved bytes, 32-bit length, then channel by channel of each sample."""
        data = ecg.save(tmp_path / "r.dcm").read_bytes()
        assert data[128:132] == b"DICM"
        start = data.index(b"\x00\x54\x10\x10OW\x00\x00") + 12
        length = int.from_bytes(data[start - 4 : start], "little")
        samples = np.frombuffer(data[start : start + length], "<i2").reshape(-1, 12).T
        assert_same(np.where(samples == -32768, np.nan, samples * 1e-3), ecg)

    @pytest.mark.parametrize(
        ("leads", "kind"),
        [(LEADS, "12-lead ECG Waveform Storage"), ((*LEADS, "V7"), "General ECG Waveform Storage"),
         (("strip1", "II"), "General ECG Waveform Storage")],
    )  # fmt: skip
    def test_required_attributes_are_there(self, ecg, tmp_path, leads, kind):
        file = dataset(with_leads(ecg, leads).save(tmp_path / "r.dcm"))
        assert file.SOPClassUID.name == kind and file.file_meta.MediaStorageSOPClassUID == file.SOPClassUID
        assert all(file[keyword].value for keyword in FILLED)
        assert all(keyword in file for keyword in MAY_BE_EMPTY)
        (group,) = file.WaveformSequence
        assert all(group[keyword].value for keyword in OF_A_GROUP)
        assert len(group.ChannelDefinitionSequence) == group.NumberOfWaveformChannels == len(leads)
        for channel in group.ChannelDefinitionSequence:
            assert all(keyword in channel for keyword in OF_A_CHANNEL)
        assert file.waveform_array(0).shape == (500, len(leads))

    @pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs dciodvfy (Debian: dicom3tools)")
    @pytest.mark.parametrize("leads", [LEADS, ("strip1", "II")])
    def test_dciodvfy_finds_no_error(self, ecg, tmp_path, leads):
        path = with_leads(ecg, leads).save(tmp_path / "r.dcm")
        check = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
        assert "ECG" in check.stderr and "Error" not in check.stdout + check.stderr

    def test_patients_are_not_named_and_the_notice_is(self, ecg, tmp_path):
        file = dataset(ecg.save(tmp_path / "r.dcm"))
        assert not any(file[keyword].value for keyword in MAY_BE_EMPTY[:9])
        assert file.SeriesDescription == NOTICE
        texts = [annotation.UnformattedTextValue for annotation in file.WaveformAnnotationSequence]
        assert texts == list(notes_of(ecg))

    @pytest.mark.parametrize("lead", [*LEADS, *OTHER_LEADS, "strip1"])
    def test_codes_are_those_of_the_context_group(self, ecg, tmp_path, lead):
        table: Any = concepts["MDC"]
        meanings = {code: text for entry in table.values() for code, (text, groups) in entry.items() if 3001 in groups}
        (group,) = dataset(with_leads(ecg, (lead,)).save(tmp_path / "r.dcm")).WaveformSequence
        (source,) = group.ChannelDefinitionSequence[0].ChannelSourceSequence
        assert source.CodingSchemeDesignator == "MDC"
        assert meanings[source.CodeValue] == source.CodeMeaning
        assert lead in source.CodeMeaning or source.CodeMeaning == "Unspecified lead"

    @pytest.mark.parametrize("fs", [100.0, 2000.0])
    def test_rates_that_the_standard_does_not_allow(self, ecg, tmp_path, fs):
        with pytest.raises(OutputError, match=rf"{fs:g} samples a second; expected 200 to 1000.*--fs 500"):
            replace(ecg, fs=fs).save(tmp_path / "r.dcm")

    def test_more_leads_than_a_group_holds(self, ecg, tmp_path):
        with pytest.raises(OutputError, match="25 leads; expected at most 24"):
            with_leads(ecg, tuple(f"strip{k}" for k in range(25))).save(tmp_path / "r.dcm")


class TestAecg:
    def test_ecgdatakit_reads_it_back(self, ecg, tmp_path):
        back = parsed(ecg.save(tmp_path / "r.aecg.xml"))
        assert [lead.label for lead in back.leads] == list(LEADS)
        assert {(lead.units, lead.sampling_rate) for lead in back.leads} == {("mV", 500)}
        assert_same(np.array([lead.samples for lead in back.leads]), replace(ecg, signal_mv=filled(ecg)))
        comment = back.annotations["interpretation_comment"]
        assert set(notes_of(ecg)) <= set(comment.splitlines())
        assert not back.patient.patient_id and not back.patient.last_name

    def test_gaps_are_annotated(self, ecg, tmp_path):
        root = ElementTree.parse(ecg.save(tmp_path / "r.aecg.xml")).getroot()
        found = set()
        for region in root.iterfind(".//v3:supportingROI", XML):
            time, lead = region.findall("v3:component/v3:boundary", XML)
            low, high = (float(child.attrib["value"]) for child in time.iterfind("v3:value/*", XML))
            code = lead.find("v3:code", XML)
            assert code is not None
            row = [lead_code(name).mdc for name in LEADS].index(code.attrib["code"])
            found.add(Gap(row, round(low * 500), round(high * 500)))
        assert found == set(gaps(ecg.signal_mv)) and len(found) == 3

    def test_times_are_relative(self, tmp_path):
        root = ElementTree.parse(make_record(n=9, fs=300.0).save(tmp_path / "r.aecg.xml")).getroot()
        value = root.find(".//v3:sequenceSet/v3:component/v3:sequence/v3:value", XML)
        assert value is not None and value.attrib[XSI_TYPE] == "GLIST_PQ"
        head, increment = (child.attrib for child in value)
        assert float(head["value"]) == 0.0 and float(increment["value"]) == pytest.approx(1 / 300, rel=1e-11)
        kinds = [v.attrib[XSI_TYPE] for v in root.iterfind(".//v3:sequence/v3:value", XML)]
        assert kinds == ["GLIST_PQ"] + ["SLIST_PQ"] * 12

    def test_any_name_of_a_file_is_legal(self, ecg, tmp_path):
        named = replace(ecg, warnings=(PageWarning(WarningCode.PHOTOS_DISAGREE, "a\udcff<\x01&.jpg differs"),))
        texts = [e.text for e in ElementTree.parse(named.save(tmp_path / "r.aecg.xml")).iter() if e.text]
        assert "photos-disagree: a?<?&.jpg differs" in texts


class TestFhir:
    def test_fhir_resources_reads_it_back(self, ecg, tmp_path):
        text = ecg.save(tmp_path / "r.fhir.json").read_text("utf-8")
        observation: Any = Observation.model_validate_json(text)
        assert observation.status == "preliminary" and observation.subject is None
        assert observation.code.coding[0].code == "131328"
        assert [note.text for note in observation.note] == list(notes_of(ecg))
        rows = []
        for component in observation.component:
            rows.append(np.full(500, np.nan))
            if component.valueSampledData is not None:
                data = component.valueSampledData
                assert (data.origin.code, float(data.period), data.dimensions) == ("mV", 2.0, 1)
                values = [np.nan if value == "E" else float(value) for value in data.data.split()]
                rows[-1] = float(data.origin.value) + float(data.factor) * np.array(values)
        assert_same(np.array(rows), ecg)
        assert observation.component[11].dataAbsentReason.coding[0].code == "unknown"
        assert NOTICE in json.loads(text)["text"]["div"]

    def test_codes(self, ecg, tmp_path):
        """Codes of FHIR's example of an ECG, and of its value set DeviceMetricType."""
        leads = ("I", "II", "III", "V1", "V7", "strip1")
        document = json.loads(with_leads(ecg, leads).save(tmp_path / "r.fhir.json").read_text("utf-8"))
        codes = [component["code"]["coding"][0] for component in document["component"]]
        assert [(code["code"], code["display"]) for code in codes] == [
            ("131329", "MDC_ECG_ELEC_POTL_I"),
            ("131330", "MDC_ECG_ELEC_POTL_II"),
            ("131389", "MDC_ECG_ELEC_POTL_III"),
            ("131331", "MDC_ECG_ELEC_POTL_V1"),
            ("131081", "MDC_ECG_LEAD_V7"),
            ("131328", "MDC_ECG_ELEC_POTL"),
        ]
        assert [component["code"]["text"] for component in document["component"]] == list(leads)
        assert {code["system"] for code in codes} == {"urn:iso:std:iso:11073:10101"}

    def test_no_two_leads_share_a_code(self):
        assert len({potential_code(lead) for lead in (*LEADS, *OTHER_LEADS)}) == 20


class TestParquet:
    def test_duckdb_reads_it_back(self, ecg, tmp_path):
        path = ecg.save(tmp_path / "r.parquet")
        with duckdb.connect() as database:
            relation = database.read_parquet(str(path))
            assert relation.columns == ["time_s", *LEADS]
            assert set(map(str, relation.types)) == {"DOUBLE", "FLOAT"}
            table = np.array(relation.fetchall(), float)
            nulls = database.sql(f"select count(*) from '{path}' where V6 is null").fetchall()
            metadata = database.sql(f"select key, value from parquet_kv_metadata('{path}')").fetchall()
        np.testing.assert_array_equal(table[:, 0], np.arange(500) / 500)
        np.testing.assert_array_equal(table[:, 1:].T.astype(np.float32), ecg.signal_mv)
        assert nulls == [(500,)]
        document = json.loads(dict(metadata)[b"ecg_trt"])
        assert document["notice"] == NOTICE and document["fs"] == 500.0


@pytest.mark.parametrize("suffix", [".edf", ".dcm", ".aecg.xml", ".fhir.json", ".parquet", ".npz"])
def test_no_file_names_its_photos(ecg, tmp_path, suffix):
    left_out = PageWarning(WarningCode.PHOTO_LEFT_OUT, "Doe_Jane.jpg was left out.")
    photos = (MergedPhoto("Doe_Jane.jpg", np.full(12, np.nan), np.full(12, np.nan), "other curves"),)
    record = replace(ecg, source="Doe_Jane.png", warnings=(left_out,), photos=photos)
    data = record.save(tmp_path / f"r{suffix}").read_bytes()
    assert b"Doe_Jane" not in data.replace(b"\0", b"")
    if suffix == ".npz":
        with np.load(tmp_path / "r.npz") as content:
            assert b"Doe_Jane" not in bytes(content["record"])


@pytest.mark.parametrize("leads", [("strip1",), ("II", "V1", "II-2"), (*LEADS, "V7", "V8", "V9")])
@pytest.mark.parametrize("suffix", [".edf", ".dcm", ".aecg.xml", ".fhir.json", ".parquet", ".npz", ".npy"])
def test_records_of_any_leads_are_written(ecg, tmp_path, leads, suffix):
    record = with_leads(ecg, leads)
    path = record.save(tmp_path / f"r{suffix}")
    names = re.escape(leads[0]).encode()
    assert re.search(names, path.read_bytes().replace(b"\0", b"")) or suffix == ".npy"


def filled(record: EcgRecord) -> Array:
    return np.nan_to_num(record.signal_mv, nan=0.0)


def parsed(path: Path):
    """Read by ecgdatakit, in which a warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return ecgdatakit.FileParser().parse(path)


def dataset(path: Path):
    return pydicom.dcmread(path)

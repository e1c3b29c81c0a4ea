"""Signals that DICOM files hold themselves: read as they are, at any rate, in any unit, from several groups."""

from __future__ import annotations

import contextlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, FileMetaDataset, dcmread
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    GeneralECGWaveformStorage,
    HemodynamicWaveformStorage,
    TwelveLeadECGWaveformStorage,
)

from ecg_trt.batch import digitize_many, read_many
from ecg_trt.cli import main
from ecg_trt.corrections import Corrections
from ecg_trt.digitizer import Digitizer
from ecg_trt.errors import EcgTrtError, NotAnImageError, OptionError, TruncatedImageError
from ecg_trt.io.lead_codes import lead_code
from ecg_trt.io.readers.base import EncodedPhoto
from ecg_trt.io.readers.photo import read_photo, read_recording
from ecg_trt.io.writers.notes import notes_of
from ecg_trt.layout import LEADS
from ecg_trt.merging import merge_records
from ecg_trt.record import EcgRecord
from ecg_trt.recorded import record_of
from ecg_trt.types import Recording, WarningCode
from tests.conftest import encode, make_record, picture

HALF_UV = 5e-4


def code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def channel(source: Dataset | None = None, unit: str | None = "uV", **attributes: Any) -> Dataset:
    item = Dataset()
    if source is not None:
        item.ChannelSourceSequence = [source]
    if unit is not None:
        item.ChannelSensitivityUnitsSequence = [code(unit, "UCUM", unit)]
    for name, value in {"ChannelSensitivity": "1", **attributes}.items():
        setattr(item, name, value)
    return item


def group(samples: np.ndarray, channels: list[Dataset], fs: float = 500.0, kind: str = "SS", **attributes: Any):
    """A multiplex group of samples (channels, n)."""
    item = Dataset()
    item.WaveformOriginality = "ORIGINAL"
    item.NumberOfWaveformChannels, item.NumberOfWaveformSamples = samples.shape
    item.SamplingFrequency = f"{fs:g}"
    item.ChannelDefinitionSequence = channels
    item.WaveformBitsAllocated, item.WaveformSampleInterpretation = 8 * samples.itemsize, kind
    item.add_new("WaveformData", "OW", np.ascontiguousarray(samples.T).tobytes())
    for name, value in attributes.items():
        setattr(item, name, value)
    return item


def file(*groups: Dataset, kind: UID = GeneralECGWaveformStorage, syntax: UID = ExplicitVRLittleEndian) -> bytes:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID, dataset.SOPInstanceUID = kind, "1.2.3"
    dataset.WaveformSequence = list(groups)
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def recording(data: bytes) -> Recording:
    found = read_recording(EncodedPhoto(data, "ecg.dcm"))
    assert found is not None
    return found


def ramp(*offsets: int, n: int = 1000) -> np.ndarray:
    return np.stack([np.arange(n) + offset for offset in offsets]).astype("<i2")


@pytest.fixture
def ecg() -> EcgRecord:
    return make_record(n=5000, fs=500.0, spans=(), chest_gain_mm_per_mv=None)


class TestRoundTrip:
    def test_what_we_write_comes_back(self, ecg, tmp_path):
        path = ecg.save(tmp_path / "ecg.dcm")
        back = record_of(recording(path.read_bytes()), 500.0)
        np.testing.assert_allclose(back.signal_mv, ecg.signal_mv, atol=HALF_UV, rtol=0)
        assert back.lead_names == LEADS and back.fs == 500.0 and back.source == "ecg.dcm"
        assert (back.quality == 1).all() and np.isposinf(back.snr_db).all()
        assert [warning.code for warning in back.warnings] == [WarningCode.NOT_DIGITIZED]
        assert "computed from another signal" in back.warnings[0].text

    def test_at_another_rate(self, ecg, tmp_path):
        """Sines of 5 to 16 Hz are those of the record at any rate, as 125 Hz can show them."""
        path = ecg.save(tmp_path / "ecg.dcm")
        back = record_of(recording(path.read_bytes()), 125.0)
        assert back.signal_mv.shape == (12, 1250) and back.fs == 125.0
        inner = slice(20, -20)
        np.testing.assert_allclose(back.signal_mv[1, inner], ecg.signal_mv[1, ::4][inner], atol=2e-3)

    def test_it_is_written_in_every_text_format_again(self, ecg, tmp_path):
        back = record_of(recording(ecg.save(tmp_path / "ecg.dcm").read_bytes()), 500.0)
        for suffix in (".json", ".csv", ".aecg.xml", ".dcm"):
            assert back.save(tmp_path / f"again{suffix}").stat().st_size > 0
        assert not back.is_digitized and ecg.is_digitized
        assert "not digitized" in notes_of(back)[0] and not any("mm/s" in note for note in notes_of(back))
        assert '"I": null' in (tmp_path / "again.json").read_text("utf-8"), "an infinite SNR is no JSON"

    def test_recordings_of_one_page_merge(self, ecg, tmp_path):
        back = record_of(recording(ecg.save(tmp_path / "ecg.dcm").read_bytes()), 500.0)
        merged = merge_records([back, back])
        seen = np.isfinite(ecg.signal_mv)
        np.testing.assert_allclose(merged.signal_mv[seen], back.signal_mv[seen], atol=HALF_UV)


class TestChannels:
    @pytest.mark.parametrize(("unit", "mv"), [("uV", 1e-3), ("mV", 1.0), ("V", 1e3)])
    def test_sensitivity_correction_and_baseline(self, unit, mv):
        source = channel(code("2:2", "MDC", "Lead II"), unit, ChannelSensitivity="2.5", ChannelBaseline="-3",
                         ChannelSensitivityCorrectionFactor="0.5")  # fmt: skip
        (lead,) = recording(file(group(ramp(7), [source]))).leads
        np.testing.assert_allclose(lead.samples_mv, ((np.arange(1000) + 7) * 1.25 - 3) * mv)

    @pytest.mark.parametrize("lead", [*LEADS, "V7", "V4R"])
    @pytest.mark.parametrize(("scheme", "prefix"), [("MDC", "2:"), ("SCPECG", "5.6.3-9-")])
    def test_codes(self, lead, scheme, prefix):
        source = code(f"{prefix}{lead_code(lead).number}", scheme, "")
        assert recording(file(group(ramp(0), [channel(source)]))).leads[0].name == lead

    @pytest.mark.parametrize(
        ("source", "label", "name"),
        [
            (None, "aVF", "aVF"),
            (None, "Lead V3", "V3"),
            (code("99", "99VENDOR", "Lead II (Mason-Likar)"), "", "II"),
            (code("2:0", "MDC", "Unspecified lead"), "strip1", "strip1"),
            (None, "", "channel1"),
        ],
    )
    def test_names_without_a_code(self, source, label, name):
        item = channel(source, ChannelLabel=label)
        assert recording(file(group(ramp(0), [item]))).leads[0].name == name

    @pytest.mark.parametrize(
        ("dtype", "kind"), [("i1", "SB"), ("u1", "UB"), ("<i2", "SS"), ("<u2", "US"), ("<i4", "SL"), ("<u4", "UL")]
    )
    def test_samples_of_every_kind(self, dtype, kind):
        samples = (np.arange(400) % 100).astype(dtype)[None]
        (lead,) = recording(file(group(samples, [channel()], kind=kind))).leads
        np.testing.assert_allclose(lead.samples_mv, samples[0] * 1e-3)

    def test_big_endian(self):
        data = file(group(ramp(3).astype(">i2"), [channel()]), syntax=ExplicitVRBigEndian)
        np.testing.assert_allclose(recording(data).leads[0].samples_mv[:3], [3e-3, 4e-3, 5e-3])

    def test_padding_is_a_gap(self):
        item = group(ramp(0), [channel()])
        item.add_new("WaveformPaddingValue", "OW", np.array(5, "<i2").tobytes())
        assert np.flatnonzero(np.isnan(recording(file(item)).leads[0].samples_mv)).tolist() == [5]


class TestGroups:
    def test_the_rhythm_not_the_median_beat(self):
        beat = group(ramp(900, n=600), [channel(ChannelLabel="II")], MultiplexGroupLabel="MEDIAN BEAT")
        rhythm = group(ramp(0, n=5000), [channel(ChannelLabel="II")], MultiplexGroupLabel="RHYTHM")
        for groups in ((beat, rhythm), (rhythm, beat)):
            (lead,) = recording(file(*groups)).leads
            assert len(lead.samples_mv) == 5000

    def test_without_labels_the_original(self):
        derived = group(ramp(900, n=600), [channel()], WaveformOriginality="DERIVED")
        found = recording(file(derived, group(ramp(0, n=5000), [channel()])))
        assert [len(lead.samples_mv) for lead in found.leads] == [5000] and not found.is_derived

    def test_columns_stand_at_their_times_and_the_longer_strip_counts(self):
        columns = [
            group(ramp(0, 0, n=1250), [channel(ChannelLabel=lead) for lead in leads], MultiplexGroupTimeOffset=f"{ms}")
            for leads, ms in ((("I", "II"), 0), (("V1", "V2"), 2500))
        ]
        strip = group(ramp(7, n=2500), [channel(ChannelLabel="II")])
        back = record_of(recording(file(*columns, strip)), 500.0)
        assert back.lead_names == ("I", "II", "V1", "V2")
        assert [np.flatnonzero(np.isfinite(row))[[0, -1]].tolist() for row in back.signal_mv] == [
            [0, 1249], [0, 2499], [1250, 2499], [1250, 2499],
        ]  # fmt: skip
        assert back["II"][0] == pytest.approx(7e-3)
        assert [(span.start_s, span.end_s) for span in back.spans] == [(0, 2.5), (0, 5), (2.5, 5), (2.5, 5)]

    def test_skew_of_a_channel(self):
        channels = [channel(ChannelLabel="I"), channel(ChannelLabel="II", ChannelSampleSkew="2")]
        first, second = recording(file(group(ramp(0, 0), channels))).leads
        assert second.start_s - first.start_s == pytest.approx(2 / 500)


class TestRejected:
    @pytest.mark.parametrize(
        ("item", "message"),
        [
            (group(ramp(0), [channel(unit="mm[Hg]")]), "the unit mm"),
            (group(ramp(0), [channel(unit=None)]), "the unit none"),
            (group(ramp(0), [channel()], fs=5.0), "1000 samples at 5 Hz"),
            (group(np.zeros((1, 400), "u1"), [channel()], kind="MB"), "8 bits, MB"),
            (group(ramp(0, n=30_001), [channel()], fs=50.0), "30001 samples"),
            (group(ramp(0), [channel()], MultiplexGroupTimeOffset="1e9"), r"begins at 1e\+06 s"),
        ],
    )
    def test_what_is_no_resting_ecg(self, item, message):
        with pytest.raises(NotAnImageError, match=message):
            recording(file(item))

    @pytest.mark.filterwarnings("ignore:Invalid value for VR DS")
    def test_a_beginning_that_is_no_number(self):
        data = file(group(ramp(0), [channel(ChannelTimeSkew="0.25")])).replace(b"0.25", b"nan ")
        with pytest.raises(NotAnImageError, match="begins at nan s"):
            recording(data)

    def test_other_waveforms(self):
        data = file(group(ramp(0), [channel()]), kind=HemodynamicWaveformStorage)
        assert read_recording(data) is None
        with pytest.raises(NotAnImageError, match="needs no digitizing"):
            read_photo(data)

    def test_a_file_that_was_cut_off(self):
        item = group(ramp(0), [channel()])
        item.NumberOfWaveformSamples = 2000
        with pytest.raises(TruncatedImageError, match="damaged"):
            recording(file(item))

    @settings(max_examples=150)
    @given(st.data())
    @pytest.mark.filterwarnings("ignore")  # pydicom warns of odd values
    def test_damage_is_an_error_of_the_package(self, data):
        whole = bytearray(file(group(ramp(0, 5, n=40), [channel(ChannelLabel="I"), channel(ChannelLabel="II")])))
        for at in data.draw(st.lists(st.integers(132, len(whole) - 1), max_size=4)):
            whole[at] = data.draw(st.integers(0, 255))
        end = data.draw(st.integers(140, len(whole)))
        with contextlib.suppress(EcgTrtError):
            read_recording(bytes(whole[:end]))

    def test_pictures_are_none(self, tmp_path):
        path = tmp_path / "photo.jpg"
        path.write_bytes(encode(picture(600, 400), "JPEG"))
        assert read_recording(path) is None and read_recording(path.read_bytes()) is None
        assert read_recording(picture(600, 400)) is None


@pytest.fixture
def path(ecg, tmp_path) -> Path:
    return ecg.save(tmp_path / "ecg.dcm")


class TestDoors:
    def test_a_digitizer(self, path, ecg):
        with Digitizer() as digitizer:
            record = digitizer(path)
            assert record.source == str(path) and record.signal_mv.shape == ecg.signal_mv.shape
            with pytest.raises(NotAnImageError, match="needs no digitizing"):
                digitizer.read(path)
            for answers in (digitize_many([path], digitizer=digitizer), read_many([path], digitizer=digitizer)):
                (answer,) = answers
                assert isinstance(answer, EcgRecord) and answer.timings_ms["decode"] > 0
                assert answer.lead_names == LEADS

    def test_the_command(self, path, tmp_path, fake_digitizer):
        out = tmp_path / "out"
        result = CliRunner().invoke(main, ["run", str(path), "-o", str(out), "--overlay", "--report"])
        assert result.exit_code == 0, result.output
        assert {file.name for file in out.iterdir()} == {"ecg.csv", "ecg.json", "ecg.report.html"}
        assert "nothing was digitized from a picture" in result.stderr

    def test_corrections_of_it_are_rejected(self, path, fake_digitizer):
        with fake_digitizer() as digitizer:
            (answer,) = read_many([path], digitizer=digitizer, corrections=Corrections(speed=50.0))
        assert isinstance(answer, OptionError) and "a signal" in str(answer)

    def test_a_twelve_lead_object_of_another_writer(self, ecg):
        source = [channel(code(lead_code(lead).dicom, "MDC", lead)) for lead in LEADS]
        data = file(group(ramp(*range(12)), source), kind=TwelveLeadECGWaveformStorage)
        record = record_of(recording(data), 500.0)
        assert not np.isnan(record.signal_mv).any()
        assert dcmread(BytesIO(data)).waveform_array(0).T[0, 5] == pytest.approx(1e3 * record["I"][5])
        assert "computed" not in record.warnings[0].text

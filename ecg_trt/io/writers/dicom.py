"""DICOM waveforms: 12-Lead ECG Waveform Storage, and General ECG Waveform Storage for other leads.

Attributes are those of PS3.3, A.34.3 and A.34.4; lead codes are those of PS3.16, CID 3001; units are UCUM.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecg_trt.errors import NOTICE, OutputError
from ecg_trt.io.atomic import atomic_path
from ecg_trt.io.lead_codes import lead_code
from ecg_trt.io.writers.notes import notes_of
from ecg_trt.io.writers.samples import INT16_MISSING, UV_PER_MV, as_integers, int16_units_per_mv
from ecg_trt.layout import LEADS

if TYPE_CHECKING:
    from pydicom.dataset import Dataset, FileDataset

    from ecg_trt.record import EcgRecord

_LEAST_FS, _MOST_FS = 200.0, 1000.0  # Of both kinds of object, Hz.
_MOST_LEADS = 24  # Channels of a multiplex group of General ECG.
_MOST_SAMPLES = 16384  # Of a multiplex group of 12-Lead ECG.
_AUGMENTED = {"aVR": "right", "aVL": "left", "aVF": "foot"}
_TEXT_CHARACTERS = 1024  # Of an unformatted text (VR ST).


def write_dicom(record: EcgRecord, path: str | Path) -> Path:
    """Write one multiplex group of 16-bit samples, in uV, and an annotation for each note and warning.

    One unit is 1 uV (coarser only where a sample exceeds 32.7 mV); what is missing carries the Waveform Padding Value.
    The patient is nobody: what must be there of them is empty. The standard wants the date of the acquisition, which
    no page is read for: the file has that of its own making.

    Arguments and result are those of `Writer.write`.

    Raises:
        OutputError: it could not be written, or the standard does not allow its sampling rate or number of leads.
    """
    path = Path(path)
    _check_limits(record, path)
    file = _as_dicom(record, int16_units_per_mv(record.signal_mv, path, "DICOM"))
    with atomic_path(path) as temporary:
        file.save_as(temporary, enforce_file_format=True)
    return path


def _check_limits(record: EcgRecord, path: Path) -> None:
    """Compare a record with what PS3.3 allows of an ECG.

    Raises:
        OutputError: it has another sampling rate, or more leads.
    """
    if not _LEAST_FS <= record.fs <= _MOST_FS:
        raise OutputError(
            f"{path} cannot be written as DICOM",
            got=f"{record.fs:g} samples a second",
            expected=f"{_LEAST_FS:g} to {_MOST_FS:g}, as DICOM allows of an ECG",
            hint="Read the photo at another rate, such as --fs 500.",
        )
    if len(record.lead_names) > _MOST_LEADS:
        raise OutputError(
            f"{path} cannot be written as DICOM",
            got=f"{len(record.lead_names)} leads",
            expected=f"at most {_MOST_LEADS}",
            hint="Write CSV instead.",
        )


def _as_dicom(record: EcgRecord, units_per_mv: float) -> FileDataset:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import (
        ExplicitVRLittleEndian,
        GeneralECGWaveformStorage,
        TwelveLeadECGWaveformStorage,
        generate_uid,
    )

    is_twelve = record.lead_names == LEADS and record.signal_mv.shape[1] <= _MOST_SAMPLES
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = TwelveLeadECGWaveformStorage if is_twelve else GeneralECGWaveformStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(prefix=None)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    file.SpecificCharacterSet = "ISO_IR 192"  # UTF-8.
    file.SOPClassUID, file.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    _describe(file)
    file.WaveformSequence = [_multiplex_group(record, units_per_mv)]
    file.WaveformAnnotationSequence = [_annotation(note) for note in notes_of(record)]
    return file


def _describe(file: FileDataset) -> None:
    """Fill in patient, study, series, equipment, acquisition and date."""
    from pydicom.uid import generate_uid

    from ecg_trt import __version__

    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
                    "ReferringPhysicianName", "AccessionNumber"):  # fmt: skip
        setattr(file, keyword, "")
    file.StudyInstanceUID, file.SeriesInstanceUID = generate_uid(prefix=None), generate_uid(prefix=None)
    file.Modality = "ECG"
    file.SeriesNumber = file.InstanceNumber = 1
    file.SeriesDescription = NOTICE
    file.Manufacturer = file.ManufacturerModelName = "ecg_trt"
    file.SoftwareVersions = __version__
    file.AcquisitionContextSequence = []
    now = datetime.now()
    file.ContentDate, file.ContentTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    file.AcquisitionDateTime = now.strftime("%Y%m%d%H%M%S")


def _multiplex_group(record: EcgRecord, units_per_mv: float) -> Dataset:
    from pydicom.dataset import Dataset

    samples = as_integers(record.signal_mv, units_per_mv, INT16_MISSING)
    group = Dataset()
    group.WaveformOriginality = "DERIVED"
    group.NumberOfWaveformChannels, group.NumberOfWaveformSamples = samples.shape
    group.SamplingFrequency = f"{record.fs:.10g}"
    group.MultiplexGroupLabel = "RHYTHM"
    group.ChannelDefinitionSequence = [_channel(lead, UV_PER_MV / units_per_mv) for lead in record.lead_names]
    group.WaveformBitsAllocated = 16
    group.WaveformSampleInterpretation = "SS"
    group.add_new("WaveformPaddingValue", "OW", np.array(INT16_MISSING, "<i2").tobytes())
    group.add_new("WaveformData", "OW", samples.T.astype("<i2").tobytes())
    return group


def _channel(lead: str, sensitivity_uv: float) -> Dataset:
    from pydicom.dataset import Dataset

    channel = Dataset()
    channel.ChannelLabel = lead[:16]
    channel.ChannelSourceSequence = [_code(lead_code(lead).dicom, "MDC", _meaning(lead))]
    channel.ChannelSensitivity = f"{sensitivity_uv:g}"
    channel.ChannelSensitivityUnitsSequence = [_code("uV", "UCUM", "microvolt")]
    channel.ChannelSensitivityCorrectionFactor = "1"
    channel.ChannelBaseline = "0"
    channel.ChannelSampleSkew = "0"
    channel.WaveformBitsStored = 16
    return channel


def _meaning(lead: str) -> str:
    """Give the meaning of a lead's code in CID 3001."""
    if lead in _AUGMENTED:
        return f"{lead}, augmented voltage, {_AUGMENTED[lead]}"
    return f"Lead {lead}" if lead_code(lead).number else "Unspecified lead"


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    from pydicom.dataset import Dataset

    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def _annotation(text: str) -> Dataset:
    """Make a text about all channels."""
    from pydicom.dataset import Dataset

    annotation = Dataset()
    annotation.ReferencedWaveformChannels = [1, 0]  # Of the first multiplex group; channel 0 stands for all.
    annotation.UnformattedTextValue = text[:_TEXT_CHARACTERS]
    return annotation

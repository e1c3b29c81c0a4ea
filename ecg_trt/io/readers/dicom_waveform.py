"""Resting ECGs that DICOM files hold as signals (extra ``dicom``).

Attributes are those of the waveform module, PS3.3, C.10.9; leads are named by codes of PS3.16, CID 3001, of MDC
("2:62" is aVR) or SCP-ECG ("5.6.3-9-62"); units are UCUM.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from ecg_trt.errors import NotAnImageError
from ecg_trt.io.lead_codes import lead_of_number
from ecg_trt.io.readers.base import EncodedPhoto
from ecg_trt.io.readers.dicom import META_BYTES, is_deflated
from ecg_trt.printed import lead_in, spelled_lead
from ecg_trt.types import Array, RecordedLead, Recording

if TYPE_CHECKING:
    from pydicom import Dataset

_Order: TypeAlias = Literal["<", ">"]
_ECG_KINDS = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.9.1.1",  # 12-Lead ECG
        "1.2.840.10008.5.1.4.1.1.9.1.2",  # General ECG
        "1.2.840.10008.5.1.4.1.1.9.1.4",  # General 32-bit ECG
    }
)
_SAMPLES = {(8, "SB"): "i1", (8, "UB"): "u1", (16, "SS"): "i2", (16, "US"): "u2", (32, "SL"): "i4", (32, "UL"): "u4"}
_MV = {"nV": 1e-6, "uV": 1e-3, "µV": 1e-3, "mV": 1.0, "V": 1e3}
_LEAST_FS, _MOST_FS = 50.0, 20_000.0  # Samples a second. DICOM allows an ECG 200 to 1000.
_MOST_SECONDS, _MOST_SAMPLES = 600.0, 600_000  # Of a group, and until it begins; a resting ECG lasts 10 s.
_BEATS = ("MEDIAN", "BEAT", "AVERAGE", "REPRESENTATIVE", "TEMPLATE")  # In labels of groups that show no rhythm.


def read_recording(photo: EncodedPhoto) -> Recording | None:
    """Take the signal from a file that holds it; see `Reader.record`.

    Of several multiplex groups those of the rhythm are taken: those that are labelled so, or as no median beat, and of
    these the ones that are no derivatives of others.

    Raises:
        NotAnImageError: the signal is no resting ECG, or stored in a way that is not known here.
    """
    from pydicom import dcmread

    if is_deflated(photo.data[:META_BYTES]):
        return None
    dataset = dcmread(BytesIO(photo.data), stop_before_pixels=True)
    groups = dataset.get("WaveformSequence")
    if not groups or dataset.get("SOPClassUID") not in _ECG_KINDS:
        return None
    groups = _rhythm(groups)
    order: _Order = "<" if dataset.file_meta.TransferSyntaxUID.is_little_endian else ">"
    leads = tuple(lead for group in groups for lead in _leads_of(group, order, photo.source))
    if not leads:
        raise _unknown(photo.source, "no channel", "at least one lead")
    return Recording(leads, photo.source, all(_is_derived(group) for group in groups))


def _rhythm(groups: Sequence[Dataset]) -> list[Dataset]:
    """Choose the groups that show the rhythm, from the clearest sign to none."""
    labels = [str(group.get("MultiplexGroupLabel", "")).upper() for group in groups]
    for mask in (
        ["RHYTHM" in label for label in labels],
        [not any(word in label for word in _BEATS) and not _is_derived(group)
         for label, group in zip(labels, groups, strict=True)],
        [not any(word in label for word in _BEATS) for label in labels],
    ):  # fmt: skip
        if any(mask):
            return [group for group, is_rhythm in zip(groups, mask, strict=True) if is_rhythm]
    return list(groups)


def _is_derived(group: Dataset) -> bool:
    return bool(group.get("WaveformOriginality") == "DERIVED")


def _leads_of(group: Dataset, order: _Order, name: str) -> Iterator[RecordedLead]:
    """Convert the channels of a group to leads.

    Args:
        group: an item of the waveform sequence.
        order: of the bytes of a sample, "<" or ">".
        name: of the file, for messages.
    """
    fs, n = float(group.SamplingFrequency), int(group.NumberOfWaveformSamples)
    if not (_LEAST_FS <= fs <= _MOST_FS and 0 < n <= min(_MOST_SAMPLES, _MOST_SECONDS * fs)):
        expected = f"{_LEAST_FS:g} to {_MOST_FS:g} Hz, at most {_MOST_SECONDS:g} s and {_MOST_SAMPLES} samples"
        raise _unknown(name, f"{n} samples at {fs:g} Hz", expected)
    kind = int(group.WaveformBitsAllocated), str(group.WaveformSampleInterpretation)
    if kind not in _SAMPLES:
        raise _unknown(name, f"samples of {kind[0]} bits, {kind[1]}", "linear ones of 8, 16 or 32 bits")
    channels, dtype = int(group.NumberOfWaveformChannels), np.dtype(_SAMPLES[kind]).newbyteorder(order)
    stored = np.frombuffer(group.WaveformData, dtype, channels * n).reshape(n, channels)
    padding = group.get("WaveformPaddingValue")
    is_missing = np.zeros(stored.shape, bool)
    if isinstance(padding, bytes) and padding:
        is_missing = stored == np.frombuffer(padding, dtype, 1)[0]
    start_s = float(group.get("MultiplexGroupTimeOffset") or 0.0) / 1e3
    for number, (channel, samples, gaps) in enumerate(
        zip(group.ChannelDefinitionSequence, stored.T, is_missing.T, strict=True), 1
    ):
        skew_s = float(channel.get("ChannelTimeSkew") or 0.0) + float(channel.get("ChannelSampleSkew") or 0.0) / fs
        if not abs(start_s + skew_s) <= _MOST_SECONDS:
            raise _unknown(name, f"a lead that begins at {start_s + skew_s:g} s", f"at most {_MOST_SECONDS:g} s")
        values = np.where(gaps, np.nan, _in_mv(samples, channel, name))
        yield RecordedLead(_lead_name(channel, number), values, fs, start_s + skew_s)


def _in_mv(samples: Array, channel: Dataset, name: str) -> Array:
    """Convert stored samples (n,) to mV: their sensitivity, its correction, and the value that a stored 0 stands for.

    Samples without a sensitivity carry no unit.
    """
    units = channel.get("ChannelSensitivityUnitsSequence")
    unit = str(units[0].CodeValue) if units else "none"
    if unit not in _MV or channel.get("ChannelSensitivity") is None:
        raise _unknown(name, f"a channel in the unit {unit}", f"a sensitivity in {', '.join(_MV)}")
    correction, baseline = channel.get("ChannelSensitivityCorrectionFactor"), channel.get("ChannelBaseline")
    factor = float(channel.ChannelSensitivity) * (1.0 if correction is None else float(correction))
    return np.asarray((samples * factor + float(baseline or 0.0)) * _MV[unit])


def _lead_name(channel: Dataset, number: int) -> str:
    """Name a lead by its code, or else by its meaning or label; by its place where none of them is known."""
    sources = channel.get("ChannelSourceSequence") or ()
    texts = [str(channel.get("ChannelLabel", ""))]
    for source in sources:
        last = str(source.get("CodeValue", "")).replace(":", "-").rsplit("-", 1)[-1]
        lead = lead_of_number(int(last)) if last.isdecimal() else None
        if lead is not None and source.get("CodingSchemeDesignator") in ("MDC", "SCPECG"):
            return lead
        texts.append(str(source.get("CodeMeaning", "")))
    for text in texts:
        words = text.replace(",", " ").split()
        lead = lead_in(text) or (spelled_lead(words[0]) if words else None)
        if lead is not None:
            return lead
    return texts[0].strip() or f"channel{number}"


def _unknown(name: str, got: str, expected: str) -> NotAnImageError:
    return NotAnImageError(
        f"The signal in {name} cannot be taken",
        got=got,
        expected=expected,
        hint="Export the page as a picture or a PDF, or the ECG as a 12-Lead ECG Waveform.",
    )

"""HL7 annotated ECG (aECG, ANSI/HL7 V3 ECG, R1-2004): XML with one sequence a lead.

The format has no mark of a missing sample: a gap is 0 uV, and an annotation with its lead, beginning and end says so.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import numpy as np

from ecg_trt.io.atomic import atomic_path
from ecg_trt.io.lead_codes import MDC_OID, lead_code
from ecg_trt.io.writers.notes import GAP_NOTE, notes_of
from ecg_trt.io.writers.samples import UV_PER_MV, Gap, as_integers, gaps
from ecg_trt.types import Array

if TYPE_CHECKING:
    from ecg_trt.record import EcgRecord

_ACT_CODE_OID = "2.16.840.1.113883.5.4"
_CPT_OID, _TRACING_ONLY = "2.16.840.1.113883.6.12", "93005"  # An ECG without interpretation and report.
_COMMENT = "MDC_ECG_INTERPRETATION_COMMENT"
_NAMESPACES = {"xmlns": "urn:hl7-org:v3", "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance"}


def write_aecg(record: EcgRecord, path: str | Path) -> Path:
    """Write one rhythm series of all leads, in whole uV, on a time relative to its start.

    Patient, trial and date are unknown, and marked as such. Notes, warnings and gaps are annotations.

    Arguments, result and errors are those of `Writer.write`.
    """
    path = Path(path)
    root = _annotated_ecg(record)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, "utf-8", xml_declaration=True)
    with atomic_path(path) as temporary:
        temporary.write_bytes(text + b"\n")
    return path


def _annotated_ecg(record: EcgRecord) -> Element:
    root = Element("AnnotatedECG", _NAMESPACES)
    SubElement(root, "id", root=str(uuid.uuid4()))
    _coded(root, _TRACING_ONLY, _CPT_OID)
    _unknown(root, "effectiveTime")
    _add_subject(root)
    series = _nested(root, "component", "series")
    SubElement(series, "id", root=str(uuid.uuid4()))
    _coded(series, "RHYTHM", _ACT_CODE_OID)
    _unknown(series, "effectiveTime")
    _add_author(series)
    _add_sequences(series, record)
    annotations = _nested(series, "subjectOf", "annotationSet")
    for note in notes_of(record):
        _add_comment(annotations, note)
    for gap in gaps(record.signal_mv):
        _add_support(_add_comment(annotations, GAP_NOTE), record, gap)
    return root


def _add_subject(root: Element) -> None:
    """Add an unknown subject of an unknown trial; the schema wants both."""
    assignment = _nested(root, "componentOf", "timepointEvent", "componentOf", "subjectAssignment")
    _unknown(_nested(assignment, "subject", "trialSubject"), "id")
    _unknown(_nested(assignment, "componentOf", "clinicalTrial"), "id")


def _add_author(series: Element) -> None:
    """Name this package as the device that made the series."""
    from ecg_trt import __version__

    device = _nested(series, "author", "seriesAuthor", "manufacturedSeriesDevice")
    SubElement(device, "manufacturerModelName").text = "ecg_trt"
    SubElement(device, "softwareName").text = f"ecg_trt {__version__}"


def _add_sequences(series: Element, record: EcgRecord) -> None:
    """Add the time and each lead."""
    sequences = _nested(series, "component", "sequenceSet")
    time = _nested(sequences, "component", "sequence")
    _coded(time, "TIME_RELATIVE", _ACT_CODE_OID)
    value = SubElement(time, "value", {"xsi:type": "GLIST_PQ"})
    _quantity(value, "head", 0.0, "s")
    _quantity(value, "increment", 1 / record.fs, "s")
    for lead, samples in zip(record.lead_names, as_integers(record.signal_mv, UV_PER_MV, missing=0), strict=True):
        sequence = _nested(sequences, "component", "sequence")
        _lead(sequence, lead)
        value = SubElement(sequence, "value", {"xsi:type": "SLIST_PQ"})
        _quantity(value, "origin", 0.0, "uV")
        _quantity(value, "scale", 1.0, "uV")
        SubElement(value, "digits").text = _digits(samples)


def _digits(samples: Array) -> str:
    return " ".join(np.char.mod("%d", samples))


def _add_comment(annotations: Element, text: str) -> Element:
    annotation = _nested(annotations, "component", "annotation")
    _coded(annotation, _COMMENT, MDC_OID)
    SubElement(annotation, "value", {"xsi:type": "ST"}).text = text
    return annotation


def _add_support(annotation: Element, record: EcgRecord, gap: Gap) -> None:
    """Bound an annotation to a gap's lead, and to the time from its first sample to the sample behind it."""
    region = _nested(annotation, "support", "supportingROI")
    region.set("classCode", "ROIBND")
    _coded(region, "ROIPS", _ACT_CODE_OID)
    time = _nested(region, "component", "boundary")
    _coded(time, "TIME_RELATIVE", _ACT_CODE_OID)
    value = SubElement(time, "value", {"xsi:type": "IVL_PQ"})
    _quantity(value, "low", gap.start / record.fs, "s")
    _quantity(value, "high", gap.stop / record.fs, "s")
    _lead(_nested(region, "component", "boundary"), record.lead_names[gap.lead])


def _nested(parent: Element, *tags: str) -> Element:
    """Add an element within another and so on, and return the innermost."""
    for tag in tags:
        parent = SubElement(parent, tag)
    return parent


def _coded(parent: Element, code: str, system: str) -> Element:
    return SubElement(parent, "code", code=code, codeSystem=system)


def _lead(parent: Element, lead: str) -> None:
    """Add the code of a lead, beside its name."""
    _coded(parent, lead_code(lead).mdc, MDC_OID).set("displayName", lead)


def _quantity(parent: Element, tag: str, value: float, unit: str) -> None:
    SubElement(parent, tag, value=f"{value:.12g}", unit=unit)


def _unknown(parent: Element, tag: str) -> None:
    SubElement(parent, tag, nullFlavor="UNK")

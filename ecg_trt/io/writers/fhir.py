"""FHIR R4: an Observation with a component of sampled data a lead.

The shape is that of FHIR's example of an ECG (https://hl7.org/fhir/R4/observation-example-sample-data.html).
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecg_trt.errors import NOTICE
from ecg_trt.io.lead_codes import MDC_URI, POTENTIAL, potential_code
from ecg_trt.io.writers.json import write_plain
from ecg_trt.io.writers.notes import notes_of
from ecg_trt.io.writers.samples import UV_PER_MV, as_integers
from ecg_trt.types import Array

if TYPE_CHECKING:
    from ecg_trt.record import EcgRecord

_MISSING = "E"  # SampledData.data: a sample that could not be measured.
_NO_SAMPLE = np.iinfo(np.int64).min
_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
_ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason"


def write_fhir(record: EcgRecord, path: str | Path) -> Path:
    """Write an Observation as JSON: whole uV, ``E`` where nothing is printed or seen.

    It has no subject and no date, and is preliminary, as nobody has compared it with the page.

    Arguments, result and errors are those of `Writer.write`.
    """
    return write_plain(_observation(record), path)


def _observation(record: EcgRecord) -> dict[str, Any]:
    from ecg_trt import __version__

    samples = as_integers(record.signal_mv, UV_PER_MV, _NO_SAMPLE)
    return {
        "resourceType": "Observation",
        "text": {
            "status": "generated",
            "div": f'<div xmlns="http://www.w3.org/1999/xhtml">ECG, {escape(record.layout)}. {NOTICE}.</div>',
        },
        "status": "preliminary",
        "category": [{"coding": [{"system": _CATEGORY, "code": "procedure"}]}],
        "code": {"coding": [_coding(POTENTIAL, "MDC_ECG_ELEC_POTL")]},
        "note": [{"text": note} for note in notes_of(record)],
        "device": {"display": f"ecg_trt {__version__}"},
        "component": [_component(lead, row, record.fs) for lead, row in zip(record.lead_names, samples, strict=True)],
    }


def _component(lead: str, samples: Array, fs: float) -> dict[str, Any]:
    """Make the component of a lead from (n,) int64 samples, uV; one that shows nothing gets the reason alone."""
    code = potential_code(lead)
    component: dict[str, Any] = {"code": {"coding": [_coding(code.code, code.mdc)], "text": lead}}
    missing = samples == _NO_SAMPLE
    if missing.all():
        return component | {"dataAbsentReason": {"coding": [{"system": _ABSENT, "code": "unknown"}]}}
    return component | {
        "valueSampledData": {
            "origin": {"value": 0, "unit": "mV", "system": "http://unitsofmeasure.org", "code": "mV"},
            "period": round(1e3 / fs, 9),  # In ms.
            "factor": 1 / UV_PER_MV,
            "dimensions": 1,
            "data": " ".join(np.where(missing, _MISSING, np.char.mod("%d", samples))),
        }
    }


def _coding(code: int, display: str) -> dict[str, str]:
    return {"system": MDC_URI, "code": str(code), "display": display}

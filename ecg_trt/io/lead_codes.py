"""Codes of leads in ISO/IEEE 11073-10101 (MDC), on which DICOM, HL7 aECG and FHIR agree.

A lead has one number in the nomenclature's partition 2. From it follow DICOM's code (PS3.16, CID 3001: "2:62" for aVR),
the code without a partition (2 * 65536 + 62, value set DeviceMetricType of FHIR R4), and that of the potential which is
measured at the lead (MDC_ECG_ELEC_POTL is 2:256, and the lead's number is added to it, as in FHIR's example of an ECG).
"""

from __future__ import annotations

from dataclasses import dataclass

from ecg_trt.layout import LEADS

MDC_OID = "2.16.840.1.113883.6.24"
MDC_URI = "urn:iso:std:iso:11073:10101"
_PARTITION = 2 << 16
POTENTIAL = _PARTITION + 256
"""MDC_ECG_ELEC_POTL, electric potential of the heart."""
_NUMBERS = {
    "I": 1, "II": 2, "III": 61, "aVR": 62, "aVL": 63, "aVF": 64, "V1": 3, "V2": 4, "V3": 5, "V4": 6, "V5": 7, "V6": 8,
    "V7": 9, "V8": 66, "V9": 67, "V3R": 11, "V4R": 12, "X": 16, "Y": 17, "Z": 18,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class LeadCode:
    """Code of a lead.

    Attributes:
        number: in partition 2; 0 for a lead that is not specified.
        mdc: reference identifier, such as MDC_ECG_LEAD_AVR.
    """

    number: int
    mdc: str

    @property
    def dicom(self) -> str:
        """Code value of CID 3001."""
        return f"2:{self.number}"


@dataclass(frozen=True, slots=True)
class MdcCode:
    """Code without a partition, with its reference identifier."""

    code: int
    mdc: str


def lead_code(lead: str) -> LeadCode:
    """Find the code of a lead; that of an unspecified lead for any other name, such as ``strip1``."""
    if lead not in _NUMBERS:
        return LeadCode(0, "MDC_ECG_LEAD")
    return LeadCode(_NUMBERS[lead], f"MDC_ECG_LEAD_{lead.upper()}")


def lead_of_number(number: int) -> str | None:
    """Find the lead of a number in partition 2, which is its number in SCP-ECG, too; None if there is none."""
    return next((lead for lead, known in _NUMBERS.items() if known == number), None)


def potential_code(lead: str) -> MdcCode:
    """Find the code of the potential that is measured at a lead.

    The nomenclature has one for each of the twelve leads; others get the code of the lead itself, and leads that it
    does not know that of any potential of the heart.
    """
    code = lead_code(lead)
    if lead in LEADS:
        return MdcCode(POTENTIAL + code.number, code.mdc.replace("LEAD", "ELEC_POTL"))
    return MdcCode(_PARTITION + code.number, code.mdc) if code.number else MdcCode(POTENTIAL, "MDC_ECG_ELEC_POTL")

"""After the record: beats, intervals, and what else follows from the signal. Research use only, not a diagnosis.

A new part of an analysis is one module here, its name in `analyzer.PARTS` and a field of `Analysis`.
"""

from ecg_trt.analysis.analyzer import PARTS, Analysis, analyze
from ecg_trt.analysis.intervals import Intervals
from ecg_trt.analysis.measurement import Measurement, Omission, OmissionReason
from ecg_trt.analysis.printed_rate import RateComparison, compare_rates
from ecg_trt.analysis.rhythm import Rhythm

__all__ = [
    "PARTS",
    "Analysis",
    "Intervals",
    "Measurement",
    "Omission",
    "OmissionReason",
    "RateComparison",
    "Rhythm",
    "analyze",
    "compare_rates",
]

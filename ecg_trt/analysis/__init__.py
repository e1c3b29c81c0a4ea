"""After the record: beats and their classes, intervals, maps of the heart. Research use only, not a diagnosis.

A new part of an analysis is one module here, its name in `analyzer.PARTS` and a field of `Analysis`.
"""

from ecg_trt.analysis.analyzer import DEFAULT_PARTS, PARTS, Analysis, Analyzer, analyze
from ecg_trt.analysis.beat_classes import BeatClasses
from ecg_trt.analysis.heart_mapping import MappedHeart
from ecg_trt.analysis.intervals import Intervals
from ecg_trt.analysis.measurement import Measurement, Omission, OmissionReason
from ecg_trt.analysis.printed_rate import RateComparison, compare_rates
from ecg_trt.analysis.rhythm import Rhythm

__all__ = [
    "DEFAULT_PARTS",
    "PARTS",
    "Analysis",
    "Analyzer",
    "BeatClasses",
    "Intervals",
    "MappedHeart",
    "Measurement",
    "Omission",
    "OmissionReason",
    "RateComparison",
    "Rhythm",
    "analyze",
    "compare_rates",
]

"""Errors for pictures on which no page of an ECG is found."""

from __future__ import annotations

from ecg_trt.errors import NoEcgFoundError
from ecg_trt.thresholds import load_thresholds


def reject_without_strips(source: str) -> NoEcgFoundError:
    """Build the error for a sheet on which no row of an ECG is seen."""
    return NoEcgFoundError(
        f"no strip of an ECG found in {source}",
        got=f"a sheet without a trace that goes on for {load_thresholds().strip.least_mm:g} mm",
        expected="at least one printed strip",
        hint="Photograph the whole page from above, sharp and in even light.",
    )


def reject_without_signs(source: str) -> NoEcgFoundError:
    """Build the error for rows that neither a grid nor a lead name shows to be those of an ECG."""
    return NoEcgFoundError(
        f"no ECG found in {source}",
        got="a sheet with neither a 5 mm grid nor a lead name that can be read",
        expected="at least one of the two",
        hint="Move closer, so that the lead names can be read, or scan the page.",
    )

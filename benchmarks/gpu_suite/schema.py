"""Content of a result of the suite, as a reader and `report.py` need it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.common import lacks, not_finite
from benchmarks.gpu_suite.record import DONE, STATUSES

_NUMBER = (int, float)
_TOP = {"benchmark": str, "machine": dict, "total_s": _NUMBER, "parts": dict}
_MACHINE = ("cpu", "cores", "date", "command", "commit", "version", "weights")
_PART = {"status": str, "reason": str, "seconds": _NUMBER, "figures": dict, "failures": dict}


def problems(content: Mapping[str, Any]) -> list[str]:
    """List the faults of a result; empty if there are none."""
    found = lacks("the file", content, _TOP)
    if found:
        return found
    if content["benchmark"] != "gpu_suite":
        found.append(f"a result of {content['benchmark']}, not of gpu_suite")
    found += [f"the machine: {key} is missing" for key in _MACHINE if key not in content["machine"]]
    for name, part in content["parts"].items():
        found += _part(name, part)
    return found + not_finite(content, "the file")


def _part(name: str, part: Mapping[str, Any]) -> list[str]:
    found = lacks(name, part, _PART)
    if found:
        return found
    if part["status"] not in STATUSES:
        found.append(f"{name}: status {part['status']!r}, not one of {', '.join(STATUSES)}")
    if part["status"] != DONE and not part["reason"] and not part["failures"]:
        found.append(f"{name}: {part['status']} without a reason")
    return found

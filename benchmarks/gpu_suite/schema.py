"""Content of a result of the suite, as a reader and `report.py` need it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from benchmarks.gpu_suite.record import DONE, STATUSES

_NUMBER = (int, float)
_TOP = {"benchmark": str, "machine": dict, "total_s": _NUMBER, "parts": dict}
_MACHINE = ("cpu", "cores", "date", "command", "commit", "version", "weights")
_PART = {"status": str, "reason": str, "seconds": _NUMBER, "figures": dict, "failures": dict}


def problems(content: Mapping[str, Any]) -> list[str]:
    """List the faults of a result; empty if there are none."""
    found = _lacks("the file", content, _TOP)
    if found:
        return found
    if content["benchmark"] != "gpu_suite":
        found.append(f"a result of {content['benchmark']}, not of gpu_suite")
    found += [f"the machine: {key} is missing" for key in _MACHINE if key not in content["machine"]]
    for name, part in content["parts"].items():
        found += _part(name, part)
    return found + _not_finite(content, "the file")


def _part(name: str, part: Mapping[str, Any]) -> list[str]:
    found = _lacks(name, part, _PART)
    if found:
        return found
    if part["status"] not in STATUSES:
        found.append(f"{name}: status {part['status']!r}, not one of {', '.join(STATUSES)}")
    if part["status"] != DONE and not part["reason"] and not part["failures"]:
        found.append(f"{name}: {part['status']} without a reason")
    return found


def _lacks(where: str, content: Mapping[str, Any], kinds: Mapping[str, Any]) -> list[str]:
    return [f"{where}: {key} is {type(content.get(key)).__name__}" for key, kind in kinds.items()
            if not isinstance(content.get(key), kind)]  # fmt: skip


def _not_finite(value: object, where: str) -> list[str]:
    if isinstance(value, Mapping):
        return [p for key, part in value.items() for p in _not_finite(part, f"{where}.{key}")]
    if isinstance(value, list):
        return [p for k, part in enumerate(value) for p in _not_finite(part, f"{where}[{k}]")]
    return [f"{where} is {value}"] if isinstance(value, float) and not math.isfinite(value) else []

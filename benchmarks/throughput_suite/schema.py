"""Content of a result of the throughput benchmark, as a reader and `report.py` need it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.common import lacks, not_finite

_NUMBER = (int, float)
_TOP = {"benchmark": str, "machine": dict, "photos": dict, "seconds": _NUMBER, "rates": dict, "backends": list}
_ALWAYS = {"name": str, "device": str, "precision": str, "what": str, "available": bool, "reason": str}
_MEASURED = {"networks": dict, "steps_ms": dict, "stages_ms": dict, "photos_per_s": _NUMBER, "photos_done": int,
             "photos_rejected": int, "answered": int}  # fmt: skip
_OR_NONE = ("device_memory_mib", "snr_db", "agreement_db")
_NETWORK = ("shapes", "run_ms", "bytes", "macs", "floor", "ratio")
_SPREAD = {"median", "iqr", "p99", "n"}


def problems(content: Mapping[str, Any]) -> list[str]:
    """List the faults of a result of the throughput benchmark; empty if there are none."""
    found = lacks("the file", content, _TOP)
    if found:
        return found
    wanted = ["cpu", "cores", "date", "command"]
    if any(row.get("available") and row.get("device") == "cuda" for row in content["backends"]):
        wanted += ["gpu", "driver"]
    found += [f"the machine: {key} is missing" for key in wanted if key not in content["machine"]]
    for row in content["backends"]:
        found += _row(row, len(content["photos"].get("names", ())))
    return found + not_finite(content, "the file")


def _row(row: Mapping[str, Any], photos: int) -> list[str]:
    where = str(row.get("name"))
    found = lacks(where, row, _ALWAYS)
    if found:
        return found
    if not row["available"]:
        return [] if row["reason"] else [f"{where}: no reason why it was not measured"]
    found = lacks(where, row, _MEASURED)
    found += [f"{where}: {key} is missing" for key in _OR_NONE if key not in row]
    if found:
        return found
    for stage, network in row["networks"].items():
        found += [f"{where}, {stage}: {key} is missing" for key in _NETWORK if key not in network]
    spreads = {**row["steps_ms"], **row["stages_ms"]}
    spreads |= {stage: network["run_ms"] for stage, network in row["networks"].items() if network.get("run_ms")}
    found += [f"{where}, {name}: {sorted(s)} for a spread" for name, s in spreads.items() if set(s) != _SPREAD]
    if not 0 <= row["answered"] <= photos:
        found.append(f"{where}: {row['answered']} of {photos} photos answered")
    if row["answered"]:
        found += [f"{where}: no {step}" for step in ("decode", "host", "photo") if step not in row["steps_ms"]]
    return found

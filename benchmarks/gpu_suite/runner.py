"""Parts one after the other, each in a process of its own, within a total time; results are written anew after each."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.common import ROOT
from benchmarks.gpu_suite.record import FAILED, NOT_RUN, OUT_OF_TIME, without_folders

_POLL_S = 0.1
_LEAST_S = 5.0  # a part that has less is not begun
_GRACE_S = 3.0  # from being asked to end to being ended
_LOG_CHARACTERS = 1500
Command = Callable[[str, Path], Sequence[str]]
Save = Callable[[Mapping[str, Any]], object]


@dataclass(frozen=True, slots=True)
class Limit:
    """A part and the most that it may take.

    Attributes:
        name: of the part.
        seconds: after which it is ended.
    """

    name: str
    seconds: float


def run_parts(parts: Sequence[Limit], total_s: float, folder: Path, command: Command, save: Save) -> dict[str, Any]:
    """Run parts in order; a part that is late is ended with all its children, and the next one begins.

    Args:
        parts: which, in order, with the most seconds of each.
        total_s: for all of them.
        folder: for the parts' files and logs.
        command: of a part's name and the file that it writes.
        save: called with all parts so far after each.

    Returns:
        By name: status, reason, seconds, limit_s, figures and failures.
    """
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    results: dict[str, Any] = {}
    for part in parts:
        left = total_s - (time.monotonic() - began)
        if left < _LEAST_S:
            results[part.name] = _nothing(NOT_RUN, "the total time was used up")
        else:
            results[part.name] = _run_part(part.name, min(part.seconds, left), folder, command)
        results[part.name]["limit_s"] = round(min(part.seconds, max(left, 0.0)), 1)
        tell(f"[{time.monotonic() - began:6.1f} s] {part.name}: {_in_short(results[part.name])}")
        save(results)
    return results


def _run_part(name: str, limit_s: float, folder: Path, command: Command) -> dict[str, Any]:
    path, log = folder / f"{name}.json", folder / f"{name}.log"
    path.unlink(missing_ok=True)
    began = time.monotonic()
    with log.open("wb") as output:
        process = start(command(name, path), cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        try:
            while process.poll() is None and time.monotonic() < began + limit_s:
                time.sleep(_POLL_S)
            is_late = process.poll() is None
        finally:
            end(process)
    seconds = round(time.monotonic() - began, 1)
    try:
        result = json.loads(path.read_text())
    except (OSError, ValueError):
        tail = without_folders(log.read_text(errors="replace"))[-_LOG_CHARACTERS:]
        result = _nothing(FAILED, f"exit code {process.returncode}: {tail}")
    if is_late:
        result |= {"status": OUT_OF_TIME, "reason": f"ended after {limit_s:.0f} s"}
    elif result["status"] == OUT_OF_TIME:  # as a part's file says until the part ends
        result |= {"status": FAILED, "reason": f"exit code {process.returncode}"}
    return {**result, "seconds": seconds}


def start(command: Sequence[str], **how: Any) -> subprocess.Popen[bytes]:
    """Start a process that can be ended with all its children."""
    if sys.platform == "win32":
        return subprocess.Popen(command, creationflags=subprocess.CREATE_NEW_PROCESS_GROUP, **how)
    return subprocess.Popen(command, start_new_session=True, **how)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process of `start` with all its children, also where it has ended by itself and they have not."""
    if sys.platform == "win32":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], capture_output=True, check=False)
        process.wait()
        return
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            break
        until = time.monotonic() + _GRACE_S
        while time.monotonic() < until and _lives(process):
            time.sleep(_POLL_S / 2)
    process.wait()


def _lives(process: subprocess.Popen[bytes]) -> bool:
    """Ask whether any process of the group is left; one that has ended must be waited for first."""
    process.poll()
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True


def _nothing(status: str, reason: str) -> dict[str, Any]:
    return {"status": status, "reason": reason, "seconds": 0.0, "figures": {}, "failures": {}}


def _in_short(result: Mapping[str, Any]) -> str:
    failed = f", failed: {', '.join(result['failures'])}" if result["failures"] else ""
    reason = f" ({result['reason'].strip().splitlines()[-1]})" if result["reason"].strip() else ""
    return f"{result['status']} after {result['seconds']} s{reason}{failed}"


def tell(line: str) -> None:
    """Print progress."""
    print(line, file=sys.stderr, flush=True)

"""The kernels' parity tests on the GPU, alone and under compute-sanitizer."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.common import ROOT
from benchmarks.gpu_suite.record import PartRecord, Unavailable, without_folders
from benchmarks.gpu_suite.settings import Settings

_TESTS = ("tests/ops", "tests/cuda")
_RACE_TESTS = ("tests/ops/test_cuda_decode.py", "tests/ops/test_cuda_lines.py")  # kernels whose threads share memory
# Other versions of packages than the tests were written with may warn.
_PYTEST = ("-m", "pytest", "-q", "-m", "gpu", "-o", "filterwarnings=default", "-W", "ignore", "-p", "no:cacheprovider")
_SANITIZER = Path("/usr/local/cuda/bin/compute-sanitizer")
_MOST_LINES = 40


def kernel_tests(record: PartRecord, settings: Settings) -> None:
    """Run the tests that need a GPU."""
    report = settings.folder / "kernel_tests.xml"
    command = [sys.executable, *_PYTEST, "--tb=line", f"--junitxml={report}", *_existing(_TESTS)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if not report.exists():
        raise RuntimeError(f"pytest ended with {run.returncode}: {run.stdout[-500:]}{run.stderr[-500:]}")
    found = read_junit(report)
    if not (found["passed"] or found["failed"]):
        raise Unavailable("all tests were skipped: no GPU that they can use")
    record.add(exit_code=run.returncode, **found)


def read_junit(path: Path) -> dict[str, object]:
    """Number of tests, and names of those that failed, from a JUnit file."""
    suites = list(ElementTree.parse(path).getroot().iter("testsuite"))
    counts = {
        key: sum(int(suite.get(key, 0)) for suite in suites) for key in ("tests", "failures", "errors", "skipped")
    }
    wrong = [f"{case.get('classname')}::{case.get('name')}" for suite in suites for case in suite.iter("testcase")
             if case.find("failure") is not None or case.find("error") is not None]  # fmt: skip
    passed = counts["tests"] - counts["failures"] - counts["errors"] - counts["skipped"]
    return {"passed": passed, "failed": counts["failures"] + counts["errors"], "skipped": counts["skipped"],
            "failed_tests": wrong[:_MOST_LINES]}  # fmt: skip


def sanitizer(tool: str, record: PartRecord, settings: Settings) -> None:
    """Run the kernels' parity tests under compute-sanitizer.

    memcheck does not report errors of API calls: cuda-bindings asks an older driver for functions that it lacks.
    """
    found = shutil.which("compute-sanitizer") or (str(_SANITIZER) if _SANITIZER.exists() else "")
    if not found:
        raise Unavailable("compute-sanitizer is not installed; it comes with the CUDA toolkit")
    options = ["--tool", tool, "--target-processes", "all"]
    options += ["--report-api-errors", "no"] if tool == "memcheck" else []
    tests = _existing(_TESTS[:1] if tool == "memcheck" else _RACE_TESTS)
    command = [found, *options, sys.executable, *_PYTEST, *tests]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    record.add(tests=list(tests), **read_sanitizer(run.stdout + run.stderr))


def read_sanitizer(output: str) -> dict[str, object]:
    """Number of errors or hazards and of passed tests, and the first lines about them.

    Raises:
        RuntimeError: the tool printed no summary.
    """
    summary = re.search(r"(?:ERROR|RACECHECK) SUMMARY: (\d+) (errors?|hazards?)", output)
    if summary is None:
        raise RuntimeError(f"no summary of compute-sanitizer: {output[-500:]}")
    passed, failed = (re.search(rf"(\d+) {word}", output) for word in ("passed", "failed"))
    said = [line for line in output.splitlines() if line.startswith("=========") and "Host Frame" not in line]
    return {"errors": int(summary.group(1)), "passed": int(passed.group(1)) if passed else 0,
            "failed": int(failed.group(1)) if failed else 0,
            "report": [without_folders(line) for line in said[:_MOST_LINES]]}  # fmt: skip


def _existing(tests: tuple[str, ...]) -> tuple[str, ...]:
    missing = [test for test in tests if not (ROOT / test).exists()]
    if missing:
        raise Unavailable(f"no {missing[0]}: run in a clone of the repository")
    return tests

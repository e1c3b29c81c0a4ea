"""The suite's runner, its report from the recorded result, and a dry run on the fakes."""

from __future__ import annotations

import cProfile
import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import pytest

from benchmarks.common import RESULTS
from benchmarks.gpu_suite import networks
from benchmarks.gpu_suite.__main__ import main
from benchmarks.gpu_suite.checks import read_junit, read_sanitizer
from benchmarks.gpu_suite.parts import PARTS
from benchmarks.gpu_suite.profiles import rows_of
from benchmarks.gpu_suite.record import (
    DONE,
    FAILED,
    NOT_RUN,
    OUT_OF_TIME,
    UNAVAILABLE,
    PartRecord,
    Unavailable,
    describe,
)
from benchmarks.gpu_suite.report import draw, markdown
from benchmarks.gpu_suite.runner import Limit, run_parts
from benchmarks.gpu_suite.schema import problems
from benchmarks.gpu_suite.settings import Settings
from benchmarks.gpu_suite.targets import outcomes
from ecg_trt.errors import PlanMissingError
from ecg_trt.networks import NETWORKS, READING_NETWORKS

RECORDED = sorted(RESULTS.glob("gpu_suite--*.json"))
_WRITE = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text(sys.argv[2])"


@pytest.fixture
def recorded() -> Any:
    return json.loads((RESULTS / "gpu_suite--h100--2026-11-27.json").read_text())


def content_of(status: str) -> str:
    return json.dumps({"status": status, "reason": "", "seconds": 1.0, "figures": {"x": 1}, "failures": {}})


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_late_part_is_ended_with_its_children_and_the_next_begins(tmp_path: Path) -> None:
    late = f"""
import pathlib, subprocess, sys, time
pathlib.Path(sys.argv[1]).write_text({content_of(OUT_OF_TIME)!r})
stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", stubborn])
pathlib.Path({str(tmp_path / "child")!r}).write_text(str(child.pid))
time.sleep(600)
"""

    def command(name: str, path: Path) -> list[str]:
        code = {"late": [late], "good": [_WRITE, str(path), content_of(DONE)], "dead": ["raise SystemExit(3)"]}[name]
        return [sys.executable, "-c", code[0], *(code[1:] or [str(path)])]

    saved: list[list[str]] = []
    began = time.monotonic()
    limits = [Limit("late", 2.0), Limit("dead", 30), Limit("good", 30)]
    results = run_parts(limits, 60, tmp_path, command, lambda parts: saved.append(list(parts)))
    assert time.monotonic() - began < 30
    assert saved == [["late"], ["late", "dead"], ["late", "dead", "good"]], "results are written after each part"
    assert {name: row["status"] for name, row in results.items()} == {"late": OUT_OF_TIME, "dead": FAILED, "good": DONE}
    assert results["late"]["figures"] == {"x": 1}, "what was measured before the end is kept"
    assert "exit code 3" in results["dead"]["reason"]
    assert not alive(int((tmp_path / "child").read_text()))


def test_the_total_is_kept(tmp_path: Path) -> None:
    results = run_parts([Limit("a", 30), Limit("b", 30)], 1.0, tmp_path, lambda *_: [], lambda parts: None)
    assert [row["status"] for row in results.values()] == [NOT_RUN, NOT_RUN]


def test_a_record_keeps_what_came_before_a_failure(tmp_path: Path) -> None:
    record = PartRecord(tmp_path / "part.json")

    def work() -> None:
        record.step("one", lambda: 1)
        record.step(("two", "inner"), lambda: 2)
        record.step("three", lambda: 1 // 0)

    def read() -> Any:
        return json.loads(record.path.read_text())

    assert read()["status"] == OUT_OF_TIME
    assert record.run(work)
    assert read()["figures"] == {"one": 1, "two": {"inner": 2}} and read()["status"] == DONE
    assert "ZeroDivisionError" in read()["failures"]["three"]

    def reject() -> None:
        raise Unavailable("no such tool")

    assert record.run(reject) and read()["status"] == UNAVAILABLE and "no such tool" in read()["reason"]
    assert not record.run(lambda: record.add(x=1 // 0)) and read()["status"] == FAILED


def test_errors_tell_no_folder_of_the_machine() -> None:
    error = PlanMissingError(
        "No plan", got="no file /home/somebody/.cache/ecg/a.plan", expected="one", hint="Build it."
    )
    assert describe(error) == "No plan: got no file a.plan"


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.name)
def test_recorded_results_are_whole(path: Path) -> None:
    text = path.read_text()
    assert problems(json.loads(text)) == []
    assert len(text) < 60_000 and "/home/" not in text and "/tmp" not in text


def test_the_report_of_the_recorded_result(recorded: Any, tmp_path: Path, capsys: Any) -> None:
    table = markdown(recorded)
    for words in ("NVIDIA H100", "| networks: times faster than torch FP16 eager | at least 2.5 | 2.84", "| 12.29 |",
                  "144 passed", "- processes-rtx: out of time"):  # fmt: skip
        assert words in table
    found = {outcome.target.what: outcome.is_reached for outcome in outcomes(recorded)}
    assert list(found.values()) == [True, True, False, False, True, False]
    image = cv2.imread(str(draw(recorded, tmp_path / "plot" / "gpu.png")))
    assert image is not None and image.shape[1] > 1000 and image.std() > 5


def test_a_report_of_little_and_of_nothing(recorded: Any, tmp_path: Path, capsys: Any) -> None:
    recorded["parts"] = {"environment": recorded["parts"]["environment"]}
    path = tmp_path / "little.json"
    path.write_text(json.dumps(recorded))
    assert main(["report", str(path)]) == 0
    assert capsys.readouterr().out.count("not measured") >= 6 and path.with_suffix(".png").exists()
    path.write_text("{}")
    assert main(["report", str(path)]) == 1
    assert "no whole result" in capsys.readouterr().err


def test_the_schema_finds_what_is_wrong(recorded: Any) -> None:
    recorded["parts"]["rates"]["status"] = "fine"
    recorded["parts"]["rates"]["figures"]["copy_gb_per_s"] = float("inf")
    recorded["parts"]["driver"] |= {"status": FAILED, "reason": ""}
    del recorded["machine"]["weights"]
    told = " ".join(problems(recorded))
    for words in (
        "rates: status 'fine'",
        "copy_gb_per_s is inf",
        "driver: failed without a reason",
        "weights is missing",
    ):
        assert words in told
    assert problems({}) != []


def test_tests_and_sanitizer_are_read(tmp_path: Path) -> None:
    cases = '<testcase classname="t" name="a"/><testcase classname="t" name="b"><failure message="no"/></testcase>'
    suite = f'<testsuite tests="4" failures="1" errors="0" skipped="1">{cases}</testsuite>'
    (tmp_path / "junit.xml").write_text(f"<testsuites>{suite}</testsuites>")
    assert read_junit(tmp_path / "junit.xml") == {"passed": 2, "failed": 1, "skipped": 1, "failed_tests": ["t::b"]}
    output = "142 passed, 183 deselected in 8.58s\n========= ERROR SUMMARY: 3 errors\n"
    found = read_sanitizer(output)
    assert (found["errors"], found["passed"], found["failed"]) == (3, 142, 0)
    assert read_sanitizer("24 passed\n========= RACECHECK SUMMARY: 0 hazards displayed (0 errors)")["errors"] == 0
    with pytest.raises(RuntimeError, match="no summary"):
        read_sanitizer("Segmentation fault")


def test_functions_are_listed_by_their_own_time() -> None:
    profiler = cProfile.Profile()
    profiler.runcall(time.sleep, 0.01)
    rows = rows_of(profiler)
    assert "sleep" in rows[0]["function"] and rows[0]["own_ms"] >= 9
    assert all("/" not in row["function"] for row in rows)


def test_unknown_parts_are_named(capsys: Any) -> None:
    assert main(["run", "--parts", "environment,nonsense"]) == 2
    assert "nonsense" in capsys.readouterr().err
    assert all(part.limit_s > 0 for part in PARTS.values())


def dry_run(folder: Path, parts: str) -> Any:
    """Run parts on the fakes, and read the result."""
    words = ["--fake", "--seconds", "0.2", "--total", "300", "--out", str(folder), "--work", str(folder / "work")]
    assert main(["run", "--parts", parts, *words]) == 0
    (path,) = folder.glob("gpu_suite--fake--*.json")
    content = json.loads(path.read_text())
    assert problems(content) == [] and markdown(content)
    return content["parts"]


def test_a_dry_run(tmp_path: Path) -> None:
    parts = dry_run(tmp_path, "environment,driver")
    assert {name: part["status"] for name, part in parts.items()} == {"environment": DONE, "driver": DONE}
    driver = parts["driver"]
    assert driver["failures"] == {} and driver["figures"]["graphs"]["seen"] == [1, 2, 2, 2]
    assert driver["figures"]["launches"]["other_thread_agrees"]


def test_plans_of_networks_that_no_photo_goes_through_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = [SimpleNamespace(manifest=SimpleNamespace(key=SimpleNamespace(flavour="rtx", stage=s))) for s in NETWORKS]
    monkeypatch.setattr(networks, "PlanStore", lambda: SimpleNamespace(plans=lambda: plans))
    monkeypatch.setattr(networks, "_plan", lambda *_: {})
    record = PartRecord(tmp_path / "part.json")
    networks.tensorrt(record, Settings(tmp_path, 1.0, (1,), is_fake=True))
    assert record.figures == {"rtx": {stage: {} for stage in READING_NETWORKS}}


@pytest.mark.slow
def test_a_dry_run_of_networks(tmp_path: Path) -> None:
    parts = dry_run(tmp_path, "reference,networks_tensorrt,energy-rtx,memcheck,networks_torch,decoder")
    plans = parts["networks_tensorrt"]["figures"]["rtx"]
    assert set(plans) == {"stage0", "stage1", "stage2", "caption"}
    for row in plans.values():
        assert row["is_captured"] and row["difference"]["max"] < 1e-3
        assert min(row[how]["median"] for how in ("graph", "graph_call", "enqueued", "enqueued_call")) > 0
    assert parts["reference"]["figures"]["answered"] == 1
    for name in ("energy-rtx", "memcheck", "networks_torch", "decoder"):
        assert parts[name]["status"] in (DONE, UNAVAILABLE)

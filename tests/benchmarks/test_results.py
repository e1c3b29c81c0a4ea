"""Benchmarks write what a reader needs to judge a figure."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy import from_manifest, read_truth
from benchmarks.common import RESULTS, machine, machine_name, results_path, spread, write_results
from benchmarks.throughput_suite.schema import problems


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda p: p.name)
def test_committed_results_name_machine_and_command(path: Path) -> None:
    content = json.loads(path.read_text())
    assert content["benchmark"] in path.name
    assert {"cpu", "cores", "python", "date", "command", "onnxruntime"} <= set(content["machine"])
    if "--" in path.stem:  # one file a machine
        assert {"commit", "version", "weights"} <= set(content["machine"])
    if content["benchmark"] == "accuracy":
        for row in content["summary"].values():
            assert row["answered"] <= row["images"]
        assert all({"name", "kind", "snr_db", "layout", "error"} <= set(image) for image in content["images"])
    if content["benchmark"] == "latency":
        assert {"median", "iqr", "p99"} == set(content["steps_ms"]["file to csv"])
        assert content["peak_memory_mib"] > 0
    if content["benchmark"] == "throughput":
        assert problems(content) == []


def test_write_results(tmp_path: Path) -> None:
    path = write_results("some", {"x": 1}, tmp_path / "deep" / "some.json")
    assert json.loads(path.read_text())["x"] == 1


def test_committed_results_are_not_overwritten_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert RESULTS not in results_path("latency", machine()).parents
    monkeypatch.setattr("benchmarks.common.NEW_RESULTS", tmp_path)
    path = write_results("latency", {})
    assert path.parent == tmp_path and path.name == f"latency--{machine_name(machine())}.json"
    assert [p.name for p in tmp_path.iterdir()] == [path.name], "nothing half written is left"


def test_machines_are_named_by_gpu_or_cpu() -> None:
    assert machine_name({"cpu": "any", "cores": 2, "gpu": "NVIDIA H100 80GB HBM3"}) == "nvidia-h100-80gb-hbm3"
    assert machine_name({"cpu": "Intel(R) Xeon(R) Processor @ 2.50GHz", "cores": 2}) == "intel-xeon-2.50ghz-2-cores"


def test_a_command_line_tells_no_folder_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/home/x/benchmarks/gpu_suite/__main__.py", "run", "--out", "/home/x/out"])
    assert machine()["command"] == "python -m benchmarks.gpu_suite run --out out"


def test_spread() -> None:
    assert spread([1.0, 2.0, 3.0, 4.0, 5.0]) == {"median": 3.0, "iqr": 2.0, "p99": 4.96}


def test_manifest_and_truth(tmp_path: Path) -> None:
    leads = "I,II,III,aVR,aVL,aVF,V1,V2,V3,V4,V5,V6"
    (tmp_path / "t.csv").write_text(leads + "\n" + "0.1,0.2" + "," * 10 + "\n" + ",0.3" + "," * 10 + "\n")
    rows = ("image,truth,fs,kind,artifacts,ptbxl_ecg_id", "a.jpg,t.csv,250,photo,,", "b.jpg,,,clinical,,")
    (tmp_path / "m.csv").write_text("\n".join(rows) + "\n")
    names, truth = read_truth(tmp_path / "t.csv")
    assert (
        list(names) == leads.split(",")
        and truth.shape == (12, 2)
        and truth[1, 1] == 0.3
        and np.isnan(truth[0, 1])
        and np.isnan(truth[5]).all()
    )
    (case,) = from_manifest(tmp_path / "m.csv", ("photo",))
    assert (case.kind, case.fs) == ("photo", 250.0) and case.truth is not None

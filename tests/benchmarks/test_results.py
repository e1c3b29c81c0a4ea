"""Benchmarks write what a reader needs to judge a figure."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from benchmarks.accuracy import from_manifest, read_truth, synthetic
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


def test_drawn_pages_are_kept_with_their_truths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = SimpleNamespace(layout="3x1", paper_speed_mm_per_s=25.0, gain_mm_per_mv=5.0, fs=500.0,
                            signal_mv=np.arange(6.0).reshape(3, 2), lead_names=("I", "II", "III"))  # fmt: skip
    drawn: list[int] = []

    def draw(seed: int, **_: object) -> tuple[np.ndarray, SimpleNamespace]:
        drawn.append(seed)
        return np.full((40, 60, 3), (250, 240, 20), np.uint8), truth

    monkeypatch.setattr("ecg_trt.synth.sample.make_sample", draw)
    (plain,) = synthetic(1, 7)
    first, again = (list(synthetic(2, 7, tmp_path / "pages")) for _ in range(2))
    assert drawn == [7, 7, 8] and [case.name for case in first] == [case.name for case in again]
    for case in (*first, *again):
        assert (case.leads, case.fs, case.groups[:3]) == (("I", "II", "III"), 500.0, ("3x1", "25 mm/s", "5 mm/mV"))
        assert case.truth is not None and np.array_equal(case.truth, truth.signal_mv)
        assert isinstance(case.source, str) and Path(case.source).suffix == ".jpg"
    picture = cv2.imread(str(first[0].source))
    assert picture is not None and np.abs(picture[..., ::-1] - np.array([250.0, 240.0, 20.0])).max() < 12
    assert isinstance(plain.source, np.ndarray) and first[0].name == plain.name

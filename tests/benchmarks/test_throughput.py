"""A whole run of the benchmark, small, with baselines that cost nothing; and its file, its table and its plot."""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from benchmarks.common import machine, write_results
from benchmarks.throughput_suite import baselines, measure, report
from benchmarks.throughput_suite import run as throughput
from benchmarks.throughput_suite.baselines import BASELINES, Baseline, Entry, chosen
from benchmarks.throughput_suite.child import Unmeasured, in_child
from benchmarks.throughput_suite.floor import Rates
from benchmarks.throughput_suite.gpu import why_no_gpu
from benchmarks.throughput_suite.schema import problems
from benchmarks.throughput_suite.step_timers import (
    OPS_STEPS,
    LabelledBackend,
    StepTimer,
    TimedBackend,
    TimedOps,
    ops_methods,
)
from benchmarks.throughput_suite.timed_driver import TimedDriver
from benchmarks.throughput_suite.workload import SAME_DB, SamplePhoto, agreement_db, from_folder, snr_db
from build_engines.export import Precision, export
from build_engines.verify import draw_feed
from ecg_trt.backends.fake import FakeBackend
from ecg_trt.backends.runtime import Runtime
from ecg_trt.backends.trt import open_plan_alone
from ecg_trt.config import ReadOptions
from ecg_trt.errors import BackendUnavailableError, NoEcgFoundError, NotAnImageError, OptionError
from ecg_trt.networks import NETWORKS, READING_NETWORKS
from ecg_trt.ops.cv2_ops import Cv2Ops
from ecg_trt.weights import weights_path
from tests.backends.fake_gpu import move_in, plug_in, save_plans
from tests.cuda.fake_driver import FakeDriver


class Reader:
    """A digitizer that answers one record, waits a little in a "network", and rejects pictures that are dark."""

    def __init__(self, backend: Any, reading: Any) -> None:
        self.backend, self.reading = backend, reading
        self.slots, self.runtime, self.options = 1, SimpleNamespace(decoder=None), ReadOptions()

    def read(self, photo: Any, options: Any = None) -> Any:
        if photo.image.max() < 100:
            raise NoEcgFoundError("No ECG", got="the dark", expected="paper", hint="Light it.")
        self.backend.infer({})
        return self.reading

    def __call__(self, file: Any, options: Any = None) -> Any:
        if isinstance(file, bytes):
            file = SimpleNamespace(image=cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR))
        return self.read(file).record


def wait(feed: Any) -> dict[str, Any]:
    time.sleep(0.001)
    return {}


def baseline(name: str, reading: Any) -> Baseline:
    @contextmanager
    def enter(is_timed: bool) -> Iterator[Entry]:
        clock = StepTimer()
        backends: dict[str, Any] = {stage: FakeBackend(wait) for stage in READING_NETWORKS}
        if is_timed:
            backends = {stage: TimedBackend(backend, stage, clock) for stage, backend in backends.items()}
        yield Entry(backends, Reader(backends["stage1"], reading), clock.take)

    return Baseline(name, "cpu", "fp32", "nothing", enter)


def rejects(is_timed: bool) -> Any:
    raise BackendUnavailableError("x cannot be measured", got="no x", expected="x", hint="Buy x.")


def photo(level: int) -> bytes:
    noise = np.random.default_rng(0).integers(0, 20, (600, 800, 3), np.uint8)
    return cv2.imencode(".png", noise + np.uint8(level))[1].tobytes()


@pytest.fixture
def produced(tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, dict[str, Any]]:
    """The file of a run, and its content."""
    monkeypatch.setattr("benchmarks.throughput_suite.run.cpu_rates", lambda: Rates(1e12, {"fp32": 1e14}))
    record = tools.record(n=500, fs=500.0)
    photos = [
        SamplePhoto(name, photo(level), record.signal_mv, record.fs) for name, level in (("light", 200), ("dark", 0))
    ]
    path = tmp_path / "throughput.json"
    entries = [baseline("tiny", tools.reading(record)), Baseline("x", "cpu", "fp32", "never", rejects)]
    if why_no_gpu():
        entries.append(BASELINES["trt"])

    def save(content: dict[str, Any]) -> None:
        write_results("throughput", content, path)

    throughput.run(entries, photos, [record, None], 0.05, save)
    return path, json.loads(path.read_text())


def test_a_run_from_end_to_end(produced: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    _, content = produced
    assert problems(content) == []
    tiny, x, *rest = content["backends"]
    assert tiny["answered"] == 1 and tiny["photos_done"] >= 1 and tiny["photos_per_s"] > 0
    assert tiny["agreement_db"] == SAME_DB and tiny["snr_db"] == SAME_DB / 2
    assert tiny["device_memory_mib"] is None
    for network in tiny["networks"].values():
        assert network["run_ms"]["median"] >= 1 and network["run_ms"]["n"] >= 5
        assert network["ratio"] == pytest.approx(
            network["run_ms"]["median"] / network["floor"]["floor_ms"],
            rel=0.01,
            abs=0.02,  # both are rounded
        )
    steps = {step: figures["median"] for step, figures in tiny["steps_ms"].items()}
    assert steps["stage1"] >= 1 and steps["photo"] >= max(steps["stage1"], steps["host"])
    assert not x["available"] and x["reason"] == "no x. Buy x."
    assert all("no CUDA" in row["reason"] for row in rest)
    table = report.markdown(content)
    assert "| tiny | fp32 |" in table and "- not measured: x (no x. Buy x)" in table
    assert len({line.count("|") for line in table.splitlines() if line.startswith("| tiny | fp32")}) == 1
    image = cv2.imread(str(report.draw(content, tmp_path / "plot" / "throughput.png")))
    assert image.shape[1] > 1000 and image.std() > 5


def test_the_steps_of_a_photo_add_up_to_it(tools: Any) -> None:
    with baseline("tiny", tools.reading(tools.record(n=500, fs=500.0))).enter(True) as entry:
        row, record = measure._one(entry, SamplePhoto("light", photo(200)))
        assert record is not None and set(row) == {"decode", "stage1", "host", "photo"}
        assert row.pop("photo") == pytest.approx(sum(row.values()))
        assert measure._one(entry, SamplePhoto("dark", photo(0))) == ({}, None)


def test_the_schema_finds_what_is_wrong(produced: tuple[Path, dict[str, Any]]) -> None:
    _, content = produced
    row = content["backends"][0]
    del row["networks"]["stage1"]["floor"]
    row["snr_db"] = float("nan")
    row["steps_ms"]["host"] = {"median": 1}
    content["backends"][1]["reason"] = ""
    told = " ".join(problems(content))
    for word in ("stage1: floor", "snr_db is nan", "host: ['median']", "x: no reason"):
        assert word in told
    row["device"] = "cuda"
    assert ("gpu is missing" in " ".join(problems(content))) == ("gpu" not in content["machine"])
    assert problems({}) != []


def test_report_rejects_what_is_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    path = tmp_path / "throughput.json"
    path.write_text("{}")
    monkeypatch.setattr("sys.argv", ["report.py", str(path)])
    with pytest.raises(SystemExit):
        report.main()
    assert "no whole result" in capsys.readouterr().err


def test_a_score_that_cannot_be_computed_loses_no_measurement(tools: Any) -> None:
    record = tools.record(n=500, fs=500.0)
    wrong = SamplePhoto("wrong", photo(200), record.signal_mv[:5], record.fs)
    saved: list[int] = []
    entries = [baseline("one", tools.reading(record)), baseline("two", tools.reading(record))]
    content = throughput.run(entries, [wrong], [record], 0.05, lambda content: saved.append(len(content["backends"])))
    assert saved == [1, 2], "results are written as each backend ends"
    assert all(row["photos_per_s"] > 0 and row["snr_db"] is None for row in content["backends"])


def test_unknown_backends_are_rejected_by_name(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    with pytest.raises(OptionError, match=r"'tensorrt'; expected some of trt, rtx, torch-gpu, .*"):
        chosen(["ort", "tensorrt"])
    with pytest.raises(OptionError, match="got none"):
        chosen([])
    assert [c.name for c in chosen(["ort", "trt", "ort"])] == ["ort", "trt"]
    monkeypatch.setattr("sys.argv", ["throughput.py", "--backends", "cuda"])
    with pytest.raises(SystemExit):
        throughput.main()
    assert "Unknown backend: got 'cuda'" in capsys.readouterr().err


def test_a_folder_without_photos_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="without a photo"):
        from_folder(tmp_path)
    (tmp_path / "a.PNG").write_bytes(photo(200))
    (sample,) = from_folder(tmp_path)
    assert sample.name == "a.PNG" and sample.truth is None
    assert snr_db([sample], [None]) is None


def test_agreement(tools: Any) -> None:
    record = tools.record(n=500, fs=500.0)
    assert agreement_db([record, None], [record, None]) == SAME_DB
    assert agreement_db([record, record], [record, None]) == SAME_DB / 2
    assert agreement_db([None], [None]) is None


def test_the_machine_is_told_whole() -> None:
    told = machine()
    assert {"numpy", "onnxruntime", "opencv-python-headless", "command", "commit", "version"} <= set(told)
    assert set(told["weights"]) == set(NETWORKS)  # type: ignore[call-overload]
    assert ("gpu" in told) == ("driver" in told)


def test_timers_take_what_a_backend_measured(tools: Any) -> None:
    clock = StepTimer()
    backend = FakeBackend(lambda feed: {})
    backend.last_ms = {"h2d": 1.0, "stage0": 2.0}  # type: ignore[attr-defined]
    with TimedBackend(backend, "stage0", clock) as timed:
        timed.infer({})
        timed.infer({})
        assert timed.name == "fake"
    ops = TimedOps(Cv2Ops(), clock)
    assert ops.warp_homography(np.zeros((8, 8, 3), np.uint8), np.eye(3), (4, 4)).shape == (4, 4, 3)
    taken = clock.take()
    assert taken.pop("warp") > 0 and taken == {"h2d": 2.0, "stage0": 4.0}
    assert clock.take() == {}


def test_every_method_of_the_pixel_work_is_timed() -> None:
    assert set(OPS_STEPS) <= set(ops_methods()), "a step of a method that the protocol lacks"

    class Ops:
        def __getattr__(self, name: str) -> Any:
            return lambda *args: name

    timer = StepTimer()
    ops = TimedOps(Ops(), timer)
    for name in ops_methods():
        assert getattr(ops, name)() == name
        assert set(timer.take()) == {OPS_STEPS.get(name, name)}


@pytest.mark.parametrize("graphs", [True, False])
def test_a_network_is_timed_as_a_graph_and_enqueued(graphs: bool, tmp_path: Path) -> None:
    spec = READING_NETWORKS["caption"]
    fake = FakeDriver(graphs=graphs)
    timed = TimedDriver(fake)
    with pytest.MonkeyPatch.context() as patch:
        move_in(patch, tmp_path)
        plug_in(patch, timed)  # type: ignore[arg-type]
        store = save_plans({"caption": export(weights_path("caption"), Precision.FP32, spec.shapes)})
        (stored,) = store.plans()
        assert stored.manifest is not None
        with open_plan_alone(stored.path.read_bytes(), stored.manifest) as whole:
            backend = LabelledBackend(whole, "caption", timed)
            timed.take()
            for _ in range(3):
                backend.infer(draw_feed(spec))
                taken = timed.take()
                assert set(taken) == {"h2d", "caption", "d2h"} and taken["caption"] > 0
    assert fake.live == {} and fake.faults == []


def test_graphs_of_a_labelled_backend_go_by_its_stage() -> None:
    fake = FakeDriver()
    with TimedDriver(fake) as timed:
        stream = timed.create_stream()
        timed.begin_capture(stream)
        graph = timed.end_capture(stream)
        executable = timed.instantiate(graph)

        class Engine(FakeBackend):
            def enqueue(self) -> None:
                timed.launch_graph(executable, stream)

        with LabelledBackend(Engine(lambda feed: {}), "stage2", timed) as engine:
            engine.enqueue()
            assert engine.name == "fake" and engine.infer({}) == {}
        assert timed.take() == {"stage2": 2.0}
        timed.destroy_executable(executable)
        timed.destroy_graph(graph)
        timed.destroy_stream(stream)
    assert fake.live == {} and fake.faults == []


@pytest.mark.parametrize("is_timed", [False, True])
def test_a_contenders_networks_are_those_that_the_digitizer_runs(is_timed: bool) -> None:
    class Reached(Exception):
        """The network was asked."""

    def answer(stage: str, feed: Any) -> Any:
        raise Reached(stage, {name: array.shape for name, array in feed.items()})

    def open_stage(stage: str) -> FakeBackend:
        return FakeBackend(functools.partial(answer, stage), name="backend")

    with baselines._on_cpu("backend", open_stage)(is_timed) as entry:
        assert set(entry.backends) == set(READING_NETWORKS)
        with pytest.raises(Reached, match="stage0"):
            entry.digitizer(photo(200))
        assert set(entry.take()) <= {"warp", "h2d"}
        results = list(baselines.digitize_many([b"no photo", photo(200)], entry.digitizer))
    assert (
        isinstance(results[0], NotAnImageError)
        and isinstance(results[1], Exception)
        and isinstance(results[1].__cause__, Reached)
    )


@pytest.mark.parametrize("is_timed", [False, True])
def test_the_packages_own_runtime_is_timed_by_its_driver(is_timed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeDriver()
    opened: list[Any] = []

    @contextmanager
    def open_runtime(backend: str, *, networks: tuple[str, ...], driver: Any = None) -> Iterator[Any]:
        assert networks == tuple(READING_NETWORKS), "others take memory and are not measured"
        opened.append((backend, type(driver)))
        backends = {stage: FakeBackend(lambda feed: {}, name=stage) for stage in READING_NETWORKS}
        with Runtime(backend, backends, Cv2Ops()) as runtime:
            yield runtime

    monkeypatch.setattr(baselines, "open_runtime", open_runtime)
    monkeypatch.setattr(baselines, "open_driver", lambda: fake)
    with BASELINES["trt"].enter(is_timed) as entry:
        assert opened == [("trt", TimedDriver if is_timed else type(None))]
        assert isinstance(entry.backends["stage1"], LabelledBackend) == is_timed
        assert entry.backends["stage1"].infer({}) == {} and entry.take() == {}
    assert fake.closed == is_timed and fake.live == {}


def test_what_happens_to_a_child_is_told() -> None:
    assert in_child(pow, 2, 5, limit_s=60) == 32
    with pytest.raises(Unmeasured, match="ZeroDivisionError"):
        in_child(divmod, 1, 0, limit_s=60)
    with pytest.raises(Unmeasured, match="died with exit code 3"):
        in_child(os._exit, 3, limit_s=60)
    with pytest.raises(Unmeasured, match=r"more than 0\.2 s"):
        in_child(time.sleep, 60, limit_s=0.2)

"""The registry: what it says of the shipped networks, and a network that is added to it and run through."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import ecg_trt.weights as weights
from build_engines.export import Precision, export
from ecg_trt.backends.ort import OrtBackend
from ecg_trt.backends.runtime import LazyBackend
from ecg_trt.backends.select import open_runtime
from ecg_trt.cli import main
from ecg_trt.config import RuntimeOptions
from ecg_trt.digitizer import Digitizer, reading_weights
from ecg_trt.errors import BackendError, OptionError, PlanMissingError, WeightsError
from ecg_trt.inference import Kind, View, Views, kind_of
from ecg_trt.io.writers.json import record_as_dict
from ecg_trt.networks import (
    NETWORKS,
    PAGE,
    READING_NETWORKS,
    TILES,
    VIEW,
    HeadKind,
    InputSpec,
    NetworkSpec,
    head_kind,
    network_spec,
)
from ecg_trt.ops.cuda_work import Sizes
from ecg_trt.quality.model import is_of
from ecg_trt.synth.sample import make_sample
from ecg_trt.types import Array
from tests.backends.fake_gpu import move_in, plug_in, save_plans
from tests.cuda.fake_driver import FakeDriver
from tests.make_onnx import as_float, pictures

FREE = {0: "n", 1: "h", 2: "w"}
HEADS = {"spot": HeadKind.HEATMAP, "shift": HeadKind.VALUE}
TOY = NetworkSpec("toy", (InputSpec("image", (1, 64, 96, 3), FREE, buffer=VIEW),), HEADS, (2.0, 2.0))
TOY_ONNX = pictures([("spot", 1), ("shift", 2)])
BUILD = ("build", "--flavour", "rtx", "--compute-capability", "8.6", "--stage", "toy")


@pytest.mark.parametrize("name", NETWORKS)
def test_a_spec_describes_the_shipped_network(name: str) -> None:
    spec = network_spec(name)
    with OrtBackend(weights.weights_path(name), 1) as backend:
        assert backend.inputs == tuple(entry.onnx for entry in spec.inputs)
        assert [output.name for output in backend.outputs] == list(spec.heads)
    assert spec.name == name and (weights.FOLDER / spec.card).is_file()


def test_the_registry_is_the_manifest_and_a_reading_needs_its_pictures() -> None:
    assert list(NETWORKS) == list(weights.list_weights())
    assert list(READING_NETWORKS) == [name for name, spec in NETWORKS.items() if spec.inputs[0].is_image]
    with pytest.raises(OptionError, match=r"'stage9'; expected one of stage0, stage1, stage2, caption, heartbeat"):
        network_spec("stage9")


def test_a_head_means_the_same_in_all_networks() -> None:
    meanings = {(head, kind) for spec in NETWORKS.values() for head, kind in spec.heads.items()}
    assert len(meanings) == len(dict(meanings))
    assert all(head_kind(head) is kind for head, kind in meanings)
    assert head_kind("of no network") is HeadKind.HEATMAP


def test_pictures_lie_in_buffers_that_are_there_from_the_start() -> None:
    sizes = Sizes().device()
    assert {spec.inputs[0].buffer for spec in READING_NETWORKS.values()} == {VIEW, PAGE, TILES}
    for spec in READING_NETWORKS.values():
        assert sizes[spec.buffer_of("image")] >= np.prod(spec.shapes["image"])
    assert NETWORKS["stage2"].buffer_of("mask") == "stage2 mask"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of weights with one more network, which the registry has too."""
    folder = tmp_path / "weights"
    folder.mkdir()
    entries = {name: {"file": str(weights.weights_path(name)), "sha256": weights.weights_sha256(name)}
               for name in NETWORKS}  # fmt: skip
    (folder / "toy.onnx").write_bytes(TOY_ONNX)
    entries["toy"] = {"file": "toy.onnx", "sha256": hashlib.sha256(TOY_ONNX).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(entries))
    monkeypatch.setattr(weights, "FOLDER", folder)
    monkeypatch.setitem(NETWORKS, "toy", TOY)
    return folder


@pytest.fixture
def image() -> Array:
    return np.random.default_rng(0).integers(0, 256, TOY.shapes["image"], np.uint8)


def test_it_opens_when_it_is_first_used(folder: Path, image: Array) -> None:
    with open_runtime("ort", threads=1) as runtime:
        assert set(runtime.backends) == set(NETWORKS) and "toy" in NETWORKS
        opened = [name for name, backend in runtime.backends.items() if not isinstance(backend, LazyBackend)]
        assert opened == []
        answer = runtime.backends["toy"].infer({"image": image})
        assert {name: array.shape for name, array in answer.items()} == {"spot": (1, 1, 8, 12), "shift": (1, 2, 8, 12)}
        states = {name: getattr(backend, "is_open", None) for name, backend in runtime.backends.items()}
        assert states == {**dict.fromkeys(NETWORKS, False), "toy": True}


def test_its_heads_are_averaged_as_they_are_meant(folder: Path, image: Array) -> None:
    assert (kind_of("spot"), kind_of("shift")) == (Kind.LOGIT, Kind.VALUE)
    with open_runtime("ort", networks=["toy"], threads=1) as runtime:
        toy = runtime.backends["toy"]
        views = View(), View(8, 0)
        single = [view.undo(toy.infer({"image": view.show(image)})["shift"], TOY.hw) for view in views]
        np.testing.assert_allclose(Views(toy, views).infer({"image": image})["shift"], sum(single) / 2, atol=1e-6)
        with pytest.raises(OptionError, match="ridge, presence, border"):
            Views(toy, [View(mirrored=True)])


@pytest.fixture
def build(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Result]:
    pytest.importorskip("tensorrt_rtx")
    monkeypatch.setenv("ECG_TRT_HOME", str(tmp_path))
    monkeypatch.setattr("ecg_trt.cuda.compile.compile_file", lambda file, capability: b"\x7fELF")
    yield CliRunner().invoke(main, BUILD)


def test_it_is_exported_compared_and_built(build: Result, tmp_path: Path) -> None:
    assert build.exit_code == 0, build.output
    row = build.stdout.splitlines()[1].split()
    assert row[:4] == ["toy", "rtx", "8.6", "fp16"] and row[6:8] == ["built", "ONNX"]
    (plan,) = (tmp_path / "plans").glob("toy_rtx-*_sm86_fp16_*.plan")
    assert plan.read_bytes().startswith(b"vtrt")
    manifest = json.loads(plan.with_name(f"{plan.name}.json").read_text())
    assert manifest["inputs"] == [{"name": "image", "dtype": "uint8", "shape": [1, 64, 96, 3]}]
    assert [output["name"] for output in manifest["outputs"]] == list(HEADS)
    again = CliRunner().invoke(main, BUILD)
    assert "Nothing to do" in again.stderr


def test_a_spec_that_does_not_describe_its_network_is_no_build(
    build: Result, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wrong = NetworkSpec("toy", TOY.inputs, {"spot": HeadKind.HEATMAP}, TOY.px_per_mm)
    monkeypatch.setitem(NETWORKS, "toy", wrong)
    for plan in (tmp_path / "plans").iterdir():
        plan.unlink()
    result = CliRunner().invoke(main, BUILD)
    assert result.exit_code == 2
    assert "outputs spot, shift; expected spot." in result.stderr and "ecg_trt/networks.py" in result.stderr


def test_it_runs_where_the_pixel_work_leaves_its_picture(
    folder: Path, image: Array, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    move_in(monkeypatch, tmp_path)
    driver = FakeDriver()
    trt = plug_in(monkeypatch, driver)
    save_plans({"toy": export(TOY_ONNX, Precision.FP32, TOY.shapes)})
    with open_runtime("rtx", networks=["toy"]) as runtime, OrtBackend(TOY_ONNX, 1) as cpu:
        assert set(runtime.backends) == {"toy"} and trt.calls.count("create_execution_context") == 1
        got, expected = (backend.infer({"image": image}) for backend in (runtime.backends["toy"], cpu))
        assert all(np.allclose(got[name], expected[name], atol=1e-4) for name in HEADS)
        captured = driver.calls.count("end_capture")
        view = runtime.ops.warp_homography(runtime.ops.upload(image[0]), np.eye(3), TOY.hw)
        runtime.backends["toy"].infer({"image": view.reshape(1, *view.shape)})
        assert driver.calls.count("end_capture") == captured == 1, "the picture lies where it was captured"
    assert driver.live == {} and driver.faults == []


def test_the_digitizer_needs_neither_its_plan_nor_its_weights(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    move_in(monkeypatch, tmp_path)
    driver = FakeDriver()
    trt = plug_in(monkeypatch, driver)
    (folder / "toy.onnx").unlink()
    save_plans({name: as_float((1, 8, 8, 3)) for name in READING_NETWORKS})
    for backend in ("rtx", "ort"):
        with Digitizer(RuntimeOptions(backend=backend, threads=1)) as digitizer:
            assert set(digitizer.runtime.backends) == set(READING_NETWORKS)
    assert trt.calls.count("create_execution_context") == len(READING_NETWORKS)
    networks = [*READING_NETWORKS, "toy"]
    with pytest.raises(PlanMissingError, match=r"no plan for toy.*--stage toy"):
        open_runtime("rtx", networks=networks)
    with pytest.raises(WeightsError, match="toy"):
        open_runtime("ort", networks=networks)
    with (
        open_runtime("ort", networks=["stage0"]) as runtime,
        pytest.raises(BackendError, match="no network stage1: got stage0; expected stage1"),
    ):
        Digitizer(runtime=runtime)


def test_the_calibration_is_still_of_these_networks(folder: Path) -> None:
    shipped = weights.list_weights()
    assert "toy" in shipped and is_of(shipped)
    assert reading_weights() == {name: shipped[name] for name in READING_NETWORKS}
    assert not is_of({**shipped, "stage1": "ab" * 32})
    assert not is_of({name: digest for name, digest in shipped.items() if name != "caption"})


@pytest.mark.slow
def test_a_reading_is_the_same_with_it(request: pytest.FixtureRequest) -> None:
    photo, _ = make_sample(23, width_px=2400, severity=0.3, layout="3x4+1", pulse="left", clutter=0.0)
    records = []
    for fixture in ((), ("folder",)):
        for name in fixture:
            request.getfixturevalue(name)
        with Digitizer(RuntimeOptions(threads=1)) as digitizer:
            records.append(record_as_dict(digitizer(photo)) | {"timings_ms": None})
            assert digitizer.runtime.backends.keys() == set(READING_NETWORKS)
    assert records[0] == records[1]

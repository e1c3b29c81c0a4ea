"""A model repository, read as Triton reads it, and its Python model under a Triton that is not there."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from build_engines.export import Precision, export
from ecg_trt.cli import main
from ecg_trt.config import ReadOptions, RuntimeOptions
from ecg_trt.distributed import triton_pipeline
from ecg_trt.distributed.triton import PIPELINE, write_repository
from ecg_trt.errors import NoEcgFoundError
from ecg_trt.networks import NETWORKS
from ecg_trt.record import EcgRecord
from ecg_trt.weights import weights_path
from tests.backends.fake_gpu import save_plans
from tests.conftest import make_record

PHOTO = Path(__file__).parents[2] / "examples" / "photo.jpg"
UINT8, FP32 = 2, 11  # of Triton's DataType


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ECG_TRT_HOME", str(tmp_path / "home"))
    return tmp_path


def write(home: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["build", "--triton", str(home / "repository"), *words])


def parsed(home: Path, name: str) -> Any:
    """The configuration as Triton's own message; a field that Triton does not know fails."""
    config = pytest.importorskip("tritonclient.grpc.model_config_pb2", reason="extra test: tritonclient[grpc]")
    from google.protobuf import text_format

    return text_format.Parse((home / "repository" / name / "config.pbtxt").read_text(), config.ModelConfig())


def plans(*names: str, **changes: str) -> None:
    networks = {name: export(weights_path(name), Precision.FP32, NETWORKS[name].shapes) for name in names}
    save_plans(networks, "trt", **changes)


@pytest.mark.parametrize("name", NETWORKS)
def test_without_plans_networks_are_served_as_onnx(home: Path, name: str) -> None:
    result = write(home, "--stage", name)
    assert result.exit_code == 0 and f"No trt plan of {name}" in result.stderr and "ecg-trt build" in result.stderr
    spec, config = NETWORKS[name], parsed(home, name)
    assert (config.name, config.platform, config.max_batch_size) == (name, "onnxruntime_onnx", 0)
    assert (home / "repository" / name / "1" / "model.onnx").read_bytes() == weights_path(name).read_bytes()
    (entry,) = config.input
    free = dict.fromkeys(spec.inputs[0].free, -1)
    assert list(entry.dims) == [free.get(axis, side) for axis, side in enumerate(spec.inputs[0].shape)]
    assert entry.data_type == (UINT8 if spec.inputs[0].is_image else FP32)
    assert {output.data_type for output in config.output} == {FP32}
    assert [output.name for output in config.output] == list(spec.heads)


def test_a_plan_is_served_as_it_was_built(home: Path) -> None:
    plans("stage0", "caption")
    result = write(home)
    assert result.exit_code == 0 and "No trt plan of stage1, stage2, heartbeat" in result.stderr
    rows = [line.split() for line in result.stdout.splitlines()[1:]]
    platforms = {row[0]: row[1] for row in rows}
    assert {name for name, platform in platforms.items() if platform == "tensorrt_plan"} == {"stage0", "caption"}
    assert set(platforms) == set(NETWORKS)
    config = parsed(home, "stage0")
    assert (config.platform, list(config.input[0].dims)) == ("tensorrt_plan", list(NETWORKS["stage0"].shapes["image"]))
    assert {output.name: output.dims[0] for output in config.output} == dict.fromkeys(NETWORKS["stage0"].heads, 1)
    (plan,) = (home / "home" / "plans").glob("stage0*.plan")
    assert (home / "repository" / "stage0" / "1" / "model.plan").read_bytes() == plan.read_bytes()


def test_which_plan_is_meant_must_be_clear(home: Path) -> None:
    plans("caption")
    plans("caption", capability="8.6")
    both = write(home, "--stage", "caption")
    assert both.exit_code == 2 and "_sm86_" in both.stderr and "--compute-capability" in both.stderr
    one = write(home, "--stage", "caption", "--compute-capability", "8.6")
    assert one.exit_code == 0 and one.stdout.split()[-2:-1] == ["8.6"]
    (plan,) = (home / "home" / "plans").glob("caption*_sm86_*.plan")
    plan.write_bytes(plan.read_bytes()[:-1])
    broken = write(home, "--stage", "caption", "--compute-capability", "8.6")
    assert broken.exit_code == 2 and "cannot be trusted" in broken.stderr


def test_a_plan_for_any_gpu_is_served_where_there_is_none_for_the_named_one(home: Path) -> None:
    plans("caption", capability="any")
    any_plan = write(home, "--stage", "caption", "--compute-capability", "8.6")
    assert any_plan.exit_code == 0 and any_plan.stdout.split()[-2:-1] == ["any"]
    assert "No trt plan of caption" in write(home, "--stage", "caption", "--compute-capability", "7.5").stderr
    plans("caption", capability="8.6")
    exact = write(home, "--stage", "caption", "--compute-capability", "8.6")
    assert exact.exit_code == 0 and exact.stdout.split()[-2:-1] == ["8.6"]


def test_plans_of_another_flavour_are_not_served(home: Path) -> None:
    save_plans({"caption": export(weights_path("caption"), Precision.FP32, NETWORKS["caption"].shapes)}, "rtx")
    assert "No trt plan of caption" in write(home, "--stage", "caption").stderr
    assert write(home, "--flavour", "rtx").exit_code == 2


class Triton(ModuleType):
    """`triton_python_backend_utils` as far as the model uses it."""

    class TritonError:
        def __init__(self, message: str) -> None:
            self.text = message

        def message(self) -> str:
            return self.text

    class Tensor:
        def __init__(self, name: str, array: Any) -> None:
            self._name, self._array = name, array

        def name(self) -> str:
            return self._name

        def as_numpy(self) -> Any:
            return self._array

    class InferenceResponse:
        def __init__(self, output_tensors: list[Any] | None = None, error: Any = None) -> None:
            self.output_tensors, self.error = output_tensors or [], error

    @staticmethod
    def get_input_tensor_by_name(request: Any, name: str) -> Any:
        return next((tensor for tensor in request.inputs if tensor.name() == name), None)


def asking(photo: bytes, options: str | None = None) -> Any:
    given = {"photo": photo} if options is None else {"photo": photo, "options": options.encode()}
    return SimpleNamespace(inputs=[Triton.Tensor(name, np.array([v], object)) for name, v in given.items()])


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The class that model.py of a repository gives to Triton."""
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", Triton("triton_python_backend_utils"))
    write_repository(tmp_path, [])
    spec = importlib.util.spec_from_file_location("model_of_triton", tmp_path / PIPELINE / "1" / "model.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    opened = module.TritonPythonModel()
    yield opened
    opened.finalize()


def configured(**parameters: str) -> dict[str, str]:
    entries = {name: {"string_value": value} for name, value in parameters.items()}
    return {"model_config": json.dumps({"parameters": entries})}


class QuickDigitizer:
    """Answers at once: a record of 20 samples, or that there is no ECG."""

    def __init__(self, runtime_options: RuntimeOptions) -> None:
        self.runtime_options, self.is_open = runtime_options, True

    def __call__(self, source: bytes, options: ReadOptions, *, page: int | None) -> EcgRecord:
        if source == b"a cat":
            raise NoEcgFoundError("No ECG", got="a cat", expected="ECG paper", hint="Show it.")
        return make_record(fs=options.fs, source=f"page {page}")

    def close(self) -> None:
        self.is_open = False


def test_the_model_answers_each_request_by_itself(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_pipeline, "Digitizer", QuickDigitizer)
    model.initialize(configured(backend="ort", threads="3"))
    assert model._digitizer.runtime_options == RuntimeOptions(backend="ort", threads=3)
    sound, cat, unknown, none, other = model.execute([
        asking(b"photo", '{"fs": 250, "page": 2}'), asking(b"a cat"), asking(b"photo", '{"colour": 1}'),
        asking(b"photo", "no JSON"), asking(b"photo", '{"speed": 26}'),
    ])  # fmt: skip
    outputs = {tensor.name(): tensor.as_numpy() for tensor in sound.output_tensors}
    described = json.loads(outputs["record"].item())
    assert (described["fs"], described["source"], described["units"]) == (250.0, "page 2", "mV")
    assert described["notice"] == "Research use only, not a medical device"
    signal = outputs["signal_mv"]
    assert (signal.shape, signal.dtype) == ((12, 20), np.float32) and np.isnan(signal[11]).all()
    assert cat.error.message().startswith("NoEcgFoundError: No ECG: got a cat")
    assert "'colour'" in unknown.error.message() and '"speed": 50' in none.error.message()
    assert other.error.message().startswith("OptionError: Unknown speed: got 26")
    assert sound.error is None and not cat.output_tensors


def test_what_the_model_names_is_what_its_configuration_names(home: Path) -> None:
    write(home, "--stage", "caption")
    config = parsed(home, PIPELINE)
    assert (config.backend, config.max_batch_size) == ("python", 0)
    assert {entry.name: entry.optional for entry in config.input} == {"photo": False, "options": True}
    assert {entry.name: list(entry.dims) for entry in config.output} == {"record": [1], "signal_mv": [-1, -1]}
    assert {key: value.string_value for key, value in config.parameters.items()} == {"backend": "auto", "threads": "0"}


@pytest.mark.slow
def test_the_model_reads_a_photo(model: Any) -> None:
    model.initialize(configured(backend="ort"))
    (answer,) = model.execute([asking(PHOTO.read_bytes())])
    outputs = {tensor.name(): tensor.as_numpy() for tensor in answer.output_tensors}
    described = json.loads(outputs["record"].item())
    assert described["layout"] == "3x4+1" and described["mean_quality"] > 0.9
    assert outputs["signal_mv"].shape == (12, 5000)

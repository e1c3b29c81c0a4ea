"""Inspection of plans on a fake GPU, and of what TensorRT writes about layers."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ecg_trt.backends.inspection import Layer, inspect_plan, parse_layer
from ecg_trt.cli import main
from ecg_trt.engines.manifest import Flavour
from ecg_trt.errors import PlanCorruptError
from tests.backends.fake_gpu import move_in, plug_in, save_plans
from tests.backends.fake_tensorrt import ACTIVATION_BYTES
from tests.cuda.fake_driver import FakeDriver
from tests.make_onnx import as_float

LAYERS = (Layer("a layer"), Layer("another", "gemm", "Row major linear FP16 format"))


@pytest.fixture
def use_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    move_in(monkeypatch, tmp_path)
    monkeypatch.setattr("ecg_trt.backends.inspection.open_driver", FakeDriver)
    return partial(plug_in, monkeypatch, FakeDriver())


def saved(flavour: str = "rtx", **changes: str) -> Path:
    (plan,) = save_plans({"stage0": as_float((1, 8, 8, 3))}, flavour, **changes).plans()
    return plan.path


@pytest.mark.parametrize(("flavour", "is_old"), [(Flavour.RTX, False), (Flavour.TRT, False), (Flavour.TRT, True)])
def test_a_plan_that_can_be_loaded_is_shown_whole(use_gpu: Any, flavour: Flavour, is_old: bool) -> None:
    use_gpu(name=flavour.module, is_old=is_old)
    inspection = inspect_plan(saved(flavour))
    assert (inspection.device_bytes, inspection.layers, inspection.why_not) == (ACTIVATION_BYTES, LAYERS, "")


def test_the_command_prints_layers(use_gpu: Any) -> None:
    use_gpu()
    path = saved()
    shown = CliRunner().invoke(main, ["engines", "inspect"])
    assert shown.exit_code == 0, shown.output
    rows = [line.split(maxsplit=1) for line in shown.stdout.splitlines()]
    assert rows[0] == [path.name]
    assert ["gemm", "Row major linear FP16 format  another"] in rows
    found = json.loads(CliRunner().invoke(main, ["engines", "inspect", "--json"]).stdout)
    assert found["layers"][0] == {"name": "a layer", "kind": "", "formats": ""}
    assert found["device_bytes"] == ACTIVATION_BYTES


def test_a_runtime_without_an_inspector_lists_no_layers(use_gpu: Any) -> None:
    trt = use_gpu()
    del trt.EngineInspector
    inspection = inspect_plan(saved())
    assert (inspection.device_bytes, inspection.layers) == (ACTIVATION_BYTES, ())


def test_a_plan_that_tensorrt_does_not_take_is_shown_by_its_manifest(
    use_gpu: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    trt = use_gpu()
    path = saved()
    monkeypatch.setattr(trt.Runtime, "deserialize_cuda_engine", lambda self, plan: None)
    inspection = inspect_plan(path)
    assert inspection.layers is None and "a plan that it does not take" in inspection.why_not
    assert inspection.manifest.key.stage == "stage0"


@pytest.mark.parametrize(
    ("changes", "words"), [({"version": "1.6.0"}, "1.7.0 is installed"), ({"capability": "8.6"}, "a GPU of 9.0")]
)
def test_a_plan_for_something_else_is_not_loaded(use_gpu: Any, changes: dict[str, str], words: str) -> None:
    trt = use_gpu()
    inspection = inspect_plan(saved(**changes))
    assert inspection.layers is None and words in inspection.why_not
    assert trt.calls == []


def test_an_altered_plan_is_not_loaded(use_gpu: Any) -> None:
    trt = use_gpu()
    path = saved()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(PlanCorruptError):
        inspect_plan(path)
    assert trt.calls == []


@pytest.mark.parametrize(
    ("text", "layer"),
    [
        ('"conv1 + relu1"\n', Layer("conv1 + relu1")),
        ("conv1 + relu1\n", Layer("conv1 + relu1")),
        (
            '{"Name": "c", "LayerType": "CaskConvolution", "Outputs": [{"Format/Datatype": "Half"}, '
            '{"Format/Datatype": "Half"}, {"Format/Datatype": "Float"}]}',
            Layer("c", "CaskConvolution", "Half, Float"),
        ),
        ('{"Name": "c"}', Layer("c")),
    ],
)
def test_words_of_the_inspector(text: str, layer: Layer) -> None:
    assert parse_layer(text) == layer

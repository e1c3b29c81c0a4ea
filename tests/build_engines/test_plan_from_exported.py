"""The second front end, as far as it goes without a GPU."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest

from build_engines.plan_from_exported import check_program, plan_from_exported
from ecg_trt.errors import BackendUnavailableError, BuildError
from ecg_trt.types import TensorSpec
from tests import make_onnx

X = TensorSpec("x", "float32", (1, 3, 4, 4))
Y = TensorSpec("y", "float32", (1, 3, 4, 4))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "affine.onnx"
    path.write_bytes(make_onnx.affine(2, 1))
    return path


def test_torch_tensorrt_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch, source: Path) -> None:
    monkeypatch.setitem(sys.modules, "torch", types.ModuleType("torch"))
    monkeypatch.setitem(sys.modules, "torch_tensorrt", None)
    with pytest.raises(BackendUnavailableError, match=r"torch_tensorrt cannot be imported.*--frontend onnx"):
        plan_from_exported(source, source, [X], [Y])


def save(path: Path, scale: float) -> Any:
    torch = pytest.importorskip("torch")

    class Affine(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: Any) -> Any:
            return (scale * x + 1,)

    program = torch.export.export(Affine(), (torch.zeros(X.shape),))
    torch.export.save(program, path)
    return program


def fake_converter(plan: bytes | None, seen: dict[str, Any]) -> types.ModuleType:
    def convert(program: Any, **options: Any) -> bytes:
        seen.update(options)
        if plan is None:
            raise RuntimeError("no converter for aten.nonsense\nand more")
        return plan

    module = types.ModuleType("torch_tensorrt")
    module.dynamo = types.SimpleNamespace(  # type: ignore[attr-defined]
        convert_exported_program_to_serialized_trt_engine=convert
    )
    return module


@pytest.mark.filterwarnings("ignore")  # torch warns about itself
def test_a_program_is_compared_and_converted(monkeypatch: pytest.MonkeyPatch, source: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    seen: dict[str, Any] = {}
    monkeypatch.setattr(torch.Tensor, "cuda", lambda self: self)
    monkeypatch.setitem(sys.modules, "torch_tensorrt", fake_converter(b"ftrt plan", seen))
    save(tmp_path / "good.pt2", 2)
    assert plan_from_exported(tmp_path / "good.pt2", source, [X], [Y], 32) == b"ftrt plan"
    assert (seen["arg_input_binding_names"], seen["output_binding_names"]) == (("x",), ("y",))
    assert seen["workspace_size"] == 32 << 20 and seen["arg_inputs"][0].shape == X.shape
    save(tmp_path / "other.pt2", 2.5)
    with pytest.raises(BuildError, match=r"whose y differs.*train\.export"):
        plan_from_exported(tmp_path / "other.pt2", source, [X], [Y])
    with pytest.raises(BuildError, match=r"none\.pt2"):
        plan_from_exported(tmp_path / "none.pt2", source, [X], [Y])
    monkeypatch.setitem(sys.modules, "torch_tensorrt", fake_converter(None, seen))
    with pytest.raises(BuildError, match=r"no converter for aten\.nonsense; expected"):
        plan_from_exported(tmp_path / "good.pt2", source, [X], [Y])


@pytest.mark.filterwarnings("ignore")
def test_a_program_of_other_outputs(source: Path) -> None:
    pytest.importorskip("torch")
    with pytest.raises(BuildError, match=r"2 outputs; expected the 1 of affine\.onnx"):
        check_program(lambda x: (x, x), source, [X], Path("two.pt2"))

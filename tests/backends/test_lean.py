"""Plans on the lean runtime of TensorRT: alone, or loaded by a later TensorRT."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ecg_trt.backends.inspection import inspect_plan
from ecg_trt.backends.select import available, open_runtime
from ecg_trt.cli.engines import engine_lines
from ecg_trt.engines.manifest import VERSION_COMPATIBLE, Flavour
from ecg_trt.engines.tensorrt_module import import_tensorrt, lean_library, loadable_versions
from ecg_trt.errors import PlanMismatchError
from ecg_trt.networks import NETWORKS
from tests.backends.fake_gpu import move_in, plug_in, save_plans
from tests.cuda.fake_driver import FakeDriver
from tests.make_onnx import as_float

COMPATIBLE = {VERSION_COMPATIBLE: "yes"}
OLDER = "1.6.5"
LIBRARY = Path("libnvinfer_lean.so.1")


@pytest.fixture(scope="module")
def small() -> dict[str, bytes]:
    return {name: as_float((1 + k, 8, 8, 3)) for k, name in enumerate(NETWORKS)}


@pytest.fixture
def use_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    move_in(monkeypatch, tmp_path)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    return partial(plug_in, monkeypatch, FakeDriver())


@pytest.fixture
def older_lean(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lean runtime of an earlier version that is installed beside TensorRT."""
    monkeypatch.setattr("ecg_trt.engines.manifest._distribution_version", {"tensorrt_lean": OLDER}.get)
    monkeypatch.setattr("ecg_trt.backends.engine.lean_library", lambda: LIBRARY)


def test_the_lean_runtime_alone_runs_compatible_plans(use_gpu: Any, small: dict[str, bytes]) -> None:
    trt = use_gpu(name="tensorrt_lean")
    assert import_tensorrt(Flavour.TRT) is trt
    assert ("trt", True, "") in available()
    save_plans(small, "trt", COMPATIBLE)
    with open_runtime("trt") as runtime:
        assert runtime.name == "trt"
    assert not any(call.startswith("load_runtime") for call in trt.calls)


def test_the_lean_runtime_rejects_other_plans(use_gpu: Any, small: dict[str, bytes]) -> None:
    trt = use_gpu(name="tensorrt_lean")
    save_plans(small, "trt")
    with pytest.raises(PlanMismatchError, match=r"tensorrt_lean 1\.7\.0 and a plan .*--version-compatible$"):
        open_runtime("trt")
    assert trt.calls == []


def test_a_full_tensorrt_comes_first(use_gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    use_gpu(name="tensorrt_lean")
    full = use_gpu(name="tensorrt")
    assert import_tensorrt(Flavour.TRT) is full
    monkeypatch.setitem(sys.modules, "tensorrt", ModuleType("tensorrt"))  # a stub from PyPI
    assert import_tensorrt(Flavour.TRT).__name__ == "tensorrt_lean"


def test_a_later_tensorrt_loads_the_lean_runtime(use_gpu: Any, small: dict[str, bytes], older_lean: None) -> None:
    trt = use_gpu(name="tensorrt")
    save_plans(small, "trt", COMPATIBLE, version=OLDER)
    open_runtime("trt").close()
    assert trt.calls.count(f"load_runtime {LIBRARY}") == len(NETWORKS)
    trt.calls.clear()
    save_plans(small, "trt")
    open_runtime("trt").close()  # Plans of its own version come first.
    assert not any(call.startswith("load_runtime") for call in trt.calls)


def test_a_later_tensorrt_rejects_plans_of_the_full_older_one(
    use_gpu: Any, small: dict[str, bytes], older_lean: None
) -> None:
    trt = use_gpu(name="tensorrt")
    save_plans(small, "trt", version=OLDER)
    with pytest.raises(PlanMismatchError, match=r"not version-compatible; expected tensorrt 1\.6\.5"):
        open_runtime("trt")
    assert trt.calls == []


def test_a_lean_runtime_that_cannot_be_loaded(
    use_gpu: Any, small: dict[str, bytes], older_lean: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_gpu(name="tensorrt", fail_at=2)
    save_plans(small, "trt", COMPATIBLE, version=OLDER)
    with pytest.raises(PlanMismatchError, match=r"no lean runtime .*pip install tensorrt-lean==1\.6\.5"):
        open_runtime("trt")


def test_a_plan_on_the_lean_runtime_is_inspected_without_layers(
    use_gpu: Any, small: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    use_gpu(name="tensorrt_lean")
    monkeypatch.setattr("ecg_trt.backends.inspection.open_driver", FakeDriver)
    store = save_plans(small, "trt", COMPATIBLE)
    inspection = inspect_plan(store.plans()[0].path)
    assert inspection.layers == () and inspection.device_bytes


@pytest.mark.parametrize(
    ("module", "own", "lean", "expected"),
    [
        ("tensorrt", "10.16.1", None, ("10.16.1",)),
        ("tensorrt", "10.16.1", "10.9.0.34", ("10.16.1", "10.9.0.34")),
        ("tensorrt", "8.6.1", "8.6.0.post1", ("8.6.1", "8.6.0")),
        ("tensorrt", "10.16.1", "10.16.1", ("10.16.1",)),
        ("tensorrt", "10.9.0", "10.16.1", ("10.9.0",)),
        ("tensorrt", "11.4.0", "10.16.1", ("11.4.0",)),
        ("tensorrt_lean", "10.16.1", "10.16.1", ("10.16.1",)),
    ],
)
def test_versions_that_can_be_loaded(
    monkeypatch: pytest.MonkeyPatch, module: str, own: str, lean: str | None, expected: tuple[str, ...]
) -> None:
    monkeypatch.setattr("ecg_trt.engines.manifest._distribution_version", {"tensorrt_lean": lean}.get)
    trt = ModuleType(module)
    trt.__version__ = own  # type: ignore[attr-defined]
    assert loadable_versions(Flavour.TRT, trt) == expected
    assert loadable_versions(Flavour.RTX, trt) == (own,)


@pytest.mark.parametrize("name", ["libnvinfer_lean.so.11", "nvinfer_lean_11.dll"])
def test_the_library_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    folder = tmp_path / "tensorrt_lean_libs"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert lean_library() is None
    (folder / name).touch()
    assert lean_library() == folder / name


def test_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ecg_trt.engines.tensorrt_module.find_spec", lambda name: None)
    assert lean_library() is None


def test_the_lean_runtime_is_listed(older_lean: None) -> None:
    assert [line.split() for line in engine_lines()][:3] == [
        ["trt", "not", "installed"],
        ["lean", "runtime", OLDER],
        ["rtx", "not", "installed"],
    ]


def test_the_lean_runtime_of_pypi_has_what_is_called() -> None:
    """Nothing is opened: without a driver its objects are null, and crash."""
    trt = pytest.importorskip("tensorrt_lean")
    for name in ("ILogger", "Runtime", "LayerInformationFormat", "TensorIOMode"):
        assert hasattr(trt, name)
    assert {"load_runtime", "deserialize_cuda_engine"} <= set(dir(trt.Runtime))
    assert {"device_memory_size_v2", "create_execution_context", "num_io_tensors"} <= set(dir(trt.ICudaEngine))
    assert {"set_tensor_address", "execute_async_v3"} <= set(dir(trt.IExecutionContext))
    library = lean_library()
    assert library is not None and library.is_file()
    assert Flavour.TRT.lean_version() == trt.__version__

"""A machine with a GPU, TensorRT and plans, none of them real."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from build_engines.export import io_specs
from ecg_trt.cuda.device import DeviceInfo
from ecg_trt.engines.manifest import Flavour, Manifest, PlanKey
from ecg_trt.engines.store import PlanStore
from ecg_trt.weights import list_weights
from tests.backends.fake_tensorrt import VERSION, make_runtime
from tests.cuda.fake_driver import FakeDriver

GPU = DeviceInfo(0, "no GPU at all", (9, 0), 1 << 40, (13, 0))


class CudaSession(onnxruntime.InferenceSession):  # type: ignore[misc] # it has no types
    """A session that says of itself that it runs by the CUDA provider; it runs on the CPU."""

    def __init__(self, *arguments: Any, providers: list[Any], **options: Any) -> None:
        self.requested = providers
        super().__init__(*arguments, providers=["CPUExecutionProvider"], **options)

    def get_providers(self) -> list[str]:
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]


def save_plans(
    networks: Mapping[str, bytes], flavour: str = "rtx", options: Mapping[str, str] | None = None, /, **changes: str
) -> PlanStore:
    """Plans that the fake TensorRT runs, with manifests that say of them what a test wants.

    Args:
        networks: name to ONNX of static shapes.
        flavour: of the plans.
        options: of the builder, none if None.
        changes: fields of the plans' keys.
    """
    store = PlanStore()
    for name, onnx in networks.items():
        fields = {"version": VERSION, "capability": "9.0", "precision": "fp16", "onnx_sha256": list_weights()[name]}
        key = PlanKey(name, Flavour(flavour), **{**fields, **changes})
        plan = key.flavour.magic[0] + onnx
        inputs, outputs = io_specs(onnx)
        digest = hashlib.sha256(plan).hexdigest()
        store.save(Manifest(key, inputs, outputs, options or {}, digest, len(plan), "a test"), plan)
    return store


def move_in(patch: pytest.MonkeyPatch, home: Path) -> None:
    """Plans and caches go to `home`; kernels need not be compiled."""
    patch.setenv("ECG_TRT_HOME", str(home))
    patch.setattr("ecg_trt.cuda.kernel_set.cubin", lambda file, capability: file.encode())


def plug_in(patch: pytest.MonkeyPatch, driver: FakeDriver, **how: Any) -> Any:
    """Puts a fake driver and a fake TensorRT where the real ones would be; returns the latter's module."""
    trt = make_runtime(driver, **how)
    patch.setitem(sys.modules, trt.__name__, trt)
    for module in ("ecg_trt.backends.select", "ecg_trt.engines.tensorrt_module"):
        patch.setattr(f"{module}.probe", lambda: GPU)
    patch.setattr("ecg_trt.backends.trt.open_driver", lambda: driver)
    return trt

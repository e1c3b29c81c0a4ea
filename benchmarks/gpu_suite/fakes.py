"""Dry runs without a GPU: the tests' fake driver, kernels compiled for the CPU, and a fake TensorRT with plans.

No figure of such a run means anything; it shows that the suite itself works. It needs a clone of the repository.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.throughput_suite import baselines, gpu, measure
from benchmarks.throughput_suite.torch_gpu import TorchOptions
from build_engines.export import Precision, export
from ecg_trt.engines.store import PlanStore
from ecg_trt.networks import READING_NETWORKS
from ecg_trt.weights import weights_path
from tests.backends.fake_gpu import GPU, move_in, plug_in, save_plans
from tests.cuda.fake_driver import FakeDriver
from tests.cuda.host_kernels import host_kernels

_PATCH = pytest.MonkeyPatch()  # for as long as the process lives


class _FakeGpu:
    """A GPU without a record of its memory."""

    def __enter__(self) -> _FakeGpu:
        return self

    def __exit__(self, *_: object) -> None: ...

    def used_bytes(self) -> int:
        """Report that no memory is in use."""
        return 0

    def copy_seconds(self, nbytes: int, best_of: int) -> float:
        """Report one second for any copy."""
        return 1.0


def plug_in_fakes(folder: Path) -> None:
    """Put the fakes where the real ones would be; plans go to a folder."""
    driver = FakeDriver(host_kernels())
    move_in(_PATCH, folder / "home")
    plug_in(_PATCH, driver)

    def open_driver(*_: Any, **__: Any) -> FakeDriver:
        return driver

    _PATCH.setattr("ecg_trt.cuda.select.open_driver", open_driver)
    _PATCH.setattr(baselines, "open_driver", open_driver)
    _PATCH.setattr("ecg_trt.cuda.compile.cubin", lambda file, target: file.encode())
    _PATCH.setattr("ecg_trt.cuda.device.probe", lambda *_: GPU)
    for module in (gpu, measure):
        _PATCH.setattr(module, "why_no_gpu", lambda: "")
        _PATCH.setattr(module, "Gpu", _FakeGpu)
    options = TorchOptions("fp32", device="cpu")
    _PATCH.setattr(baselines, "_TORCH_GPU", options)
    if not PlanStore().plans():
        specs = READING_NETWORKS.items()
        save_plans({name: export(weights_path(name), Precision.FP32, spec.shapes) for name, spec in specs})

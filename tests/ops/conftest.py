"""The pixel work on the GPU: on the kernels' own source, compiled for the host, and on a GPU where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest

from ecg_trt.cuda.device import DeviceInfo, probe
from ecg_trt.cuda.select import open_driver
from ecg_trt.ops.cuda_ops import CudaOps
from tests.cuda.fake_driver import FakeDriver
from tests.cuda.host_kernels import host_kernels
from tests.ops.parity import SMALL


def drivers() -> list[Any]:
    """The host, and where there is a GPU, every driver package that is installed: the same tests run on it."""
    real = isinstance(probe(), DeviceInfo)
    packages = [name for name, module in (("cuda-core", "cuda.core"), ("pycuda", "pycuda")) if real and _has(module)]
    return ["host", *(pytest.param(name, marks=pytest.mark.gpu) for name in packages)]


def _has(module: str) -> bool:
    return bool(find_spec(module.split(".")[0]) and find_spec(module))


@pytest.fixture
def any_cubin(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake driver needs none."""
    monkeypatch.setattr("ecg_trt.cuda.kernel_set.cubin", lambda file, capability: file.encode())


@pytest.fixture(params=drivers())
def gpu(request: pytest.FixtureRequest) -> Iterator[CudaOps]:
    if request.param != "host":
        driver = open_driver(request.param)
        with CudaOps(driver, sizes=SMALL) as ops:
            yield ops
        driver.close()
        return
    request.getfixturevalue("any_cubin")
    fake = FakeDriver(host_kernels())
    with CudaOps(fake, sizes=SMALL) as ops:
        yield ops
    assert fake.faults == []
    assert fake.live == {}

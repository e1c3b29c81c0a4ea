"""The two driver packages themselves, on a stand-in for NVIDIA's library, each in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecg_trt.cuda.device import DeviceInfo
from ecg_trt.cuda.driver import device_error, no_gpu
from ecg_trt.cuda.select import open_driver
from ecg_trt.errors import BackendUnavailableError, DeviceFaultError, DeviceMemoryError, DriverError
from ecg_trt.ops.cv2_ops import Cv2Ops
from tests.cuda.host_kernels import host_kernels

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def installed(*packages: str) -> bool:
    """Parents first."""
    return all(importlib.util.find_spec(package) for package in packages)


def unwrapped_symbols(package: str, library: Path) -> str:
    """C++ for what a package's extension links against and the stand-in lacks; nobody may call it."""
    extension = next(Path(importlib.util.find_spec(package).origin).parent.glob("_driver*.so"))  # type: ignore[union-attr, arg-type]
    names = []
    for file, kind in ((extension, "--undefined-only"), (library, "--defined-only")):
        listing = subprocess.run(["nm", "-D", kind, str(file)], check=True, capture_output=True, text=True).stdout
        names.append({word for word in listing.split() if word.startswith("cu")})
    lacking = sorted(names[0] - names[1])
    return "#include <cstdlib>\n" + "".join(f'extern "C" int {name}() {{ std::abort(); }}\n' for name in lacking)


def build(folder: Path, *more: Path) -> Path:
    library = folder / "libcuda.so.1"
    sources = [str(HERE / "libcuda.cpp"), *map(str, more)]
    flags = ["-std=c++17", "-O1", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1"]
    command = [shutil.which("g++") or "clang++", *flags, *sources, "-o", str(library), "-ldl"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return library


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A libcuda.so.1."""
    if not sys.platform.startswith("linux"):
        pytest.skip("the stand-in for libcuda.so.1 is for Linux")
    host_kernels()  # skips without a compiler
    return build(tmp_path_factory.mktemp("cuda"))


def in_a_process(library: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ, "LD_LIBRARY_PATH": str(library.parent), "LD_PRELOAD": str(library),
        "HOST_KERNELS": host_kernels()._name, "PYTHONPATH": str(ROOT), **settings,
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-W", "ignore", *arguments], env=environment, cwd=ROOT, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip


def check(found: dict[str, Any]) -> None:
    assert found["device"] == ["Stub", [9, 0]]
    assert found["bytes"] == [7] * 8
    assert found["ms"] == 1
    assert found["too much"] == "DeviceMemoryError"
    assert found["no cubin"] == "DriverError"
    assert found["closed"] == "DeviceFaultError"
    assert found["left"] == 0
    image = np.random.default_rng(0).integers(0, 256, (9, 8, 3), np.uint8)
    expected = Cv2Ops().warp_homography(image, np.diag([1.5, 1.25, 1.0]), (6, 5))
    assert np.abs(np.array(found["pixels"]) - expected).max() <= 10  # as in the table of tests/ops/test_cuda_ops.py


@pytest.mark.skipif(not installed("cuda", "cuda.bindings", "cuda.core"), reason='needs pip install -e ".[cuda]"')
def test_cuda_core(stand_in: Path) -> None:
    run = in_a_process(stand_in, str(HERE / "drive.py"), "cuda-core")
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    check(found)
    assert found["after graphs"] == [2] * 8  # captured at its second turn
    assert found["another thread"] == "nothing"


@pytest.mark.skipif(not installed("pycuda"), reason='needs pip install -e ".[pycuda]"')
def test_pycuda(stand_in: Path, tmp_path: Path) -> None:
    rest = tmp_path / "rest.cpp"
    rest.write_text(unwrapped_symbols("pycuda", stand_in), encoding="utf-8")
    run = in_a_process(build(tmp_path, rest), str(HERE / "drive.py"), "pycuda")
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    check(found)
    assert found["after graphs"] == [3] * 8  # it has none: the work is done each time
    assert found["another thread"] == "DeviceFaultError"


PROBE = "from ecg_trt.cuda.device import probe; print(probe())"


@pytest.mark.parametrize(
    ("settings", "answer"),
    [
        ({}, "Stub (sm_90, 8192 MiB, driver for CUDA 13.0)"),
        ({"STUB_VERSION": "11040"}, "a driver for CUDA 11.4, older than 12.0"),
        ({"STUB_INIT": "100"}, "a driver that sees no GPU"),
        ({"STUB_INIT": "803"}, "a driver that answers error 803"),
        ({"STUB_COUNT": "0"}, "0 visible GPUs, none of them number 0"),
        ({"STUB_CAPABILITY": "61"}, "(sm_61, 8192 MiB, driver for CUDA 13.0), older than compute capability 7.5"),
    ],
    ids=str,
)
def test_probe(stand_in: Path, settings: dict[str, str], answer: str) -> None:
    run = in_a_process(stand_in, "-c", PROBE, **settings)
    assert run.returncode == 0, run.stderr
    assert answer in run.stdout


def test_probe_of_a_library_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "libcuda.so.1").write_bytes(b"no library")
    run = subprocess.run(
        [sys.executable, "-c", PROBE], env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}, cwd=ROOT,
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert "no NVIDIA driver" in run.stdout


def test_probe_of_a_library_of_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    from ecg_trt.cuda import device

    monkeypatch.setattr(device, "_LIBRARY", None)  # this process itself, which has no cuInit
    assert "cannot be queried" in str(device.probe())


def test_no_gpu_is_an_error_that_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ecg_trt.cuda.select.probe", lambda ordinal: "no NVIDIA driver")
    with pytest.raises(DriverError, match=r"got no NVIDIA driver; expected an NVIDIA GPU.*--backend ort"):
        open_driver()
    assert isinstance(no_gpu("x"), DriverError)


@pytest.mark.parametrize(
    ("name", "module", "extra"), [("cuda-core", "cuda.bindings", "cuda"), ("pycuda", "pycuda", "pycuda")]
)
def test_a_package_that_is_missing(name: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = DeviceInfo(0, "GPU", (8, 6), 1 << 30, (13, 0))
    monkeypatch.setattr("ecg_trt.cuda.select.probe", lambda ordinal: gpu)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(BackendUnavailableError, match=rf'pip install -e "\.\[{extra}\]"'):
        open_driver(name)
    with pytest.raises(BackendUnavailableError, match="one of cuda-core, pycuda"):
        open_driver("cupy")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("CUDA_ERROR_OUT_OF_MEMORY", DeviceMemoryError),
        ("CUDA_ERROR_INSUFFICIENT_DRIVER", DriverError),
        ("NO_BINARY_FOR_GPU", DriverError),
        ("CUDA_ERROR_ILLEGAL_ADDRESS", DeviceFaultError),
        ("SOMETHING_NEW", DeviceFaultError),
    ],
)
def test_every_code_has_its_error(code: str, kind: type[Exception]) -> None:
    error = device_error("cuLaunchKernel", code)
    assert type(error) is kind
    assert f"CUDA_ERROR_{code.removeprefix('CUDA_ERROR_')} from cuLaunchKernel" in str(error)

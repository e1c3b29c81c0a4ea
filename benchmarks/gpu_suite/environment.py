"""Machine, driver and packages."""

from __future__ import annotations

import shutil
import subprocess

from benchmarks.common import package_version
from benchmarks.gpu_suite.record import PartRecord, Unavailable
from benchmarks.gpu_suite.settings import Settings

_PACKAGES = ("numpy", "scipy", "opencv-python-headless", "pillow", "onnx", "onnxruntime", "onnxruntime-gpu", "torch",
             "triton", "tensorrt", "tensorrt-lean", "tensorrt-rtx", "cuda-core", "cuda-bindings", "cuda-pathfinder",
             "nvidia-cuda-nvrtc", "pycuda", "nvidia-nvimgcodec-cu12", "nvidia-nvimgcodec-cu13",
             "nvidia-ml-py")  # fmt: skip
_ASKED = ("name", "driver_version", "memory.total", "memory.used", "clocks.sm", "clocks.mem", "power.draw",
          "power.limit", "temperature.gpu", "persistence_mode", "mig.mode.current")  # fmt: skip
_TOOLS = ("g++", "nvcc", "compute-sanitizer", "ncu", "nvidia-smi")


def environment(record: PartRecord, settings: Settings) -> None:
    """Write down what a figure may depend on."""
    record.add(packages={name: found for name in _PACKAGES if (found := package_version(name))})
    record.add(tools=[name for name in _TOOLS if shutil.which(name)])
    record.step("gpu", _probe)
    record.step("nvidia_smi", _nvidia_smi)
    record.step("onnxruntime_providers", _providers)
    record.step("backends", _backends)


def _probe() -> str:
    from ecg_trt.cuda.device import probe

    return str(probe())


def _nvidia_smi() -> dict[str, str]:
    if not shutil.which("nvidia-smi"):
        raise Unavailable("no nvidia-smi")
    command = ["nvidia-smi", f"--query-gpu={','.join(_ASKED)}", "--format=csv,noheader", "--id=0"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    return dict(zip(_ASKED, (value.strip() for value in run.stdout.split(",")), strict=False))


def _providers() -> list[str]:
    import onnxruntime

    return list(onnxruntime.get_available_providers())


def _backends() -> dict[str, str]:
    """By name of TensorRT's flavours: its version, or the reason why it cannot be used."""
    from benchmarks.gpu_suite.record import describe
    from ecg_trt.engines.manifest import Flavour
    from ecg_trt.engines.tensorrt_module import import_tensorrt

    found = {}
    for flavour in Flavour:
        try:
            found[str(flavour)] = str(import_tensorrt(flavour).__version__)
        except Exception as error:
            found[str(flavour)] = describe(error)
    return found

"""The backends that are compared, and how each is opened with its timer or without.

With its timer, each step of a photo is measured, at the price of some microseconds a call; without it, a backend runs
as its users run it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.throughput_suite.ort_cuda_backend import OrtCudaBackend
from benchmarks.throughput_suite.step_timers import LabelledBackend, StepTimer, TimedBackend, TimedOps
from benchmarks.throughput_suite.timed_driver import TimedDriver
from benchmarks.throughput_suite.torch_backend import TorchBackend
from benchmarks.throughput_suite.torch_gpu import TorchOptions, open_torch_gpu
from ecg_trt import batch
from ecg_trt.backends.runtime import Runtime
from ecg_trt.backends.select import open_runtime
from ecg_trt.cuda.select import open_driver
from ecg_trt.digitizer import Digitizer
from ecg_trt.errors import EcgTrtError, OptionError
from ecg_trt.networks import READING_NETWORKS
from ecg_trt.ops.select import open_ops
from ecg_trt.record import EcgRecord
from ecg_trt.weights import weights_path

_TORCH_GPU = TorchOptions("fp16")


@dataclass(frozen=True, slots=True)
class Baseline:
    """A backend that is measured.

    Attributes:
        name: as --backends has it.
        device: "cuda" or "cpu", where the networks run.
        precision: "fp16" or "fp32", of the networks.
        what: half a sentence for the table.
        enter: opens it, with its timer or without.
    """

    name: str
    device: str
    precision: str
    what: str
    enter: Callable[[bool], AbstractContextManager[Entry]]


@dataclass(frozen=True, slots=True)
class Entry:
    """A baseline that is open.

    Attributes:
        backends: by the names of `READING_NETWORKS`.
        digitizer: runs on them.
        take: milliseconds by step since it was last called; empty without a timer.
    """

    backends: Mapping[str, Any]
    digitizer: Any
    take: Callable[[], dict[str, float]]


@contextmanager
def _on_cpu_ops(name: str, open_stage: Callable[[str], Any], is_timed: bool) -> Iterator[Entry]:
    """Any backends, with the pixel work on the CPU before and after."""
    with ExitStack() as stack:
        backends = {stage: stack.enter_context(open_stage(stage)) for stage in READING_NETWORKS}
        ops: Any = open_ops()
        timer = StepTimer()
        if is_timed:
            backends = {stage: TimedBackend(backend, stage, timer) for stage, backend in backends.items()}
            ops = TimedOps(ops, timer)
        digitizer = stack.enter_context(Digitizer(runtime=Runtime(name, backends, ops)))
        yield Entry(backends, digitizer, timer.take)


def _open_ort(stage: str) -> Any:
    from ecg_trt.backends.ort import OrtBackend

    return OrtBackend(weights_path(stage))


@contextmanager
def _tensorrt(name: str, is_timed: bool) -> Iterator[Entry]:
    """The package's own runtime on the GPU."""
    names = tuple(READING_NETWORKS)
    with ExitStack() as stack:
        if not is_timed:
            mine = stack.enter_context(open_runtime(name, networks=names))
            yield Entry(mine.backends, stack.enter_context(Digitizer(runtime=mine)), dict)
            return
        timed = stack.enter_context(TimedDriver(open_driver()))
        whole = stack.enter_context(open_runtime(name, networks=names, driver=timed))
        backends = {stage: LabelledBackend(backend, stage, timed) for stage, backend in whole.backends.items()}
        mine = Runtime(whole.name, backends, whole.ops, decoder=whole.decoder)
        yield Entry(backends, stack.enter_context(Digitizer(runtime=mine)), timed.take)


@contextmanager
def _torch_gpu(is_timed: bool) -> Iterator[Entry]:
    """Networks by torch within the package's own CUDA runtime."""
    with ExitStack() as stack:
        driver: Any = open_driver()
        stack.callback(driver.close)
        if is_timed:
            driver = stack.enter_context(TimedDriver(driver))
        runtime = stack.enter_context(open_torch_gpu(driver, _TORCH_GPU))
        digitizer = stack.enter_context(Digitizer(runtime=runtime))
        yield Entry(runtime.backends, digitizer, driver.take if is_timed else dict)


def digitize_many(photos: Iterable[bytes], digitizer: Any) -> Generator[EcgRecord | EcgTrtError, None, None]:
    """`digitize_many` on an open digitizer."""
    return batch.digitize_many(photos, digitizer=digitizer)


def _on_gpu(name: str) -> Callable[[bool], AbstractContextManager[Entry]]:
    return functools.partial(_tensorrt, name)


def _on_cpu(name: str, open_stage: Callable[[str], Any]) -> Callable[[bool], AbstractContextManager[Entry]]:
    return functools.partial(_on_cpu_ops, name, open_stage)


def _torch(name: str, precision: str, compiled: str = "") -> Callable[[bool], AbstractContextManager[Entry]]:
    return _on_cpu(name, functools.partial(TorchBackend, precision=precision, compiled=compiled))


BASELINES = {
    baseline.name: baseline
    for baseline in (
        Baseline("trt", "cuda", "fp16", "TensorRT", _on_gpu("trt")),
        Baseline("rtx", "cuda", "fp16", "TensorRT for RTX", _on_gpu("rtx")),
        Baseline("torch-gpu", "cuda", "fp16", "PyTorch's CUDA graphs, pixel work on the GPU", _torch_gpu),
        Baseline("torch-eager", "cuda", "fp32", "PyTorch, TF32", _torch("torch-eager", "fp32")),
        Baseline("torch-eager-fp16", "cuda", "fp16", "PyTorch", _torch("torch-eager-fp16", "fp16")),
        Baseline("torch-compile", "cuda", "fp16", "torch.compile, CUDA graphs",
                  _torch("torch-compile", "fp16", "reduce-overhead")),
        Baseline("ort-cuda", "cuda", "fp32", "ONNX Runtime, TF32", _on_cpu("ort-cuda", OrtCudaBackend)),
        Baseline("ort", "cpu", "fp32", "ONNX Runtime, the reference", _on_cpu("ort", _open_ort)),
    )
}  # fmt: skip


def chosen(names: Sequence[str]) -> list[Baseline]:
    """The baselines of these names.

    Raises:
        OptionError: one is not known.
    """
    unknown = [name for name in names if name not in BASELINES]
    if unknown or not names:
        raise OptionError(
            "Unknown backend", got=", ".join(map(repr, unknown)) or "none", expected="some of " + ", ".join(BASELINES),
            hint="Name them with commas between, or leave --backends out for all.",
        )  # fmt: skip
    return [BASELINES[name] for name in dict.fromkeys(names)]

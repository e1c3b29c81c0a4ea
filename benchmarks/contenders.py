"""Who takes part, and how each is opened: the only file that knows how runtime, clocks and rivals fit together.

A contender is opened with its clock or without: with it, each step of a photo is told apart, at the price of some
microseconds a call; without it, it runs as its users run it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.clocks import Clock, Clocked, ClockedOps, Labelled
from benchmarks.rivals import OrtRival, TorchBackend
from benchmarks.timed_driver import TimedDriver
from ecg_trt import batch
from ecg_trt.backends.runtime import Runtime
from ecg_trt.backends.select import open_runtime
from ecg_trt.cuda.select import open_driver
from ecg_trt.digitizer import Digitizer
from ecg_trt.errors import EcgTrtError, OptionError
from ecg_trt.networks import NETWORKS
from ecg_trt.ops.select import open_ops
from ecg_trt.record import EcgRecord
from ecg_trt.weights import weights_path


@dataclass(frozen=True, slots=True)
class Contender:
    """Who takes part.

    Attributes:
        name: as --backends has it.
        device: "cuda" or "cpu", where the networks run.
        precision: "fp16" or "fp32", of the networks.
        what: half a sentence for the table.
        enter: opens it, with its clock or without.
    """

    name: str
    device: str
    precision: str
    what: str
    enter: Callable[[bool], AbstractContextManager[Entry]]


@dataclass(frozen=True, slots=True)
class Entry:
    """An open contender.

    Attributes:
        backends: by the names of `NETWORKS`.
        digitizer: runs on them.
        take: milliseconds by step since it was last called; empty without a clock.
    """

    backends: Mapping[str, Any]
    digitizer: Any
    take: Callable[[], dict[str, float]]


@contextmanager
def _on_cpu_ops(name: str, open_stage: Callable[[str], Any], is_timed: bool) -> Iterator[Entry]:
    """Any backends, with the pixel work on the CPU before and after."""
    with ExitStack() as stack:
        backends = {stage: stack.enter_context(open_stage(stage)) for stage in NETWORKS}
        ops: Any = open_ops()
        clock = Clock()
        if is_timed:
            backends = {stage: Clocked(backend, stage, clock) for stage, backend in backends.items()}
            ops = ClockedOps(ops, clock)
        digitizer = stack.enter_context(Digitizer(runtime=Runtime(name, backends, ops)))
        yield Entry(backends, digitizer, clock.take)


def _open_ort(stage: str) -> Any:
    from ecg_trt.backends.ort import OrtBackend

    return OrtBackend(weights_path(stage))


@contextmanager
def _tensorrt(name: str, is_timed: bool) -> Iterator[Entry]:
    """The package's own runtime on the GPU."""
    with ExitStack() as stack:
        if not is_timed:
            mine = stack.enter_context(open_runtime(name))
            yield Entry(mine.backends, stack.enter_context(Digitizer(runtime=mine)), dict)
            return
        timed = stack.enter_context(TimedDriver(open_driver()))
        whole = stack.enter_context(open_runtime(name, driver=timed))
        backends = {stage: Labelled(backend, stage, timed) for stage, backend in whole.backends.items()}
        mine = Runtime(whole.name, backends, whole.ops, decoder=whole.decoder)
        yield Entry(backends, stack.enter_context(Digitizer(runtime=mine)), timed.take)


def digitize_many(photos: Iterable[bytes], digitizer: Any) -> Generator[EcgRecord | EcgTrtError, None, None]:
    """The package's own way through many photos, on an open digitizer."""
    return batch.digitize_many(photos, digitizer=digitizer)


def _on_gpu(name: str) -> Callable[[bool], AbstractContextManager[Entry]]:
    return functools.partial(_tensorrt, name)


def _on_cpu(name: str, open_stage: Callable[[str], Any]) -> Callable[[bool], AbstractContextManager[Entry]]:
    return functools.partial(_on_cpu_ops, name, open_stage)


def _torch(name: str, precision: str, compiled: str = "") -> Callable[[bool], AbstractContextManager[Entry]]:
    return _on_cpu(name, functools.partial(TorchBackend, precision=precision, compiled=compiled))


CONTENDERS = {
    entrant.name: entrant
    for entrant in (
        Contender("trt", "cuda", "fp16", "TensorRT", _on_gpu("trt")),
        Contender("rtx", "cuda", "fp16", "TensorRT for RTX", _on_gpu("rtx")),
        Contender("torch-eager", "cuda", "fp32", "PyTorch, TF32", _torch("torch-eager", "fp32")),
        Contender("torch-eager-fp16", "cuda", "fp16", "PyTorch", _torch("torch-eager-fp16", "fp16")),
        Contender("torch-compile", "cuda", "fp16", "torch.compile, CUDA graphs",
                  _torch("torch-compile", "fp16", "reduce-overhead")),
        Contender("ort-cuda", "cuda", "fp32", "ONNX Runtime, TF32", _on_cpu("ort-cuda", OrtRival)),
        Contender("ort", "cpu", "fp32", "ONNX Runtime, the reference", _on_cpu("ort", _open_ort)),
    )
}  # fmt: skip


def chosen(names: Sequence[str]) -> list[Contender]:
    """The contenders of these names.

    Raises:
        OptionError: one is not known.
    """
    unknown = [name for name in names if name not in CONTENDERS]
    if unknown or not names:
        raise OptionError(
            "Unknown backend", got=", ".join(map(repr, unknown)) or "none", expected="some of " + ", ".join(CONTENDERS),
            mend="Name them with commas between, or leave --backends out for all.",
        )  # fmt: skip
    return [CONTENDERS[name] for name in dict.fromkeys(names)]

"""The package's networks by PyTorch on the package's own stream and memory: its CUDA runtime without any TensorRT.

Driver, pinned copies, kernels and two slots run as they do with TensorRT, so that they can be tested and measured on a
GPU for which there is no plan. A network follows the contract of `ecg_trt.backends.trt.TrtBackend`: arrays on the GPU
in and out, and what it answers lies there until the next call. It is one CUDA graph of torch's, captured for the
addresses at which the pixel work leaves its images.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from benchmarks.throughput_suite.torch_backend import prepare_network, unavailable
from ecg_trt.backends.base import check_feed, closed_error
from ecg_trt.backends.runtime import Runtime
from ecg_trt.closeable import Closeable
from ecg_trt.cuda.decode import open_gpu_decoder
from ecg_trt.cuda.driver import Driver
from ecg_trt.cuda.kernel_set import Kernels
from ecg_trt.cuda.memory import DeviceArray
from ecg_trt.networks import READING_NETWORKS
from ecg_trt.ops.cuda_work import CudaWork
from ecg_trt.ops.select import open_cuda_ops
from ecg_trt.types import TensorSpec

_WARM_RUNS = 3
_GREY = 114


@dataclass(frozen=True, slots=True)
class TorchOptions:
    """Ways in which torch can run the networks.

    Attributes:
        precision: "fp16" as in a plan (FP32 at both ends), or "fp32".
        uses_graphs: whether each network is captured as a CUDA graph.
        compiled: a mode of torch.compile, "" for none.
        device: "cuda", or "cpu" beside a driver whose device memory is the host's.
    """

    precision: str = "fp16"
    uses_graphs: bool = True
    compiled: str = ""
    device: str = "cuda"


class TorchNetwork(Closeable):
    """One network on one slot.

    Args:
        stage: for example "stage0".
        work: of the slot: its stream carries the network.
        options: how torch runs it.
    """

    def __init__(self, stage: str, work: CudaWork, options: TorchOptions) -> None:
        torch = _torch()
        self.name, self._stage, self._work, self._options = "torch-gpu", stage, work, options
        self._model = prepare_network(stage, options.device, options.precision, options.compiled)
        shape = READING_NETWORKS[stage].shapes["image"]
        self.inputs = (TensorSpec("image", "uint8", shape),)
        is_cuda = options.device == "cuda"
        self._stream = torch.cuda.ExternalStream(work.stream.handle) if is_cuda else None
        self._graphs: dict[tuple[int, ...], Any] = {}
        with torch.inference_mode(), self._on_stream():
            out = self._model(torch.full(shape, _GREY, dtype=torch.uint8, device=options.device))
        self.outputs = tuple(TensorSpec(name, "float32", tuple(value.shape)) for name, value in out.items())
        image = work.memory.array(READING_NETWORKS[stage].buffer_of("image"), shape, "uint8")
        work.driver.fill(image.address, _GREY, image.nbytes, work.stream.handle)
        for _ in range(_WARM_RUNS if is_cuda else 1):
            self._run(image)
        work.stream.sync()

    def infer(self, feed: Mapping[str, Any]) -> dict[str, Any]:
        """See `Backend.infer`."""
        if self._model is None:
            raise closed_error(self.name)
        check_feed(self.inputs, feed, (np.ndarray, DeviceArray))
        image = feed["image"]
        is_on_host = isinstance(image, np.ndarray)
        if is_on_host:
            image = self._work.memory.upload(f"{self._stage} image", image)
        out = self._run(image)
        return dict(zip(out, self._work.download(*out.values()), strict=True)) if is_on_host else out

    def close(self) -> None:
        """Free the network, once its work is done; more than once is fine."""
        if self._model is not None:
            self._work.stream.sync()
        self._graphs.clear()
        self._model = None

    def _on_stream(self) -> AbstractContextManager[Any]:
        import torch

        return nullcontext() if self._stream is None else torch.cuda.stream(self._stream)

    def _timed(self) -> AbstractContextManager[None]:
        """Bracket the work that torch queues past the driver, where no `TimedDriver` sees it."""
        span = getattr(self._work.driver, "span", None)
        return span(self._stage, self._work.stream.handle) if span else nullcontext()

    def _run(self, image: DeviceArray) -> dict[str, DeviceArray]:
        memory = self._work.memory
        out = {s.name: memory.array(f"{self._stage} {s.name}", cast(Any, s.shape), s.dtype) for s in self.outputs}
        once = self._once(image, out)
        if self._stream is None:
            cast(Any, self._work.driver).queue_on(self._work.stream.handle, once)
        elif not self._options.uses_graphs:
            with self._timed(), self._on_stream():
                once()
        else:
            addresses = (image.address, *(array.address for array in out.values()))
            if addresses not in self._graphs:
                self._graphs[addresses] = self._captured(once)
            with self._timed(), self._on_stream():
                self._graphs[addresses].replay()
        return out

    def _once(self, image: DeviceArray, out: Mapping[str, DeviceArray]) -> Callable[[], None]:
        """Prepare a run; tensors are made now, as a capture may ask nothing of CUDA but the network."""
        import torch

        seen = tensor_of(image, self._options.device)
        targets = {name: tensor_of(array, self._options.device) for name, array in out.items()}

        def once() -> None:
            with torch.inference_mode():
                answers = self._model(seen)
                for name, target in targets.items():
                    target.copy_(answers[name])

        return once

    def _captured(self, once: Callable[[], None]) -> Any:
        import torch

        assert self._stream is not None
        with self._on_stream():
            once()
        self._stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            once()
        return graph


class _CudaArray:
    """Device memory in the form that torch takes without a copy."""

    def __init__(self, array: DeviceArray) -> None:
        self.__cuda_array_interface__ = {"shape": array.shape, "typestr": array.dtype.str, "strides": None,
                                         "data": (array.address, False), "version": 2}  # fmt: skip


def tensor_of(array: DeviceArray, device: str) -> Any:
    """View memory of the GPU as a tensor; on "cpu", where a fake driver's addresses are the host's."""
    import torch

    if device == "cuda":
        return torch.as_tensor(_CudaArray(array), device="cuda")
    memory = (ctypes.c_uint8 * array.nbytes).from_address(array.address)
    dtype = {"uint8": torch.uint8, "float32": torch.float32}[str(array.dtype)]
    return torch.frombuffer(memory, dtype=dtype).reshape(array.shape)


class TorchEngines:
    """Kernels that the slots share; each slot has networks of its own.

    Args:
        driver: of the GPU; the caller closes it.
        options: how torch runs the networks.

    Raises:
        BackendUnavailableError: torch is not installed, or has no CUDA.
    """

    def __init__(self, driver: Driver, options: TorchOptions) -> None:
        _check_torch(options.device)
        self.driver, self.options = driver, options
        self._stack = ExitStack()
        self.kernels = self._stack.enter_context(Kernels(driver))

    def slot(self, *, is_last: bool = False) -> Runtime:
        """Open a slot; the one that is closed last gives the kernels back."""
        with ExitStack() as stack:
            if is_last:
                stack.callback(self._stack.close)
            ops = stack.enter_context(open_cuda_ops(self.driver, self.kernels))
            networks = {name: stack.enter_context(TorchNetwork(name, ops, self.options)) for name in READING_NETWORKS}
            decoder = open_gpu_decoder(self.driver, ops.stream) if self.options.device == "cuda" else None
            if decoder is not None:
                stack.enter_context(decoder)
            return Runtime("torch-gpu", networks, cast(Any, ops), decoder=cast(Any, decoder),
                           on_close=stack.pop_all().close, open_replica=self.slot)  # fmt: skip


@contextmanager
def open_torch_gpu(driver: Driver, options: TorchOptions) -> Iterator[Runtime]:
    """Open a runtime of two slots on a driver, which the caller closes. Raises as `TorchEngines` does."""
    with TorchEngines(driver, options).slot(is_last=True) as runtime:
        yield runtime


def _torch() -> Any:
    import torch

    return torch


def _check_torch(device: str) -> None:
    try:
        import torch

        import train.export  # noqa: F401
    except ImportError as error:
        raise unavailable("torch-gpu", f"{error.name} is not installed") from error
    if device == "cuda" and not torch.cuda.is_available():
        raise unavailable("torch-gpu", "torch has no CUDA here")

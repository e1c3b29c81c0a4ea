"""A runtime's side of `tensorrt_rtx` (or, without its extras, `tensorrt`): plans that are ONNX files in disguise.

Engines run them by ONNX Runtime, when the fake driver gets to it. Every call is counted, and one of them can fail in
the way that TensorRT fails: None, False, or a TypeError for a constructor.
"""

from __future__ import annotations

import ctypes
import json
import types
from enum import Enum, IntEnum
from functools import partial
from importlib.machinery import ModuleSpec
from typing import Any

import numpy as np

from ecg_trt.backends.ort import OrtBackend
from tests.cuda.fake_driver import FakeDriver

VERSION = "1.7.0"
ACTIVATION_BYTES = 4096  # for each image of a batch


class DataType(Enum):
    FLOAT = "float32"
    UINT8 = "uint8"


class TensorIOMode(IntEnum):
    INPUT = 1
    OUTPUT = 2


def make_runtime(
    driver: FakeDriver, *, name: str = "tensorrt_rtx", fail_at: int = 0, capturable: bool = True, is_old: bool = False
) -> Any:
    """A module like `tensorrt_rtx`, on a fake GPU.

    Contexts that are given memory overwrite as much of it as they asked for, whenever they run.

    Args:
        driver: carries what is enqueued.
        name: of the module; "tensorrt" has no runtime configuration and no runtime cache, and "tensorrt_lean" has no
            inspector either.
        fail_at: number of the call that fails, from 1; 0 for none.
        capturable: what contexts say of being captured.
        is_old: a "tensorrt" before 10.1, whose contexts allocate their memory.

    Returns:
        The module; `calls` names all calls so far, `given` lists (address, bytes) of the memory given to contexts.
    """
    trt = types.ModuleType(name)
    trt.__spec__ = ModuleSpec(name, None)
    trt.__version__ = VERSION  # type: ignore[attr-defined]
    calls: list[str] = []
    given: list[tuple[int, int]] = []
    trt.calls, trt.given = calls, given  # type: ignore[attr-defined]
    is_rtx = name == "tensorrt_rtx"

    def fails(call: str) -> bool:
        calls.append(call)
        return len(calls) == fail_at

    class ILogger:
        INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

    class Context:
        def __init__(self, session: OrtBackend) -> None:
            self.session, self.addresses = session, {}  # type: ignore[var-annotated]
            self.memory: tuple[int, int] | None = None

        def set_device_memory(self, memory: int, size: int) -> None:
            assert not is_old
            self.memory = memory, size
            given.append(self.memory)

        def set_tensor_address(self, tensor: str, address: int) -> bool:
            self.addresses[tensor] = address
            return not fails("set_tensor_address")

        def execute_async_v3(self, stream: int) -> bool:
            if fails("execute_async_v3"):
                return False
            assert (self.memory is None) == is_old
            driver.queue_on(stream, partial(self.run, dict(self.addresses), self.memory))
            return True

        def run(self, addresses: dict[str, int], memory: tuple[int, int] | None) -> None:
            if memory is not None:
                nbytes = activation_bytes(self.session)
                assert nbytes <= memory[1]
                driver.check_range("device memory", memory[0], nbytes)
                ctypes.memset(memory[0], 0xAA, nbytes)
            out = self.session.infer({spec.name: at(addresses[spec.name], spec) for spec in self.session.inputs})
            for spec in self.session.outputs:
                at(addresses[spec.name], spec)[:] = out[spec.name]

    class RtxContext(Context):
        def is_stream_capturable(self, stream: int) -> bool:
            return capturable

    class Cache:
        def __init__(self) -> None:
            self.blob = b""

        def serialize(self) -> bytes:
            return self.blob or b"compiled"

        def deserialize(self, blob: bytes) -> bool:
            self.blob = blob if blob.startswith(b"compiled") else b""
            return bool(self.blob)

    class Config:
        cuda_graph_strategy: Any = None
        allocation_strategy = "STATIC"

        def set_execution_context_allocation_strategy(self, strategy: str) -> None:
            self.allocation_strategy = strategy

        def create_runtime_cache(self) -> Cache:
            return Cache()

        def set_runtime_cache(self, cache: Cache) -> bool:
            return not fails("set_runtime_cache")

    class Inspector:
        def __init__(self, names: list[str]) -> None:
            self.names = names

        def get_layer_information(self, k: int, layout: str) -> str:
            assert layout == "JSON"
            if k == 0:  # as in a plan that names its layers alone
                return json.dumps(self.names[k])
            outputs = [{"Name": "out", "Dimensions": [1], "Format/Datatype": "Row major linear FP16 format"}]
            return json.dumps({"Name": self.names[k], "LayerType": "gemm", "Inputs": [], "Outputs": outputs})

    class PlainConfig:
        """TensorRT 10.11 and later have one too, without a cache and without graphs."""

    class Engine:
        num_layers = 2
        device_memory_size = ACTIVATION_BYTES  # Version 11 has the other size alone.

        def create_engine_inspector(self) -> Inspector:
            return Inspector(["a layer", "another"])

        def create_runtime_config(self) -> Any:
            return PlainConfig()

        def __init__(self, session: OrtBackend) -> None:
            self.session = session
            self.specs = [*session.inputs, *session.outputs]
            self.num_io_tensors = len(self.specs)

        def named(self, tensor: str) -> Any:
            return next(spec for spec in self.specs if spec.name == tensor)

        def get_tensor_name(self, k: int) -> str:
            return self.specs[k].name

        def get_tensor_dtype(self, tensor: str) -> DataType:
            return DataType(self.named(tensor).dtype)

        def get_tensor_shape(self, tensor: str) -> tuple[int, ...]:
            return tuple(self.named(tensor).shape)

        def get_tensor_mode(self, tensor: str) -> TensorIOMode:
            is_input = self.named(tensor) in self.session.inputs
            return TensorIOMode.INPUT if is_input else TensorIOMode.OUTPUT

        def create_execution_context(self, how: Any = "STATIC") -> Context | None:
            assert isinstance(how, Config) == is_rtx
            strategy = how.allocation_strategy if is_rtx else how
            assert strategy == ("STATIC" if is_old else "USER_MANAGED")
            if fails("create_execution_context"):
                return None
            return (RtxContext if is_rtx else Context)(self.session)

    class NewEngine(Engine):
        @property
        def device_memory_size_v2(self) -> int:
            return activation_bytes(self.session)

    class RtxEngine(NewEngine):
        def create_runtime_config(self) -> Config:
            return Config()

    class Runtime:
        def __init__(self, logger: Any) -> None:
            self.logger = logger
            if fails("Runtime"):
                raise TypeError("pybind11::init(): factory function returned nullptr")

        def load_runtime(self, path: str) -> Runtime | None:
            return None if fails(f"load_runtime {path}") else Runtime(self.logger)

        def deserialize_cuda_engine(self, plan: bytes) -> Engine | None:
            if fails("deserialize_cuda_engine"):
                self.logger.log(ILogger.ERROR, "no kernel\n for this GPU")
                return None
            kind = RtxEngine if is_rtx else Engine if is_old else NewEngine
            return kind(OrtBackend(plan[4:], 1))

    trt.LayerInformationFormat = types.SimpleNamespace(JSON="JSON")  # type: ignore[attr-defined]
    if name != "tensorrt_lean":
        trt.EngineInspector = Inspector  # type: ignore[attr-defined]
    for kind in (ILogger, Runtime, DataType, TensorIOMode):
        setattr(trt, kind.__name__, kind)
    trt.ComputeCapability = types.SimpleNamespace(SM86=0, SM90=1, SM120=2)  # type: ignore[attr-defined]
    if is_rtx:
        trt.CudaGraphStrategy = types.SimpleNamespace(DISABLED=0)  # type: ignore[attr-defined]
    if not is_old:
        trt.ExecutionContextAllocationStrategy = types.SimpleNamespace(USER_MANAGED="USER_MANAGED")  # type: ignore[attr-defined]
    return trt


def activation_bytes(session: OrtBackend) -> int:
    """Bytes that a context of a network needs."""
    images = session.inputs[0].shape[0]
    assert isinstance(images, int)
    return ACTIVATION_BYTES * images


def at(address: int, spec: Any) -> Any:
    """The host memory behind an address of the fake driver."""
    kind = np.dtype(spec.dtype)
    nbytes = int(np.prod(spec.shape)) * kind.itemsize
    return np.ctypeslib.as_array((ctypes.c_uint8 * nbytes).from_address(address)).view(kind).reshape(spec.shape)

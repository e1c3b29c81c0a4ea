"""ONNX Runtime: on the CPU, the reference for every other backend; on a GPU where its CUDA provider is installed."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime as ort
from onnxruntime.capi.onnxruntime_pybind11_state import EPFail, Fail, RuntimeException

from ecg_trt.backends.base import check_feed, closed_error
from ecg_trt.closeable import Closeable
from ecg_trt.errors import ORT_CUDA_HINT, BackendError, BackendUnavailableError, WeightsError, first_line
from ecg_trt.processes import available_cores
from ecg_trt.types import Array, TensorSpec

ort.disable_telemetry_events()  # Its builds may report to their maker; a reading is no one else's concern.
_log = logging.getLogger(__name__)

# Raised where a provider does not start, or finds too little memory.
_PROVIDER_ERRORS = (ValueError, RuntimeError, RuntimeException, EPFail, Fail)
_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
# By default every algorithm of cuDNN is tried for each new shape, and pages and strips come in many.
_CUDA_OPTIONS = {"cudnn_conv_algo_search": "HEURISTIC"}
_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}


def why_no_cuda() -> str | None:
    """Find the reason why the installed ONNX Runtime cannot use a GPU of NVIDIA; None if it was built for one."""
    providers = ort.get_available_providers()
    return None if _CUDA in providers else f"onnxruntime {ort.__version__} has no {_CUDA}, but {', '.join(providers)}"


class OrtBackend(Closeable):
    """One ONNX network, on the CPU or on the first visible GPU.

    Args:
        model: path of an ONNX file, or its bytes.
        threads: for one operator; 0 for all cores this process may use.
        on_gpu: run by the CUDA provider, and leave to the CPU no more than the operators that this lacks.

    Raises:
        WeightsError: the file is missing or is no network that ONNX Runtime can load.
        BackendUnavailableError: the CUDA provider does not start.
        BackendError: an I/O tensor of a type that numpy lacks.
    """

    def __init__(self, model: str | Path | bytes, threads: int = 0, *, on_gpu: bool = False) -> None:
        self.name = "ort-cuda" if on_gpu else "ort"
        source = f"{len(model)} bytes" if isinstance(model, bytes) else str(model)
        if not isinstance(model, bytes) and not Path(model).is_file():
            raise _unusable(source, "no such file")
        if on_gpu:
            _load_cuda_libraries()
        try:
            session = ort.InferenceSession(
                model if isinstance(model, bytes) else str(model),
                sess_options=_options(threads or available_cores()),
                providers=[(_CUDA, _CUDA_OPTIONS)] if on_gpu else [_CPU],
                enable_fallback=0,  # Else a provider that fails is replaced by the CPU's.
            )
        except Exception as error:  # ONNX Runtime's errors share no base class.
            if on_gpu and isinstance(error, _PROVIDER_ERRORS):
                raise _no_cuda(first_line(error)) from error
            raise _unusable(source, first_line(error)) from error
        # A provider whose libraries cannot be loaded does not even raise.
        if on_gpu and session.get_providers()[0] != _CUDA:
            raise _no_cuda(f"a session of {', '.join(session.get_providers())}")
        session.disable_fallback()  # during a run, in versions that do not know the argument
        self._session: ort.InferenceSession | None = session
        self.inputs = tuple(_spec(node) for node in session.get_inputs())
        self.outputs = tuple(_spec(node) for node in session.get_outputs())
        self._run = ort.RunOptions()
        self._run.log_severity_level = 3
        # Scratch memory of the CPU is freed after each run, as networks run one after the other and can share it.
        self._run.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")

    def infer(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        """See `Backend.infer`."""
        if self._session is None:
            raise closed_error(self.name)
        check_feed(self.inputs, feed)
        names = [spec.name for spec in self.outputs]
        ready = {name: np.ascontiguousarray(array) for name, array in feed.items()}
        try:
            results = self._session.run(names, ready, self._run)
        except Exception as error:
            raise BackendError(
                "The network failed",
                got=first_line(error),
                expected="a run of " + ", ".join(str(spec) for spec in self.inputs),
                hint="Check the sizes of its inputs, and whether memory is short.",
            ) from error
        return dict(zip(names, results, strict=True))

    def close(self) -> None:
        """Free the session."""
        self._session = None


@cache
def _load_cuda_libraries() -> None:
    """Load the libraries of CUDA that pip has installed, which the provider does not find by itself."""
    with redirect_stdout(io.StringIO()) as printed:
        getattr(ort, "preload_dlls", lambda: None)()  # from ONNX Runtime 1.21 on
    if printed.getvalue():
        _log.info("CUDA's libraries: %s", "; ".join(printed.getvalue().splitlines()))


def _options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # Memory patterns are planned for one shape, but strips and pages come in many.
    options.enable_mem_pattern = False
    # A waiting thread spins by default, on a core that another process may need: on two cores that
    # ten other processes used, the networks took 1.80 s with spinning and 1.44 s without.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
    return options


def _spec(node: ort.NodeArg) -> TensorSpec:
    if node.type not in _DTYPES:
        raise BackendError(
            "The network cannot be used",
            got=f"I/O tensor {node.name} of type {node.type}",
            expected=f"one of {sorted(_DTYPES.values())}",
            hint="Export it with plain numeric inputs and outputs.",
        )
    shape = tuple(side if isinstance(side, (int, str)) else None for side in node.shape)
    return TensorSpec(node.name, _DTYPES[node.type], shape)


def _no_cuda(got: str) -> BackendUnavailableError:
    return BackendUnavailableError(
        "ONNX Runtime cannot use the GPU",
        got=got,
        expected=f"a session of {_CUDA}, with a driver, CUDA and cuDNN that onnxruntime {ort.__version__} can load",
        hint=ORT_CUDA_HINT,
    )


def _unusable(source: str, why: str) -> WeightsError:
    return WeightsError(
        "The network cannot be loaded",
        got=f"{source} ({why})",
        expected="an ONNX file of opset 17",
        hint="Install ecg_trt again; `ecg-trt info` lists its networks.",
    )

"""Roofline bound of a network on a machine: bytes and multiply-adds over the rates of the machine.

Elementwise work is taken to be fused, so that of all activations only a convolution's result is written and read, each
once, in the precision of the network. Weights, inputs and outputs are moved once. A GPU whose cache holds activations
may go below the bytes' share.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ecg_trt.networks import Shape

ITEM_BYTES = {"fp32": 4, "fp16": 2}
_MULTIPLIES = ("Conv", "MatMul", "Gemm")
_COPY_BYTES, _CPU_SIDE, _CUDA_SIDE, _BEST_OF = 1 << 28, 2048, 8192, 7


@dataclass(frozen=True, slots=True)
class Demand:
    """Bytes and multiply-adds that one run of a network takes at the least.

    Attributes:
        weight_bytes: read once.
        end_bytes: inputs and outputs, in their own types.
        activation_bytes: results of convolutions, written once and read once.
        macs: multiply-adds of convolutions and matrix products.
    """

    weight_bytes: int
    end_bytes: int
    activation_bytes: int
    macs: int

    @property
    def bytes(self) -> int:
        """All bytes that are moved."""
        return self.weight_bytes + self.end_bytes + self.activation_bytes


@dataclass(frozen=True, slots=True)
class Rates:
    """Measured rates of a machine.

    Attributes:
        copy_bytes_per_s: bytes read plus bytes written by a large copy.
        macs_per_s: precision to multiply-adds a second of a large matrix product; without an entry it is not known.
    """

    copy_bytes_per_s: float
    macs_per_s: Mapping[str, float]

    def as_json(self) -> dict[str, object]:
        """GB/s, and TFLOP/s by precision (a multiply-add is two)."""
        tflops = {name: round(2e-12 * rate, 4) for name, rate in self.macs_per_s.items()}
        return {"copy_gb_per_s": round(1e-9 * self.copy_bytes_per_s, 2), "matrix_tflop_per_s": tflops or None}


def demand(source: Path | bytes, shapes: Mapping[str, Shape], precision: str) -> Demand:
    """Count the demand of a network.

    Args:
        source: the FP32 ONNX.
        shapes: a static shape for every input.
        precision: "fp32" or "fp16", of weights and activations.

    Raises:
        BuildError: no ONNX, or shapes that do not fit it.
        ImportError: onnx is not installed.
    """
    import onnx

    from build_engines.export import Precision, export

    fixed = onnx.load_from_string(export(source, Precision.FP32, shapes))
    graph = onnx.shape_inference.infer_shapes(fixed, data_prop=True).graph
    values = {v.name: v.type.tensor_type for v in (*graph.input, *graph.value_info, *graph.output)}
    shape = {name: tuple(d.dim_value for d in kind.shape.dim) for name, kind in values.items()}
    shape |= {weight.name: tuple(weight.dims) for weight in graph.initializer}

    def end_bytes(name: str) -> int:
        return _size(shape[name]) * onnx.helper.tensor_dtype_to_np_dtype(values[name].elem_type).itemsize

    item = ITEM_BYTES[precision]
    weights = sum(_size(w.dims) for w in graph.initializer if w.data_type == onnx.TensorProto.FLOAT)
    consumers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            consumers.setdefault(name, []).append(node)
    heavy = [node for node in graph.node if node.op_type in _MULTIPLIES]
    kept = sum(_size(shape[node.output[0]]) for node in heavy if _is_read_again(node.output[0], consumers))
    return Demand(
        weight_bytes=item * weights,
        end_bytes=sum(end_bytes(v.name) for v in (*graph.input, *graph.output)),
        activation_bytes=2 * item * kept,
        macs=sum(_macs(node, shape) for node in heavy),
    )


def floor_ms(need: Demand, rates: Rates, precision: str) -> dict[str, float | None]:
    """Milliseconds for the bytes, for the multiply-adds (None without their rate), and the larger of both."""
    moved = 1e3 * need.bytes / rates.copy_bytes_per_s
    rate = rates.macs_per_s.get(precision)
    multiplied = 1e3 * need.macs / rate if rate else None
    return {"bytes_ms": moved, "macs_ms": multiplied, "floor_ms": max(moved, multiplied or 0.0)}


def cpu_rates() -> Rates:
    """Measure this machine's CPU: a copy and an FP32 matrix product of NumPy."""
    source = np.ones(_COPY_BYTES, np.uint8)
    target = np.empty_like(source)
    a = np.ones((_CPU_SIDE, _CPU_SIDE), np.float32)
    out = np.empty_like(a)
    copied = _best_s(lambda: np.copyto(target, source))
    return Rates(2 * _COPY_BYTES / copied, {"fp32": _CPU_SIDE**3 / _best_s(lambda: np.matmul(a, a, out))})


def cuda_rates() -> Rates | None:
    """Measure the GPU: a copy, and matrix products by torch (FP32 with TF32, as its convolutions do); None without."""
    from benchmarks.throughput_suite.gpu import Gpu, why_no_gpu

    if why_no_gpu():
        return None
    with Gpu() as gpu:
        copied = gpu.copy_seconds(_COPY_BYTES, _BEST_OF)
    try:
        import torch
    except ImportError:
        return Rates(2 * _COPY_BYTES / copied, {})
    if not torch.cuda.is_available():
        return Rates(2 * _COPY_BYTES / copied, {})
    torch.backends.cuda.matmul.allow_tf32 = True
    rates = {}
    for precision, dtype in (("fp16", torch.float16), ("fp32", torch.float32)):
        a = torch.randn(_CUDA_SIDE, _CUDA_SIDE, dtype=dtype, device="cuda")
        out = torch.empty_like(a)

        def multiply(a: torch.Tensor = a, out: torch.Tensor = out) -> None:
            torch.matmul(a, a, out=out)
            torch.cuda.synchronize()

        rates[precision] = _CUDA_SIDE**3 / _best_s(multiply)
    return Rates(2 * _COPY_BYTES / copied, rates)


def _best_s(work: Callable[[], object]) -> float:
    """Seconds of the fastest of some runs, after two to warm up."""
    taken = []
    for _ in range(_BEST_OF + 2):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken[2:])


def _size(shape: Iterable[int]) -> int:
    return int(np.prod(tuple(shape), dtype=np.int64))


def _is_read_again(name: str, consumers: Mapping[str, list[Any]]) -> bool:
    """Ask whether a result reaches another convolution; outputs are counted by themselves."""
    pending, met = [name], {name}
    while pending:
        for node in consumers.get(pending.pop(), ()):
            if node.op_type in _MULTIPLIES:
                return True
            fresh = set(node.output) - met
            met |= fresh
            pending += fresh
    return False


def _macs(node: Any, shape: Mapping[str, tuple[int, ...]]) -> int:
    out = _size(shape[node.output[0]])
    first, second = (shape[name] for name in node.input[:2])
    if node.op_type == "Conv":
        return out * _size(second[1:])
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    return out * (first[0] if transposed else first[-1])

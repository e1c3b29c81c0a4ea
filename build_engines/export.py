"""Export of the ONNX that a plan is built from: static shapes, and the precision written in the graph.

It is made from the FP32 ONNX that the package ships, as who builds has no checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx
from onnx import ModelProto, ValueInfoProto

from build_engines.precision import to_float16
from ecg_trt.errors import BuildError, first_line
from ecg_trt.networks import Shape
from ecg_trt.str_enum import StrEnum
from ecg_trt.types import TensorSpec


class Precision(StrEnum):
    """Precision of weights and activations."""

    FP16 = "fp16"
    FP32 = "fp32"


def export(source: Path | bytes, precision: Precision, shapes: Mapping[str, Shape] | None = None) -> bytes:
    """Convert an FP32 ONNX to the precision and shapes of a plan.

    Args:
        source: path or bytes of the FP32 ONNX.
        precision: of the result.
        shapes: a static shape for every input; the shapes are left as they are if None.

    Returns:
        The ONNX file, the same bytes each time.

    Raises:
        BuildError: no ONNX, shapes that do not fit it, or nothing that can be brought to FP16.
    """
    model = _load(source)
    if shapes is not None:
        _fix_shapes(model, shapes)
    if precision is Precision.FP16:
        model = to_float16(model)
    return _checked(model).SerializeToString(deterministic=True)


def io_specs(model: bytes) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """List the inputs and outputs of an exported ONNX, in its order.

    Raises:
        BuildError: no ONNX.
    """
    graph = _load(model).graph
    return tuple(_spec(value) for value in graph.input), tuple(_spec(value) for value in graph.output)


def _load(source: Path | bytes) -> ModelProto:
    name = f"{len(source)} bytes" if isinstance(source, bytes) else str(source)
    try:
        model = onnx.load_from_string(source if isinstance(source, bytes) else source.read_bytes())
        onnx.checker.check_model(model)
    except Exception as error:  # Errors of protobuf, checker and system share no base class.
        raise BuildError(
            "The network cannot be read",
            got=f"{name} ({first_line(error)})",
            expected="an ONNX file",
            hint="Name a network in FP32, as `ecg-trt info` lists them.",
        ) from error
    weights = {weight.name for weight in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]  # Files of IR version 3 name their weights among the inputs.
    model.graph.input.extend(inputs)
    return model


def _fix_shapes(model: ModelProto, shapes: Mapping[str, Shape]) -> None:
    """Write the shapes into the inputs; those of the outputs follow."""
    graph = model.graph
    names = [value.name for value in graph.input]
    if set(names) != set(shapes):
        raise _misfit(f"shapes for {sorted(shapes)}", f"shapes for {sorted(names)}")
    for value in graph.input:
        sides, shape = value.type.tensor_type.shape.dim, shapes[value.name]
        fits = len(sides) == len(shape) and all(
            side.dim_value in (0, length) and length > 0 for side, length in zip(sides, shape, strict=True)
        )
        if not fits:
            raise _misfit(f"{value.name} {shape}", str(_spec(value)))
        for side, length in zip(sides, shape, strict=True):
            side.dim_value = length
    del graph.value_info[:]
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")


def _checked(model: ModelProto) -> ModelProto:
    """Infer all shapes and types of a model and run the ONNX checker on it."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
        onnx.checker.check_model(inferred, full_check=True)
    except Exception as error:
        raise _misfit(first_line(error), "shapes that go through the network") from error
    # Only the types of inputs and outputs are kept: older parsers may not know what was inferred between.
    del inferred.graph.value_info[:]
    return inferred


def _spec(value: ValueInfoProto) -> TensorSpec:
    kind = value.type.tensor_type
    dtype = str(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
    sides = tuple(side.dim_value if side.HasField("dim_value") else side.dim_param or None for side in kind.shape.dim)
    return TensorSpec(value.name, dtype, sides)


def _misfit(got: str, expected: str) -> BuildError:
    return BuildError(
        "The shapes do not fit the network", got=got, expected=expected, hint="Correct the spec of the network."
    )

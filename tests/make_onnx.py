"""Tiny networks for tests: opset 17, an IR version that every supported ONNX Runtime reads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 17, 8
Side = int | str


def _model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    weights: Sequence[onnx.TensorProto] = (),
) -> bytes:
    graph = helper.make_graph(list(nodes), "tiny", list(inputs), list(outputs), list(weights))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def affine(scale: float = 2.0, shift: float = 1.0, *, shape: Sequence[Side] = ("n", 3, "h", "w")) -> bytes:
    """`y = scale * x + shift`, float32, input "x" and output "y"."""
    weights = [
        numpy_helper.from_array(np.array(value, np.float32), name) for name, value in (("a", scale), ("b", shift))
    ]
    nodes = [helper.make_node("Mul", ["x", "a"], ["ax"]), helper.make_node("Add", ["ax", "b"], ["y"])]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)) for name in ("x", "y")]
    return _model(nodes, ends[:1], ends[1:], weights)


def convolution(
    outputs: Sequence[tuple[str, int]] = (("heat", 3),),
    *,
    channels: int = 3,
    stride: int = 1,
    name: str = "image",
    dtype: int = TensorProto.FLOAT,
    seed: int = 0,
) -> bytes:
    """A network like a stage's: one image (n, channels, h, w), one 3 x 3 convolution for each output.

    Args:
        outputs: name and channels of each.
        channels: of the image.
        stride: of the convolutions.
        name: of the image.
        dtype: of the image; anything but float32 is cast first.
        seed: of the weights.
    """
    rng = np.random.default_rng(seed)
    nodes = [helper.make_node("Cast", [name], ["float_image"], to=TensorProto.FLOAT)]
    weights, ends = [], []
    for k, (out, n) in enumerate(outputs):
        kernel = rng.normal(0, 0.2, (n, channels, 3, 3)).astype(np.float32)
        weights.append(numpy_helper.from_array(kernel, f"kernel{k}"))
        nodes.append(helper.make_node("Conv", ["float_image", f"kernel{k}"], [out], pads=[1] * 4, strides=[stride] * 2))
        ends.append(helper.make_tensor_value_info(out, TensorProto.FLOAT, ["n", n, None, None]))
    image = helper.make_tensor_value_info(name, dtype, ["n", channels, "h", "w"])
    return _model(nodes, [image], ends, weights)


def pictures(outputs: Sequence[tuple[str, int]], *, stride: int = 8, seed: int = 0) -> bytes:
    """A network of uint8 pictures "image" (n, h, w, 3): one convolution for each output (n, channels, h', w')."""
    rng = np.random.default_rng(seed)
    nodes = [helper.make_node("Cast", ["image"], ["float_image"], to=TensorProto.FLOAT),
             helper.make_node("Transpose", ["float_image"], ["planes"], perm=[0, 3, 1, 2])]  # fmt: skip
    weights, ends = [], []
    for name, n in outputs:
        kernel = rng.normal(0, 1e-3, (n, 3, stride, stride)).astype(np.float32)
        weights.append(numpy_helper.from_array(kernel, f"{name} kernel"))
        nodes.append(helper.make_node("Conv", ["planes", f"{name} kernel"], [name], strides=[stride] * 2))
        ends.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", n, None, None]))
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", "h", "w", 3])
    return _model(nodes, [image], ends, weights)


def as_float(shape: Sequence[int], outputs: Sequence[str] = ("out",)) -> bytes:
    """Every output is the uint8 input "image", as float32."""
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, list(shape))
    nodes = [helper.make_node("Cast", ["image"], [name], to=TensorProto.FLOAT) for name in outputs]
    return _model(nodes, [image], [helper.make_tensor_value_info(o, TensorProto.FLOAT, list(shape)) for o in outputs])


def two_inputs() -> bytes:
    """`sum = a + b`, with one free length "k" in both."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["k"]) for name in ("a", "b", "sum")]
    return _model([helper.make_node("Add", ["a", "b"], ["sum"])], ends[:2], ends[2:])


def reshape_to(length: int) -> bytes:
    """Reshapes "x" to (length,): fails while it runs if that does not fit."""
    target = numpy_helper.from_array(np.array([length], np.int64), "target")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["k"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [length])
    return _model([helper.make_node("Reshape", ["x", "target"], ["y"])], [x], [y], [target])

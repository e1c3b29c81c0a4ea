"""FP16 ONNX: the types written in the graph, and what is refused."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from build_engines.export import Precision, export
from build_engines.precision import KEPT_FP32, to_float16
from ecg_trt.backends.ort import OrtBackend
from ecg_trt.errors import BuildError
from ecg_trt.networks import NETWORKS
from ecg_trt.types import Array
from ecg_trt.weights import weights_path
from tests import make_onnx

FP32, FP16, UINT8 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8


def model(nodes, inputs, outputs, **weights: Array) -> ModelProto:
    """A network of opset 17; inputs and outputs are (name, type, shape)."""
    sources, sinks = ([helper.make_tensor_value_info(*end) for end in group] for group in (inputs, outputs))
    tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "tiny", sources, sinks, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def types_of(made: ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(made, check_type=True, strict_mode=True).graph
    found = {v.name: v.type.tensor_type.elem_type for v in [*graph.input, *graph.value_info, *graph.output]}
    return found | {w.name: w.data_type for w in graph.initializer}


def run(made: ModelProto | bytes, **feed: Array) -> dict[str, Array]:
    with OrtBackend(made if isinstance(made, bytes) else made.SerializeToString(), 1) as backend:
        return backend.infer(feed)


@pytest.mark.parametrize("stage", NETWORKS)
def test_the_shipped_networks_in_fp16(stage: str) -> None:
    made = onnx.load_from_string(export(weights_path(stage), Precision.FP16, NETWORKS[stage].shapes))
    types, entry = types_of(made), NETWORKS[stage].inputs[0]
    assert types[entry.name] == (UINT8 if entry.is_image else FP32)
    assert {types[value.name] for value in made.graph.output} == {FP32}
    first = next(node for node in made.graph.node if entry.name in node.input)
    assert first.op_type == "Cast" and types[first.output[0]] == FP16
    layers = [node for node in made.graph.node if node.op_type == "Conv"]
    kinds = Counter(types[name] for node in layers for name in [*node.input, *node.output])
    assert kinds[FP32] <= 8 and kinds[FP16] > 10 * kinds[FP32]
    assert all(len({types[name] for name in [*node.input, *node.output]}) == 1 for node in layers)
    for node in made.graph.node:
        if node.op_type in KEPT_FP32:
            assert {types[name] for name in [*node.input, *node.output]} == {FP32}
        if node.op_type == "Resize":
            assert types[node.input[0]] == FP16 and types[node.input[2]] == FP32
    assert len(made.SerializeToString()) < 0.55 * weights_path(stage).stat().st_size


@pytest.mark.parametrize("stage", NETWORKS)
def test_the_shipped_networks_answer_alike(stage: str) -> None:
    rng, entry = np.random.default_rng(3), NETWORKS[stage].inputs[0]
    shape = (1, *entry.shape[1:])
    feed = rng.integers(0, 256, shape, np.uint8) if entry.is_image else rng.standard_normal(shape, np.float32)
    expected = run(weights_path(stage).read_bytes(), **{entry.name: feed})
    got = run(export(weights_path(stage), Precision.FP16), **{entry.name: feed})
    assert got.keys() == expected.keys()
    for name, array in expected.items():
        assert got[name].dtype == np.float32
        assert 0 < np.abs(got[name] - array).max() < 0.005 * np.abs(array).max()


def test_the_layer_that_makes_an_output_stays_in_fp32() -> None:
    made = onnx.load_from_string(export(make_onnx.convolution(), Precision.FP16))
    types = types_of(made)
    layer = next(node for node in made.graph.node if node.op_type == "Conv")
    assert {types[name] for name in layer.input} == {FP32}
    assert layer.output[0] == "heat"


def test_an_output_that_is_used_within_keeps_its_name_and_type() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Mul", ["a", "w"], ["b"]),
        helper.make_node("ReduceSum", ["b", "axis"], ["sum"]),
        helper.make_node("Sub", ["b", "w"], ["y"]),
    ]
    ends = [("b", FP32, [2, 2]), ("sum", FP32, [2, 1]), ("y", FP32, [2, 2])]
    old = model(
        nodes, [("x", FP32, [2, 2])], ends, w=np.array([[3, -1], [2, 0.5]], np.float32), axis=np.array([1], np.int64)
    )
    made = to_float16(old)
    onnx.checker.check_model(made, full_check=True)
    assert [value.name for value in made.graph.output] == ["b", "sum", "y"]
    x = np.array([[1, 2], [-3, 4]], np.float32)
    expected, got = run(old, x=x), run(made, x=x)
    for name in expected:
        np.testing.assert_array_equal(got[name], expected[name])  # small integers and halves are exact
    assert types_of(made)["a"] == FP16


def test_sums_are_done_in_fp32() -> None:
    nodes = [helper.make_node("Mul", ["x", "w"], ["a"]), helper.make_node("ReduceSum", ["a", "axis"], ["b"]),
             helper.make_node("Mul", ["b", "tiny"], ["c"]), helper.make_node("Add", ["c", "w"], ["y"])]  # fmt: skip
    old = model(nodes, [("x", FP32, [1, 4096])], [("y", FP32, [1, 1])], w=np.array([[100]], np.float32),
                axis=np.array([1]), tiny=np.array([[0.125]], np.float32))  # fmt: skip
    made = to_float16(old)
    types = types_of(made)
    total = next(node for node in made.graph.node if node.op_type == "ReduceSum")
    assert types[total.input[0]] == types[total.output[0]] == FP32
    assert types["a"] == FP16


def test_whole_numbers_and_attributes_keep_their_types() -> None:
    nodes = [
        helper.make_node("Cast", ["count"], ["float_count"], to=FP32),
        helper.make_node("Cast", ["pixel"], ["float_pixel"], to=FP32),
        helper.make_node("ConstantOfShape", ["shape"], ["ones"], value=numpy_helper.from_array(np.ones(1, np.float32))),
        helper.make_node("Add", ["float_pixel", "ones"], ["a"]),
        helper.make_node("Mul", ["a", "float_count"], ["b"]),
        helper.make_node("Cast", ["b"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Add", ["b", "a"], ["y"]),
    ]
    ends = [("whole", TensorProto.INT64, [2]), ("y", FP32, [2])]
    old = model(nodes, [("count", TensorProto.INT64, [2]), ("pixel", UINT8, [2])], ends, shape=np.array([2], np.int64))
    made = to_float16(old)
    onnx.checker.check_model(made, full_check=True)
    types = types_of(made)
    assert types["float_pixel"] == FP16 and types["float_count"] == types["ones"] == FP32
    feed: dict[str, Array] = {"count": np.array([2, 3], np.int64), "pixel": np.array([255, 7], np.uint8)}
    for name, array in run(old, **feed).items():
        np.testing.assert_array_equal(run(made, **feed)[name], array)


def test_a_constant_may_be_an_output() -> None:
    nodes = [
        helper.make_node("Constant", [], ["c"], value_floats=[1.0, 2.0]),
        helper.make_node("Add", ["x", "c"], ["a"]),
        helper.make_node("Relu", ["a"], ["y"]),
    ]
    made = to_float16(model(nodes, [("x", FP32, [2])], [("c", FP32, [2]), ("y", FP32, [2])]))
    assert run(made, x=np.array([1, -4], np.float32))["c"].tolist() == [1, 2]


@pytest.mark.parametrize("worst", [1e5, np.inf, np.nan])
def test_a_weight_that_fp16_cannot_hold_is_named(worst: float) -> None:
    nodes = [helper.make_node("Mul", ["x", "great"], ["a"]), helper.make_node("Relu", ["a"], ["b"]),
             helper.make_node("Relu", ["b"], ["y"])]  # fmt: skip
    old = model(nodes, [("x", FP32, [2])], [("y", FP32, [2])], great=np.array([1, worst], np.float32))
    with pytest.raises(BuildError, match=r"'great'.*--precision fp32"):
        to_float16(old)


def test_control_flow_and_foreign_operators_are_refused() -> None:
    result = helper.make_tensor_value_info("r", FP32, [2])
    branch = helper.make_graph([helper.make_node("Relu", ["x"], ["r"])], "b", [], [result])
    choice = helper.make_node("If", ["flag"], ["y"], then_branch=branch, else_branch=branch)
    inputs = [("x", FP32, [2]), ("flag", TensorProto.BOOL, [])]
    with pytest.raises(BuildError, match="without control flow"):
        to_float16(model([choice], inputs, [("y", FP32, [2])]))
    foreign = model([helper.make_node("Gelu", ["x"], ["y"], domain="com.example")], inputs[:1], [("y", FP32, [2])])
    with pytest.raises(BuildError, match=r"com\.example optype Gelu"):
        to_float16(foreign)
    foreign.opset_import.append(helper.make_opsetid("com.example", 1))
    with pytest.raises(BuildError, match=r"com\.example Gelu"):
        to_float16(foreign)
    foreign.graph.node.append(helper.make_node("Gelu", ["y"], ["z"], domain="com.example"))
    with pytest.raises(BuildError, match="no type for 'z'"):
        to_float16(foreign)

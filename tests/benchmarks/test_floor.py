"""Floors, on networks whose bytes and multiply-adds are counted by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.throughput_suite.floor import Demand, Rates, cuda_rates, demand, floor_ms
from benchmarks.throughput_suite.gpu import why_no_gpu
from ecg_trt.networks import READING_NETWORKS
from ecg_trt.weights import weights_path
from tests.make_onnx import IR_VERSION, OPSET


def tiny() -> bytes:
    """uint8 image (1, 2, 6, 8); 3 x 3 to 4 channels, twice as small; ReLU; 1 x 1 to 3 channels; flat; Gemm."""
    weights = [("w1", (4, 2, 3, 3)), ("b1", (4,)), ("w2", (3, 4, 1, 1)), ("w3", (36, 5))]
    nodes = [
        helper.make_node("Cast", ["image"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["x", "w1", "b1"], ["a"], pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("Conv", ["r", "w2"], ["map"]),
        helper.make_node("Flatten", ["map"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w3"], ["vector"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", 2, "h", "w"])
    sizes: dict[str, Any] = {"map": ["n", 3, None, None], "vector": ["n", 5]}
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, sides) for name, sides in sizes.items()]
    values = [numpy_helper.from_array(np.ones(shape, np.float32), name) for name, shape in weights]
    graph = helper.make_graph(nodes, "tiny", [image], ends, values)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def test_bytes_and_macs_counted_by_hand() -> None:
    shapes = {"image": (1, 2, 6, 8)}
    weights = 4 * 2 * 9 + 4 + 3 * 4 + 36 * 5
    a, map_, vector = 4 * 3 * 4, 3 * 3 * 4, 5
    ends = 2 * 6 * 8 + 4 * map_ + 4 * vector  # uint8 in, FP32 out whatever the precision
    kept = a + map_  # the map is an output, and is read by the product too
    macs = a * 2 * 9 + map_ * 4 + vector * 36
    assert demand(tiny(), shapes, "fp32") == Demand(4 * weights, ends, 2 * 4 * kept, macs)
    assert demand(tiny(), shapes, "fp16") == Demand(2 * weights, ends, 2 * 2 * kept, macs)


def test_the_larger_share_is_the_floor() -> None:
    need = Demand(100, 300, 600, 5000)
    rates = Rates(copy_bytes_per_s=1e6, macs_per_s={"fp16": 1e6})
    assert floor_ms(need, rates, "fp16") == {"bytes_ms": 1.0, "macs_ms": 5.0, "floor_ms": 5.0}
    assert floor_ms(need, rates, "fp32") == {"bytes_ms": 1.0, "macs_ms": None, "floor_ms": 1.0}
    assert rates.as_json() == {"copy_gb_per_s": 0.0, "matrix_tflop_per_s": {"fp16": 0.0}}


def test_the_three_networks_at_the_shapes_of_their_plans() -> None:
    """1.9, 18.7 and 48.8 GMAC, and 0.1 for captions."""
    macs = sum(demand(weights_path(stage), spec.shapes, "fp16").macs for stage, spec in READING_NETWORKS.items())
    assert macs == pytest.approx(69.6e9, rel=0.01)


def test_no_gpu_is_no_error() -> None:
    if not why_no_gpu():
        pytest.skip("there is one")
    assert cuda_rates() is None
    assert why_no_gpu().startswith("no CUDA: ")

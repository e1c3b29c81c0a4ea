"""Real plans by TensorRT for RTX, which needs no GPU to build."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from build_engines.export import Precision, export
from build_engines.plan_from_onnx import BuildOptions, build_plan
from ecg_trt.errors import BuildError
from ecg_trt.networks import NETWORKS
from ecg_trt.weights import weights_path
from tests.marks import slow_but

trt = pytest.importorskip("tensorrt_rtx")

CAPABILITIES = ("8.6", "8.9", "12.0")


def network(precision: Precision, stage: str = "stage0") -> bytes:
    return export(weights_path(stage), precision, NETWORKS[stage].shapes)


def one_node(op_type: str, domain: str = "", dtypes: tuple[int, int] = (TensorProto.FLOAT, TensorProto.FLOAT)) -> bytes:
    """A network of one node with two inputs, of which the second is a weight; unchecked, as it may be wrong."""
    weight = numpy_helper.from_array(np.ones((4, 4), helper.tensor_dtype_to_np_dtype(dtypes[1])), "w")
    ends = [helper.make_tensor_value_info(name, dtypes[0], [4, 4]) for name in "xy"]
    graph = helper.make_graph([helper.make_node(op_type, ["x", "w"], ["y"], domain=domain)], "one", ends[:1], ends[1:])
    graph.initializer.append(weight)
    opsets = [helper.make_opsetid("", 17)] + [helper.make_opsetid(domain, 1)] * bool(domain)
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


@pytest.mark.parametrize("stage", slow_but(["caption"], NETWORKS))
def test_plans_of_the_shipped_networks(stage: str) -> None:
    half, full = network(Precision.FP16, stage), network(Precision.FP32, stage)
    plans = {}
    for capability in CAPABILITIES:
        shares: list[float] = []
        plans[capability] = build_plan(half, trt, BuildOptions(capability), shares.append)
        assert plans[capability].startswith(b"vtrt")
        assert shares == sorted(shares) and shares[0] > 0 and 0.5 < shares[-1] <= 1
    assert len({hashlib.sha256(plan).hexdigest() for plan in plans.values()}) == len(CAPABILITIES)
    wide = build_plan(full, trt, BuildOptions("8.6"))
    saved = len(full) / 2  # half the weights; kernels, most of a small plan, differ by some KiB
    assert 0.3 * saved < len(wide) - len(plans["8.6"]) < 1.4 * saved


def test_two_builds_are_the_same_bytes_even_in_two_processes() -> None:
    code = (
        "import hashlib, tensorrt_rtx as trt\n"
        "from build_engines.export import Precision, export\n"
        "from build_engines.plan_from_onnx import BuildOptions, build_plan\n"
        "from ecg_trt.networks import NETWORKS\n"
        "from ecg_trt.weights import weights_path\n"
        "onnx = export(weights_path('stage1'), Precision.FP16, NETWORKS['stage1'].shapes)\n"
        "print(hashlib.sha256(build_plan(onnx, trt, BuildOptions('8.9'))).hexdigest())"
    )
    root = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    here = [build_plan(network(Precision.FP16, "stage1"), trt, BuildOptions("8.9")) for _ in range(2)]
    assert here[0] == here[1]
    assert run.stdout.split()[-1] == hashlib.sha256(here[0]).hexdigest()


def test_two_builds_of_the_trace_network_hardly_differ() -> None:
    """TensorRT for RTX numbers some tensors of its folded pixels anew in each build."""
    one, other = (
        np.frombuffer(build_plan(network(Precision.FP16, "stage2"), trt, BuildOptions("8.9")), np.uint8)
        for _ in range(2)
    )
    assert one.shape == other.shape
    assert (one != other).mean() < 1e-3


@pytest.mark.parametrize(
    ("onnx_bytes", "words"),
    [
        (b"hello", "there is no network in it"),
        (b"", "there is no network in it"),
        (network(Precision.FP16)[:-5000], "parse"),
        (one_node("Nonsense", "org.example"), "Nonsense"),
        (one_node("Add", dtypes=(TensorProto.FLOAT16, TensorProto.FLOAT)), "type"),
        (one_node("Det"), "Det"),
    ],
    ids=["text", "empty", "truncated", "unknown operator", "two types in one sum", "wrong number of inputs"],
)
def test_bad_onnx_is_refused_in_its_own_words(onnx_bytes: bytes, words: str) -> None:
    with pytest.raises(BuildError, match=words):
        build_plan(onnx_bytes, trt, BuildOptions("8.6"))


@pytest.mark.parametrize("level", [0, 5])
def test_levels_are_taken(level: int) -> None:
    plan, default = (
        build_plan(network(Precision.FP16), trt, BuildOptions("8.6", optimization_level=n)) for n in (level, None)
    )
    assert plan.startswith(b"vtrt")
    if trt.__version__.startswith("1.7."):  # It times nothing, and its plan is the same at every level.
        assert plan == default


def test_details_of_layers_hardly_change_the_plan() -> None:
    """TensorRT for RTX fuses layers when the plan is loaded: version 1.7 writes one byte, the level of detail."""
    plain, detailed = (
        np.frombuffer(build_plan(network(Precision.FP16), trt, BuildOptions("8.6", has_layer_details=has)), np.uint8)
        for has in (False, True)
    )
    assert plain.shape == detailed.shape and 0 < (plain != detailed).sum() < 100


def test_the_default_serves_more_than_one_gpu() -> None:
    named, general = (build_plan(network(Precision.FP16), trt, BuildOptions(c)) for c in ("8.6", "any"))
    assert general.startswith(b"vtrt") and general != named

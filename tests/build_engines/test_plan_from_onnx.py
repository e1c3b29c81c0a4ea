"""The one path for all versions, against modules of their shapes."""

from __future__ import annotations

import logging
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from filelock import FileLock, Timeout
from onnx import TensorProto, helper

from build_engines.plan_from_onnx import BuildOptions, build_plan
from ecg_trt.errors import BuildError
from tests import make_onnx
from tests.build_engines.fake_builder import CACHE, PLAN, Layer, make_tensorrt

HALF, FLOAT = TensorProto.FLOAT16, TensorProto.FLOAT
ONNX = make_onnx.affine()
VERSIONS = ("8.6.0", "10.13.0", "11.1.0")


@pytest.mark.parametrize(
    ("version", "network", "flags", "has_tactics"),
    [
        ("8.6.0", {"EXPLICIT_BATCH"}, {"FP16", "OBEY_PRECISION_CONSTRAINTS", "no TF32"}, True),
        ("10.13.0", {"STRONGLY_TYPED"}, {"no TF32"}, False),
        ("11.1.0", set(), {"no TF32"}, False),
    ],
)
def test_each_version_gets_the_flags_it_has(version, network, flags, has_tactics) -> None:
    trt = make_tensorrt(version)
    assert build_plan(ONNX, trt, BuildOptions(workspace_mib=64)) == PLAN
    assert trt.seen["network"] == network
    assert trt.seen["flags"] == flags
    assert trt.seen["pool"] == {"workspace": 64 << 20}
    own = (1 << trt.TacticSource.JIT_CONVOLUTIONS) | (1 << getattr(trt.TacticSource, "EDGE_MASK_CONVOLUTIONS", 0))
    assert trt.seen["tactics"] == (own if has_tactics else None)


def test_fp32_is_fp32_everywhere() -> None:
    trt = make_tensorrt("8.6.0")
    build_plan(ONNX, trt, BuildOptions(is_fp16=False))
    assert trt.seen["flags"] == {"no TF32"}
    assert trt.seen["pool"] == {}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_level_is_handed_on(version: str) -> None:
    trt = make_tensorrt(version)
    build_plan(ONNX, trt, BuildOptions())
    assert trt.seen["config"].builder_optimization_level == 3
    build_plan(ONNX, trt, BuildOptions(optimization_level=0))
    assert trt.seen["config"].builder_optimization_level == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_a_version_compatible_plan_leaves_the_lean_runtime_out(version: str) -> None:
    trt = make_tensorrt(version)
    build_plan(ONNX, trt, BuildOptions(is_version_compatible=True))
    assert {"VERSION_COMPATIBLE", "EXCLUDE_LEAN_RUNTIME"} <= trt.seen["flags"]


@pytest.mark.parametrize("version", VERSIONS)
def test_layers_are_described_where_that_is_asked_for(version: str) -> None:
    trt = make_tensorrt(version)
    for has_details, verbosity in ((False, "LAYER_NAMES_ONLY"), (True, "DETAILED")):
        build_plan(ONNX, trt, BuildOptions(has_layer_details=has_details))
        assert trt.seen["config"].profiling_verbosity == verbosity


@pytest.mark.parametrize("version", VERSIONS)
def test_a_plan_for_any_gpu_is_hardware_compatible(version: str) -> None:
    trt = make_tensorrt(version)
    for capability, level in ((None, "NONE"), ("any", "AMPERE_PLUS")):
        build_plan(ONNX, trt, BuildOptions(capability))
        assert trt.seen["config"].hardware_compatibility_level == level


@pytest.mark.parametrize(
    ("lacks", "options"),
    [
        ("builder_optimization_level", BuildOptions(optimization_level=5)),
        ("HardwareCompatibilityLevel", BuildOptions("any")),
        ("VERSION_COMPATIBLE", BuildOptions(is_version_compatible=True)),
    ],
)
def test_an_option_that_the_version_lacks_is_rejected(lacks: str, options: BuildOptions) -> None:
    trt = make_tensorrt("8.6.0", lacks=[lacks])
    assert build_plan(ONNX, trt, BuildOptions()) == PLAN
    with pytest.raises(BuildError, match=rf"tensorrt 8\.6\.0; expected a version with {lacks}"):
        build_plan(ONNX, trt, options)


def softmax_network() -> bytes:
    """A product in FP16, and a softmax that the graph keeps in FP32."""
    ends = [helper.make_tensor_value_info(name, kind, [1, 4]) for name, kind in (("x", HALF), ("y", FLOAT))]
    weight = helper.make_tensor("w", HALF, [4], [1.0] * 4)
    nodes = [
        helper.make_node("Mul", ["x", "w"], ["product"]),
        helper.make_node("Cast", ["product"], ["wide"], to=FLOAT),
        helper.make_node("Softmax", ["wide"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "half", ends[:1], ends[1:], [weight])
    opsets = [helper.make_opsetid("", make_onnx.OPSET)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def softmax_layers() -> dict[str, Layer]:
    """Its layers, as a parser makes them that splits the softmax in two."""
    layers = [
        Layer("weight", "CONSTANT", {}, {"w": "float16"}),
        Layer("product", "ELEMENTWISE", {"x": "float16", "w": "float16"}, {"product": "float16"}),
        Layer("cast", "CAST", {"product": "float16"}, {"wide": "float32"}),
        Layer("made up", "SHUFFLE", {"wide": "float32"}, {"(Unnamed Layer* 3) output": "float32"}),
        Layer("softmax", "SOFTMAX", {"(Unnamed Layer* 3) output": "float32"}, {"y": "float32", "index": "int32"}),
    ]
    return {layer.name: layer for layer in layers}


def test_layers_that_the_graph_keeps_in_fp32_are_constrained_where_types_are_weak() -> None:
    trt, layers = make_tensorrt("8.6.0"), softmax_layers()
    trt.seen["layers"] += layers.values()
    build_plan(softmax_network(), trt, BuildOptions())
    assert "OBEY_PRECISION_CONSTRAINTS" in trt.seen["flags"]
    constrained = {name for name, layer in layers.items() if layer.precision == "float32"}
    assert constrained == {"made up", "softmax"}
    assert layers["softmax"].output_types == layers["made up"].output_types == {0: "float32"}
    assert all(not layers[name].output_types for name in set(layers) - constrained)


@pytest.mark.parametrize(("version", "is_fp16"), [("8.6.0", False), ("10.13.0", True), ("11.1.0", True)])
def test_layers_are_left_alone_where_types_are_strong_or_all_fp32(version: str, is_fp16: bool) -> None:
    trt, layers = make_tensorrt(version), softmax_layers()
    trt.seen["layers"] += layers.values()
    build_plan(softmax_network(), trt, BuildOptions(is_fp16=is_fp16))
    assert all(layer.precision is None and not layer.output_types for layer in layers.values())


@pytest.mark.parametrize("version", VERSIONS)
def test_the_timing_cache_is_kept_and_locked(version: str, tmp_path: Path) -> None:
    path, trt = tmp_path / "new" / "timing.cache", make_tensorrt(version)

    def is_locked() -> bool:
        try:
            FileLock(f"{path}.lock", timeout=0).acquire()
        except Timeout:
            return True
        return False

    trt.seen["while_building"] = is_locked
    build_plan(ONNX, trt, BuildOptions(timing_cache=path))
    assert trt.seen["on_build"] is True
    assert path.read_bytes() == CACHE
    build_plan(ONNX, trt, BuildOptions(timing_cache=path))
    assert path.read_bytes() == CACHE + CACHE
    assert not is_locked()


def test_a_strange_timing_cache_starts_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "timing.cache"
    path.write_bytes(b"of another GPU")
    with caplog.at_level(logging.WARNING, "build_engines"):
        build_plan(ONNX, make_tensorrt("10.13.0", "cache"), BuildOptions(timing_cache=path))
    assert "starts anew" in caplog.text
    assert path.read_bytes() == CACHE


def test_what_was_measured_outlives_a_failed_build(tmp_path: Path) -> None:
    path = tmp_path / "timing.cache"
    path.write_bytes(b"old")
    with pytest.raises(BuildError):
        build_plan(ONNX, make_tensorrt("10.13.0", "build"), BuildOptions(timing_cache=path))
    assert path.read_bytes() == b"old" + CACHE
    with FileLock(f"{path}.lock", timeout=0):
        pass


def test_what_was_measured_outlives_an_interrupt(tmp_path: Path) -> None:
    path = tmp_path / "timing.cache"
    with pytest.raises(KeyboardInterrupt):
        build_plan(
            ONNX,
            make_tensorrt("10.13.0", "interrupt"),
            BuildOptions(timing_cache=path),
            lambda share: signal.raise_signal(signal.SIGINT),
        )
    assert path.read_bytes() == CACHE


@pytest.mark.parametrize("version", VERSIONS)
def test_progress_is_told_where_the_version_has_it(version: str) -> None:
    shares: list[float] = []
    trt = make_tensorrt(version)
    build_plan(ONNX, trt, BuildOptions(), shares.append)
    assert shares == ([] if version == "8.6.0" else [0.25, 0.5, 0.5, 1.0])
    assert all(trt.seen["steps"])


def test_an_interrupt_ends_the_build_between_two_steps() -> None:
    def progress(share: float) -> None:
        if share == 0.5:
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    trt = make_tensorrt("10.13.0", "interrupt")
    with pytest.raises(KeyboardInterrupt):
        build_plan(ONNX, trt, BuildOptions(), progress)
    assert trt.seen["steps"] == [True, False, False, False]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_build_in_another_thread_leaves_signals_alone() -> None:
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(build_plan, ONNX, make_tensorrt("10.13.0"), BuildOptions()).result() == PLAN


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("builder", r"no builder .*nullptr"),
        ("parse", "cannot parse: no importer for Nonsense"),
        ("build", "cannot build: no tactic for node 7;"),
    ],
)
def test_refusals_come_in_its_own_words(version: str, fault: str, words: str) -> None:
    with pytest.raises(BuildError, match=words) as caught:
        build_plan(ONNX, make_tensorrt(version, fault), BuildOptions())
    assert "never mind" not in str(caught.value)

"""Static shapes, and the files that are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from build_engines.export import Precision, export, io_specs
from ecg_trt.backends.ort import OrtBackend
from ecg_trt.errors import BuildError
from ecg_trt.networks import NETWORKS
from ecg_trt.stages.rectify import _canvas
from ecg_trt.stages.scaling import RECTIFY_PX_PER_MM
from ecg_trt.types import PageAlignment
from ecg_trt.weights import weights_path
from tests import make_onnx


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("stage", NETWORKS)
def test_shapes_are_fixed_and_bytes_repeat(stage: str, precision: Precision) -> None:
    made = export(weights_path(stage), precision, NETWORKS[stage].shapes)
    assert made == export(weights_path(stage).read_bytes(), precision, NETWORKS[stage].shapes)
    inputs, outputs = io_specs(made)
    assert {spec.name: spec.shape for spec in inputs} == NETWORKS[stage].shapes
    assert all(isinstance(side, int) and side > 0 for spec in outputs for side in spec.shape)
    assert {spec.dtype for spec in outputs} == {"float32"}
    with OrtBackend(made, 1) as backend:
        assert (backend.inputs, backend.outputs) == (inputs, outputs)


def test_the_shapes_are_those_of_the_stages() -> None:
    n, *room, channels = NETWORKS["stage1"].shapes["image"]
    assert (n, channels) == (1, 3)
    for size_mm in ((297.0, 210.0), (210.0, 297.0)):  # A4, lying and upright
        none = np.zeros(0)
        alignment = PageAlignment(np.eye(3), size_mm, none, none > 0, none, 0)
        canvas_from_page, hw = _canvas(alignment, (room[0], room[1]))
        assert hw == _canvas(alignment, None)[1], "the plan's room makes no page smaller"
        assert canvas_from_page[0, 0] == pytest.approx(RECTIFY_PX_PER_MM, rel=0.03)


def test_free_shapes_stay_free() -> None:
    with OrtBackend(export(make_onnx.affine(), Precision.FP16), 1) as backend:
        assert backend.inputs[0].shape == ("n", 3, "h", "w")
        for side in (2, 5):
            x = np.ones((1, 3, side, side), np.float32)
            np.testing.assert_array_equal(backend.infer({"x": x})["y"], 3 * x)


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ({"y": (1, 3, 2, 2)}, r"\['y'\].*\['x'\]"),
        ({"x": (1, 3, 2)}, r"x \(1, 3, 2\); expected x float32 \(n, 3, h, w\)"),
        ({"x": (1, 4, 2, 2)}, r"x \(1, 4, 2, 2\)"),
        ({"x": (0, 3, 2, 2)}, r"x \(0, 3, 2, 2\)"),
    ],
)
def test_shapes_that_do_not_fit(shapes: dict[str, tuple[int, ...]], words: str) -> None:
    with pytest.raises(BuildError, match=words):
        export(make_onnx.affine(), Precision.FP32, shapes)


def test_shapes_that_do_not_go_through() -> None:
    with pytest.raises(BuildError, match="do not fit the network"):
        export(make_onnx.two_inputs(), Precision.FP32, {"a": (4,), "b": (3,)})


@pytest.mark.parametrize("content", [b"", b"hello", make_onnx.affine()[:-40]])
def test_what_is_no_onnx(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=f"{len(content)} bytes"):
        export(content, Precision.FP32)
    path = tmp_path / "network.onnx"
    path.write_bytes(content)
    with pytest.raises(BuildError, match=r"network\.onnx"):
        export(path, Precision.FP16)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"none\.onnx"):
        export(tmp_path / "none.onnx", Precision.FP32)

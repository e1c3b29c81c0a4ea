"""Networks in other hands compute what ONNX Runtime on the CPU computes, with the shipped weights."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.throughput_suite.ort_cuda_backend import OrtCudaBackend
from benchmarks.throughput_suite.torch_backend import TorchBackend
from ecg_trt.backends.base import static_hw
from ecg_trt.backends.ort import OrtBackend
from ecg_trt.errors import BackendError, BackendUnavailableError
from ecg_trt.networks import READING_NETWORKS
from ecg_trt.types import Array
from ecg_trt.weights import weights_path

Expected = tuple[str, dict[str, Array], dict[str, Array]]  # stage, feed, answers of ONNX Runtime
SIZES = {"stage0": (1, 512, 512, 3), "stage1": (1, 256, 320, 3), "stage2": (2, 320, 2688, 3),
         "caption": (1, 64, 256, 3)}  # fmt: skip


def feed_of(stage: str) -> dict[str, Array]:
    """A drawn page as the stage sees it."""
    from dataclasses import replace

    from build_engines.verify import draw_feed
    from ecg_trt.networks import READING_NETWORKS

    spec = READING_NETWORKS[stage]
    return draw_feed(replace(spec, inputs=(replace(spec.inputs[0], shape=SIZES[stage]),)))


@pytest.fixture(scope="module", params=list(SIZES))
def expected(request: pytest.FixtureRequest) -> Expected:
    feed = feed_of(request.param)
    with OrtBackend(weights_path(request.param)) as reference:
        return request.param, feed, reference.infer(feed)


def gap(a: dict[str, Array], b: dict[str, Array]) -> float:
    """The greatest difference of all outputs."""
    assert set(a) == set(b)
    assert all(a[name].shape == b[name].shape and b[name].dtype == np.float32 for name in a)
    return max(float(np.abs(a[name] - b[name]).max()) for name in a)


def test_torch_is_onnx_runtime(expected: Expected) -> None:
    pytest.importorskip("torch")
    stage, feed, reference = expected
    with TorchBackend(stage, "cpu") as backend:
        got = backend.infer(feed)
        assert set(backend.last_ms) == {"h2d", stage, "d2h"} and backend.last_ms[stage] > 0
        assert [spec.name for spec in backend.outputs] == list(got)
    assert gap(reference, got) < 1e-3
    with pytest.raises(BackendError, match="closed"):
        backend.infer(feed)


def test_a_compiled_network_has_one_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch, "compile", lambda model, **how: model)
    for stage, spec in READING_NETWORKS.items():
        with TorchBackend(stage, "cpu", compiled="reduce-overhead") as compiled, TorchBackend(stage, "cpu") as eager:
            assert compiled.inputs[0].shape == spec.shapes["image"]
            assert static_hw(eager) is None
            if stage == "stage1":
                with pytest.raises(BackendError, match="1280"):
                    compiled.infer({"image": np.zeros((1, 1248, 960, 3), np.uint8)})


@pytest.mark.slow
def test_torch_in_fp16_is_near(expected: Expected) -> None:
    pytest.importorskip("torch")
    stage, feed, reference = expected
    if stage == "stage2":
        feed = {"image": feed["image"][:1]}
        reference = {name: value[:1] for name, value in reference.items()}
    with TorchBackend(stage, "cpu", "fp16") as backend:
        got = backend.infer(feed)
    scale = max(float(np.abs(value).max()) for value in reference.values())
    assert 0 < gap(reference, got) < 0.02 * scale


def test_onnx_runtime_bound_is_onnx_runtime(expected: Expected) -> None:
    stage, feed, reference = expected
    with OrtCudaBackend(stage, "cpu") as backend:
        got = backend.infer(feed)
        assert backend.last_ms[stage] > 0
    assert gap(reference, got) < 1e-3
    with pytest.raises(BackendError, match="closed"):
        backend.infer(feed)


def test_without_cuda_they_say_so() -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(BackendUnavailableError, match="no CUDA"):
        TorchBackend("stage0")
    with pytest.raises(BackendUnavailableError, match="CUDAExecutionProvider"):
        OrtCudaBackend("stage0")

"""The rivals compute what ONNX Runtime on the CPU computes, with the shipped weights."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.rivals import OrtRival, TorchBackend
from ecg_trt.backends.ort import OrtBackend
from ecg_trt.errors import BackendError, BackendUnavailableError
from ecg_trt.types import Array
from ecg_trt.weights import weights_path

SIZES = {"stage0": (1, 512, 512, 3), "stage1": (1, 256, 320, 3), "stage2": (2, 320, 1344, 3),
         "caption": (1, 64, 256, 3)}  # fmt: skip


def feed_of(stage: str) -> dict[str, Array]:
    """A drawn page as the stage sees it."""
    from dataclasses import replace

    from build_engines.profile import SPECS
    from build_engines.verify import draw_feed

    return draw_feed(replace(SPECS[stage], shapes={"image": SIZES[stage]}))


@pytest.fixture(scope="module", params=list(SIZES))
def expected(request: pytest.FixtureRequest) -> tuple[str, dict[str, Array], dict[str, Array]]:
    feed = feed_of(request.param)
    with OrtBackend(weights_path(request.param)) as reference:
        return request.param, feed, reference.infer(feed)


def gap(a: dict[str, Array], b: dict[str, Array]) -> float:
    """The greatest difference of all outputs."""
    assert set(a) == set(b)
    assert all(a[name].shape == b[name].shape and b[name].dtype == np.float32 for name in a)
    return max(float(np.abs(a[name] - b[name]).max()) for name in a)


def test_torch_is_onnx_runtime(expected) -> None:
    pytest.importorskip("torch")
    stage, feed, reference = expected
    with TorchBackend(stage, "cpu") as rival:
        got = rival.infer(feed)
        assert set(rival.last_ms) == {"h2d", stage, "d2h"} and rival.last_ms[stage] > 0
        assert [spec.name for spec in rival.outputs] == list(got)
    assert gap(reference, got) < 1e-3
    with pytest.raises(BackendError, match="closed"):
        rival.infer(feed)


@pytest.mark.slow
def test_torch_in_fp16_is_near(expected) -> None:
    pytest.importorskip("torch")
    stage, feed, reference = expected
    if stage == "stage2":
        feed = {"image": feed["image"][:1]}
        reference = {name: value[:1] for name, value in reference.items()}
    with TorchBackend(stage, "cpu", "fp16") as rival:
        got = rival.infer(feed)
    scale = max(float(np.abs(value).max()) for value in reference.values())
    assert 0 < gap(reference, got) < 0.02 * scale


def test_onnx_runtime_bound_is_onnx_runtime(expected) -> None:
    stage, feed, reference = expected
    with OrtRival(stage, "cpu") as rival:
        got = rival.infer(feed)
        assert rival.last_ms[stage] > 0
    assert gap(reference, got) < 1e-3
    with pytest.raises(BackendError, match="closed"):
        rival.infer(feed)


def test_without_cuda_they_say_so() -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(BackendUnavailableError, match="no CUDA"):
        TorchBackend("stage0")
    with pytest.raises(BackendUnavailableError, match="CUDAExecutionProvider"):
        OrtRival("stage0")

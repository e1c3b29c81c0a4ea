from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto

from ecg_trt.backends.fake import FakeBackend
from ecg_trt.backends.ort import OrtBackend, _options
from ecg_trt.errors import BackendError, BackendUnavailableError, WeightsError
from ecg_trt.types import TensorSpec
from tests import make_onnx
from tests.backends.fake_gpu import CudaSession


def test_runs_from_bytes_and_file(tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    path.write_bytes(make_onnx.affine(2, 1))
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    for model in (path, str(path), path.read_bytes()):
        with OrtBackend(model, threads=1) as backend:
            assert backend.name == "ort"
            assert backend.inputs == (TensorSpec("x", "float32", ("n", 3, "h", "w")),)
            assert [spec.name for spec in backend.outputs] == ["y"]
            out = backend.infer({"x": x[:, :, ::-1]})
            assert np.allclose(out["y"], 2 * x[:, :, ::-1] + 1)


def test_a_network_like_a_stage() -> None:
    model = make_onnx.convolution([("heat", 2), ("turn", 4)], dtype=TensorProto.UINT8, stride=2)
    with OrtBackend(model) as backend:
        assert str(backend.inputs[0]) == "image uint8 (n, 3, h, w)"
        out = backend.infer({"image": np.full((1, 3, 8, 12), 7, np.uint8)})
    assert {k: v.shape for k, v in out.items()} == {"heat": (1, 2, 4, 6), "turn": (1, 4, 4, 6)}


@pytest.mark.parametrize(
    ("feed", "words"),
    [
        ({}, "inputs"),
        ({"y": np.zeros((1, 3, 2, 2), np.float32)}, "inputs"),
        ({"x": np.zeros((1, 3, 2, 2))}, "float64"),
        ({"x": np.zeros((1, 4, 2, 2), np.float32)}, r"\(1, 4, 2, 2\)"),
        ({"x": np.zeros((3, 2, 2), np.float32)}, r"\(3, 2, 2\)"),
        ({"x": np.zeros((1, 3, 0, 2), np.float32)}, r"\(1, 3, 0, 2\)"),
        ({"x": [1.0]}, "list"),
    ],
)
def test_a_wrong_feed_is_named(feed: dict[str, np.ndarray], words: str) -> None:
    with OrtBackend(make_onnx.affine()) as backend, pytest.raises(BackendError, match=words):
        backend.infer(feed)


def test_free_lengths_must_agree() -> None:
    with OrtBackend(make_onnx.two_inputs()) as backend:
        a = np.ones(3, np.float32)
        assert np.array_equal(backend.infer({"a": a, "b": a})["sum"], a + a)
        with pytest.raises(BackendError, match="k = 3"):
            backend.infer({"a": a, "b": np.ones(4, np.float32)})


def test_a_failing_run_is_a_backend_error() -> None:
    with OrtBackend(make_onnx.reshape_to(4)) as backend, pytest.raises(BackendError, match="failed"):
        backend.infer({"x": np.ones(5, np.float32)})


def test_closed_backends_refuse() -> None:
    with OrtBackend(make_onnx.affine()) as backend:
        pass
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.infer({"x": np.zeros((1, 3, 2, 2), np.float32)})
    with FakeBackend(lambda feed: feed) as fake:
        assert fake.infer({"x": np.ones(2)})["x"].sum() == 2
    with pytest.raises(BackendError, match="closed"):
        fake.infer({})


def test_fake_checks_what_it_is_told() -> None:
    fake = FakeBackend(lambda feed: {"y": feed["x"] + 1}, (TensorSpec("x", "int64", (None,)),), name="plus")
    assert fake.infer({"x": np.arange(3)})["y"].tolist() == [1, 2, 3]
    with pytest.raises(BackendError):
        fake.infer({"x": np.zeros((2, 2), np.int64)})


@pytest.mark.parametrize("model", [b"", b"not a network", "missing.onnx"])
def test_what_is_no_network(model: str | bytes) -> None:
    with pytest.raises(WeightsError, match="cannot be loaded"):
        OrtBackend(model)


def test_a_type_numpy_lacks() -> None:
    with pytest.raises(BackendError, match="bfloat16"):
        OrtBackend(make_onnx.convolution(dtype=TensorProto.BFLOAT16))


def test_threads_that_wait_do_not_spin() -> None:
    assert _options(2).get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_a_network_on_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "InferenceSession", CudaSession)
    x = np.ones((1, 3, 2, 2), np.float32)
    with OrtBackend(make_onnx.affine(2, 1), on_gpu=True) as backend:
        assert backend.name == "ort-cuda"
        assert np.array_equal(backend.infer({"x": x})["y"], 2 * x + 1)
        session = backend._session
        assert isinstance(session, CudaSession) and not session._enable_fallback
        ((provider, options),) = session.requested
        assert (provider, options["cudnn_conv_algo_search"]) == ("CUDAExecutionProvider", "HEURISTIC")
    with pytest.raises(BackendError, match="closed ort-cuda"):
        backend.infer({"x": x})
    with pytest.raises(WeightsError, match="cannot be loaded"):
        OrtBackend(b"not a network", on_gpu=True)


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="it has the provider")
@pytest.mark.filterwarnings("ignore:Specified provider")
def test_the_cpu_in_place_of_the_gpu_is_an_error() -> None:
    """ONNX Runtime itself opens such a session, and goes on on the CPU."""
    with pytest.raises(BackendUnavailableError, match=r"a session of CPUExecutionProvider.*onnxruntime-gpu"):
        OrtBackend(make_onnx.affine(), on_gpu=True)


def test_a_provider_that_fails_is_an_error(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    def fail(session: object, *arguments: object) -> None:
        raise RuntimeError("CUDA failure 100: no CUDA-capable device is detected\nand so on")

    monkeypatch.setattr(onnxruntime.InferenceSession, "_create_inference_session", fail)
    with pytest.raises(BackendUnavailableError, match=r"CUDA failure 100: .* detected; expected a session of CUDA"):
        OrtBackend(make_onnx.affine(), on_gpu=True)
    assert capfd.readouterr().out == ""

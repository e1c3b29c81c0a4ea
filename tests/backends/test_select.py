from __future__ import annotations

import hashlib
import json
import logging
import os
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import ecg_trt.weights as weights
from ecg_trt.backends import select
from ecg_trt.backends.ort import OrtBackend
from ecg_trt.backends.runtime import LazyBackend
from ecg_trt.backends.select import BackendName, available, open_runtime
from ecg_trt.config import BACKENDS
from ecg_trt.errors import BackendError, BackendUnavailableError, OptionError, WeightsError
from ecg_trt.networks import NETWORKS
from tests import make_onnx
from tests.backends.fake_gpu import GPU, CudaSession


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    model = make_onnx.affine()
    entries = {}
    for name in NETWORKS:
        (tmp_path / f"{name}.onnx").write_bytes(model)
        entries[name] = {"file": f"{name}.onnx", "sha256": hashlib.sha256(model).hexdigest()}
    lost = {"file": "lost.onnx", "sha256": "0" * 64}
    (tmp_path / "manifest.json").write_text(json.dumps({**entries, "lost": lost}))
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    monkeypatch.setattr(select, "probe", lambda: "no NVIDIA driver")
    return tmp_path


@pytest.mark.parametrize("name", ["ort", BackendName.ORT, "auto", BackendName.AUTO])
def test_open(folder: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "ecg_trt"), open_runtime(name, threads=1) as runtime:
        assert runtime.name == "ort"
        answer = runtime.backends["stage0"].infer({"x": np.ones((1, 3, 1, 1), np.float32)})
        assert answer["y"].ravel().tolist() == [3, 3, 3]
    is_auto = str(name) == "auto"
    assert runtime.note == ("trt, rtx (no NVIDIA driver)" if is_auto else "")
    assert ("backend auto: ort; not trt, rtx (no NVIDIA driver)" in caplog.text) == is_auto
    assert str(BackendName.AUTO) == "auto"
    *others, ort_cuda = available()
    assert others == [("trt", False, "no NVIDIA driver"), ("rtx", False, "no NVIDIA driver"), ("ort", True, "")]
    assert ort_cuda[:2] == ("ort-cuda", False)


def test_a_network_that_is_not_there(folder: Path) -> None:
    with pytest.raises(OptionError, match=r"'stage9'.*stage0, stage1, stage2, caption"):
        open_runtime("ort", networks=["stage0", "stage9"])


def test_networks_open_when_they_are_first_used(folder: Path) -> None:
    with open_runtime("ort", networks=["stage0", "stage1"], threads=1) as runtime:
        assert set(runtime.backends) == {"stage0", "stage1"}
        opened = {name: backend for name, backend in runtime.backends.items() if isinstance(backend, LazyBackend)}
        assert opened.keys() == {"stage0", "stage1"} and not any(backend.is_open for backend in opened.values())
        assert [spec.name for spec in runtime.backends["stage1"].inputs] == ["x"]
        assert [backend.is_open for backend in opened.values()] == [False, True]
    for backend in opened.values():
        assert not backend.is_open
        with pytest.raises(BackendError, match="closed ort"):
            backend.infer({})


def test_unknown_backend() -> None:
    with pytest.raises(BackendUnavailableError, match="auto, trt, rtx, ort, ort-cuda"):
        open_runtime("abacus")


@pytest.mark.parametrize("name", ["auto", "ort"])
def test_not_installed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    flavour = select._Flavour(select._open_ort, lambda: "no such module", "pip install onnxruntime")
    monkeypatch.setattr(select, "_FLAVOURS", {BackendName.ORT: flavour})
    with pytest.raises(BackendUnavailableError, match="pip install onnxruntime"):
        open_runtime(name)
    assert available() == [("ort", False, "no such module")]


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="it has the provider")
def test_an_onnxruntime_without_cuda(folder: Path) -> None:
    words = r"has no CUDAExecutionProvider, but .*CPUExecutionProvider; .*onnxruntime-gpu.*--backend ort"
    with pytest.raises(BackendUnavailableError, match=words):
        open_runtime("ort-cuda")


def test_onnxruntime_with_cuda_is_for_who_asks_for_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    with pytest.raises(BackendUnavailableError, match="ort-cuda: no NVIDIA driver"):
        open_runtime("ort-cuda")
    monkeypatch.setattr(select, "probe", lambda: GPU)
    monkeypatch.setattr(onnxruntime, "InferenceSession", CudaSession)
    assert available()[-1] == ("ort-cuda", True, "")
    with open_runtime("ort-cuda", networks=["stage0"], threads=1) as runtime:
        assert (runtime.name, runtime.slots) == ("ort-cuda", 1)
        network = runtime.backend("stage0")
        assert isinstance(network, OrtBackend) and network.name == "ort-cuda"  # opened at once
        assert network.infer({"x": np.ones((1, 3, 1, 1), np.float32)})["y"].ravel().tolist() == [3, 3, 3]
    with open_runtime("auto", threads=1) as runtime:
        assert runtime.name == "ort" and "ort-cuda" not in runtime.note


def test_every_backend_is_an_option() -> None:
    assert [name.value for name in BackendName] == list(BACKENDS)


def test_weights_are_checked(folder: Path) -> None:
    path = weights.weights_path("stage0")
    assert path == folder / "stage0.onnx"
    assert set(weights.list_weights()) == {*NETWORKS, "lost"}
    with pytest.raises(WeightsError, match=r"no file .*lost\.onnx"):
        weights.weights_path("lost")
    with pytest.raises(WeightsError, match=r"'stage9'"):
        weights.weights_path("stage9")
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    os.utime(path, ns=(1, 1))
    with pytest.raises(WeightsError, match="sha256"):
        open_runtime("ort")


def test_weights_without_a_manifest_and_with_a_bad_one(tmp_path: Path) -> None:
    assert weights.list_weights(tmp_path) == {}
    with pytest.raises(WeightsError, match=r"manifest\.json"):
        weights.weights_path("stage0", tmp_path)
    for text in ("{", "[1]", '{"stage0": {"file": "x"}}'):
        (tmp_path / "manifest.json").write_text(text)
        with pytest.raises(WeightsError, match="manifest"):
            weights.list_weights(tmp_path)

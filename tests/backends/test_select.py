from __future__ import annotations

import hashlib
import json
import logging
import os
from pathlib import Path

import numpy as np
import pytest

import ecg_trt.weights as weights
from ecg_trt.backends import select
from ecg_trt.backends.select import BackendName, available, open_backend
from ecg_trt.errors import BackendUnavailableError, WeightsError
from tests import make_onnx


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    model = make_onnx.affine()
    (tmp_path / "stage0.onnx").write_bytes(model)
    entry = {"file": "stage0.onnx", "sha256": hashlib.sha256(model).hexdigest()}
    lost = {"file": "stage1.onnx", "sha256": "0" * 64}
    (tmp_path / "manifest.json").write_text(json.dumps({"stage0": entry, "stage1": lost}))
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["ort", BackendName.ORT, "auto", BackendName.AUTO])
def test_open(folder: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "ecg_trt"), open_backend(name, "stage0", threads=1) as backend:
        assert backend.name == "ort"
        assert backend.infer({"x": np.ones((1, 3, 1, 1), np.float32)})["y"].ravel().tolist() == [3, 3, 3]
    assert ("backend auto: ort" in caplog.text) == (str(name) == "auto")
    assert str(BackendName.AUTO) == "auto"
    assert available() == [("ort", True, "")]


def test_unknown_backend() -> None:
    with pytest.raises(BackendUnavailableError, match="auto, ort"):
        open_backend("abacus", "stage0")


@pytest.mark.parametrize("name", ["auto", "ort"])
def test_not_installed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    flavour = select._Flavour(select._open_ort, lambda: "no such module", "pip install onnxruntime")
    monkeypatch.setattr(select, "_FLAVOURS", {BackendName.ORT: flavour})
    with pytest.raises(BackendUnavailableError, match="pip install onnxruntime"):
        open_backend(name, "stage0")
    assert available() == [("ort", False, "no such module")]


def test_weights_are_checked(folder: Path) -> None:
    path = weights.weights_path("stage0")
    assert path == folder / "stage0.onnx"
    assert set(weights.list_weights()) == {"stage0", "stage1"}
    with pytest.raises(WeightsError, match=r"no file .*stage1\.onnx"):
        weights.weights_path("stage1")
    with pytest.raises(WeightsError, match="'stage9'"):
        weights.weights_path("stage9")
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    os.utime(path, ns=(1, 1))
    with pytest.raises(WeightsError, match="sha256"):
        open_backend("ort", "stage0")


def test_weights_without_a_manifest_and_with_a_bad_one(tmp_path: Path) -> None:
    assert weights.list_weights(tmp_path) == {}
    with pytest.raises(WeightsError, match=r"manifest\.json"):
        weights.weights_path("stage0", tmp_path)
    for text in ("{", "[1]", '{"stage0": {"file": "x"}}'):
        (tmp_path / "manifest.json").write_text(text)
        with pytest.raises(WeightsError, match="manifest"):
            weights.list_weights(tmp_path)

"""The commands `info` and `sample`, with backends and pictures of a known kind."""

from __future__ import annotations

import json
import sys
import types

import pytest
from click.testing import CliRunner

from ecg_trt import __version__, weights
from ecg_trt.cli import main
from ecg_trt.errors import WeightsError

NOTICE = "Research use only, not a medical device"


@pytest.fixture
def parts(monkeypatch):
    """Backends, weights and synthesis of a known kind."""
    select = types.ModuleType("ecg_trt.backends.select")
    select.available = lambda: [("ort", True, ""), ("trt", False, "no GPU")]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ecg_trt.backends.select", select)
    monkeypatch.setattr(weights, "list_weights", lambda: {"stage0": "ab" * 32})
    monkeypatch.setattr(weights, "weights_path", lambda name: f"/x/{name}.onnx")


def test_info(parts):
    result = CliRunner().invoke(main, ["info"])
    assert result.exit_code == 0, result.output
    for words in (__version__, "numpy", "onnxruntime", "opencv", "python", "no GPU", "ab" * 32, "/x/stage0.onnx"):
        assert words in result.stdout
    assert NOTICE in result.stderr
    assert "not available: no GPU" in result.stdout


def test_info_tells_altered_weights(parts, monkeypatch):
    def fail(_name):
        raise WeightsError("A network is altered", got="this", expected="that", hint="Install anew.")

    monkeypatch.setattr(weights, "weights_path", fail)
    result = CliRunner().invoke(main, ["info"])
    assert result.exit_code == 2
    assert "error: A network is altered" in result.stderr


@pytest.fixture
def sample(monkeypatch, tools):
    module = types.ModuleType("ecg_trt.synth.sample")
    module.make_sample = lambda seed: (  # type: ignore[attr-defined]
        tools.picture(seed=seed),
        tools.record(source=""),
    )
    monkeypatch.setitem(sys.modules, "ecg_trt.synth.sample", module)


def test_sample(sample, tmp_path):
    first, second = tmp_path / "new" / "a.jpg", tmp_path / "b.jpg"
    result = CliRunner().invoke(main, ["sample", str(first), "--seed", "7"])
    assert result.exit_code == 0, result.output
    assert result.stdout.split() == [str(first.with_suffix(suffix)) for suffix in (".jpg", ".csv", ".json")]
    assert "seed 7" in result.stderr
    assert json.loads(first.with_suffix(".json").read_text("utf-8"))["source"] == "a.jpg"
    CliRunner().invoke(main, ["sample", str(second), "--seed", "7"])
    assert first.read_bytes() == second.read_bytes()


def test_sample_draws_a_seed(sample, tmp_path):
    assert "seed " in CliRunner().invoke(main, ["sample", str(tmp_path / "a.png")]).stderr


@pytest.mark.parametrize("out", ["a.gif", "file/a.jpg"])
def test_sample_that_cannot_be_written(sample, tmp_path, out):
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(main, ["sample", str(tmp_path / out), "--seed", "1"])
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]

"""Networks of the package in PyTorch, and training that begins with one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

from ecg_trt.errors import WeightsError  # noqa: E402
from ecg_trt.weights import weights_path  # noqa: E402
from tests.marks import slow_but  # noqa: E402
from train.data.samples import Sample  # noqa: E402
from train.data.signals import SignalSource  # noqa: E402
from train.experiment import stage_config  # noqa: E402
from train.hardware import open_fabric  # noqa: E402
from train.loop import Trainer, read_checkpoint  # noqa: E402
from train.models import STAGES  # noqa: E402
from train.models.shipped import load_folded, load_shipped  # noqa: E402
from train.tasks import TASKS  # noqa: E402

TOLERANCE = 1e-3


def _images(stage: str, seed: int, count: int) -> list[Any]:
    samples: list[Sample] = []
    page = 0
    while len(samples) < count:
        samples += TASKS[stage].make(np.random.default_rng((seed, page)), SignalSource())
        page += 1
    return [torch.from_numpy(np.stack([sample["image"] for sample in samples[:count]]))]


@pytest.mark.parametrize("stage", slow_but(["caption"], STAGES))
def test_a_restored_network_answers_as_the_shipped_one(stage: str) -> None:
    model = load_shipped(stage, weights_path(stage), _images(stage, 1, 3))
    images = _images(stage, 2, 2)[0]
    if stage == "stage2":  # the exported network takes whole tiles
        images = images.repeat(1, 1, 4, 1)[:, :, : STAGES[stage].input_hw[1]].contiguous()
    with torch.no_grad():
        got, folded = model(images), load_folded(stage)(images)
    session = onnxruntime.InferenceSession(str(weights_path(stage)), providers=["CPUExecutionProvider"])
    answers = session.run(list(got), {"image": images.numpy()})
    for (name, value), answer in zip(got.items(), answers, strict=True):
        scale = 1 + np.abs(answer).max()
        assert np.abs(value.numpy() - answer).max() < TOLERANCE * scale, name
        assert (value - folded[name]).abs().max() < TOLERANCE * scale, name


def test_restored_statistics_are_those_of_a_batch() -> None:
    """In training mode, on the measured images, the network answers as in evaluation."""
    images = _images("caption", 1, 24)
    model = load_shipped("caption", weights_path("caption"), images)
    with torch.no_grad():
        evaluated = model(images[0])["text"]
        trained = model.train()(images[0])["text"]
    assert (trained - evaluated).abs().max() < TOLERANCE * (1 + evaluated.abs().max())


def test_another_network_is_not_taken() -> None:
    with pytest.raises(WeightsError, match=r"stage2\.onnx is not the network of caption"):
        load_folded("caption", weights_path("stage2"))


def test_training_begins_with_a_shipped_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.loop._MEASURED_PAGES", 1)
    layers = {"begin": str(weights_path("caption")), "hardware": {"device": "cpu"}, "model": {"width": 2.0}}
    config = stage_config("caption", 0, tmp_path, layers)
    trainer = Trainer(TASKS["caption"], config, open_fabric(config))
    images = _images("caption", 2, 2)[0]
    with torch.no_grad():
        got, expected = trainer.average.module(images)["text"], load_folded("caption")(images)["text"]
    assert (got - expected).abs().max() < TOLERANCE * (1 + expected.abs().max())


def test_a_checkpoint_of_averaged_weights_alone_is_enough_to_begin_with(tmp_path: Path) -> None:
    """As of earlier versions: ``ema`` is a state dict, and nothing else is read."""
    path = tmp_path / "begin.pt"
    model = load_shipped("stage2", weights_path("stage2"), _images("stage2", 1, 2))
    torch.save({"ema": model.state_dict()}, path)
    config = stage_config("stage2", 0, tmp_path / "run", {"begin": str(path), "hardware": {"device": "cpu"}})
    trainer = Trainer(TASKS["stage2"], config, open_fabric(config))
    for name, value in read_checkpoint(path)["ema"].items():
        assert torch.equal(trainer.average.module.state_dict()[name], value), name

"""A new network is one task and its shape: the command line, settings, training and checkpoints follow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ecg_trt.errors import OptionError  # noqa: E402
from train import hardware, run  # noqa: E402
from train.data.samples import Sample  # noqa: E402
from train.experiment import stage_config  # noqa: E402
from train.export import load_network  # noqa: E402
from train.losses import Maps, Target  # noqa: E402
from train.models import SIGNALS, STAGES, BeatSpec, StageSpec  # noqa: E402
from train.tasks import TASKS, Task, align  # noqa: E402


def _make(rng: np.random.Generator, source: Any, *, kind: str | None = None) -> list[Sample]:
    del source, kind
    image = rng.integers(0, 256, (64, 64, 3), np.uint8)
    return [{"image": image, "page": (image[4::8, 4::8, :1].transpose(2, 0, 1) > 128).astype(np.float32)}]


def _measure(out: Maps, truth: Maps) -> dict[str, float]:
    return {"right": ((out["page"] > 0) == (truth["page"] > 0.5)).float().mean().item()}


def _targets(truth: Maps) -> dict[str, Any]:
    return {"page": Target.of_map(truth["page"])}


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Task:
    task = Task("toy", _make, _targets, _measure, align.is_positive, {"page": {"bce": 1.0}}, batch=2)
    monkeypatch.setitem(TASKS, "toy", task)
    monkeypatch.setitem(STAGES, "toy", StageSpec((8, 16, 16, 16), 8, (("page", 1),), (64, 64)))
    return task


def test_a_toy_network_is_trained_from_the_command_line(toy: Task, tmp_path: Path) -> None:
    words = ["--stage", "toy", "--minutes", "0.001", "--out", str(tmp_path), "--device", "cpu", "log.to=[]",
             "log.validation_pages=1", "toy.sampler.batch=3"]  # fmt: skip
    with pytest.raises(SystemExit):
        run.main(words)  # a table of the stage has a meaning in experiments alone
    run.main([*words[:-1], "sampler.batch=3"])
    model, heads = load_network("toy", tmp_path / "last.pt")
    assert heads == ("page",) and model.spec is STAGES["toy"]


def test_a_toy_network_has_settings_by_default(toy: Task, tmp_path: Path) -> None:
    config = stage_config("toy", 0, tmp_path)
    assert config.sampler.batch == 2 and config.loss == {"page": {"bce": 1.0}}
    with pytest.raises(OptionError, match="Did you mean 'toy'"):
        stage_config("tyo", 0, tmp_path)


def test_every_network_has_a_shape_and_a_loss_for_each_head() -> None:
    specs: dict[str, StageSpec | BeatSpec] = {**STAGES, **SIGNALS}
    assert set(TASKS) == set(specs)
    for stage, task in TASKS.items():
        assert set(task.loss) == set(specs[stage].outputs)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [({"amx_bf16": True}, "bf16"), ({"avx512_bf16": True}, "bf16"), ({"avx512_f": True}, "fp32"), ({}, "fp32")],
)
def test_a_cpu_trains_in_bf16_where_it_multiplies_it(
    flags: dict[str, bool], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags)
    assert hardware.choose_precision("auto", "cpu") == expected
    assert hardware.choose_precision("fp32", "cpu") == "fp32"
    assert hardware.choose_precision("auto", "cuda") == "fp16"


def test_an_unknown_device_is_named(tmp_path: Path) -> None:
    config = stage_config("stage0", 0, tmp_path)
    with pytest.raises(OptionError, match="Did you mean 'cuda'"):
        hardware.open_fabric(replace(config, hardware=replace(config.hardware, device="cdua")))

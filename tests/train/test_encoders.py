"""Encoders by name behind our decoder, deep supervision, and the network that is the default."""

from __future__ import annotations

import builtins
import hashlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

torch = pytest.importorskip("torch")
from torch import Tensor  # noqa: E402

from ecg_trt.errors import BackendUnavailableError, OptionError  # noqa: E402
from tests.marks import slow_but  # noqa: E402
from train import export  # noqa: E402
from train.config import Model  # noqa: E402
from train.experiment import stage_config  # noqa: E402
from train.hardware import open_fabric  # noqa: E402
from train.loop import Trainer  # noqa: E402
from train.models import STAGES, UNet, build_network  # noqa: E402
from train.tasks import TASKS  # noqa: E402

ENCODERS = ("resnet18", "resnet34", "resnet50", "seresnext50_32x4d", "convnext_tiny", "hrnet_w18")


def _batch(size: int = 64) -> tuple[Tensor, dict[str, Tensor]]:
    noise = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (2, size, size, 3), dtype=torch.uint8, generator=noise)
    cells = size // 8
    truth = {name: torch.rand(2, n, cells, cells, generator=noise) for name, n in STAGES["stage0"].heads}
    return image, truth | {"page": (truth["page"] > 0.5).float()}


def _trainer(out: Path, **layers: dict[str, object]) -> Trainer:
    schedule = {"warmup": 1, "steps": 10}
    hardware = {"device": "cpu", "precision": "fp32"}
    config = stage_config("stage0", 0, out, {"schedule": schedule, "hardware": hardware, **layers})
    return Trainer(TASKS["stage0"], config, open_fabric(config))


@pytest.mark.parametrize("encoder", ENCODERS)
def test_two_steps_with_every_encoder(encoder: str, timm: ModuleType, tmp_path: Path) -> None:
    trainer = _trainer(tmp_path, model={"encoder": encoder})
    image, truth = _batch()
    losses = [trainer.train_step((image, truth))[0]["loss"] for _ in range(2)]
    assert losses[1] < losses[0]
    assert all(p.grad is not None for p in trainer.model.head.parameters())
    assert trainer.model.entrance is trainer.model.encoder


@pytest.mark.parametrize("encoder", ["resnet18", "convnext_tiny"])
@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "caption"])
def test_every_stage_keeps_its_strides(encoder: str, stage: str, timm: ModuleType) -> None:
    spec = STAGES[stage]
    out = build_network(stage, Model(encoder=encoder)).eval()(torch.zeros(1, 64, 128, 3, dtype=torch.uint8))
    for name, channels in spec.heads:
        assert out[name].shape == (1, channels, 64 // spec.out_stride, 128 // spec.out_stride)


def test_an_encoder_is_exported(timm: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    with pytest.warns(Warning):  # torch's exporter warns about itself
        trainer = _trainer(tmp_path, model={"encoder": "resnet18", "deep_supervision": 1})
        trainer.save()
        worst = export.export("stage0", tmp_path / "last.pt", tmp_path / "stage0.onnx")
    assert worst < 2e-3 and (tmp_path / "stage0.onnx").stat().st_size > 30e6


def test_an_unknown_encoder_is_told_with_the_nearest(timm: ModuleType) -> None:
    with pytest.raises(OptionError, match="Did you mean 'resnet18"):
        build_network("stage0", Model(encoder="resnet18_"))


def test_without_timm_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: object, **kwargs: object) -> object:
        if name == "timm":
            raise ModuleNotFoundError("No module named 'timm'")
        return real(name, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.delitem(sys.modules, "timm", raising=False)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(BackendUnavailableError, match=r"\[encoders\]"):
        build_network("stage0", Model(encoder="resnet18"))


def test_the_default_network_has_the_keys_that_checkpoints_have() -> None:
    keys = sorted((key, tuple(value.shape)) for key, value in build_network("stage2").state_dict().items())
    assert hashlib.sha256(repr(keys).encode()).hexdigest().startswith("d90aac18393d069c")


def test_width_scales_the_channels() -> None:
    wide = build_network("stage0", Model(width=2.0))
    assert wide.spec.widths == tuple(2 * w for w in STAGES["stage0"].widths)


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "caption"])
def test_deep_supervision_answers_in_training_alone(stage: str) -> None:
    model = build_network(stage, Model(deep_supervision=2))
    assert isinstance(model, UNet)
    image = torch.zeros(2, 64, 128, 3, dtype=torch.uint8)
    trained, used = model.train()(image), model.eval()(image)
    assert not [key for key in used if "@" in key]
    coarse = {key for key in trained if "@" in key}
    assert coarse == {f"{name}@{k}" for name, _ in STAGES[stage].heads if name != "offset" for k in (1, 2)}
    assert all(trained[key].shape == trained[key.partition("@")[0]].shape for key in coarse)
    sum(trained[key].sum() for key in coarse).backward()
    assert all(p.grad is not None and p.grad.any() for p in model.aux.parameters() if p.dim() == 1)
    plain = build_network(stage).state_dict()
    assert {k for k in model.state_dict() if not k.startswith("aux.")} == set(plain)


def test_deep_supervision_lowers_the_loss_and_is_dropped_at_export(tmp_path: Path) -> None:
    trainer = _trainer(tmp_path, model={"deep_supervision": 2})
    image, truth = _batch()
    losses = [trainer.train_step((image, truth))[0]["loss"] for _ in range(4)]
    assert losses[-1] < losses[0]
    trainer.save()
    model, names = export.load_network("stage0", tmp_path / "last.pt")
    assert names == ("page", "axes", "log_scale")
    assert not [key for key in model.state_dict() if key.startswith("aux.")]


@pytest.mark.parametrize("precision", slow_but(["fp32", "bf16"], ["fp32", "bf16", "fp16"]))
def test_precision_is_what_was_asked_for(precision: str, tmp_path: Path) -> None:
    trainer = _trainer(tmp_path, hardware={"precision": precision})
    kinds = []
    trainer.model.get_submodule("stem.0.0").register_forward_hook(lambda *args: kinds.append(args[2].dtype))
    image, truth = _batch()
    # The first scales of FP16 are too large; such steps are left out until one fits.
    losses = [trainer.train_step((image, truth))[0]["loss"] for _ in range(12 if precision == "fp16" else 3)]
    assert set(kinds) == {{"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]}
    assert losses[-1] < losses[0]
    scaler = getattr(trainer.fabric.strategy.precision, "scaler", None)
    assert (scaler is not None) == (precision == "fp16")
    assert {p.dtype for p in trainer.model.parameters()} == {torch.float32}

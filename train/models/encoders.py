"""Encoders by name: timm's networks in front of our decoder and heads."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ecg_trt.errors import BackendUnavailableError, install_hint
from ecg_trt.inference.vote import Kind, kind_of
from train.config import Model, unknown
from train.models.beats import BEATS, BeatNet, BeatSpec
from train.models.hearts import HEARTS, HeartNet, HeartSpec
from train.models.reader import Reader
from train.models.unet import BASE_WIDTHS, STAGES, Residual, StageSpec, UNet, conv

NARROW = "narrow"
SIGNALS: Mapping[str, BeatSpec] = {**BEATS, **HEARTS}
"""Networks of signals, by the name of their stage; those of pictures are `STAGES`."""
_DEEPEST = 32  # stride of the last map that is taken from timm


Network: TypeAlias = UNet | Reader | BeatNet | HeartNet
"""A network that can be trained: maps of a picture, the text of a line, the class of a beat, or maps of the heart."""


def build_network(stage: str, model: Model | None = None) -> Network:
    """Build the network of a stage, untrained except for the encoder that `model.pretrained` loads.

    Raises:
        BackendUnavailableError: the encoder needs timm, which cannot be imported.
        OptionError: timm has no encoder of this name.
    """
    model = model or Model()
    spec = SIGNALS[stage] if stage in SIGNALS else STAGES[stage]
    if model.size == "base":
        spec = replace(spec, widths=BASE_WIDTHS.get(stage, spec.widths))
    if model.width != 1:
        spec = replace(spec, widths=tuple(max(8, round(w * model.width / 8) * 8) for w in spec.widths))
    if isinstance(spec, HeartSpec):
        return HeartNet(spec)
    if isinstance(spec, BeatSpec):
        return BeatNet(spec)
    if kind_of(spec.outputs[0]) is Kind.TEXT:
        return Reader(spec)
    if model.encoder == NARROW:
        return UNet(spec, model.deep_supervision)
    return TimmUNet(spec, model)


def _timm() -> ModuleType:
    try:
        import timm  # type: ignore[import-not-found]
    except (ImportError, RuntimeError) as error:  # RuntimeError: torchvision was built for another PyTorch
        fits = f"torch {torch.__version__} and the torchvision that was built for it"
        raise BackendUnavailableError(
            "An encoder by name needs timm", got=f"{type(error).__name__}: {error}", expected=f"timm, {fits}",
            hint=f"{install_hint('encoders')}; where PyTorch is a CPU build, take torchvision from "
            "https://download.pytorch.org/whl/cpu as well.",
        ) from error  # fmt: skip
    return timm


class TimmEncoder(nn.Module):
    """(N, 3, H, W) in 0..255 to maps at stride 2, 4, 8 .. with the decoder's channels.

    timm gives maps down to stride 32, some networks none at stride 2; missing levels at either end are built here.

    Args:
        name: of timm's network.
        widths: channels of the maps, finest first.
        pretrained: begin with timm's weights.
    """

    def __init__(self, name: str, widths: tuple[int, ...], *, pretrained: bool) -> None:
        super().__init__()
        timm = _timm()
        if name not in timm.list_models():
            raise unknown("encoder", name, (NARROW, *timm.list_models()))
        logging.getLogger("timm").setLevel(logging.WARNING)
        strides = [2 ** (k + 1) for k in range(len(widths))]
        self.body = timm.create_model(name, features_only=True, pretrained=pretrained)
        found = list(zip(self.body.feature_info.reduction(), self.body.feature_info.channels(), strict=True))
        self.taken = [k for k, (stride, _) in enumerate(found) if stride in strides and stride <= _DEEPEST]
        channels = dict(found)
        given = [s for s in strides if s in channels and s <= _DEEPEST]
        self.stem = None
        if 2 not in given:
            self.stem = nn.Sequential(nn.PixelUnshuffle(2), conv(12, widths[0]))
        self.lateral = nn.ModuleList(
            nn.Conv2d(channels[s], w, 1) for s, w in zip(strides, widths, strict=True) if s in given
        )
        deeper = [(a, b) for s, a, b in zip(strides[1:], widths, widths[1:], strict=False) if s > _DEEPEST]
        self.down = nn.ModuleList(nn.Sequential(conv(a, b, 2), Residual(b)) for a, b in deeper)
        seen = self.body.pretrained_cfg
        for key, standard in (("mean", (0.485, 0.456, 0.406)), ("std", (0.229, 0.224, 0.225))):
            value = 255 * torch.tensor(seen.get(key, standard)).reshape(1, 3, 1, 1)
            self.register_buffer(key, value, persistent=False)
        self.mean: Tensor
        self.std: Tensor

    def forward(self, x: Tensor) -> list[Tensor]:
        x = (x - self.mean) / self.std
        maps = self.body(x)
        found = [] if self.stem is None else [self.stem(x)]
        found += [lateral(maps[k]) for lateral, k in zip(self.lateral, self.taken, strict=True)]
        for down in self.down:
            found.append(down(found[-1]))
        return found


class TimmUNet(UNet):
    """Decoder and heads of this package behind an encoder of timm's.

    Args:
        spec: the stage's network; its widths are those of the decoder.
        model: name of the encoder, and whether it begins with timm's weights.
    """

    def __init__(self, spec: StageSpec, model: Model) -> None:
        self.named = model
        super().__init__(replace(spec, fold=(2, 2)), model.deep_supervision)  # timm's maps have one stride both ways

    def _build_encoder(self) -> None:
        self.encoder = TimmEncoder(self.named.encoder, self.spec.widths, pretrained=self.named.pretrained)

    @property
    def entrance(self) -> nn.Module:
        """The first module that sees the picture."""
        return self.encoder

    def features(self, image: Tensor) -> list[Tensor]:
        """The picture at stride 2, 4, 8 .. with `spec.widths` channels."""
        return list(self.encoder(image.float().permute(0, 3, 1, 2)))


def count_macs(model: Network, batch: int = 1) -> int:
    """Multiply-accumulates for `batch` inputs of the exported size."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model.eval()(model.spec.example())
    return counter.get_total_flops() // 2 * batch

"""A 1-D residual network that classifies heartbeats.

Its convolutions have one row, so that export, folding and widening treat it as they treat the networks of pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ecg_trt.analysis.heartbeat import CLASSES, FIGURES
from ecg_trt.networks import NETWORKS
from train.data.mitdb import TABLE_SAMPLES


@dataclass(frozen=True, slots=True)
class BeatSpec:
    """A network of heartbeats, by data.

    Attributes:
        widths: channels at a half, a quarter, .. of the samples.
        heads: name of the one output, and number of classes.
        input_shape: (channels, samples) of a beat.
        figures: number of the last channels that are constant over time, and are read apart from the form.
        dropout: share of the pooled features that is dropped while training.
        formless: share of beats whose form is hidden while training, so that the figures are learnt for themselves: the
            few patients with early beats also differ in their form.
    """

    widths: tuple[int, ...]
    heads: tuple[tuple[str, int], ...]
    input_shape: tuple[int, ...]
    figures: int = 0
    dropout: float = 0.3
    formless: float = 0.3

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of all heads."""
        return tuple(name for name, _ in self.heads)

    def example(self) -> Tensor:
        """One beat of noise."""
        return torch.randn(1, *self.input_shape)


_HEADS = (("beat_class", len(CLASSES)),)
BEATS = {
    "heartbeat": BeatSpec((24, 32, 48, 64), _HEADS, NETWORKS["heartbeat"].inputs[0].shape[1:], FIGURES),
    "heartbeat_table": BeatSpec((32, 48, 64, 96), _HEADS, (1, TABLE_SAMPLES)),
}


def conv_over_time(c_in: int, c_out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution along the one row, batch norm and ReLU."""
    layer = nn.Conv2d(c_in, c_out, (1, kernel), (1, stride), (0, kernel // 2), bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(c_out), nn.ReLU(inplace=True))


class ResidualOverTime(nn.Module):
    """Two convolutions over time, and a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.a, self.b = conv_over_time(channels, channels, 5), conv_over_time(channels, channels, 5)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.b(self.a(x))


def _figure_reader(figures: int, classes: int) -> nn.Sequential:
    """Read figures (N, C, 1, 1) as logits."""
    return nn.Sequential(
        nn.Conv2d(figures, 32, 1), nn.ReLU(inplace=True), nn.Conv2d(32, 32, 1), nn.ReLU(inplace=True),
        nn.Conv2d(32, classes, 1),
    )  # fmt: skip


class BeatNet(nn.Module):
    """(N, C, L) float to {name: (N, classes) logits}: the sum of the responses to its form and its figures.

    Args:
        spec: widths, shape of a beat, and the one head.
    """

    def __init__(self, spec: BeatSpec) -> None:
        super().__init__()
        self.spec = spec
        ((self.name, classes),) = spec.heads
        self.stem = conv_over_time(spec.input_shape[0] - spec.figures, spec.widths[0], 7, 2)
        levels: list[nn.Module] = [ResidualOverTime(spec.widths[0])]
        for c_in, c_out in zip(spec.widths, spec.widths[1:], strict=False):
            levels += [conv_over_time(c_in, c_out, 5, 2), ResidualOverTime(c_out)]
        self.body = nn.Sequential(*levels)
        self.dropout = nn.Dropout(spec.dropout)
        self.head = nn.Conv2d(2 * spec.widths[-1], classes, 1)
        self.figures = _figure_reader(spec.figures, classes) if spec.figures else None

    @property
    def entrance(self) -> nn.Module:
        """The first module that sees the beat."""
        return self.stem

    def forward(self, beat: Tensor) -> dict[str, Tensor]:
        channels = self.spec.input_shape[0] - self.spec.figures
        x = beat.unsqueeze(2)
        form = self.body(self.stem(x[:, :channels]))
        pooled = torch.cat([form.mean(3, keepdim=True), form.amax(3, keepdim=True)], 1)
        logits = self.head(self.dropout(pooled))
        if self.figures is not None:
            if self.training:
                logits = logits * (torch.rand(len(logits), 1, 1, 1, device=logits.device) >= self.spec.formless)
            logits = logits + self.figures(x[:, channels:, :, :1])
        return {self.name: logits.flatten(1)}

"""1-D networks from the twelve leads of a beat to 75 points of the heart.

Four samples are folded into channels, and time is halved twice. Activation follows from what is left, as a whole;
potentials over time from a decoder that adds the finer levels again.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from ecg_trt.analysis.electrophysiology import SAMPLES, heart_geometry
from train.models.beats import BeatSpec, ResidualOverTime, conv_over_time
from train.models.unet import Fold, Unfold

_MV = 4.0  # the input is multiplied by it: leads then have a deviation near 1
_PADDED = 512  # samples, a multiple of the last stride
_FOLD = (1, 4)  # samples that are folded into channels
_WHOLE, _NARROW = 192, 20  # channels that describe the beat as a whole, and of each of its columns before


@dataclass(frozen=True, slots=True)
class HeartSpec(BeatSpec):
    """A network of the heart, by data; its widths are those at a quarter to a 16th of the samples."""


HEARTS = {
    "activation": HeartSpec((64, 96, 128), (("activation", len(heart_geometry().names)),), (12, SAMPLES), dropout=0.0),
    "potentials": HeartSpec((64, 96, 128), (("potentials", len(heart_geometry().names)),), (12, SAMPLES), dropout=0.0),
}


class HeartNet(nn.Module):
    """(N, 12, 500) mV to {"activation": (N, 75)} or {"potentials": (N, 75, 500)}, in the units of the targets.

    Args:
        spec: widths, and the one head.
    """

    def __init__(self, spec: HeartSpec) -> None:
        super().__init__()
        self.spec = spec
        ((self.name, points),) = spec.heads
        widths, last = spec.widths, spec.widths[-1]
        self.fold = Fold(_FOLD)
        self.stem = nn.Sequential(
            conv_over_time(_FOLD[1] * spec.input_shape[0], widths[0], 5), ResidualOverTime(widths[0])
        )
        self.down = nn.ModuleList(
            nn.Sequential(conv_over_time(a, b, 5, 2), ResidualOverTime(b), ResidualOverTime(b))
            for a, b in pairwise(widths)
        )
        columns = _PADDED // _FOLD[1] >> len(self.down)
        self.whole = nn.Sequential(
            conv_over_time(last, _NARROW, 1),
            nn.Conv2d(_NARROW, _WHOLE, (1, columns), bias=False), nn.BatchNorm2d(_WHOLE), nn.ReLU(inplace=True),
        )  # fmt: skip
        if self.name == "activation":
            self.times = nn.Conv2d(_WHOLE, points, 1)
        else:
            self.spread = nn.Conv2d(_WHOLE, last, 1)
            self.lift = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairwise(widths))
            self.join = nn.ModuleList(ResidualOverTime(width) for width in widths[:-1])
            self.cells = nn.Conv2d(widths[0], _FOLD[1] * points, (1, 3), padding=(0, 1))
            self.unfold = Unfold(_FOLD)

    @property
    def entrance(self) -> nn.Module:
        """The first module that sees the leads."""
        return self.fold

    @property
    def head(self) -> nn.Conv2d:
        """The last layer, of another name in each network: one may begin with the other's layers before it."""
        return self.times if self.name == "activation" else self.cells

    def forward(self, leads: Tensor) -> dict[str, Tensor]:
        # The exporter writes `pad` as nodes through which no shape is inferred; these are zeros, too.
        x = torch.cat([leads * _MV, 0.0 * leads[..., : _PADDED - SAMPLES]], 2).unsqueeze(2)
        levels = [self.stem(self.fold(x))]
        for down in self.down:
            levels.append(down(levels[-1]))
        whole = self.whole(levels[-1])
        if self.name == "activation":
            return {self.name: self.times(whole).flatten(1)}
        return {self.name: self._decode(levels, self.spread(whole))}

    def _decode(self, levels: list[Tensor], whole: Tensor) -> Tensor:
        x = levels[-1] + whole
        for k in range(len(self.lift) - 1, -1, -1):
            x = nn.functional.interpolate(self.lift[k](x), scale_factor=(1.0, 2.0), mode="nearest")
            x = self.join[k](x + levels[k])
        return self.unfold(self.cells(x)).flatten(2)[..., :SAMPLES]

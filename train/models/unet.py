"""A narrow U-Net that starts from folded pixels.

The image is folded into channels before the first convolution, 2 x 2 pixels, or 2 x 4 where time is sampled finely;
skips are added rather than concatenated, and the decoder stops at the stride its task needs. Batch norm folds into the
convolutions at export.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from ecg_trt.inference.vote import Kind, kind_of
from ecg_trt.layout import MARKED_WORDS
from ecg_trt.printed import CLASSES
from ecg_trt.stages.scaling import CAPTION_HW, CAPTION_STRIDE, RECTIFY_STRIDE, TRACE_TILE_HW


@dataclass(frozen=True, slots=True)
class StageSpec:
    """A stage's network, by data.

    Attributes:
        widths: channels of the folded picture, and at each halving of it.
        out_stride: stride of the output with regard to the input; 1 unfolds the pixels again.
        heads: output name to number of channels.
        input_hw: (H, W) of the exported network.
        column_heads: names of heads that are pooled over the rows to one value for each column.
        fold: (rows, columns) of pixels that are folded into channels.
    """

    widths: tuple[int, ...]
    out_stride: int
    heads: tuple[tuple[str, int], ...]
    input_hw: tuple[int, int]
    column_heads: tuple[str, ...] = ()
    fold: tuple[int, int] = (2, 2)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of all heads, those of columns last."""
        return (*(name for name, _ in self.heads), *self.column_heads)

    def example(self) -> Tensor:
        """One picture of noise, of the exported size."""
        return torch.randint(0, 256, (1, *self.input_hw, 3), dtype=torch.uint8)


STAGES = {
    "stage0": StageSpec((16, 32, 64, 96, 128, 128), 8, (("page", 1), ("axes", 4), ("log_scale", 2)), (512, 512)),
    "stage1": StageSpec(
        (16, 48, 64, 96, 128), RECTIFY_STRIDE,
        (("node", 1), ("offset", 2), ("zero", 1), ("start", 1), ("end", 1), ("pulse", 1), ("paper", 1),
         ("label", len(MARKED_WORDS))),
        (960, 1216),
    ),
    "stage2": StageSpec(
        (24, 40, 64, 96, 128), 1, (("ridge", 1),), TRACE_TILE_HW, ("presence", "border"), fold=(2, 4)
    ),
    "caption": StageSpec((24, 32, 48, 64, 80), CAPTION_STRIDE, (("text", CLASSES),), CAPTION_HW),
}  # fmt: skip
# Widths of the larger size, where it has a network of its own: fine strides follow steep waves.
BASE_WIDTHS = {"stage2": (32, 64, 96, 96, 128)}


_SUB_CELL = ("offset",)  # heads that a coarser level cannot answer: its cell does not resolve where a node lies


def conv(c_in: int, c_out: int, stride: int = 1) -> nn.Sequential:
    """3 x 3 convolution, batch norm and ReLU."""
    return nn.Sequential(nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU(inplace=True))


class Fold(nn.Module):
    """Fold blocks of (rows, columns) pixels into channels: (N, C, H, W) to (N, C rows columns, H / rows, W / columns).

    `torch.nn.PixelUnshuffle` for blocks that need not be square.
    """

    def __init__(self, block: tuple[int, int]) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        # Sides are left to `reshape`: the ONNX exporter would write divisions, through which no shape is inferred.
        rows, columns = self.block
        n, c, _, w = x.shape
        x = x.reshape(n, c, -1, rows, w).transpose(2, 3).flatten(1, 2)
        n, c, h, _ = x.shape
        return x.reshape(n, c, h, -1, columns).permute(0, 1, 4, 2, 3).flatten(1, 2)


class Unfold(Fold):
    """The inverse of `Fold`."""

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = self.block
        n, _, h, w = x.shape
        x = x.reshape(n, -1, rows, columns, h, w)
        return x.permute(0, 1, 4, 2, 5, 3).reshape(n, -1, h * rows, w * columns)


class Residual(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.a, self.b = conv(channels, channels), conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.b(self.a(x))


class UNet(nn.Module):
    """(N, H, W, 3) uint8 or float RGB in 0..255 to named maps (N, C, H / stride, W / stride), logits or raw values.

    Args:
        spec: the stage's network.
        deep_supervision: coarser decoder levels with heads of their own. Their responses, resized to the full size, are
            named ``head@1``, ``head@2`` .. and given in training alone.
    """

    def __init__(self, spec: StageSpec, deep_supervision: int = 0) -> None:
        super().__init__()
        widths, self.spec = spec.widths, spec
        self._build_encoder()
        self.last = max(0, spec.out_stride.bit_length() - 2)  # index of the finest decoder level
        self.lift = nn.ModuleList(nn.Conv2d(widths[i + 1], widths[i], 1) for i in range(self.last, len(widths) - 1))
        self.join = nn.ModuleList(
            nn.Sequential(conv(widths[i], widths[i]), conv(widths[i], widths[i]))
            for i in range(self.last, len(widths) - 1)
        )
        fine = widths[self.last]
        unfold = spec.fold[0] * spec.fold[1] if spec.out_stride == 1 else 1
        self.head = self._head(fine, spec.heads, unfold)
        if unfold > 1:
            self.unfold = Unfold(spec.fold)
        if spec.column_heads:
            self.column = nn.Sequential(
                nn.Conv1d(2 * fine + 2 * widths[-1], 48, 5, padding=2), nn.ReLU(),
                nn.Conv1d(48, spec.fold[1] * len(spec.column_heads), 5, padding=2),
            )  # fmt: skip
        if deep_supervision:
            self.coarse_heads = tuple(h for h in spec.heads if h[0] not in _SUB_CELL)
            coarser = widths[self.last + 1 : len(widths) - 1][:deep_supervision]
            self.aux = nn.ModuleList(self._head(width, self.coarse_heads) for width in coarser)

    def _build_encoder(self) -> None:
        widths = self.spec.widths
        rows, columns = self.spec.fold
        self.fold = Fold(self.spec.fold)
        self.stem = nn.Sequential(conv(3 * rows * columns, widths[0]), conv(widths[0], widths[0]))
        self.down = nn.ModuleList(nn.Sequential(conv(a, b, 2), Residual(b)) for a, b in pairwise(widths))

    @property
    def entrance(self) -> nn.Module:
        """The first module that sees the picture."""
        return self.fold

    def _head(self, width: int, heads: tuple[tuple[str, int], ...], unfold: int = 1) -> nn.Conv2d:
        head = nn.Conv2d(width, unfold * sum(n for _, n in heads), 1)
        if self.spec.out_stride > 1:  # heatmaps are empty nearly everywhere: begin there
            first = [0.0 if kind_of(name) is Kind.VALUE else -3.0 for name, n in heads for _ in range(n)]
            head.bias = nn.Parameter(torch.tensor(first))
        return head

    def features(self, image: Tensor) -> list[Tensor]:
        """The folded picture and its halvings, with `spec.widths` channels."""
        x = image.float().permute(0, 3, 1, 2) * (1 / 64) - 2.5
        found = [self.stem(self.fold(x))]
        for down in self.down:
            found.append(down(found[-1]))
        return found

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        skips = self.features(image)
        x = deep = skips[-1]
        levels = []
        for k in range(len(self.lift) - 1, -1, -1):
            x = nn.functional.interpolate(self.lift[k](x), scale_factor=2.0, mode="nearest")
            x = self.join[k](x + skips[k + self.last])
            levels.append(x)
        maps = self.head(x)
        if self.spec.out_stride == 1:
            maps = self.unfold(maps)
        out = _by_name(maps, self.spec.heads)
        if self.spec.column_heads:
            out |= self._columns(x, deep)
        if self.training and hasattr(self, "aux"):
            for k, (head, level) in enumerate(zip(self.aux, levels[-2::-1], strict=False), 1):
                full = nn.functional.interpolate(head(level), size=maps.shape[2:], mode="bilinear")
                out |= {f"{name}@{k}": part for name, part in _by_name(full, self.coarse_heads).items()}
        return out

    def _columns(self, fine: Tensor, deep: Tensor) -> dict[str, Tensor]:
        """(N, W) logits of each of the heads of columns."""
        names, columns = self.spec.column_heads, self.spec.fold[1]
        repeat = 2 ** (len(self.spec.widths) - 1)
        pooled = [fine.mean(2), fine.amax(2)]
        for p in (deep.mean(2), deep.amax(2)):
            pooled.append(nn.functional.interpolate(p, scale_factor=float(repeat), mode="nearest"))
        folded = self.column(torch.cat(pooled, 1))  # one logit for each head and folded column
        return {name: folded[:, k * columns : (k + 1) * columns].transpose(1, 2).flatten(1)
                for k, name in enumerate(names)}  # fmt: skip


def _by_name(maps: Tensor, heads: tuple[tuple[str, int], ...]) -> dict[str, Tensor]:
    parts = torch.split(maps, [n for _, n in heads], dim=1)
    return {name: part for (name, _), part in zip(heads, parts, strict=True)}

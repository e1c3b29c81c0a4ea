"""A network that reads one line of text, a column of classes for every quarter of a millimetre.

Convolutions reduce the picture to one row; those along the line see the neighbouring characters. Batch norm folds into
the convolutions at export, as in `UNet`.
"""

from __future__ import annotations

from torch import Tensor, nn

from train.models.unet import Fold, Residual, StageSpec, Unfold, conv


class Along(nn.Module):
    """Two convolutions along the line, the second with gaps, and a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.a, self.b = _along(channels, channels, 1), _along(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.b(self.a(x))


def _along(c_in: int, c_out: int, dilation: int) -> nn.Sequential:
    layer = nn.Conv2d(c_in, c_out, (1, 3), padding=(0, dilation), dilation=(1, dilation), bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(c_out), nn.ReLU(inplace=True))


def _across(c_in: int, c_out: int) -> nn.Sequential:
    """Halve the rows, and keep the columns."""
    layer = nn.Conv2d(c_in, c_out, 3, (2, 1), 1, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(c_out), nn.ReLU(inplace=True))


class Reader(nn.Module):
    """(N, 64, W, 3) uint8 or float RGB in 0..255 to {"text": (N, 1, C, W / 2) logits}.

    Args:
        spec: widths of the folded picture, of its halvings, and of the line; one head, of C classes.
    """

    def __init__(self, spec: StageSpec) -> None:
        super().__init__()
        self.spec = spec
        stem, wide, half, quarter, line = spec.widths
        ((self.name, classes),) = spec.heads
        self.fold = Fold(spec.fold)
        self.rows = nn.Sequential(
            conv(3 * spec.fold[0] * spec.fold[1], stem), conv(stem, wide, 2), Residual(wide), _across(wide, half),
            Residual(half), _across(half, quarter), Residual(quarter),
        )  # fmt: skip
        height = spec.input_hw[0] // spec.fold[0] // 8
        self.join = nn.Sequential(
            nn.Conv2d(quarter, line, (height, 1), bias=False), nn.BatchNorm2d(line), nn.ReLU(inplace=True)
        )
        self.line = nn.Sequential(Along(line), Along(line))
        self.head = nn.Conv2d(line, 2 * classes, 1)  # two columns for each of the line's
        self.unfold = Unfold((1, 2))

    @property
    def entrance(self) -> nn.Module:
        """The first module that sees the picture."""
        return self.fold

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        x = image.float().permute(0, 3, 1, 2) * (1 / 64) - 2.5
        x = self.line(self.join(self.rows(self.fold(x))))
        return {self.name: self.unfold(self.head(x)).transpose(1, 2)}

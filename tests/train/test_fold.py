"""Blocks of pixels folded into channels, and networks of one fold or another."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from train.models import STAGES, StageSpec  # noqa: E402
from train.models.unet import Fold, UNet, Unfold  # noqa: E402

_BLOCKS = [(1, 1), (2, 2), (2, 4), (4, 2), (3, 5)]


@pytest.mark.parametrize("block", _BLOCKS)
def test_unfolding_is_the_inverse_of_folding(block: tuple[int, int]) -> None:
    x = torch.randn(2, 3, 4 * block[0], 5 * block[1], generator=torch.Generator().manual_seed(0))
    folded = Fold(block)(x)
    assert folded.shape == (2, 3 * block[0] * block[1], 4, 5)
    assert torch.equal(Unfold(block)(folded), x)
    other = torch.randn(folded.shape, generator=torch.Generator().manual_seed(1))
    assert torch.equal(Fold(block)(Unfold(block)(other)), other)


@pytest.mark.parametrize("side", [1, 2, 3, 4])
def test_square_blocks_are_folded_as_pytorch_does(side: int) -> None:
    x = torch.randn(2, 3, 4 * side, 5 * side, generator=torch.Generator().manual_seed(side))
    folded = torch.nn.PixelUnshuffle(side)(x)
    assert torch.equal(Fold((side, side))(x), folded)
    assert torch.equal(Unfold((side, side))(folded), torch.nn.PixelShuffle(side)(folded))


@pytest.mark.parametrize("block", _BLOCKS)
def test_a_channel_is_one_place_within_the_blocks(block: tuple[int, int]) -> None:
    rows, columns = block
    x = torch.arange(2.0 * 3 * rows * 2 * columns).reshape(1, 2, 3 * rows, 2 * columns)
    folded = Fold(block)(x)
    for channel in range(2):
        for row in range(rows):
            for column in range(columns):
                place = (channel * rows + row) * columns + column
                assert torch.equal(folded[0, place], x[0, channel, row::rows, column::columns])


def test_nothing_is_learnt_by_folding() -> None:
    assert not Fold((2, 4)).state_dict() and not Unfold((2, 4)).state_dict()


def test_the_trace_network_folds_more_columns_than_rows() -> None:
    spec = STAGES["stage2"]
    assert spec.fold == (2, 4) and spec.column_heads == ("presence", "border")
    assert spec.outputs == ("ridge", "presence", "border")
    assert all(other.fold == (2, 2) and not other.column_heads for name, other in STAGES.items() if name != "stage2")
    assert all(other.outputs == tuple(n for n, _ in other.heads) for name, other in STAGES.items() if name != "stage2")


@pytest.mark.parametrize("fold", [(2, 2), (2, 4), (4, 2)])
def test_every_pixel_and_every_column_has_an_answer_of_its_own(fold: tuple[int, int]) -> None:
    """Maps have the picture's size; each column head has channels of its own, one for each folded column."""
    torch.manual_seed(0)
    spec = StageSpec((8, 16), 1, (("map", 2),), (32, 64), ("one", "two", "three"), fold)
    model = UNet(spec).eval()
    out = model(torch.zeros(1, 32, 64, 3, dtype=torch.uint8))
    assert tuple(out) == spec.outputs
    assert out["map"].shape == (1, 2, 32, 64)
    assert all(out[name].shape == (1, 64) for name in spec.column_heads)
    weight, bias = (model.get_parameter(f"column.2.{name}") for name in ("weight", "bias"))
    with torch.no_grad():
        weight.zero_()
        bias.copy_(torch.arange(3.0 * fold[1]))
    out = model(torch.zeros(1, 32, 64, 3, dtype=torch.uint8))
    for k, name in enumerate(spec.column_heads):
        expected = torch.arange(float(fold[1])) + k * fold[1]
        assert torch.equal(out[name][0], expected.repeat(64 // fold[1])), name

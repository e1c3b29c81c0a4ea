"""Samples that are shown again."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from train.data.echo import EchoBuffer, photometric  # noqa: E402
from train.tasks import trace  # noqa: E402


def test_the_oldest_samples_leave_first() -> None:
    echo = EchoBuffer(lambda image, truth: (image, truth), capacity=4)
    with pytest.raises(ValueError, match="drawn before"):
        echo.draw(1)
    for first in (0, 3):
        value = torch.arange(first, first + 3)
        echo.put(value.to(torch.uint8)[:, None], {"row": value.float()[:, None]})
    assert len(echo) == 4
    image, truth = echo.draw(200)
    assert set(image[:, 0].tolist()) == {2, 3, 4, 5}
    assert torch.equal(image.float(), truth["row"])


def test_light_changes_and_nothing_else() -> None:
    torch.manual_seed(0)
    image, truth = torch.full((8, 40, 40, 3), 128, dtype=torch.uint8), {"row": torch.ones(8, 40)}
    got, same = photometric(image, truth)
    assert got.dtype == torch.uint8
    assert got.shape == image.shape
    assert same is truth
    means = got.float().mean((1, 2, 3))
    assert (means - 128).abs().max() < 14
    assert means.std() > 1, "each picture has a light of its own"


@pytest.mark.parametrize("seed", range(6))
def test_the_pen_moves_with_its_row(seed: int) -> None:
    """A dark line lies where the truth has it, mirrored and moved or not; what is moved out does not count."""
    torch.manual_seed(seed)
    columns = np.arange(60)
    rows = torch.from_numpy((4 + columns * 1.4).astype(np.float32))  # from near the upper rim to beyond the lower one
    image = torch.full((2, 80, 60, 3), 255, dtype=torch.uint8)
    inside = rows < 79
    image[:, rows[inside].round().long(), torch.arange(60)[inside]] = 0
    truth = {"row": rows.clamp(0, 79).expand(2, -1).clone(), "present": torch.ones(2, 60),
             "judged": inside.float().expand(2, -1).clone(), "weight": torch.ones(2, 60)}  # fmt: skip
    got, found = trace.vary(image, truth)
    judged = found["judged"][0] > 0
    assert 20 < int(judged.sum()) < 60
    darkest = got[0].float().mean(-1).argmin(0)
    assert (darkest[judged] - found["row"][0][judged]).abs().max() <= 1

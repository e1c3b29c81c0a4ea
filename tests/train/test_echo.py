"""Samples that are shown again."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

from train.data.echo import EchoBuffer, photometric  # noqa: E402
from train.losses import Maps  # noqa: E402
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
    """A dark line lies where the truth has it, however a crop is warped; what is moved out does not count."""
    torch.manual_seed(seed)
    columns = np.arange(60)
    rows = torch.from_numpy((4 + columns * 1.4).astype(np.float32))  # from near the upper rim to beyond the lower one
    away = torch.arange(80.0)[:, None] - rows
    line = 255 * (1 - torch.exp(-0.5 * (away / 1.5) ** 2))  # wide enough to be sampled between its columns
    image = line.to(torch.uint8)[None, ..., None].expand(2, -1, -1, 3).contiguous()
    inside = rows < 77  # what a crop shows beyond its rims repeats them, and so does a line that touches one
    truth = {"row": rows.clamp(0, 79).expand(2, -1).clone(), "present": torch.ones(2, 60),
             "judged": inside.float().expand(2, -1).clone(), "weight": torch.ones(2, 60),
             "border": torch.zeros(2, 60)}  # fmt: skip
    got, found = trace.vary(image, truth)
    assert got.dtype == torch.uint8 and got.shape == image.shape
    assert {name: value.shape for name, value in found.items()} == {name: value.shape for name, value in truth.items()}
    for shown, row, mask in zip(got, found["row"], found["judged"] > 0, strict=True):
        assert 20 < int(mask.sum()) < 60
        darkest = shown.float().mean(-1).argmin(0)
        assert (darkest[mask] - row[mask]).abs().max() <= 1


def _crops(count: int, width: int) -> tuple[Tensor, Maps, Tensor]:
    """Crops of 120 rows with a bright line (channel 0) and the number of each column (channel 1), and their truth.

    A pen is seen from column 30 on; nothing is known of borders before column 12. The third is the heat of borders.
    """
    x, y = torch.arange(float(width)), torch.arange(120.0)
    row = 60 + 56 * torch.sin(x / 25)  # 4 px from both rims
    image = torch.zeros(count, 120, width, 3)
    image[..., 0] = 255 * torch.exp(-0.5 * ((y[:, None] - row) / 1.5) ** 2)
    image[..., 1] = x
    heat = torch.exp(-0.5 * ((x - 70).abs().minimum((x - 131).abs()) / 2) ** 2)
    heat[:12] = -1
    columns = {"row": row, "present": (x >= 30).float(), "judged": torch.ones(width), "weight": 1 + x / width,
               "border": heat}  # fmt: skip
    return image, {name: value.expand(count, -1).clone() for name, value in columns.items()}, heat


@pytest.mark.parametrize("seed", range(6))
def test_crops_are_warped_with_their_truth(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(seed)
    monkeypatch.setattr(trace, "photometric", lambda image, truth: (image, truth))
    image, truth, heat = _crops(8, 200)
    got, found = trace.vary(image, truth)
    for k, crop in enumerate(got):
        source = crop[60, :, 1]  # the column that is shown; the rim's, where there is none
        inside = (source > 0) & (source < 199)
        left, right = source.floor().long(), source.ceil().long()
        for name in ("border", "present", "weight"):
            near = torch.stack([truth[name][k][left], truth[name][k][right]])
            assert (found[name][k] - near).abs().amin(0)[inside].max() < 1e-6, name
        assert (found["border"][k][~inside] == -1).all() and (found["judged"][k][~inside] == 0).all()
        peaks = torch.stack([(source - at).abs().argmin() for at in (70, 131)])
        assert (found["border"][k][peaks] > heat[68]).all(), "borders are at most a pixel from where they are shown"
        pen, judged = found["present"][k] > 0.5, found["judged"][k] > 0.5
        assert judged[inside & ~pen].all(), "that there is no pen is known whatever its row would be"
        row, brightest = found["row"][k], crop[..., 0].argmax(0)
        at = inside & pen & judged
        assert int(at.sum()) > 100
        assert (brightest[at] - row[at]).abs().max() <= 1
        gone = inside & pen & ~judged
        assert ((row[gone] <= 1) | (row[gone] >= 118)).all(), "only a pen beyond the rims is not judged"
        assert row.min() >= 0 and row.max() <= 119


def test_each_crop_is_warped_in_its_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    monkeypatch.setattr(trace, "photometric", lambda image, truth: (image, truth))
    image, truth, _ = _crops(64, 200)
    image[..., 2] = torch.arange(120.0)[:, None]
    got, _ = trace.vary(image, truth)
    scale = (got[:, 60, 120, 1] - got[:, 60, 80, 1]).abs() / 40
    rise = (got[:, 80, 100, 2] - got[:, 40, 100, 2]) / 40
    for stretch in (scale.log(), rise.log()):
        assert stretch.abs().max() < 0.151 and stretch.std() > 0.06
    lift = got[:, 60, 100, 2] - 60
    assert 3 < lift.abs().max() < 6.3 and lift.std() > 2
    slant = got[:, 60, 180, 2] - got[:, 60, 20, 2]
    assert 2 < slant.abs().max() < 4 and slant.std() > 1
    mirrored = {bool(trace.vary(image[:1], {k: v[:1] for k, v in truth.items()})[0][0, 60, 120, 1] < 90)
                for _ in range(20)}  # fmt: skip
    assert mirrored == {False, True}

"""Losses: what they say of right and wrong answers, and that what a stage is given by default is what it always was."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402
from torch import Tensor  # noqa: E402

from ecg_trt.errors import OptionError  # noqa: E402
from ecg_trt.printed import CLASSES, class_of  # noqa: E402
from train.losses import LOSSES, Criterion, Target, expected_row  # noqa: E402
from train.tasks import TASKS, align, caption, rectify, trace  # noqa: E402

MAPS = sorted(LOSSES["logit"])
ROWS = ("l1", "difference_l1", "snr", "stft")
HEIGHT, WIDTH = 40, 96


def _wave() -> Tensor:
    return 20 + 8 * torch.sin(torch.arange(WIDTH) / 5.0)[None]


def _ridge(row: Tensor) -> Tensor:
    return (-0.5 * (torch.arange(float(HEIGHT))[None, :, None] - row[:, None]) ** 2)[:, None]


def _blob() -> Target:
    value = torch.zeros(2, 1, 12, 12)
    value[:, :, 4:8, 4:8] = 1
    return Target.of_map(value)


@pytest.mark.parametrize("name", MAPS)
def test_descending_a_map_loss_finds_the_blob(name: str) -> None:
    target = _blob()
    logit = torch.zeros_like(target.value, requires_grad=True)
    optimiser = torch.optim.Adam([logit], 0.3)
    losses = []
    for _ in range(40):
        loss = LOSSES["logit"][name](logit, target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
    assert torch.equal(logit > 0, target.value > 0.5)


@pytest.mark.parametrize("name", MAPS)
def test_what_is_not_known_costs_nothing(name: str) -> None:
    target = _blob()
    value = target.value.clone()
    value[:, :, :, 9:] = -1
    logit = torch.randn(value.shape, generator=torch.Generator().manual_seed(0)).requires_grad_()
    LOSSES["logit"][name](logit, Target.of_map(value)).backward()
    assert logit.grad is not None
    assert not logit.grad[:, :, :, 9:].any() and logit.grad[:, :, :, :9].any()


@pytest.mark.parametrize("name", ["smooth_l1", "l1"])
def test_value_losses_judge_only_where_there_is_weight(name: str) -> None:
    value, weight = torch.zeros(1, 2, 3, 3), torch.zeros(1, 1, 3, 3)
    weight[..., 1, 1] = 1
    guess = torch.ones(1, 2, 3, 3)
    wrong = LOSSES["value"][name](guess, Target(value, weight))
    assert wrong == pytest.approx(2.0, rel=0.05)  # two channels, one cell
    guess[..., 1, 1] = 0
    assert LOSSES["value"][name](guess, Target(value, weight)) == 0


@pytest.mark.parametrize("name", ROWS)
def test_a_row_loss_grows_with_the_error_and_leads_to_the_truth(name: str) -> None:
    row, weight = _wave(), torch.ones(1, WIDTH)
    weight[:, :6] = 0
    loss = LOSSES["ridge"][name]
    bend = torch.sin(torch.arange(WIDTH) / 3.0)[None]
    at = [loss(row + k * bend, Target(row, weight)).item() for k in (0.0, 0.5, 3.0)]
    assert at[0] < at[1] < at[2]
    assert loss(row.clone().index_fill_(1, torch.arange(6), 0.0), Target(row, weight)).item() == pytest.approx(at[0])
    guess = (row + 3 * bend).requires_grad_()
    optimiser = torch.optim.Adam([guess], 0.1)
    for _ in range(80):
        optimiser.zero_grad()
        loss(guess, Target(row, weight)).backward()
        optimiser.step()
    assert loss(guess, Target(row, weight)) < at[0] + 0.35 * (at[2] - at[0])


def test_row_losses_stay_finite_where_no_pen_shows() -> None:
    nothing = Target(torch.zeros(2, WIDTH), torch.zeros(2, WIDTH))
    for name in sorted(LOSSES["ridge"]):
        logit = torch.randn(2, 1, HEIGHT, WIDTH).requires_grad_()
        value, _ = Criterion({"ridge": {name: 1.0}})({"ridge": logit}, {"ridge": nothing})
        value.backward()
        assert torch.isfinite(value) and torch.isfinite(logit.grad).all(), name


@pytest.mark.parametrize("name", [*MAPS, "cross_entropy", *ROWS])
def test_a_right_ridge_costs_less_than_a_shifted_one(name: str) -> None:
    row, weight = _wave(), torch.ones(1, WIDTH)
    criterion = Criterion({"ridge": {name: 1.0}})
    shift = 4 * torch.sin(torch.arange(WIDTH) / 3.0)[None]
    right, wrong = (criterion({"ridge": _ridge(r) + 2}, {"ridge": Target(row, weight)})[0] for r in (row, row + shift))
    assert right < wrong - 0.01


def test_tversky_holds_dice_and_jaccard() -> None:
    target = _blob()
    logit = torch.randn(target.value.shape, generator=torch.Generator().manual_seed(1))
    losses = LOSSES["logit"]
    assert losses["dice"](logit, target) == losses["tversky"](logit, target, alpha=0.5, beta=0.5)
    p = torch.sigmoid(logit)
    both, either = (p * target.value).sum(), (p + target.value - p * target.value).sum()
    assert losses["jaccard"](logit, target, smooth=0.0).item() == pytest.approx(1 - (both / either).item())
    missed, found = 18 * target.value - 9, 18 * target.value - 9
    missed[..., 4:6], found[..., 4:8, 8:10] = -9, 9
    # By default, what is missed costs more than with Dice, and what is wrongly found less.
    assert losses["tversky"](missed, target) > losses["dice"](missed, target) + 0.02
    assert losses["tversky"](found, target) < losses["dice"](found, target) - 0.02


def test_focal_loss_without_gamma_is_half_of_bce() -> None:
    target, logit = _blob(), torch.randn(2, 1, 12, 12, generator=torch.Generator().manual_seed(2))
    focal = LOSSES["logit"]["focal"](logit, target, gamma=0.0, alpha=0.5)
    assert focal.item() == pytest.approx(0.5 * LOSSES["logit"]["bce"](logit, target).item())


def test_stft_hears_what_the_mean_error_does_not() -> None:
    """A level that is off and noise of the same L1 differ in their spectra."""
    row, weight = torch.full((1, WIDTH), 20.0), torch.ones(1, WIDTH)
    row[:, 40:44] = 5
    target = Target(row, weight)
    level, buzz = row + 1, row + torch.tensor([1.0, -1.0]).repeat(WIDTH // 2)[None]
    assert LOSSES["ridge"]["l1"](level, target) == LOSSES["ridge"]["l1"](buzz, target)
    assert LOSSES["ridge"]["stft"](buzz, target) > 1.3 * LOSSES["ridge"]["stft"](level, target)


def test_weights_and_options_are_taken() -> None:
    target, logit = _blob(), torch.zeros(2, 1, 12, 12)
    bce = Criterion({"page": {"bce": 1.0}})({"page": logit}, {"page": target})[0]
    both, parts = Criterion({"page": {"bce": 2.0, "tversky": {"weight": 3.0, "alpha": 0.9}, "dice": 0}})(
        {"page": logit}, {"page": target}
    )
    assert set(parts) == {"page.bce", "page.tversky"}
    missed = LOSSES["logit"]["tversky"](logit, target, alpha=0.9)
    assert both.item() == pytest.approx(2 * bce.item() + 3 * missed.item())


@pytest.mark.parametrize(
    ("terms", "nearest"),
    [
        ({"page": {"dise": 1.0}}, "dice"),
        ({"axes": {"smooth_l2": 1.0}}, "smooth_l1"),
        ({"ridge": {"sntf": 1.0}}, "stft"),
        ({"page": {"tversky": {"alfa": 1.0}}}, "alpha"),
    ],
)
def test_an_unknown_loss_is_told_with_the_nearest(terms: dict[str, dict[str, object]], nearest: str) -> None:
    with pytest.raises(OptionError, match=nearest):
        Criterion(terms)


def test_a_weight_below_nothing_is_refused() -> None:
    with pytest.raises(OptionError, match=r"page\.bce"):
        Criterion({"page": {"bce": -1.0}})


def test_coarser_answers_count_half_as_much_each_level() -> None:
    target = _blob()
    right, wrong = (2 * target.value - 1) * 9, (1 - 2 * target.value) * 9
    criterion = Criterion({"page": {"bce": 1.0}})
    one = criterion({"page": wrong}, {"page": target})[0].item()
    for k in (1, 2):
        levels = {"page": right, "page@1": right, "page@2": right} | {f"page@{k}": wrong}
        assert criterion(levels, {"page": target})[0].item() == pytest.approx(one * 0.5**k / 1.75, rel=1e-3)


def _soft_bce(logit: Tensor, target: Tensor) -> Tensor:
    judged = (target >= 0).float()
    loss = F.binary_cross_entropy_with_logits(logit, target.clamp(0, 1), reduction="none")
    return (loss * judged).sum() / judged.sum().clamp(min=1)


def _focal(logit: Tensor, target: Tensor) -> Tensor:
    p, peak = torch.sigmoid(logit), target > 0.9
    rest = -F.logsigmoid(-logit) * p**2 * (1 - target.clamp(0, 1)) ** 4 * ((target >= 0) & ~peak)
    return ((-F.logsigmoid(logit) * (1 - p) ** 2 * peak).sum() + rest.sum()) / peak.sum().clamp(min=8)


def _noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def test_stage_0_is_asked_what_it_always_was() -> None:
    out = {"page": _noise(2, 1, 8, 8), "axes": _noise(2, 4, 8, 8), "log_scale": _noise(2, 2, 8, 8)}
    truth = {"page": (_noise(2, 1, 8, 9)[..., :8] > 0).float(), "axes": _noise(2, 4, 8, 9)[..., :8],
             "log_scale": _noise(2, 2, 8, 9)[..., :8]}  # fmt: skip
    weight = truth["page"] / truth["page"].sum()
    axes, scale = (((out[k] - truth[k]).abs().sum(1, keepdim=True) * weight).sum() for k in ("axes", "log_scale"))
    expected = _soft_bce(out["page"], truth["page"]) + axes + 2 * scale
    torch.testing.assert_close(Criterion(TASKS["stage0"].loss)(out, align.targets(truth))[0], expected)


def test_stage_1_is_asked_what_it_always_was() -> None:
    maps = {"node": 1, "offset": 2, "zero": 1, "start": 1, "end": 1, "pulse": 1, "paper": 1, "label": 12}
    out = {name: _noise(2, n, 16, 16) for name, n in maps.items()}
    truth = {name: torch.rand(2, n, 16, 16, generator=torch.Generator().manual_seed(n)) for name, n in maps.items()}
    truth["zero"][:, :, :4] = -1
    near = (truth["node"] > 0.2).float()
    offset = (F.smooth_l1_loss(out["offset"], truth["offset"], beta=0.05, reduction="none") * near).sum()
    peaks, areas = {"node": 1, "start": 1, "end": 0.5, "label": 1}, {"zero": 2, "pulse": 6, "paper": 0.3}
    expected = 4 * offset / near.sum()
    expected = expected + sum(weight * _focal(out[name], truth[name]) for name, weight in peaks.items())
    expected = expected + sum(weight * _soft_bce(out[name], truth[name]) for name, weight in areas.items())
    torch.testing.assert_close(Criterion(TASKS["stage1"].loss)(out, rectify.targets(truth))[0], expected)


def test_stage_2_is_asked_what_it_always_was() -> None:
    out = {"ridge": 3 * _noise(2, 1, HEIGHT, WIDTH), "presence": _noise(2, WIDTH),
           "border": _noise(2, WIDTH + 4)[:, 4:]}  # fmt: skip
    truth = {"row": _wave().repeat(2, 1) + _noise(2, WIDTH + 1)[:, 1:], "present": (_noise(2, WIDTH) > -1).float(),
             "judged": (_noise(2, WIDTH + 2)[:, 2:] > -1).float(), "weight": 1 + _noise(2, WIDTH).abs(),
             "border": _noise(2, WIDTH + 3)[:, 3:].clamp(-1, 1)}  # fmt: skip
    truth["border"] = torch.where(truth["border"] < 0, -1.0, truth["border"])  # of which nothing is known
    logit, row = out["ridge"][:, 0], truth["row"]
    on = truth["present"] * truth["judged"] * truth["weight"]
    soft = torch.exp(-0.5 * (torch.arange(float(HEIGHT))[None, :, None] - row[:, None]) ** 2)
    entropy = (-(soft / soft.sum(1, keepdim=True) * logit.log_softmax(1)).sum(1) * on).sum() / on.sum()
    error = (expected_row(logit) - row) * (on > 0)
    l1 = (error.abs().clamp(max=40) * on).sum() / on.sum()
    step = (error.diff(dim=1).abs().clamp(max=20) * torch.minimum(on[:, 1:], on[:, :-1])).sum() / on.sum()
    level = (row * (on > 0)).sum(1, keepdim=True) / (on > 0).sum(1, keepdim=True)
    power = (((row - level) * (on > 0)) ** 2).sum(1) + 100
    snr = torch.log10(((error**2).sum(1) + 10) / power).mean()
    presence = F.binary_cross_entropy_with_logits(out["presence"], truth["present"], reduction="none") * truth["judged"]
    expected = entropy + 0.5 * l1 / 4.5 + 0.5 * 2 * step / 4.5 + 0.25 * snr + presence.mean()
    known = truth["border"] >= 0
    expected = expected + 5 * _soft_bce(out["border"][known], truth["border"][known])
    torch.testing.assert_close(Criterion(TASKS["stage2"].loss)(out, trace.targets(truth))[0], expected)


def test_what_a_caption_is_asked_for() -> None:
    def answer(text: str) -> Any:
        path = [k for c in class_of(text) for k in (c, 0)]
        logits = torch.zeros(1, 1, CLASSES, 128)
        logits[0, 0, path + [0] * (128 - len(path)), torch.arange(128)] = 12.0
        return logits

    text = torch.tensor([class_of("25mm/s 10mm/mV") + [0] * 10])
    target = caption.targets({"text": text})
    near, far = (Criterion(TASKS["caption"].loss)({"text": answer(read)}, target)[0] for read in
                 ("25mm/s 10mm/mV", "25mm/s 20mm/mV"))  # fmt: skip
    assert near < 0.1 < far, "the mean over characters"
    perfect = {"right": 1.0, "settings_right": 1.0, "settings_wrong": 0.0}
    assert caption.measure({"text": answer("25mm/s 10mm/mV")}, {"text": text}) == perfect
    wrong = caption.measure({"text": answer("25mm/s 20mm/mV")}, {"text": text})
    assert wrong == {"right": 0.0, "settings_right": 0.0, "settings_wrong": 1.0}
    assert caption.measure({"text": answer("25mm/s 10mm/m")}, {"text": text})["settings_wrong"] == 0.0

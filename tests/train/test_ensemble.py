"""Weights of an ensemble, searched on drawn pages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ecg_trt.inference import View  # noqa: E402
from ecg_trt.types import Array  # noqa: E402
from train import ensemble  # noqa: E402
from train.models import build_network  # noqa: E402


def _loss_against(truth: Array) -> Callable[[ensemble.Responses], float]:
    return lambda given: float(np.mean((given[0]["offset"] - truth) ** 2))


def test_members_whose_errors_cancel_are_taken_and_a_bad_one_is_not() -> None:
    rng = np.random.default_rng(0)
    truth, noise = rng.normal(size=(2, 500))
    members = [[{"offset": truth + noise}], [{"offset": truth - noise}], [{"offset": truth + 5 * rng.normal(size=500)}]]
    weights, loss = ensemble.select(members, _loss_against(truth))
    assert weights == pytest.approx([0.5, 0.5, 0])
    assert loss == pytest.approx(0, abs=1e-12)


def test_the_best_member_stays_alone_where_others_only_harm() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=500)
    weights, loss = ensemble.select([[{"offset": truth + 9.0}], [{"offset": truth}]], _loss_against(truth))
    assert weights == pytest.approx([0, 1])
    assert loss == 0


def test_the_command_says_the_weight_of_each_member(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    for name in ("a", "b"):
        torch.save({"ema": build_network("stage0").state_dict()}, tmp_path / f"{name}.pt")
    checkpoints = [str(tmp_path / f"{name}.pt") for name in ("a", "b")]
    with caplog.at_level("INFO", "train.ensemble"):
        ensemble.main(["stage0", *checkpoints, "--pages", "1", "--view", "0,0", "--view", "8,-16"])
    lines = [record.getMessage() for record in caplog.records if record.name == "train.ensemble"]
    assert len(lines) == 5
    shares, alone = zip(*((float(line.split()[0]), float(line.split()[-2])) for line in lines[:-1]), strict=True)
    assert sum(shares) == pytest.approx(1, abs=0.02)
    assert float(lines[-1].split()[-1]) <= min(alone)
    with pytest.raises(SystemExit):
        ensemble.main(["stage0", *checkpoints, "--view", "sideways"])


def test_views_of_the_command_line() -> None:
    assert ensemble._view("3,-1") == View(3, -1)
    assert ensemble._view("0,0,mirrored") == View(mirrored=True)

"""Samples and networks of the heart: units, repeatability, disturbances, shapes, and what a few steps learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")
torch = pytest.importorskip("torch")

from ecg_trt.analysis.electrophysiology import POTENTIAL_RANGE_MV, REST_MV  # noqa: E402
from train.data.batches import collate  # noqa: E402
from train.data.heart.anatomy import mean_anatomy  # noqa: E402
from train.data.heart.heart import Heart  # noqa: E402
from train.data.heart.samples import SimulatedBeats, disturb, heart_samples  # noqa: E402
from train.losses import Criterion  # noqa: E402
from train.models import build_network  # noqa: E402
from train.tasks import TASKS  # noqa: E402


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> SimulatedBeats:
    folder: Path = tmp_path_factory.mktemp("hearts")
    few = {"lv_endo": 12, "rv_endo": 6, "lv_epi": 4, "rv_epi": 3}
    Heart.of(mean_anatomy(), np.random.default_rng(0), few).save(folder / "7.npz")
    return SimulatedBeats(folder, range(7, 8))


@pytest.mark.parametrize("head", ["activation", "potentials"])
def test_the_same_seed_gives_the_same_beats(source: SimulatedBeats, head: str) -> None:
    a, b, c = (heart_samples(np.random.default_rng(seed), source, head, 2) for seed in (3, 3, 4))
    assert all(np.array_equal(x[key], y[key]) for x, y in zip(a, b, strict=True) for key in x)
    assert not np.array_equal(a[0]["image"], c[0]["image"])
    assert a[0]["image"].shape == (12, 500) and a[0]["image"].dtype == a[0][head].dtype == np.float32


def test_both_networks_learn_of_one_beat(source: SimulatedBeats) -> None:
    times, cells = (
        heart_samples(np.random.default_rng(5), source, head, 1)[0] for head in ("activation", "potentials")
    )
    volts = REST_MV + POTENTIAL_RANGE_MV * cells["potentials"]
    assert np.abs(np.argmax(volts > 0, axis=1) - 100 * times["activation"]).max() <= 1
    assert volts.min() > -90 and volts.max() < 50


def test_disturbed_beats_keep_their_form_and_lack_a_few_leads() -> None:
    clean = torch.sin(torch.arange(500) / 40.0).expand(400, 12, 500)
    shown = disturb(clean, torch.Generator().manual_seed(0))
    lost = (shown == 0).all(2)
    assert 0.05 < lost.any(1).float().mean() < 0.25
    assert lost.sum(1).max() <= 5
    scale = (shown * clean).mean(2) / clean.square().mean(2)
    assert 0.1 < scale[~lost].log().std() < 0.2
    assert (shown - scale[..., None] * clean).std(2).max() < 0.2


@pytest.mark.parametrize("stage", ["activation", "potentials"])
def test_a_few_steps_lower_the_loss(source: SimulatedBeats, stage: str) -> None:
    torch.manual_seed(0)
    task = TASKS[stage]
    image, truth = collate(task.make(np.random.default_rng(5), source)[:8])
    model, criterion = build_network(stage), Criterion(task.loss)
    assert sum(p.numel() for p in model.parameters()) <= 1.5e6
    out = model.eval()(image)
    assert {name: value.shape for name, value in out.items()} == {stage: truth[stage].shape}
    optimiser = torch.optim.AdamW(model.train().parameters(), 2e-3)
    losses = []
    for _ in range(12):
        loss, _ = criterion(model(image), task.targets(truth))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


def test_errors_are_in_milliseconds_and_millivolts() -> None:
    truth = torch.rand(4, 75)
    found = TASKS["activation"].measure({"activation": truth + 0.02}, {"activation": truth})
    assert found["mean_error_ms"] == pytest.approx(2.0, abs=1e-3)
    cells = torch.rand(4, 75, 500)
    found = TASKS["potentials"].measure({"potentials": cells - 0.1}, {"potentials": cells})
    assert found["rms_mv"] == pytest.approx(13.5506, abs=1e-3)

"""Experiments: runs one after the other, pauses, several processes, and what is written down."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ecg_trt.errors import OptionError  # noqa: E402
from tests.train.user_pages import write_kit_page  # noqa: E402
from train import run as command  # noqa: E402
from train.data.samples import Sample, align_sample  # noqa: E402
from train.experiment import Experiment  # noqa: E402
from train.hardware import open_fabric  # noqa: E402
from train.loop import Trainer, fit, read_checkpoint  # noqa: E402
from train.tasks import TASKS  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # TensorBoard warns about itself
ROOT = Path(__file__).parents[2]
TINY = """
stages = ["stage0"]
[schedule]
steps = 4
warmup = 2
[sampler]
batch = 2
epoch = 8
[hardware]
device = "cpu"
[log]
to = []
every = 1
validation_pages = 1
"""


def _small(rng: np.random.Generator, source: Any, *, kind: str | None = None) -> list[Sample]:
    """A bright square in the dark is the page; what is not known of a photo matters little here."""
    del source, kind
    x, y, side = (8 * int(rng.integers(1, 5)) for _ in range(3))
    image = rng.integers(0, 60, (64, 64, 3), np.uint8)
    image[y : y + side, x : x + side] += 150
    page = (image[4::8, 4::8, :1].transpose(2, 0, 1) > 100) * np.float32(rng.random() < 0.8)
    axes = np.tile(np.array([1, 0, 0, 1], np.float32)[:, None, None], (8, 8))
    return [{"image": image, "page": page.astype(np.float32), "axes": axes, "log_scale": axes[:2]}]


def _drawn(rng: np.random.Generator, source: Any, *, kind: str | None = None) -> list[Sample]:
    return [align_sample(rng, source, size=64, kind=kind)]


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An experiment of stage 0 on pictures of 64 x 64 pixels."""
    monkeypatch.setitem(TASKS, "stage0", replace(TASKS["stage0"], make=_small))
    path = tmp_path / "tiny.toml"
    path.write_text(f'out = "{tmp_path / "runs"}"\n{TINY}')
    return path


def _state(path: Path) -> dict[str, Any]:
    saved = read_checkpoint(path)
    return {key: saved[key] for key in ("model", "ema", "optimiser", "step")}


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else bool(a == b)


def test_seeds_and_schedules_run_one_after_the_other_and_once(tiny: Path, caplog: pytest.LogCaptureFixture) -> None:
    words = ["seeds=[0, 1]", "schedules.first.steps=2", "schedules.second={steps=1, after='first'}"]
    paths = command.run(Experiment.load(tiny, words))
    assert [path.parts[-4:-1] for path in paths] == [
        (name, f"seed{seed}", "stage0") for name in ("first", "second") for seed in (0, 1)
    ]
    assert [read_checkpoint(path)["step"] for path in paths] == [2, 2, 1, 1]
    assert not _same(_state(paths[0])["ema"], _state(paths[1])["ema"])
    before = [path.stat().st_mtime_ns for path in paths]
    with caplog.at_level(logging.INFO):
        command.run(Experiment.load(tiny, words))
    assert caplog.text.count("is finished") == 4
    assert [path.stat().st_mtime_ns for path in paths] == before


def test_a_schedule_begins_with_the_weights_of_another(tiny: Path) -> None:
    words = ["schedules.first.steps=2", "schedules.second={steps=1, after='first'}"]
    first, _ = command.run(Experiment.load(tiny, words))
    config = Experiment.load(tiny, words).runs()[1]
    fresh = Trainer(TASKS["stage0"], replace(config, out=str(tiny.parent / "fresh")), open_fabric(config))
    assert fresh.step == 0
    assert _same(dict(fresh.model.state_dict()), read_checkpoint(first)["ema"])


def test_a_pause_changes_nothing(tiny: Path) -> None:
    (whole,) = command.run(Experiment.load(tiny))
    parts = [f"out={tiny.parent / 'parts'}"]
    command.run(Experiment.load(tiny, [*parts, "schedule.steps=3"]))
    # The cosine of three steps ends earlier: the same weights come only from the same schedule.
    config = Experiment.load(tiny, [f"out={tiny.parent / 'paused'}"]).runs()[0]
    fit(TASKS["stage0"], config, open_fabric(config), call_minutes=0)
    assert read_checkpoint(Path(config.out) / "last.pt")["step"] == 1
    (paused,) = command.run(Experiment.load(tiny, [f"out={tiny.parent / 'paused'}"]))
    assert _same(_state(paused), _state(whole))
    (longer,) = command.run(Experiment.load(tiny, parts))
    assert read_checkpoint(longer)["step"] == 4


def test_other_settings_need_another_folder(tiny: Path) -> None:
    command.run(Experiment.load(tiny, ["schedule.steps=1"]))
    command.run(Experiment.load(tiny, ["schedule.steps=2", "log.every=7"]))  # longer is still the same run
    with pytest.raises(OptionError, match=r"begun with other settings.*model"):
        command.run(Experiment.load(tiny, ["schedule.steps=3", "model.width=0.5"]))


def test_a_wrong_loss_is_told_before_anything_is_trained(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main([str(tiny), "stage0.loss.page.dise=1"])
    assert "Did you mean 'dice'" in capsys.readouterr().err
    assert not (tiny.parent / "runs").exists()


def test_a_drawn_batch_is_shown_several_times(tiny: Path) -> None:
    (path,) = command.run(Experiment.load(tiny, ["sampler.echo=3", "schedule.steps=6"]))
    lines = [json.loads(line) for line in (path.parent / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "train/loss" in line] == [3, 6]
    assert read_checkpoint(path)["step"] == 6


@pytest.mark.parametrize(
    "words",
    [
        ["sampler.hard=0.5", "sampler.batch=4", "sampler.positive=0.5"],
        ["sampler.shares={photo=0.5, scan=0.25, render=0.25}", "hardware.precision=bf16"],
        ["model.deep_supervision=2", "stage0.loss={page={bce=0, focal=1, dice=1}, axes={smooth_l1=1, l1=0}}"],
        ["hardware.workers=1", "model.width=0.5"],
    ],
    ids=["hard", "shares-bf16", "deep-losses", "workers"],
)
def test_settings_train(tiny: Path, words: list[str]) -> None:
    (path,) = command.run(Experiment.load(tiny, [*words, "schedule.steps=3"]))
    lines = [json.loads(line) for line in (path.parent / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "train/loss" in line] == [1, 2, 3]
    assert all(np.isfinite(line["train/loss"]) for line in lines if "train/loss" in line)
    assert any("valid/iou" in line or "valid/page.bce" in line or "valid/page.focal" in line for line in lines)


def test_the_rate_warms_up_and_falls(tiny: Path) -> None:
    config = Experiment.load(tiny, ["schedule={steps=100, warmup=10, learning_rate=1.0, floor=0.1}"]).runs()[0]
    trainer = Trainer(TASKS["stage0"], config, open_fabric(config))
    rates = []
    for trainer.step in range(101):
        rates.append(trainer.learning_rate())
    assert rates[0] == pytest.approx(0.1) and rates[4] == pytest.approx(0.5, abs=0.01)
    assert max(rates) == rates[9] > 0.97
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[50] == pytest.approx(0.55, abs=0.01) and rates[100] == pytest.approx(0.1)


def test_what_is_hard_is_shown_again(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[int, float]] = []
    plain = Trainer.train_step

    def spy(self: Trainer, batch: Any, *, each: bool = False) -> Any:
        answer, image = plain(self, batch, each=each), batch[0]
        assert each and len(answer[1]) == len(image)
        shown.extend((hash(one.numpy().tobytes()), loss) for one, loss in zip(image, answer[1], strict=True))
        return answer

    monkeypatch.setattr(Trainer, "train_step", spy)
    command.run(Experiment.load(tiny, ["sampler={batch=4, hard=0.25, epoch=32}", "schedule.steps=7"]))
    names = [name for name, _ in shown]
    again = [k for k, name in enumerate(names) if name in names[:k]]
    assert len(again) == 6  # one in each batch but the first
    first = dict(reversed(shown))
    ordinary = [loss for name, loss in first.items() if name not in {names[k] for k in again}]
    assert np.mean([first[names[k]] for k in again]) > np.mean(ordinary)


def test_a_user_dataset_is_trained_on_and_validated(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "stage0", replace(TASKS["stage0"], make=_drawn))
    for k in range(2):
        write_kit_page(tiny.parent / "own", f"rec{k}", k, record=False)
    command.main([str(tiny), "schedule.steps=1", "--data", str(tiny.parent / "own")])
    (metrics,) = (tiny.parent / "runs").rglob("metrics.jsonl")
    assert "valid_user/page.bce" in metrics.read_text()
    with pytest.raises(OptionError, match="user dataset"):
        command.run(Experiment.load(tiny, ["sampler.shares.user=1.0", f"out={tiny.parent / 'none'}"]))


def test_metrics_go_to_every_logger(tiny: Path, monkeypatch: pytest.MonkeyPatch,
                                             caplog: pytest.LogCaptureFixture) -> None:  # fmt: skip
    logged: list[tuple[int, dict[str, float]]] = []
    started: dict[str, Any] = {}

    def init(**given: Any) -> SimpleNamespace:
        started.update(given)
        log, finish = lambda figures, step: logged.append((step, figures)), lambda: logged.append((-1, {}))
        return SimpleNamespace(log=log, finish=finish)

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)  # as if it were not installed
    command.run(Experiment.load(tiny, ["log.to=['wandb', 'tensorboard']", "schedule.steps=2", "log.project=mine"]))
    assert started["project"] == "mine" and started["config"]["schedule"]["steps"] == 2 and started["resume"] == "allow"
    assert [step for step, _ in logged] == [1, 2, 2, -1] and "train/loss" in logged[0][1]
    assert "no metrics for tensorboard" in caplog.text
    with pytest.raises(OptionError, match="Did you mean 'wandb'"):
        command.run(Experiment.load(tiny, ["log.to=wandp", f"out={tiny.parent / 'none'}"]))


def test_tensorboard_is_written(tiny: Path) -> None:
    pytest.importorskip("tensorboard")
    (path,) = command.run(Experiment.load(tiny, ["log.to=tensorboard", "schedule.steps=1"]))
    assert list((path.parent / "log").glob("events*"))


SCRIPT = """
import sys
from dataclasses import replace
from pathlib import Path
import torch
import torch.distributed as dist
from tests.train.test_run import _small
from train import loop, run
from train.data import batches
from train.experiment import Experiment

run.TASKS["stage0"] = replace(run.TASKS["stage0"], make=_small)
seen = []
plain, collate = run.fit, batches.collate

def spy(samples):
    seen.extend(hash(s["image"].tobytes()) for s in samples)
    return collate(samples)

def keep(*given):
    batches.collate = spy
    trainer = plain(*given)
    torch.save((trainer.model.state_dict(), seen), Path(sys.argv[2]) / f"rank{dist.get_rank()}.pt")

run.fit = keep
run.run(Experiment.load(Path(sys.argv[1]), ["schedule.steps=2", "log.validation_pages=0"]))
"""


@pytest.mark.slow
def test_two_processes_train_one_network(tiny: Path) -> None:
    script = tiny.parent / "script.py"
    script.write_text(SCRIPT)
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(script), str(tiny),
            str(tiny.parent)]  # fmt: skip
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    world = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=120, cwd=tiny.parent, env=world)
    assert done.returncode == 0, done.stderr[-4000:]
    (first, seen0), (second, seen1) = (torch.load(tiny.parent / f"rank{k}.pt", weights_only=True) for k in (0, 1))
    weights = [name for name in first if "running" not in name and "tracked" not in name]
    assert weights and all(torch.equal(first[name], second[name]) for name in weights)
    assert len(seen0) == len(seen1) == 4 and not set(seen0) & set(seen1)
    (checkpoint,) = (tiny.parent / "runs").rglob("last.pt")
    assert read_checkpoint(checkpoint)["step"] == 2
    assert not [key for key in read_checkpoint(checkpoint)["model"] if key.startswith("module.")]

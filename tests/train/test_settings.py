"""Settings: layers, overrides, and what is said about a key that does not exist."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from ecg_trt.errors import OptionError  # noqa: E402
from train.config import Config, changed_sections, tables, to_toml  # noqa: E402
from train.experiment import Experiment, parse_overrides, stage_config  # noqa: E402

TRAIN = Path(__file__).parents[2] / "train"
TOML = """
out = "{out}"
stages = ["stage0", "stage2"]
seeds = [3, 4]

[schedule]
minutes = 10
learning_rate = 1e-3

[model]
encoder = "resnet18"

[stage2.schedule]
minutes = 20

[stage2.loss.ridge]
stft = 0.1
snr = {{ weight = 0.5 }}

[schedules.long]
warmup = 7

[schedules.fine]
after = "long"
minutes = 1
"""


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    path = tmp_path / "experiment.toml"
    path.write_text(TOML.format(out=tmp_path / "runs"))
    return path


def test_runs_are_schedules_by_seeds_by_stages(experiment: Path, tmp_path: Path) -> None:
    runs = Experiment.load(experiment).runs()
    assert [(Path(r.out).parts[-3], r.seed, r.stage) for r in runs] == [
        (name, seed, stage) for name in ("long", "fine") for seed in (3, 4) for stage in ("stage0", "stage2")
    ]
    assert len({r.out for r in runs}) == 8
    assert runs[4].begin == str(tmp_path / "runs" / "long" / "seed3" / "stage0" / "last.pt")
    assert not runs[0].begin


def test_the_stronger_layer_counts(experiment: Path) -> None:
    long0, long2 = Experiment.load(experiment).runs()[:2]
    assert (long0.schedule.minutes, long2.schedule.minutes) == (10.0, 20.0)
    assert long0.schedule.warmup == 7 and long0.schedule.learning_rate == 1e-3
    assert (long0.sampler.batch, long2.sampler.batch) == (8, 12)  # what the stage needs
    assert long2.loss["ridge"]["stft"] == 0.1 and long2.loss["ridge"]["cross_entropy"] == 1.0
    fine = Experiment.load(experiment).runs()[5]
    assert fine.stage == "stage2" and fine.schedule.minutes == 1


def test_the_command_line_counts_most(experiment: Path) -> None:
    words = ["schedule.minutes=2", "model.encoder=narrow", "stage0.sampler.batch=1", "seeds=[9]", "log.to=wandb"]
    runs = Experiment.load(experiment, words).runs()
    assert {r.schedule.minutes for r in runs} == {2.0}
    assert {r.model.encoder for r in runs} == {"narrow"} and {r.seed for r in runs} == {9}
    assert [r.sampler.batch for r in runs] == [1, 12, 1, 12]
    assert runs[0].log.to == ("wandb",)


@pytest.mark.parametrize(
    ("word", "nearest"),
    [
        ("schedule.minuts=1", "schedule.minutes"),
        ("shedule.minutes=1", "schedule"),
        ("stage0.sampler.bach=1", "sampler.batch"),
        ("schedules.long.warmp=1", "schedule.warmup"),
        ("sampler.shares.foto=1.0", "photo"),
        ("hardware.precision=fp61", "fp16"),
        ("stages=['stage7']", "stage"),
        ("stage2.loss.rigde.l1=1", "ridge"),
        ("schedules.fine.after=lnog", "long"),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest(experiment: Path, word: str, nearest: str) -> None:
    with pytest.raises(OptionError, match=f"Did you mean '{nearest}"):
        Experiment.load(experiment, [word])


@pytest.mark.parametrize(
    "word", ["schedule.minutes=long", "sampler.batch=1.5", "sampler.batch=true", "sampler.hard=1.5", "model=3", "=3",
             "x", "sampler.shares={photo=0.5, scan=0.2}", "sampler.epoch=0"],
)  # fmt: skip
def test_a_value_that_cannot_be_is_refused(experiment: Path, word: str) -> None:
    with pytest.raises(OptionError):
        Experiment.load(experiment, [word])


def test_an_unreadable_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("stages = [")
    for name in ("bad.toml", "none.toml"):
        with pytest.raises(OptionError, match=name):
            Experiment.load(tmp_path / name)


def test_overrides_read_toml_and_plain_text() -> None:
    table = parse_overrides(["a.b=1", "a.c=[1, 2]", "d=runs/x", "a.b=2.5", "e=true", "f='1'"])
    assert table == {"a": {"b": 2.5, "c": [1, 2]}, "d": "runs/x", "e": True, "f": "1"}


def test_settings_beside_a_run_are_an_experiment(tmp_path: Path) -> None:
    words = ["sampler.positive=0.5", "sampler.shares={photo=0.25, scan=0.75}", "data.dir=a \"quoted\" name",
             "loss.ridge.tversky={weight=2, alpha=0.1}"]  # fmt: skip
    config = stage_config("stage2", 5, tmp_path, parse_overrides(words))
    (tmp_path / "config.toml").write_text(to_toml(config))
    (again,) = Experiment.load(tmp_path / "config.toml").runs()
    assert tables(again) | {"out": ""} == tables(config) | {"out": ""}


@pytest.mark.parametrize(
    "text", ["a \U0001fac0 b", "C:\\new\\table", 'say "no"', "tab\there\nnext \x7f", "ÄÖ/ß", "it's", '"""', ""]
)
def test_any_text_is_written_and_read_back(text: str, tmp_path: Path) -> None:
    config = stage_config("stage0", 0, tmp_path, {"data": {"dir": text, "signals": text}, "begin": text})
    assert _reread(config, tmp_path) == replace(config, out="")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf"), 1e-300, 0.1 + 0.2, 3, 1e22])
def test_any_number_is_written_and_read_back(number: float, tmp_path: Path) -> None:
    config = stage_config("stage2", 0, tmp_path, {"schedule": {"minutes": number}, "loss": {"ridge": {"l1": number}}})
    again = _reread(config, tmp_path)
    assert not changed_sections(replace(config, out=""), again)
    pairs = ((again.schedule.minutes, number), (again.loss["ridge"]["l1"], number))
    assert all(a == b or (math.isnan(a) and math.isnan(b)) for a, b in pairs)
    other = replace(again, schedule=replace(again.schedule, minutes=7.0))
    assert changed_sections(again, other) == ["schedule"]


def _reread(config: Config, folder: Path) -> Config:
    (folder / "config.toml").write_text(to_toml(config), encoding="utf-8")
    (again,) = Experiment.load(folder / "config.toml").runs()
    return replace(again, out="")


@pytest.mark.parametrize(
    ("word", "name", "expected"),
    [
        ("schedule.minutes=long", "schedule.minutes has the wrong type", "number"),
        ("sampler.batch=true", "sampler.batch has the wrong type", "integer"),
        ("sampler.hard=1.5", "sampler.hard cannot be used", "0.9"),
        ("seeds=3", "seeds has the wrong type", "list"),
        ("stage0=3", "stage0 has the wrong type", "dict"),
        ("loss=3", "loss has the wrong type", "dict"),
    ],
)
def test_a_value_of_another_type_is_named(experiment: Path, word: str, name: str, expected: str) -> None:
    with pytest.raises(OptionError, match=f"{name}: got .*; expected .*{expected}"):
        Experiment.load(experiment, [word])


@pytest.mark.parametrize("path", sorted((TRAIN / "experiments").glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_experiments_can_be_read(path: Path) -> None:
    assert Experiment.load(path).runs()


def test_the_readme_s_experiment_can_be_read(tmp_path: Path) -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", (TRAIN / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "readme.toml").write_text(block)
    runs = Experiment.load(tmp_path / "readme.toml").runs()
    assert len(runs) == 8 and runs[0].begin == "runs/small/default/seed0/stage1/last.pt"

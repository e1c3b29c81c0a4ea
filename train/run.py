"""Runs an experiment: `python -m train.run experiment.toml key=value ...`, also under torchrun.

Stages, seeds and schedules are trained one after the other, each in a folder of its own with its settings beside it. A
run that is finished is skipped, one that was interrupted goes on from its checkpoint.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ecg_trt.errors import EcgTrtError, OptionError
from train import caption, stage0, stage1, stage2
from train.config import Config, Experiment, overrides, stage_config, tables, to_toml
from train.distributed import World, joined
from train.loop import CHECKPOINT, fit, is_done, read_checkpoint
from train.losses import Criterion

log = logging.getLogger("train")
TASKS = {task.stage: task for task in (stage0.TASK, stage1.TASK, stage2.TASK, caption.TASK)}
_SETTINGS = "config.toml"
_FREE = ("out", "begin", "schedule", "hardware", "log")  # what may change when a run goes on


def _settle(config: Config) -> None:
    """Writes the settings beside the run.

    Raises:
        OptionError: the run was begun with others.
    """
    path = Path(config.out) / _SETTINGS
    if path.exists() and (Path(config.out) / CHECKPOINT).exists():
        (begun,) = Experiment.load(path).runs()
        old, new = tables(begun), tables(config)
        changed = [key for key in old if key not in _FREE and old[key] != new[key]]
        if changed:
            raise OptionError(
                f"The run in {config.out} was begun with other settings",
                got="; ".join(f"{key} {new[key]} in place of {old[key]}" for key in changed), expected="the same",
                mend="Choose another out, or delete the folder.",
            )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(to_toml(config), encoding="utf-8")


def run(experiment: Experiment) -> list[Path]:
    """Trains every run of an experiment that is not finished; returns the checkpoints of all.

    Raises:
        OptionError: a setting that cannot be; before anything is trained, as far as it can be known.
    """
    configs = experiment.runs()
    for config in configs:
        Criterion(config.loss)
    with joined(configs[0].hardware.device) as world:
        for config in configs:
            _run(config, world)
    return [Path(config.out) / CHECKPOINT for config in configs]


def _run(config: Config, world: World) -> None:
    checkpoint = Path(config.out) / CHECKPOINT
    if checkpoint.exists():
        saved = read_checkpoint(checkpoint)
        if is_done(config, saved["step"], saved["spent"]):
            log.info("%s is finished: %d steps, %.1f min", config.out, saved["step"], saved["spent"] / 60)
            return
    if world.is_first:
        log.info("%s", config.out)
        _settle(config)
    world.wait()
    fit(TASKS[config.stage], config, world)


def main(argv: Sequence[str] | None = None) -> None:
    """The command line of an experiment."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", type=Path, help="TOML file, see train/experiments")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="as schedule.minutes=5, stage2.model.width=2")
    parser.add_argument("--data", type=Path, metavar="DIR", help="one's own pages, as data.dir=DIR")
    _logging()
    args = parser.parse_args(argv)
    words = [*args.settings, *([f"data.dir='{args.data}'"] if args.data else [])]
    try:
        run(Experiment.load(args.experiment, words))
    except EcgTrtError as error:
        parser.exit(2, f"{error}\n")


def parse_stage(stage: str, argv: Sequence[str] | None = None) -> tuple[Config, float]:
    """The command line of one stage: its settings, and the minutes of this call."""
    parser = argparse.ArgumentParser(description=f"Train {stage}.")
    parser.add_argument("--minutes", type=float, default=30.0, help="time budget of this call")
    parser.add_argument("--horizon", type=float, default=0.0, help="minutes the schedule spans; 0 = --minutes")
    parser.add_argument("--out", type=Path, default=Path("runs") / stage)
    parser.add_argument("--seed", type=int, default=0)
    named = {
        "device": ("hardware.device", str), "workers": ("hardware.workers", int), "threads": ("hardware.threads", int),
        "signals": ("data.signals", Path), "data": ("data.dir", Path), "batch": ("sampler.batch", int),
        "validate-every": ("log.validate_every", float), "validation-pages": ("log.validation_pages", int),
    }  # fmt: skip
    for name, (key, kind) in named.items():
        parser.add_argument(f"--{name}", type=kind, help=f"as {key}")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="any other setting")
    args = parser.parse_args(argv)
    given = {key: getattr(args, name.replace("-", "_")) for name, (key, _) in named.items()}
    words = [f"{key}='{value}'" if isinstance(value, (str, Path)) else f"{key}={value}"
             for key, value in given.items() if value is not None]  # fmt: skip
    try:
        config = stage_config(stage, args.seed, args.out, overrides([*words, *args.settings]))
        Criterion(config.loss)
    except EcgTrtError as error:
        parser.exit(2, f"{error}\n")
    schedule = replace(config.schedule, minutes=args.horizon or args.minutes)
    return replace(config, schedule=schedule), args.minutes


def train_stage(stage: str, argv: Sequence[str] | None = None) -> None:
    """Trains one stage for some minutes; goes on from the checkpoint of an earlier call."""
    _logging()
    config, minutes = parse_stage(stage, argv)
    with joined(config.hardware.device) as world:
        if world.is_first:
            _settle(config)
        world.wait()
        fit(TASKS[stage], config, world, call_minutes=minutes)


def _logging() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")


if __name__ == "__main__":
    main()

"""Train networks: `python -m train.run EXPERIMENT.toml key=value ...`, or `python -m train.run --stage stage2 ...`.

An experiment trains its stages, seeds and schedules one after the other, each in a folder of its own with its settings
beside it. A run that is finished is skipped, one that was interrupted continues from its checkpoint. With --stage, one
network is trained for some minutes. Both also run under torchrun.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from ecg_trt.errors import EcgTrtError, OptionError
from train.config import Config, changed_sections, tables, to_toml
from train.experiment import Experiment, parse_overrides, stage_config
from train.hardware import open_fabric, process_group
from train.loop import CHECKPOINT, fit, is_done, read_checkpoint
from train.losses import Criterion
from train.tasks import TASKS

log = logging.getLogger("train")
_SETTINGS = "config.toml"
_CHANGEABLE = ("out", "begin", "schedule", "hardware", "log")  # settings that may differ when a run is continued
_SHORT_NAMES = {
    "device": ("hardware.device", str), "workers": ("hardware.workers", int), "threads": ("hardware.threads", int),
    "signals": ("data.signals", Path), "data": ("data.dir", Path), "batch": ("sampler.batch", int),
    "validate-every": ("log.validate_every", float), "validation-pages": ("log.validation_pages", int),
}  # fmt: skip


def run(experiment: Experiment) -> list[Path]:
    """Train every run of an experiment that is not finished; give the checkpoints of all.

    Raises:
        OptionError: a setting that cannot be used; before anything is trained, as far as it can be known.
    """
    configs = experiment.runs()
    for config in configs:
        Criterion(config.loss)
    with process_group():
        for config in configs:
            _run_once(config)
    return [Path(config.out) / CHECKPOINT for config in configs]


def _run_once(config: Config) -> None:
    checkpoint = Path(config.out) / CHECKPOINT
    fabric = open_fabric(config)
    if checkpoint.exists():
        saved = read_checkpoint(checkpoint)
        if is_done(config, saved["step"], saved["spent"]):
            log.info("%s is finished: %d steps, %.1f min", config.out, saved["step"], saved["spent"] / 60)
            return
    if fabric.is_global_zero:
        log.info("%s", config.out)
    _write_settings(config, fabric)
    fit(TASKS[config.stage], config, fabric)


def _write_settings(config: Config, fabric: Fabric) -> None:
    """Write the settings beside the run.

    Raises:
        OptionError: the run was begun with others.
    """
    if fabric.is_global_zero:
        path = Path(config.out) / _SETTINGS
        if path.exists() and (Path(config.out) / CHECKPOINT).exists():
            _check_unchanged(path, config)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(to_toml(config), encoding="utf-8")
    fabric.barrier()


def _check_unchanged(path: Path, config: Config) -> None:
    (begun,) = Experiment.load(path).runs()
    changed = [name for name in changed_sections(begun, config) if name not in _CHANGEABLE]
    if changed:
        old, new = tables(begun), tables(config)
        raise OptionError(
            f"The run in {config.out} was begun with other settings",
            got="; ".join(f"{name} {new[name]}" for name in changed),
            expected="; ".join(f"{name} {old[name]}" for name in changed),
            hint="Choose another out, or delete the folder.",
        )


def train_stage(stage: str, argv: Sequence[str]) -> None:
    """Train one stage for some minutes, continuing an earlier call: `main` with ``--stage``."""
    main(["--stage", stage, *argv])


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    parser = _parser()
    args = parser.parse_intermixed_args(argv)
    try:
        if args.stage:
            config = _parse_stage(args)
            with process_group():
                fabric = open_fabric(config)
                _write_settings(config, fabric)
                fit(TASKS[config.stage], config, fabric, call_minutes=args.minutes)
        else:
            path, words = _experiment_words(args)
            run(Experiment.load(path, words))
    except EcgTrtError as error:
        parser.exit(2, f"{error}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="[EXPERIMENT] key=value",
                        help="TOML file, see train/experiments, and settings, as schedule.minutes=5")  # fmt: skip
    parser.add_argument("--stage", choices=list(TASKS), help="train this network alone, without an experiment")
    alone = parser.add_argument_group("with --stage")
    alone.add_argument("--minutes", type=float, default=30.0, help="time budget of this call [default: 30]")
    alone.add_argument("--horizon", type=float, default=0.0, help="minutes that the schedule spans; 0 = --minutes")
    alone.add_argument("--out", type=Path, help="folder of the run [default: runs/STAGE]")
    alone.add_argument("--seed", type=int, default=0)
    short = parser.add_argument_group("settings by a shorter name")
    for name, (key, kind) in _SHORT_NAMES.items():
        short.add_argument(f"--{name}", type=kind, help=f"as {key}")
    return parser


def _setting_words(args: argparse.Namespace) -> list[str]:
    """Settings that were given by a shorter name, as overrides."""
    given: dict[str, Any] = {
        key: getattr(args, name.replace("-", "_"))
        for name, (key, _) in _SHORT_NAMES.items()
    }  # fmt: skip
    return [
        f"{key}='{value}'" if isinstance(value, (str, Path)) else f"{key}={value}"
        for key, value in given.items()
        if value is not None
    ]


def _experiment_words(args: argparse.Namespace) -> tuple[Path, list[str]]:
    if not args.words or "=" in args.words[0]:
        raise OptionError("There is nothing to train", got="neither an experiment nor --stage",
                          expected="EXPERIMENT.toml or --stage NAME", hint="See train/README.md.")  # fmt: skip
    return Path(args.words[0]), [*args.words[1:], *_setting_words(args)]


def _parse_stage(args: argparse.Namespace) -> Config:
    out = args.out or Path("runs") / args.stage
    layers = parse_overrides([*_setting_words(args), *args.words])
    config = stage_config(args.stage, args.seed, out, layers)
    Criterion(config.loss)
    begin = config.begin.replace("{stage}", args.stage)
    return replace(config, begin=begin, schedule=replace(config.schedule, minutes=args.horizon or args.minutes))


if __name__ == "__main__":
    main()

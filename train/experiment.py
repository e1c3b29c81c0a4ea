"""Experiments: files and command lines that become the settings of one run or several.

Settings are laid over one another: what the stage needs, the file's sections, its table for the stage, its table for
the schedule, and at last the command line in the same order.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ecg_trt.errors import OptionError
from train.config import SECTIONS, Config, Table, checked, merged, unknown
from train.tasks import TASKS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_TOP: dict[str, Any] = {"out": str, "stages": list[str], "seeds": list[int], "begin": str}


def parse_overrides(words: Sequence[str]) -> Table:
    """Read ``["schedule.minutes=5", "model.encoder=resnet18"]`` into a nested table; values are TOML, else text.

    Raises:
        OptionError: a word without a key or an equals sign.
    """
    table: Table = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not all(key.split(".")):
            raise OptionError("An override cannot be read", got=repr(word), expected="key=value, as schedule.minutes=5",
                              hint="Write the key, an equals sign and the value without spaces.")  # fmt: skip
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        for part in reversed(key.split(".")):
            value = {part: value}
        table = merged(table, value)
    return table


@dataclass(frozen=True, slots=True)
class Experiment:
    """Stages, seeds and schedules that are run one after the other.

    Attributes:
        layers: the tables of the file and of the command line, the stronger last.
    """

    layers: tuple[Table, ...]

    @staticmethod
    def load(path: Path, words: Sequence[str] = ()) -> Experiment:
        """Read an experiment file and the command line's overrides.

        Raises:
            OptionError: no such file, no TOML, or an unknown key.
        """
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise OptionError("The experiment cannot be read", got=f"{path}: {error}", expected="a TOML file",
                              hint="See train/experiments/small.toml.") from error  # fmt: skip
        experiment = Experiment((table, parse_overrides(words)))
        experiment.runs()  # Every fault shows now, not after the first night.
        return experiment

    def runs(self) -> list[Config]:
        """List the settings of each run, in order.

        Raises:
            OptionError: an unknown key or name.
        """
        whole = merged(*self.layers)
        known = (*_TOP, "schedules", *TASKS, *SECTIONS)
        for key, value in whole.items():
            if key not in known:
                raise unknown("setting", key, known)
            checked(_TOP.get(key, dict[str, Any]), value, key)
        out, seeds = Path(whole.get("out", "runs")), whole.get("seeds", [0])
        schedules = whole.get("schedules") or {"default": {}}
        stages = whole.get("stages", list(TASKS))
        return [
            self._resolve(stage, seed, name, out, schedules)
            for name in schedules for seed in seeds for stage in stages
        ]  # fmt: skip

    def _resolve(self, stage: str, seed: int, schedule: str, out: Path, schedules: Mapping[str, Table]) -> Config:
        """Put the settings of one run together; its folder is ``out/schedule/seedN/stage``."""
        stacked: list[Mapping[str, Any]] = []
        for layer in self.layers:
            sections = {key: value for key, value in layer.items() if key in SECTIONS}
            stacked += [sections, layer.get(stage, {}), {"schedule": layer.get("schedules", {}).get(schedule, {})}]
        config = stage_config(stage, seed, out / schedule / f"seed{seed}" / stage, *stacked)
        after = config.schedule.after
        if after and (after not in schedules or after == schedule):
            raise unknown("schedule", after, [name for name in schedules if name != schedule])
        given = str(merged(*self.layers).get("begin", "")).replace("{stage}", stage)
        return replace(config, begin=str(out / after / f"seed{seed}" / stage / "last.pt") if after else given)


def stage_config(stage: str, seed: int, out: Path, *layers: Mapping[str, Any]) -> Config:
    """Build the settings of one run from tables of sections, the stronger last.

    Raises:
        OptionError: an unknown stage, head or key, or a value that cannot be used.
    """
    if stage not in TASKS:
        raise unknown("stage", stage, tuple(TASKS))
    task = TASKS[stage]
    table = merged({"sampler": {"batch": task.batch}, "loss": task.loss}, *layers)
    for head in checked(dict[str, Any], table["loss"], "loss"):
        if head not in task.loss:
            raise unknown(f"head of {stage}", head, tuple(task.loss))
    config: Config = checked(Config, {**table, "stage": stage, "seed": seed, "out": str(out)})
    return config

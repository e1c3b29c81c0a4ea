"""The settings of a run: one typed tree that experiment files, the command line and the code share.

Settings are laid over one another: what the stage needs, the file's sections, its table for the stage, its table for
the schedule, and at last the command line in the same order. A key that no setting has is an error that names the
nearest.
"""

from __future__ import annotations

import json
import sys
import typing
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args, get_type_hints

from ecg_trt.errors import OptionError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Table = dict[str, Any]
KINDS = ("any", "photo", "scan", "render", "own")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
SIZES = ("small", "base")  # of networks: base is wider at fine strides, an experiment so far


@dataclass(frozen=True, slots=True)
class Data:
    """Where pages come from.

    Attributes:
        signals: file or folder of recorded signals that drawn pages show, "" for the simulator alone.
        dir: folder of one's own pages, "" for drawn pages alone.
        share: of the samples that come from one's own pages where `Sampler.shares` does not say.
        least_db: agreement between page and record below which a page of one's own teaches nothing, dB.
        cache: folder of prepared pages; "" puts it into the folder of the run.
    """

    signals: str = ""
    dir: str = ""
    share: float = 0.5
    least_db: float = 8.0
    cache: str = ""

    def __post_init__(self) -> None:
        _within("data.share", self.share, 0, 1)


@dataclass(frozen=True, slots=True)
class Model:
    """The network.

    Attributes:
        size: of `SIZES`; the package ships small networks.
        encoder: "narrow" or a name that timm knows.
        pretrained: begin with timm's weights, which are downloaded.
        width: by which the channels of the stage's network are multiplied.
        deep_supervision: coarser decoder levels that get heads of their own while training.
    """

    size: str = "small"
    encoder: str = "narrow"
    pretrained: bool = False
    width: float = 1.0
    deep_supervision: int = 0

    def __post_init__(self) -> None:
        if self.size not in SIZES:
            raise unknown("model.size", self.size, SIZES)
        _within("model.width", self.width, 0.1, 16)
        _within("model.deep_supervision", self.deep_supervision, 0, 8)


@dataclass(frozen=True, slots=True)
class Sampler:
    """What an epoch shows.

    Attributes:
        batch: samples a step, on each device.
        epoch: samples of an epoch, over all devices; shares hold in each epoch.
        shares: kind of page to its share; {} takes pages as they come.
        positive: share of samples that show what the stage looks for; None takes them as they come.
        hard: share of each batch that is shown again because its loss was highest.
        echo: how often each drawn batch's worth of samples is shown: once as drawn, then from the last 4,096 on the
            device, with new noise. More than 1 pays where drawing is what training waits for, as beside a GPU.
    """

    batch: int = 8
    epoch: int = 512
    shares: Mapping[str, float] = field(default_factory=dict)
    positive: float | None = None
    hard: float = 0.0
    echo: int = 1

    def __post_init__(self) -> None:
        _within("sampler.batch", self.batch, 1, 1 << 20)
        _within("sampler.echo", self.echo, 1, 64)
        _within("sampler.epoch", self.epoch, 1, 1 << 40)
        _within("sampler.hard", self.hard, 0, 0.9)
        if self.positive is not None:
            _within("sampler.positive", self.positive, 0, 1)
        for kind, share in self.shares.items():
            if kind not in KINDS:
                raise unknown("sampler.shares", kind, KINDS)
            _within(f"sampler.shares.{kind}", share, 0, 1)
        if self.shares and abs(sum(self.shares.values()) - 1) > 1e-6:
            raise OptionError(
                "The shares of an epoch do not add up", got=f"a sum of {sum(self.shares.values()):g}", expected="1",
                mend="Correct sampler.shares.",
            )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long, and how fast.

    Attributes:
        minutes: of training, over all calls.
        steps: of training; 0 goes by the minutes.
        horizon: minutes over which the learning rate falls, 0 = `minutes`; steps fall over `steps`.
        learning_rate: after the warm-up.
        warmup: steps over which the learning rate rises from 0.
        floor: share of the learning rate that the cosine falls to.
        weight_decay: of AdamW.
        clip: greatest norm of the gradient.
        ema: decay of the average of the weights.
        after: schedule whose averaged weights this one begins with, "" for none.
    """

    minutes: float = 30.0
    steps: int = 0
    horizon: float = 0.0
    learning_rate: float = 2e-3
    warmup: int = 100
    floor: float = 0.02
    weight_decay: float = 0.01
    clip: float = 5.0
    ema: float = 0.998
    after: str = ""


@dataclass(frozen=True, slots=True)
class Hardware:
    """What it runs on.

    Attributes:
        device: "auto", "cpu" or "cuda".
        precision: of the network's arithmetic: "fp32", "bf16", "fp16", or "auto" (fp16 on a GPU, fp32 elsewhere).
        workers: processes that draw pages; 0 draws in the training process.
        threads: CPU threads, 0 for all.
    """

    device: str = "auto"
    precision: str = "auto"
    workers: int = 0
    threads: int = 0

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise unknown("hardware.precision", self.precision, PRECISIONS)


@dataclass(frozen=True, slots=True)
class Log:
    """What is written down.

    Attributes:
        to: loggers: "tensorboard", "wandb"; one that is not installed is left out with a word in the log.
        every: steps between two lines.
        validate_every: minutes between two validations.
        validation_pages: how many are drawn for it.
        project: name at Weights & Biases.
    """

    to: Sequence[str] = ("tensorboard",)
    every: int = 50
    validate_every: float = 5.0
    validation_pages: int = 16
    project: str = "ecg-trt"


@dataclass(frozen=True, slots=True)
class Config:
    """One run: a stage, a seed and a schedule.

    Attributes:
        stage: "stage0", "stage1", "stage2" or "caption".
        seed: of weights and samples.
        out: folder of the run.
        begin: checkpoint whose averaged weights it begins with, "" for none; ``{stage}`` in it names the stage.
        loss: head to loss to its weight, or to a table of ``weight`` and options.
    """

    stage: str
    seed: int
    out: str
    begin: str = ""
    data: Data = field(default_factory=Data)
    model: Model = field(default_factory=Model)
    loss: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    sampler: Sampler = field(default_factory=Sampler)
    schedule: Schedule = field(default_factory=Schedule)
    hardware: Hardware = field(default_factory=Hardware)
    log: Log = field(default_factory=Log)


STAGES: dict[str, Table] = {
    "stage0": {"sampler": {"batch": 8}, "loss": {"page": {"bce": 1.0}, "axes": {"l1": 1.0}, "log_scale": {"l1": 2.0}}},
    "stage1": {
        "sampler": {"batch": 8},
        "loss": {
            "node": {"heatmap_focal": 1.0}, "offset": {"smooth_l1": 4.0}, "zero": {"bce": 2.0},
            "start": {"heatmap_focal": 1.0}, "end": {"heatmap_focal": 0.5}, "pulse": {"bce": 6.0},
            "paper": {"bce": 0.3}, "label": {"heatmap_focal": 1.0},
        },
    },
    "stage2": {
        "sampler": {"batch": 12},
        "loss": {
            "ridge": {"cross_entropy": 1.0, "l1": 0.5, "difference_l1": 0.5, "snr": 0.25}, "presence": {"bce": 1.0},
        },
    },
    "caption": {"sampler": {"batch": 32}, "loss": {"setting": {"bce": 1.0}}},
}  # fmt: skip
_TOP = {"out": str, "stages": list, "seeds": list, "begin": str}
_SECTIONS = tuple(f.name for f in fields(Config) if f.name not in ("stage", "seed", "out", "begin"))


def unknown(where: str, name: str, known: Sequence[str]) -> OptionError:
    """The error for a name that is none of the known ones, with the nearest of these."""
    near = get_close_matches(name, known, 1, 0.3)
    return OptionError(
        f"There is no {where} {name!r}", got=repr(name), expected=f"one of {', '.join(sorted(known))}",
        mend=f"Did you mean {near[0]!r}?" if near else "Correct the name.",
    )  # fmt: skip


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise OptionError(f"{name} is out of range", got=f"{value:g}", expected=f"{low:g} to {high:g}",
                          mend="Correct the setting.")  # fmt: skip


def merged(*layers: Mapping[str, Any]) -> Table:
    """Nested tables laid over one another; the last word counts."""
    result: Table = {}
    for layer in layers:
        for key, value in layer.items():
            below = result.get(key)
            both = isinstance(value, Mapping) and isinstance(below, Mapping)
            result[key] = merged(below, value) if both else value  # type: ignore[arg-type]
    return result


def build(kind: type, table: Mapping[str, Any], where: str = "") -> Any:
    """A dataclass of settings from a nested table.

    Raises:
        OptionError: an unknown key, or a value of another type.
    """
    hints, known = get_type_hints(kind), [f.name for f in fields(kind)]
    _typed(Mapping, table, where)
    values = {}
    for key, value in table.items():
        name = f"{where}.{key}".lstrip(".")
        if key not in known:
            raise unknown("setting", name, [f"{where}.{k}".lstrip(".") for k in known])
        values[key] = build(hints[key], value, name) if is_dataclass(hints[key]) else _typed(hints[key], value, name)
    return kind(**values)


def _typed(hint: Any, value: Any, name: str) -> Any:
    accepted = [typing.get_origin(h) or h for h in (get_args(hint) if type(None) in get_args(hint) else (hint,))]
    if float in accepted and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if Sequence.__name__ in str(hint) and isinstance(value, str):
        return (value,)
    right = any(isinstance(value, kind) and not (kind is int and isinstance(value, bool)) for kind in accepted)
    if not right:
        raise OptionError(f"{name} has the wrong type", got=repr(value), expected=str(hint).removeprefix("typing."),
                          mend="Correct the setting.")  # fmt: skip
    return tuple(value) if isinstance(value, list) else value


def overrides(words: Sequence[str]) -> Table:
    """``["schedule.minutes=5", "model.encoder=resnet18"]`` as a nested table; values are read as TOML, else as text."""
    table: Table = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not all(key.split(".")):
            raise OptionError("An override cannot be read", got=repr(word), expected="key=value, as schedule.minutes=5",
                              mend="Write the key, an equals sign and the value without spaces.")  # fmt: skip
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
        """Reads an experiment file and the command line's overrides.

        Raises:
            OptionError: no such file, no TOML, or an unknown key.
        """
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise OptionError("The experiment cannot be read", got=f"{path}: {error}", expected="a TOML file",
                              mend="See train/experiments/small.toml.") from error  # fmt: skip
        experiment = Experiment((table, overrides(words)))
        experiment.runs()  # whatever is wrong is wrong at once, and not after the first night
        return experiment

    def runs(self) -> list[Config]:
        """The settings of each run, in order.

        Raises:
            OptionError: an unknown key or name.
        """
        whole = merged(*self.layers)
        known = (*_TOP, "schedules", *STAGES, *_SECTIONS)
        for key, value in whole.items():
            if key not in known:
                raise unknown("setting", key, known)
            _typed(_TOP.get(key, Mapping), value, key)
        out, seeds = Path(whole.get("out", "runs")), whole.get("seeds", [0])
        schedules = whole.get("schedules") or {"default": {}}
        stages = whole.get("stages", list(STAGES))
        for stage in stages:
            if stage not in STAGES:
                raise unknown("stage", stage, tuple(STAGES))
        return [
            self.resolve(stage, seed, name, out, schedules)
            for name in schedules for seed in seeds for stage in stages
        ]  # fmt: skip

    def resolve(self, stage: str, seed: int, schedule: str, out: Path, schedules: Mapping[str, Table]) -> Config:
        """The settings of one run, in the folder ``out/schedule/seedN/stage``."""
        stacked: list[Mapping[str, Any]] = []
        for layer in self.layers:
            sections = {k: v for k, v in layer.items() if k in _SECTIONS}
            stacked += [sections, layer.get(stage, {}), {"schedule": layer.get("schedules", {}).get(schedule, {})}]
        config = stage_config(stage, seed, out / schedule / f"seed{seed}" / stage, *stacked)
        after = config.schedule.after
        if after and (after not in schedules or after == schedule):
            raise unknown("schedule", after, [name for name in schedules if name != schedule])
        given = str(merged(*self.layers).get("begin", "")).replace("{stage}", stage)
        return replace(config, begin=str(out / after / f"seed{seed}" / stage / "last.pt") if after else given)


def stage_config(stage: str, seed: int, out: Path, *layers: Mapping[str, Any]) -> Config:
    """The settings of one run from tables of sections, the stronger last."""
    table = merged(STAGES[stage], *layers)
    for head in table["loss"]:
        if head not in STAGES[stage]["loss"]:
            raise unknown(f"head of {stage}", head, tuple(STAGES[stage]["loss"]))
    return build(Config, {**table, "stage": stage, "seed": seed, "out": str(out)})


def tables(config: Config) -> Table:
    """Settings as nested tables."""
    return asdict(config)


def to_toml(config: Config) -> str:
    """An experiment file of this run alone, without its folder."""
    table = tables(replace(config, schedule=replace(config.schedule, after="")))
    del table["out"]
    head = {"stages": [table.pop("stage")], "seeds": [table.pop("seed")], "begin": table.pop("begin")}
    return "\n".join([*_lines(head), *(line for key in table for line in _section(key, table[key]))]) + "\n"


def _section(name: str, table: Mapping[str, Any]) -> list[str]:
    plain = {k: v for k, v in table.items() if not isinstance(v, Mapping)}
    lines = ["", f"[{name}]", *_lines(plain)]
    return lines + [line for k, v in table.items() if isinstance(v, Mapping) for line in _section(f"{name}.{k}", v)]


def _lines(table: Mapping[str, Any]) -> list[str]:
    return [f"{key} = {json.dumps(value)}" for key, value in table.items() if value is not None]

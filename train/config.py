"""Settings of a run: one tree of frozen dataclasses that experiment files, the command line and the code share.

pydantic checks names, types and ranges; every fault becomes an `OptionError` that names the setting, and where a name
is unknown, the nearest one that exists.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, field, fields, is_dataclass, replace
from difflib import get_close_matches
from typing import Annotated, Any, Literal, get_type_hints

import tomli_w
from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    TypeAdapter,
    ValidationError,
)
from pydantic.dataclasses import dataclass

from ecg_trt.errors import OptionError

Table = dict[str, Any]
SIZES = ("small", "base")  # of networks: base is wider at fine strides, an experiment so far
PageKind = Literal["any", "photo", "scan", "render", "user"]
Share = Annotated[StrictFloat, Field(ge=0, le=1)]
_STRICT = ConfigDict(extra="forbid")
_SUM_TOLERANCE = 1e-6  # shares are written with a few digits


def _one_or_several(value: Any) -> Any:
    """Accept a single name, or a list of them, where a tuple of names is wanted."""
    return (value,) if isinstance(value, str) else value


@dataclass(frozen=True, config=_STRICT)
class Data:
    """Sources of pages.

    Attributes:
        signals: file or folder of recorded signals that drawn pages show, "" for the simulator alone.
        dir: folder of a user dataset, "" for drawn pages alone.
        share: share of samples from the user dataset where `Sampler.shares` does not give one.
        least_db: agreement between page and record, dB, below which a page of the user dataset is invalid.
        cache: folder of prepared pages; "" puts it into the folder of the run.
    """

    signals: str = ""
    dir: str = ""
    share: Share = 0.5
    least_db: StrictFloat = 8.0
    cache: str = ""


@dataclass(frozen=True, config=_STRICT)
class Model:
    """Shape of the network.

    Attributes:
        size: of `SIZES`; the package ships small networks.
        encoder: "narrow" or a name that timm knows.
        pretrained: begin with timm's weights, which are downloaded.
        width: factor on the channels of the stage's network.
        deep_supervision: number of coarser decoder levels with heads of their own while training.
    """

    size: str = "small"
    encoder: str = "narrow"
    pretrained: StrictBool = False
    width: Annotated[StrictFloat, Field(ge=0.1, le=16)] = 1.0
    deep_supervision: Annotated[StrictInt, Field(ge=0, le=8)] = 0

    def __post_init__(self) -> None:
        if self.size not in SIZES:
            raise unknown("model.size", self.size, SIZES)


@dataclass(frozen=True, config=_STRICT)
class Sampler:
    """Composition of an epoch.

    Attributes:
        batch: samples a step, on each device.
        epoch: samples of an epoch, over all devices; shares hold in each epoch.
        shares: kind of page to its share; {} takes the kinds as they are drawn.
        positive: share of samples that show what the stage looks for; None takes them as they are drawn.
        hard: share of each batch that is shown again because its loss was highest.
        echo: how often each drawn batch's worth of samples is shown: once as drawn, then from the last 4,096 on the
            device, with new noise. More than 1 pays where drawing is what training waits for, as beside a GPU.
    """

    batch: Annotated[StrictInt, Field(ge=1, le=1 << 20)] = 8
    epoch: Annotated[StrictInt, Field(ge=1, le=1 << 40)] = 512
    shares: Mapping[PageKind, Share] = field(default_factory=dict)
    positive: Share | None = None
    hard: Annotated[StrictFloat, Field(ge=0, le=0.9)] = 0.0
    echo: Annotated[StrictInt, Field(ge=1, le=64)] = 1

    def __post_init__(self) -> None:
        if self.shares and abs(sum(self.shares.values()) - 1) > _SUM_TOLERANCE:
            raise OptionError(
                "The shares of an epoch do not add up", got=f"a sum of {sum(self.shares.values()):g}", expected="1",
                hint="Correct sampler.shares.",
            )  # fmt: skip


@dataclass(frozen=True, config=_STRICT)
class Schedule:
    """Length of the training, and its learning rate.

    Attributes:
        minutes: of training, over all calls.
        steps: of training; 0 goes by the minutes.
        horizon: minutes over which the learning rate decays, 0 = `minutes`; steps decay over `steps`.
        learning_rate: after the warm-up.
        warmup: steps over which the learning rate rises from 0.
        floor: share of the learning rate that the cosine decays to.
        weight_decay: of AdamW.
        clip: greatest norm of the gradient.
        ema: decay of the exponential moving average of the weights.
        after: schedule whose averaged weights this one begins with, "" for none.
    """

    minutes: StrictFloat = 30.0
    steps: StrictInt = 0
    horizon: StrictFloat = 0.0
    learning_rate: StrictFloat = 2e-3
    warmup: StrictInt = 100
    floor: StrictFloat = 0.02
    weight_decay: StrictFloat = 0.01
    clip: StrictFloat = 5.0
    ema: StrictFloat = 0.998
    after: str = ""


@dataclass(frozen=True, config=_STRICT)
class Hardware:
    """Devices and processes.

    Attributes:
        device: "auto", "cpu" or "cuda".
        precision: of the network's arithmetic: "fp32", "bf16", "fp16", or "auto": fp16 on a GPU, bf16 on a CPU that
            multiplies it in hardware (AMX or AVX-512), fp32 on other CPUs.
        workers: processes that draw pages; 0 draws in the training process.
        threads: CPU threads, 0 for all.
    """

    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    workers: Annotated[StrictInt, Field(ge=0)] = 0
    threads: Annotated[StrictInt, Field(ge=0)] = 0


@dataclass(frozen=True, config=_STRICT)
class Log:
    """Metrics that are written.

    Attributes:
        to: loggers: "tensorboard", "wandb"; one that is not installed is left out with a warning.
        every: steps between two lines.
        validate_every: minutes between two validations.
        validation_pages: number of pages drawn for validation.
        project: name at Weights & Biases.
    """

    to: Annotated[tuple[str, ...], BeforeValidator(_one_or_several)] = ("tensorboard",)
    every: Annotated[StrictInt, Field(ge=1)] = 50
    validate_every: StrictFloat = 5.0
    validation_pages: Annotated[StrictInt, Field(ge=0)] = 16
    project: str = "ecg-trt"


@dataclass(frozen=True, config=_STRICT)
class Config:
    """One run: a stage, a seed and a schedule.

    Attributes:
        stage: one of `train.tasks.TASKS`.
        seed: of weights and samples.
        out: folder of the run.
        begin: checkpoint whose averaged weights the run begins with, or a network of the package (.onnx); "" for none.
        loss: head to loss to its weight, or to a table of ``weight`` and options.
    """

    stage: str
    seed: StrictInt
    out: str
    begin: str = ""
    data: Data = field(default_factory=Data)
    model: Model = field(default_factory=Model)
    loss: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    sampler: Sampler = field(default_factory=Sampler)
    schedule: Schedule = field(default_factory=Schedule)
    hardware: Hardware = field(default_factory=Hardware)
    log: Log = field(default_factory=Log)


SECTIONS = tuple(f.name for f in fields(Config) if f.name not in ("stage", "seed", "out", "begin"))


def unknown(where: str, name: str, known: Sequence[str]) -> OptionError:
    """Describe a name that is none of the known ones, with the nearest of these."""
    near = get_close_matches(name, known, 1, 0.3)
    return OptionError(
        f"There is no {where} {name!r}", got=repr(name), expected=f"one of {', '.join(sorted(known))}",
        hint=f"Did you mean {near[0]!r}?" if near else "Correct the name.",
    )  # fmt: skip


def checked(kind: Any, value: Any, where: str = "") -> Any:
    """Build a value of a type, such as `Config`, from nested tables.

    Args:
        kind: what pydantic knows how to build.
        value: as TOML gives it.
        where: name of the setting, "" for the whole.

    Raises:
        OptionError: an unknown key, or a value of another type or outside its range.
    """
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise _option_error(kind, error, where) from None


def _option_error(kind: Any, error: ValidationError, where: str) -> OptionError:
    """Translate the first fault that pydantic found."""
    fault = error.errors()[0]
    path = [str(part) for part in fault["loc"] if part != "[key]"]
    name, value = ".".join(filter(None, [where, *path])), fault["input"]
    cause = fault.get("ctx", {}).get("error")
    if isinstance(cause, OptionError):
        return cause
    if fault["type"] == "unexpected_keyword_argument":
        return unknown("setting", name, [".".join([*path[:-1], key]) for key in _keys(kind, path[:-1])])
    if fault["type"] == "literal_error":
        key = name.rpartition(".")[0] if "[key]" in fault["loc"] else name
        return unknown(key, str(value), re.findall(r"'([^']*)'", fault["ctx"]["expected"]))
    wrong = "has the wrong type" if "type" in fault["type"] else "cannot be used"
    return OptionError(f"{name} {wrong}", got=repr(value), expected=fault["msg"].removeprefix("Input should be "),
                       hint="Correct the setting.")  # fmt: skip


def _keys(kind: Any, path: Sequence[str]) -> list[str]:
    """Names of the settings of a section, given by its path from the root."""
    for part in path:
        kind = get_type_hints(kind).get(part)
    return [f.name for f in fields(kind)] if is_dataclass(kind) else []


def merged(*layers: Mapping[str, Any]) -> Table:
    """Lay nested tables over one another; the last value counts."""
    result: Table = {}
    for layer in layers:
        for key, value in layer.items():
            below = result.get(key)
            if isinstance(value, Mapping) and isinstance(below, Mapping):
                value = merged(below, value)
            result[key] = value
    return result


def tables(config: Config) -> Table:
    """Settings as nested tables."""
    return asdict(config)


def to_toml(config: Config) -> str:
    """Write an experiment file of this run alone, without its folder."""
    table = tables(replace(config, schedule=replace(config.schedule, after="")))
    head = {"stages": [table.pop("stage")], "seeds": [table.pop("seed")], "begin": table.pop("begin")}
    del table["out"]
    return tomli_w.dumps({**head, **_without_none(table)})


def changed_sections(old: Config, new: Config) -> list[str]:
    """Name the top-level settings in which two runs differ; nan equals nan."""
    before, after = (_without_none(tables(config)) for config in (old, new))
    return [key for key in before if tomli_w.dumps({key: before[key]}) != tomli_w.dumps({key: after[key]})]


def _without_none(table: Mapping[str, Any]) -> Table:
    """Leave out the settings that are not set: TOML has no null."""
    return {
        key: _without_none(value) if isinstance(value, Mapping) else value
        for key, value in table.items()
        if value is not None
    }

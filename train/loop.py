"""The training loop that all stages share: a budget, an average of the weights, checkpoints, fixed validation."""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from ecg_trt.errors import OptionError
from train.config import KINDS, Config, tables
from train.data.echo import EchoBuffer
from train.data.own import open_own_pages
from train.data.samples import Sample
from train.data.signals import SignalSource
from train.data.stream import Hard, Maker, Place, Stream
from train.distributed import World
from train.logs import Figures
from train.losses import Criterion, Maps
from train.models import build_network
from train.models.widen import load_widened
from train.task import Task

log = logging.getLogger("train")
Batch = tuple[Tensor, Maps]
CHECKPOINT = "last.pt"
_OWN = "own"


def collate(samples: list[Sample]) -> Batch:
    """Samples stacked: the pictures, and the truth by name."""
    stacked = {k: torch.from_numpy(np.stack([s[k] for s in samples])) for k in samples[0]}
    return stacked.pop("image"), stacked


def read_checkpoint(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """What `Trainer.save` wrote."""
    return dict(torch.load(path, map_location=device, weights_only=True))


class Ema:
    """Exponential moving average of parameters and buffers, warmed up."""

    def __init__(self, model: nn.Module, decay: float = 0.998) -> None:
        self.decay, self.steps = decay, 0
        self.state = {k: v.detach().clone() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Moves the average one step towards the model."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for k, v in model.state_dict().items():
            if v.dtype.is_floating_point:
                self.state[k].lerp_(v, 1 - decay)
            else:
                self.state[k].copy_(v)


class Trainer:
    """Model, optimiser and clock of one run; resumes from its own checkpoint.

    Args:
        task: the stage.
        config: of the run.
        world: the processes that train together.
    """

    def __init__(self, task: Task, config: Config, world: World) -> None:
        if config.hardware.threads:
            torch.set_num_threads(config.hardware.threads)
            cv2.setNumThreads(config.hardware.threads)
        torch.manual_seed(config.seed)
        self.task, self.config, self.world, self.device = task, config, world, world.device
        self.criterion = Criterion(config.loss)
        self.model = build_network(task.stage, config.model).to(self.device, memory_format=torch.channels_last)
        schedule = config.schedule
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), schedule.learning_rate, weight_decay=schedule.weight_decay
        )
        precision = config.hardware.precision
        if precision == "auto":
            precision = "fp16" if self.device.type == "cuda" else "fp32"
        self.dtype = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=precision == "fp16")
        self.step, self.spent = 0, 0.0
        self.checkpoint = Path(config.out) / CHECKPOINT
        if config.begin and not self.checkpoint.exists():
            load_widened(self.model, read_checkpoint(Path(config.begin))["ema"])
        self.ema = Ema(self.model, schedule.ema)
        if self.checkpoint.exists():
            self._resume()
        self.network: nn.Module = self.model
        if world.ranks > 1:
            silent = not {name for name, _ in self.model.spec.heads} <= self.criterion.heads
            self.network = DistributedDataParallel(
                self.model, find_unused_parameters=silent or config.model.encoder != "narrow"
            )

    def _resume(self) -> None:
        saved = read_checkpoint(self.checkpoint, self.device)
        self.model.load_state_dict(saved["model"])
        self.optimiser.load_state_dict(saved["optimiser"])
        if "scaler" in saved:
            self.scaler.load_state_dict(saved["scaler"])
        self.ema.state, self.ema.steps = saved["ema"], saved["step"]
        self.step, self.spent = saved["step"], saved["spent"]
        log.info("resumed at step %d after %.1f min", self.step, self.spent / 60)

    def save(self) -> None:
        """Writes the checkpoint, whole or not at all."""
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        part = self.checkpoint.with_suffix(".part")
        torch.save({"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict(), "ema": self.ema.state,
                    "scaler": self.scaler.state_dict(), "step": self.step, "spent": self.spent,
                    "stage": self.task.stage, "network": tables(self.config)["model"]}, part)  # fmt: skip
        part.replace(self.checkpoint)

    def progress(self) -> float:
        """How much of the fall of the learning rate is done, 0..1."""
        schedule = self.config.schedule
        if schedule.steps:
            return min(1.0, self.step / schedule.steps)
        return min(1.0, self.spent / (60 * (schedule.horizon or schedule.minutes)))

    def rate(self) -> float:
        """The learning rate: linear warm-up, then a cosine to the floor (Loshchilov and Hutter, SGDR, 2017, eq. 5)."""
        schedule = self.config.schedule
        warm = min(1.0, (self.step + 1) / max(1, schedule.warmup))
        fall = schedule.floor + (1 - schedule.floor) * 0.5 * (1 + math.cos(math.pi * self.progress()))
        return schedule.learning_rate * warm * fall

    def on_device(self, image: Tensor, truth: Maps) -> Batch:
        """A batch where the network is."""
        return image.to(self.device), {k: v.to(self.device) for k, v in truth.items()}

    def loss(self, out: Maps, truth: Maps) -> tuple[Tensor, dict[str, float]]:
        """The loss of a batch, and its parts."""
        return self.criterion({k: v.float() for k, v in out.items()}, self.task.targets(truth))

    def train_step(self, image: Tensor, truth: Maps, *, each: bool = False) -> tuple[dict[str, float], list[float]]:
        """One update; returns the parts of the loss and, if `each`, the loss of each sample."""
        image, truth = self.on_device(image, truth)
        self.network.train()
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate()
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
            out = self.network(image)
        loss, parts = self.loss(out, truth)
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimiser)
        nn.utils.clip_grad_norm_(self.model.parameters(), self.config.schedule.clip)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.ema.update(self.model)
        self.step += 1
        return parts | {"loss": loss.item()}, self._losses(out, truth) if each else []

    @torch.no_grad()
    def _losses(self, out: Maps, truth: Maps) -> list[float]:
        n = len(next(iter(out.values())))
        alone = [({k: v[i : i + 1] for k, v in out.items()}, {k: v[i : i + 1] for k, v in truth.items()})
                 for i in range(n)]  # fmt: skip
        return [self.loss(*one)[0].item() for one in alone]

    @torch.no_grad()
    def validate(self, batches: list[Batch]) -> dict[str, float]:
        """Figures of the averaged weights on a fixed set."""
        model = copy.deepcopy(self.model).eval()
        model.load_state_dict(self.ema.state)
        rows = []
        for image, truth in batches:
            truth = {k: v.to(self.device) for k, v in truth.items()}
            out = {k: v.float() for k, v in model(image.to(self.device)).items()}
            rows.append(self.loss(out, truth)[1] | self.task.measure(out, truth))
        seen = {k: [r[k] for r in rows if math.isfinite(r[k])] for k in (rows[0] if rows else ())}
        return {k: float(np.mean(v)) for k, v in seen.items() if v}


def _makers(task: Task, config: Config, *, held_out: bool) -> dict[str, Maker]:
    """For each kind of page, what draws the samples of one."""
    source = SignalSource(Path(config.data.signals) if config.data.signals else None, held_out=held_out)
    makers: dict[str, Maker] = {
        kind: partial(task.make, source=source, kind=None if kind == "any" else kind) for kind in KINDS if kind != _OWN
    }
    if config.data.dir:
        makers[_OWN] = open_own_pages(
            Path(config.data.dir), task.stage, task.make, Path(config.data.cache or Path(config.out) / "pages"),
            least_db=config.data.least_db, held_out=held_out,
        )  # fmt: skip
    elif _OWN in config.sampler.shares:
        raise OptionError("There are no pages of one's own", got="sampler.shares.own without data.dir",
                          expected="a folder", mend="Add --data DIR.")  # fmt: skip
    return makers


def _shares(config: Config) -> Mapping[str, float]:
    if config.sampler.shares:
        return config.sampler.shares
    own = config.data.share if config.data.dir else 0.0
    return {"any": 1 - own, _OWN: own} if own else {"any": 1.0}


def validation_sets(task: Task, config: Config) -> dict[str, list[Batch]]:
    """Batches of pages that are not trained on: drawn ones, and one's own."""
    makers, sets = _makers(task, config, held_out=True), {}
    for kind, group in (("any", "valid"), (_OWN, "valid_own")):
        if kind in makers:
            pages = range(config.log.validation_pages)
            samples = [s for k in pages for s in makers[kind](np.random.default_rng((991, k)))]
            sets[group] = [collate(samples[i : i + 8]) for i in range(0, len(samples), 8)]
    return sets


def _batches(trainer: Trainer, stream: Stream, hard: Hard) -> Iterator[tuple[list[tuple[Sample, int]], Batch]]:
    """Batches of fresh samples and of hard ones that are shown again, with how often each has been."""
    config = trainer.config
    loader = DataLoader(stream, stream.fresh, collate_fn=list, num_workers=config.hardware.workers)
    for drawn in loader:
        samples = [(s, 0) for s in drawn] + hard.take(config.sampler.batch - stream.fresh)
        yield samples, collate([s for s, _ in samples])


def fit(task: Task, config: Config, world: World, *, call_minutes: float | None = None) -> Trainer:
    """Trains until the schedule is done, validating and saving on the way.

    Args:
        task: the stage.
        config: of the run.
        world: the processes that train together; the first one writes.
        call_minutes: of this call, in place of the schedule's end.
    """
    if config.data.dir and not task.takes_own_pages:
        log.info("%s learns from drawn pages alone: one's own do not say what is printed on them", task.stage)
        config = replace(config, data=replace(config.data, dir=""))
    trainer = Trainer(task, config, world)
    if world.is_first:
        fixed = validation_sets(task, config)  # the others wait: own pages are checked once
    world.wait()
    fresh = config.sampler.batch - round(config.sampler.hard * config.sampler.batch)
    place = Place(world.rank, world.ranks, trainer.step // config.sampler.echo)
    makers = _makers(task, config, held_out=False)
    stream = Stream(makers, _shares(config), task.is_positive, config.sampler, config.seed, fresh, place)
    figures, hard, echo = Figures(config, is_first=world.is_first), Hard(), EchoBuffer(task.vary)
    start = last = validated = time.monotonic()
    running: dict[str, float] = {}
    for samples, batch in _batches(trainer, stream, hard):
        parts, losses = trainer.train_step(*batch, each=config.sampler.hard > 0)
        if losses:
            hard.put(samples, losses)
        running = {k: 0.95 * running.get(k, v) + 0.05 * v for k, v in parts.items()}
        if config.sampler.echo > 1:
            echo.put(*trainer.on_device(*batch))
            for _ in range(config.sampler.echo - 1):
                trainer.train_step(*echo.draw(config.sampler.batch))
        now = time.monotonic()
        trainer.spent, last = world.from_first(trainer.spent + now - last), now
        done = is_done(config, trainer.step, trainer.spent)
        if call_minutes is not None:
            done = bool(world.from_first(float(now - start > 60 * call_minutes)))
        if not world.is_first:
            if done:
                break
            continue
        if trainer.step % config.log.every < config.sampler.echo:
            log.info("step %d %s", trainer.step, _line(running))
            figures.write(trainer.step, "train", running | {"rate": trainer.rate()})
        if done or now - validated > 60 * config.log.validate_every:
            validated = now
            trainer.save()
            for group, batches in fixed.items():
                found = trainer.validate(batches)
                log.info("%s step %d, %.1f min: %s", group, trainer.step, trainer.spent / 60, _line(found))
                figures.write(trainer.step, group, found)
        if done:
            break
    figures.close()
    world.wait()
    return trainer


def is_done(config: Config, step: int, spent: float) -> bool:
    """Whether a run that has come this far is finished."""
    schedule = config.schedule
    return step >= schedule.steps if schedule.steps else spent >= 60 * schedule.minutes


def _line(figures: Mapping[str, float]) -> str:
    return " ".join(f"{k} {v:.3f}" for k, v in figures.items())

"""The training loop that all stages share: a budget, an average of the weights, checkpoints, fixed validation."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from train.config import Config, tables
from train.data.batches import Batch, page_makers, page_shares, split, training_batches, validation_sets
from train.data.echo import EchoBuffer
from train.data.hard_examples import HardExampleBuffer
from train.data.stream import Shard, Stream
from train.ema import average_of
from train.losses import Criterion, Maps
from train.metrics_logger import MetricsLogger
from train.models import build_network
from train.models.shipped import load_shipped
from train.models.widen import load_widened
from train.tasks import Task

log = logging.getLogger("train")
CHECKPOINT = "last.pt"
_SMOOTHING = 0.95  # of the metrics that are logged
_MEASURED_PAGES = 8  # drawn to measure activations where training begins with a network of the package


def read_checkpoint(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint that `Trainer.save` wrote."""
    return dict(torch.load(path, map_location=device, weights_only=True))


class Trainer:
    """Model, optimiser and schedule of one run; resumes from its own checkpoint.

    Args:
        task: the stage.
        config: of the run.
        fabric: device, precision and processes, from `hardware.open_fabric`.
    """

    def __init__(self, task: Task, config: Config, fabric: Fabric) -> None:
        torch.manual_seed(config.seed)
        self.task, self.config, self.fabric = task, config, fabric
        self.criterion = Criterion(config.loss)
        self.model = build_network(task.stage, config.model)
        self.step, self.spent = 0, 0.0
        self.checkpoint = Path(config.out) / CHECKPOINT
        if config.begin and not self.checkpoint.exists():
            load_widened(self.model, self._first_weights(Path(config.begin)))
        self.model.to(fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        schedule = config.schedule
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), schedule.learning_rate, weight_decay=schedule.weight_decay
        )
        self.average = average_of(self.model, schedule.ema)
        if self.checkpoint.exists():
            self._resume()
        # The wrappers add precision, gradient scaling and the exchange of gradients between devices.
        self.network, self._wrapped_optimiser = fabric.setup(self.model, self.optimiser)

    def _first_weights(self, path: Path) -> Maps:
        if path.suffix != ".onnx":
            return dict(read_checkpoint(path)["ema"])
        make = page_makers(self.task, replace(self.config, data=replace(self.config.data, dir="")), held_out=False)
        pages = (make["any"](np.random.default_rng((self.config.seed, k))) for k in range(_MEASURED_PAGES))
        images = (torch.from_numpy(np.stack([sample["image"] for sample in samples])) for samples in pages)
        return dict(load_shipped(self.task.stage, path, images).state_dict())

    def _resume(self) -> None:
        saved = read_checkpoint(self.checkpoint, self.fabric.device)
        self.model.load_state_dict(saved["model"])
        self.optimiser.load_state_dict(saved["optimiser"])
        if saved.get("scaler"):
            self.fabric.strategy.precision.load_state_dict(saved["scaler"])
        self.average.module.load_state_dict(saved["ema"])
        self.average.n_averaged.fill_(saved["step"] + 1)
        self.step, self.spent = saved["step"], saved["spent"]
        log.info("resumed at step %d after %.1f min", self.step, self.spent / 60)

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        part = self.checkpoint.with_suffix(".part")
        scaler = self.fabric.strategy.precision.state_dict()
        torch.save({"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict(),
                    "ema": self.average.module.state_dict(), "scaler": scaler, "step": self.step, "spent": self.spent,
                    "stage": self.task.stage, "network": tables(self.config)["model"]}, part)  # fmt: skip
        part.replace(self.checkpoint)

    def progress(self) -> float:
        """Share of the learning rate's decay that is done, 0..1."""
        schedule = self.config.schedule
        if schedule.steps:
            return min(1.0, self.step / schedule.steps)
        seconds = 60 * (schedule.horizon or schedule.minutes)
        return min(1.0, self.spent / seconds) if seconds else 1.0

    def learning_rate(self) -> float:
        """Linear warm-up, then a cosine to the floor (Loshchilov and Hutter, SGDR, 2017, eq. 5)."""
        schedule = self.config.schedule
        warmup = min(1.0, (self.step + 1) / max(1, schedule.warmup))
        decay = schedule.floor + (1 - schedule.floor) * 0.5 * (1 + math.cos(math.pi * self.progress()))
        return schedule.learning_rate * warmup * decay

    def loss(self, out: Maps, truth: Maps) -> tuple[torch.Tensor, dict[str, float]]:
        """Loss of a batch, and its parts by ``head.loss``."""
        return self.criterion(out, self.task.targets(truth))

    def train_step(self, batch: Batch, *, each: bool = False) -> tuple[dict[str, float], list[float]]:
        """Update the weights once.

        Args:
            batch: on the network's device.
            each: also give the loss of each sample.

        Returns:
            The parts of the loss, and the loss of each sample, empty without `each`.
        """
        image, truth = batch
        self.network.train()
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate()
        out = self.network(image)
        loss, parts = self.loss(out, truth)
        self.optimiser.zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        # Where FP16 overflows, the scaler leaves the step out.
        self.fabric.clip_gradients(self.network, self._wrapped_optimiser, max_norm=self.config.schedule.clip,
                                   error_if_nonfinite=False)  # fmt: skip
        self._wrapped_optimiser.step()
        self.average.update_parameters(self.model)
        self.step += 1
        return parts | {"loss": loss.item()}, self._losses(out, truth) if each else []

    @torch.no_grad()
    def _losses(self, out: Maps, truth: Maps) -> list[float]:
        samples = range(len(next(iter(out.values()))))
        return [
            self.loss(*({name: value[k : k + 1] for name, value in maps.items()} for maps in (out, truth)))[0].item()
            for k in samples
        ]

    @torch.no_grad()
    def validate(self, batches: list[Batch]) -> dict[str, float]:
        """Measure the averaged weights, in FP32, on fixed batches."""
        rows = []
        for batch in batches:
            image, truth = self.fabric.to_device(batch)
            out = self.average.module(image)
            rows.append(self.loss(out, truth)[1] | self.task.measure(out, truth))
        finite = {name: [row[name] for row in rows if math.isfinite(row[name])] for name in (rows[0] if rows else ())}
        return {name: float(np.mean(values)) for name, values in finite.items() if values}


class _Session:
    """One call's training: its time, its logs and its validations.

    Args:
        trainer: of the run.
        call_minutes: of this call, None for as long as the schedule says.
    """

    def __init__(self, trainer: Trainer, call_minutes: float | None) -> None:
        config = trainer.config
        self.trainer, self.config, self.fabric = trainer, config, trainer.fabric
        self.is_first = trainer.fabric.is_global_zero
        self.call_minutes = call_minutes
        # The other processes wait: a user dataset is checked once.
        self.fixed = validation_sets(trainer.task, config) if self.is_first else {}
        self.fabric.barrier()
        self.logger = MetricsLogger(config, is_first=self.is_first)
        self.smooth: dict[str, float] = {}
        self.start = self.last = self.validated = time.monotonic()

    def note(self, metrics: Mapping[str, float]) -> bool:
        """Note the metrics of a step: log, validate and save when it is time; tell if the call is at its end."""
        trainer, now = self.trainer, time.monotonic()
        self.smooth = {
            name: _SMOOTHING * self.smooth.get(name, value) + (1 - _SMOOTHING) * value
            for name, value in metrics.items()
        }
        trainer.spent, self.last = self.fabric.broadcast(trainer.spent + now - self.last), now
        done = is_done(self.config, trainer.step, trainer.spent)
        if self.call_minutes is not None:
            done = self.fabric.broadcast(now - self.start > 60 * self.call_minutes)
        if self.is_first:
            self._write(now, done=done)
        return done

    def _write(self, now: float, *, done: bool) -> None:
        trainer, log_settings = self.trainer, self.config.log
        if trainer.step % log_settings.every < self.config.sampler.echo:
            log.info("step %d %s", trainer.step, _line(self.smooth))
            self.logger.write(trainer.step, "train", self.smooth | {"learning_rate": trainer.learning_rate()})
        if done or now - self.validated > 60 * log_settings.validate_every:
            self.validated = now
            trainer.save()
            for group, batches in self.fixed.items():
                found = trainer.validate(batches)
                log.info("%s step %d, %.1f min: %s", group, trainer.step, trainer.spent / 60, _line(found))
                self.logger.write(trainer.step, group, found)

    def close(self) -> None:
        """Close the loggers, and wait for the other processes."""
        self.logger.close()
        self.fabric.barrier()


def _training_stream(trainer: Trainer) -> Stream:
    """Samples of this device, from where the run was interrupted."""
    config, fabric, task = trainer.config, trainer.fabric, trainer.task
    fresh = config.sampler.batch - round(config.sampler.hard * config.sampler.batch)
    shard = Shard(fabric.global_rank, fabric.world_size, trainer.step // config.sampler.echo)
    makers = page_makers(task, config, held_out=False)
    return Stream(makers, page_shares(config), task.is_positive, config.sampler, config.seed, fresh, shard)


def fit(task: Task, config: Config, fabric: Fabric, *, call_minutes: float | None = None) -> Trainer:
    """Train until the schedule is done, validating and saving on the way.

    Args:
        task: the stage.
        config: of the run.
        fabric: device, precision and processes; the first process writes.
        call_minutes: of this call, in place of the schedule's end.
    """
    if config.data.dir and not task.user_layouts:
        log.info("%s is trained on drawn pages alone: the truth of user datasets does not serve it", task.stage)
        config = replace(config, data=replace(config.data, dir=""))
    trainer = Trainer(task, config, fabric)
    session = _Session(trainer, call_minutes)
    stream, hard, echo = _training_stream(trainer), HardExampleBuffer(), EchoBuffer(task.vary)
    sampler, has_gpu = config.sampler, fabric.device.type == "cuda"
    for drawn, repeats in training_batches(stream, config, hard, pin_memory=has_gpu):
        batch = fabric.to_device(drawn)
        metrics, losses = trainer.train_step(batch, each=sampler.hard > 0)
        if losses:
            hard.put(list(zip(split(drawn), repeats, strict=True)), losses)
        if sampler.echo > 1:
            echo.put(*batch)
            for _ in range(sampler.echo - 1):
                trainer.train_step(echo.draw(sampler.batch))
        if session.note(metrics):
            break
    session.close()
    return trainer


def is_done(config: Config, step: int, spent: float) -> bool:
    """Tell if a run that has come this far, in steps and seconds, is finished."""
    schedule = config.schedule
    return step >= schedule.steps if schedule.steps else spent >= 60 * schedule.minutes


def _line(metrics: Mapping[str, float]) -> str:
    return " ".join(f"{name} {value:.3f}" for name, value in metrics.items())

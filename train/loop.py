"""The training loop that all stages share: a time budget, EMA, checkpoints, fixed validation, export."""

from __future__ import annotations

import argparse
import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from train.data.samples import Sample
from train.data.signals import SignalSource
from train.models import build_network

log = logging.getLogger("train")
Maps = dict[str, Tensor]
MakeSamples = Callable[[np.random.Generator, SignalSource], list[Sample]]


@dataclass(frozen=True, slots=True)
class Task:
    """What distinguishes one stage's training.

    Attributes:
        stage: name in `train.models.STAGES`.
        make: a batch of samples' worth of work: a generator and a source to one or more samples.
        loss: network output and truth to the loss and its parts.
        measure: the same to figures a person understands, on validation batches.
        batch: samples a step.
        learning_rate: peak.
    """

    stage: str
    make: MakeSamples
    loss: Callable[[Maps, Maps], tuple[Tensor, dict[str, float]]]
    measure: Callable[[Maps, Maps], dict[str, float]]
    batch: int
    learning_rate: float


class _Stream(IterableDataset):  # type: ignore[type-arg]
    """Endless samples; worker k of a run draws from its own seeds."""

    def __init__(self, make: MakeSamples, source: SignalSource, seed: int, pool: int) -> None:
        self.make, self.source, self.seed, self.pool = make, source, seed, pool

    def __iter__(self) -> Iterator[Sample]:
        info = torch.utils.data.get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        page = worker
        held: list[Sample] = []
        mix = np.random.default_rng((self.seed, worker, 7))
        while True:
            # Crops of one page are mixed with those of others, so that a batch is not one page.
            while len(held) < self.pool:
                held += self.make(np.random.default_rng((self.seed, page)), self.source)
                page += workers
            yield held.pop(int(mix.integers(len(held))))


def _to_tensors(samples: list[Sample], device: torch.device) -> tuple[Tensor, Maps]:
    stacked = {k: torch.from_numpy(np.stack([s[k] for s in samples])).to(device) for k in samples[0]}
    return stacked.pop("image"), stacked


def _collate(samples: list[Sample]) -> tuple[Tensor, Maps]:
    return _to_tensors(samples, torch.device("cpu"))


def parse(task: Task) -> argparse.Namespace:
    """The command line that all stages share."""
    parser = argparse.ArgumentParser(description=f"Train {task.stage}.")
    parser.add_argument("--minutes", type=float, default=30.0, help="time budget of this call")
    parser.add_argument("--horizon", type=float, default=0.0, help="minutes the schedule spans; 0 = --minutes")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--signals", type=Path, default=None, help="recorded signals: .npz, .csv or WFDB folder")
    parser.add_argument("--out", type=Path, default=Path("runs") / task.stage)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--batch", type=int, default=task.batch)
    parser.add_argument("--validate-every", type=float, default=5.0, help="minutes")
    parser.add_argument("--validation-pages", type=int, default=16)
    return parser.parse_args()


def _pick_device(name: str) -> torch.device:
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)


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
    """Model, optimiser and clock of one run; resumes from its own checkpoint."""

    def __init__(self, task: Task, args: argparse.Namespace) -> None:
        if args.threads:
            torch.set_num_threads(args.threads)
            cv2.setNumThreads(args.threads)
        torch.manual_seed(args.seed)
        self.task, self.args, self.device = task, args, _pick_device(args.device)
        self.model = build_network(task.stage).to(self.device, memory_format=torch.channels_last)
        self.optimiser = torch.optim.AdamW(self.model.parameters(), task.learning_rate, weight_decay=0.01)
        self.ema = Ema(self.model)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.device.type == "cuda")
        self.step, self.spent = 0, 0.0
        self.checkpoint: Path = args.out / "last.pt"
        if self.checkpoint.exists():
            self._resume()

    def _resume(self) -> None:
        saved = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        self.model.load_state_dict(saved["model"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.ema.state, self.ema.steps = saved["ema"], saved["step"]
        self.step, self.spent = saved["step"], saved["spent"]
        log.info("resumed at step %d after %.1f min", self.step, self.spent / 60)

    def save(self) -> None:
        """Writes the checkpoint, whole or not at all."""
        self.args.out.mkdir(parents=True, exist_ok=True)
        part = self.checkpoint.with_suffix(".part")
        torch.save({"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict(), "ema": self.ema.state,
                    "step": self.step, "spent": self.spent, "stage": self.task.stage, "seed": self.args.seed,
                    "batch": self.args.batch}, part)  # fmt: skip
        part.replace(self.checkpoint)

    def _rate(self) -> float:
        span = 60 * (self.args.horizon or self.args.minutes)
        done = min(1.0, self.spent / span)
        warm = min(1.0, (self.step + 1) / 100)
        return self.task.learning_rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))

    def train_step(self, image: Tensor, truth: Maps) -> dict[str, float]:
        """One update; returns the parts of the loss."""
        self.model.train()
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate()
        with torch.autocast(self.device.type, enabled=self.device.type == "cuda"):
            out = self.model(image)
        loss, parts = self.task.loss({k: v.float() for k, v in out.items()}, truth)
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimiser)
        nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.ema.update(self.model)
        self.step += 1
        return parts | {"loss": loss.item()}

    @torch.no_grad()
    def validate(self, batches: list[tuple[Tensor, Maps]]) -> dict[str, float]:
        """Figures of the averaged weights on the fixed set."""
        model = build_network(self.task.stage).to(self.device)
        model.load_state_dict(self.ema.state)
        model.eval()
        rows = []
        for image, truth in batches:
            truth = {k: v.to(self.device) for k, v in truth.items()}
            out = {k: v.float() for k, v in model(image.to(self.device)).items()}
            rows.append(self.task.loss(out, truth)[1] | self.task.measure(out, truth))
        return {k: float(np.nanmean([r[k] for r in rows])) for k in rows[0]}


def _validation_set(task: Task, args: argparse.Namespace) -> list[tuple[Tensor, Maps]]:
    source = SignalSource(args.signals, held_out=True)
    samples = [s for k in range(args.validation_pages) for s in task.make(np.random.default_rng((991, k)), source)]
    return [_collate(samples[i : i + 8]) for i in range(0, len(samples), 8)]


def run(task: Task) -> None:
    """Trains until the time is up, validating and saving on the way."""
    from torch.utils.tensorboard import SummaryWriter

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    args = parse(task)
    trainer = Trainer(task, args)
    fixed = _validation_set(task, args)
    stream = _Stream(task.make, SignalSource(args.signals), args.seed + 1000 * trainer.step, pool=4 * args.batch)
    loader = DataLoader(stream, args.batch, collate_fn=_collate, num_workers=args.workers)
    writer = SummaryWriter(str(args.out / "log"))
    start = last = validated = time.monotonic()
    running: dict[str, float] = {}
    for image, truth in loader:
        parts = trainer.train_step(image.to(trainer.device), {k: v.to(trainer.device) for k, v in truth.items()})
        running = {k: 0.95 * running.get(k, v) + 0.05 * v for k, v in parts.items()}
        now = time.monotonic()
        trainer.spent, last = trainer.spent + now - last, now
        done = now - start > 60 * args.minutes
        if trainer.step % 50 == 0:
            log.info("step %d %s", trainer.step, " ".join(f"{k} {v:.3f}" for k, v in running.items()))
        if done or now - validated > 60 * args.validate_every:
            validated = now
            figures = trainer.validate(fixed)
            trainer.save()
            log.info("VALID step %d, %.1f min: %s", trainer.step, trainer.spent / 60,
                     " ".join(f"{k} {v:.3f}" for k, v in figures.items()))  # fmt: skip
            for name, value in figures.items():
                writer.add_scalar(f"valid/{name}", value, trainer.step)
            for name, value in running.items():
                writer.add_scalar(f"train/{name}", value, trainer.step)
        if done:
            break

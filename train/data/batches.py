"""Batches of tensors: drawn in worker processes, mixed with hard examples, and fixed ones for validation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ecg_trt.errors import OptionError
from train.config import Config, PageKind
from train.data.hard_examples import HardExampleBuffer, TensorSample
from train.data.samples import Sample
from train.data.stream import Maker, Stream
from train.data.user_dataset import open_user_dataset
from train.losses import Maps
from train.tasks import Task

Batch = tuple[Tensor, Maps]
_DRAWN, _USER = "any", "user"
_VALIDATION_SEED, _VALIDATION_BATCH = 991, 8


def collate(samples: list[Sample]) -> Batch:
    """Stack samples to the images and the truth by name; in a worker, where tensors travel by shared memory."""
    stacked = {name: torch.from_numpy(np.stack([sample[name] for sample in samples])) for name in samples[0]}
    return stacked.pop("image"), stacked


def split(batch: Batch) -> list[TensorSample]:
    """Cut a batch into its samples, views of it."""
    image, truth = batch
    return [{"image": image[k], **{name: value[k] for name, value in truth.items()}} for k in range(len(image))]


def with_samples(batch: Batch, samples: list[TensorSample]) -> Batch:
    """Append samples to a batch."""
    if not samples:
        return batch
    image, truth = batch
    whole = {
        name: torch.cat([value, torch.stack([sample[name] for sample in samples])])
        for name, value in {"image": image, **truth}.items()
    }
    return whole.pop("image"), whole


def page_makers(task: Task, config: Config, *, held_out: bool) -> dict[str, Maker]:
    """Give for each kind of page the function that draws the samples of one.

    Raises:
        OptionError: a share of the user dataset without one, or a dataset without a valid page.
    """
    source = task.open_source(config.data, held_out)
    makers: dict[str, Maker] = {
        kind: partial(task.make, source=source, kind=None if kind == _DRAWN else kind)
        for kind in get_args(PageKind)
        if kind != _USER
    }
    if config.data.dir:
        makers[_USER] = open_user_dataset(
            Path(config.data.dir), task.make, Path(config.data.cache or Path(config.out) / "pages"),
            layouts=task.user_layouts, least_db=config.data.least_db, held_out=held_out,
        )  # fmt: skip
    elif _USER in config.sampler.shares:
        raise OptionError("There is no user dataset", got="sampler.shares.user without data.dir", expected="a folder",
                          hint="Add --data DIR.")  # fmt: skip
    return makers


def page_shares(config: Config) -> Mapping[str, float]:
    """Share of each kind of page in an epoch."""
    if config.sampler.shares:
        return {str(kind): share for kind, share in config.sampler.shares.items()}
    user = config.data.share if config.data.dir else 0.0
    return {_DRAWN: 1 - user, _USER: user} if user else {_DRAWN: 1.0}


def validation_sets(task: Task, config: Config) -> dict[str, list[Batch]]:
    """Draw fixed batches of pages that are not trained on: generated ones, and those of the user dataset."""
    makers, sets = page_makers(task, config, held_out=True), {}
    for kind, group in ((_DRAWN, "valid"), (_USER, "valid_user")):
        if kind in makers:
            pages = range(config.log.validation_pages)
            samples = [s for k in pages for s in makers[kind](np.random.default_rng((_VALIDATION_SEED, k)))]
            starts = range(0, len(samples), _VALIDATION_BATCH)
            sets[group] = [collate(samples[start : start + _VALIDATION_BATCH]) for start in starts]
    return sets


def training_batches(
    stream: Stream, config: Config, hard: HardExampleBuffer, *, pin_memory: bool = False
) -> Iterator[tuple[Batch, list[int]]]:
    """Draw batches without end; each comes with the number of times its samples have been shown before.

    Args:
        stream: of fresh samples.
        config: of the run.
        hard: gives the rest of each batch, as far as it holds samples.
        pin_memory: collect batches in memory that a GPU copies from directly.
    """
    workers = config.hardware.workers
    loader = DataLoader(stream, stream.fresh, collate_fn=collate, num_workers=workers, pin_memory=pin_memory,
                        persistent_workers=workers > 0)  # fmt: skip
    for fresh in loader:
        again = hard.take(config.sampler.batch - stream.fresh)
        repeats = [0] * len(fresh[0]) + [times for _, times in again]
        yield with_samples(fresh, [sample for sample, _ in again]), repeats

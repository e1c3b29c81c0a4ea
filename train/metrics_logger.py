"""Metrics of a run: lines of JSON always, TensorBoard and Weights & Biases where they are configured and installed."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from train.config import Config, tables, unknown

log = logging.getLogger("train")
METRICS_FILE = "metrics.jsonl"


class Writer(Protocol):
    """Sink of metrics by name."""

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write the metrics of one step."""
        ...

    def close(self) -> None:
        """Finish; nothing is written any more."""
        ...


class _Lines:
    """Lines of JSON in the folder of the run."""

    def __init__(self, config: Config) -> None:
        self.path = Path(config.out) / METRICS_FILE

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **metrics}) + "\n")

    def close(self) -> None:
        pass


class _TensorBoard:
    def __init__(self, config: Config) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(Path(config.out) / "log"))

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        self.writer.close()


class _Wandb:
    """A run at Weights & Biases, named by its folder, that is continued after a pause."""

    def __init__(self, config: Config) -> None:
        import wandb  # type: ignore[import-not-found]

        name = "-".join(Path(config.out).parts[-4:])
        self.run = wandb.init(project=config.log.project, id=name, name=name, dir=config.out, config=tables(config),
                              resume="allow")  # fmt: skip

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        self.run.log(dict(metrics), step=step)

    def close(self) -> None:
        self.run.finish()


_WRITERS: dict[str, Callable[[Config], Writer]] = {"tensorboard": _TensorBoard, "wandb": _Wandb}


class MetricsLogger:
    """All writers of a run; none in a process that is not the first.

    Raises:
        OptionError: an unknown logger.
    """

    def __init__(self, config: Config, *, is_first: bool) -> None:
        self.writers: list[Writer] = []
        for name in config.log.to:
            if name not in _WRITERS:
                raise unknown("logger", name, tuple(_WRITERS))
        if not is_first:
            return
        Path(config.out).mkdir(parents=True, exist_ok=True)
        self.writers.append(_Lines(config))
        for name in config.log.to:
            try:
                self.writers.append(_WRITERS[name](config))
            except ImportError as error:
                log.warning("no metrics for %s: %s", name, error)

    def write(self, step: int, group: str, metrics: Mapping[str, float]) -> None:
        """Write the metrics of one step under ``group/name``."""
        for writer in self.writers:
            writer.write(step, {f"{group}/{name}": value for name, value in metrics.items()})

    def close(self) -> None:
        """Close every writer."""
        for writer in self.writers:
            writer.close()

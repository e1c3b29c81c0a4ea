"""Searches the weights of an ensemble on the validation set: `python -m train.voting stage2 A/last.pt B/last.pt`.

Every checkpoint under every view is a voter. Beginning with nothing, the voter is added, again and again and with
replacement, that makes the vote's loss least (Caruana et al., Ensemble Selection from Libraries of Models, ICML 2004);
a voter's weight is how often it was added. The weights are what `ecg_trt.inference.Ensemble` and `Views` take.
"""

from __future__ import annotations

import argparse
import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from ecg_trt.backends.base import TensorSpec
from ecg_trt.backends.fake import FakeBackend
from ecg_trt.inference import View, Views, vote
from ecg_trt.types import Array
from train.data.batches import Batch, validation_sets
from train.experiment import parse_overrides, stage_config
from train.export import load_network
from train.losses import Criterion
from train.tasks import TASKS

log = logging.getLogger("train.voting")
Answers = list[dict[str, Array]]  # of one voter, one for each batch


def select(voters: Sequence[Answers], loss: Callable[[Answers], float], rounds: int = 20) -> tuple[Array, float]:
    """Weights of the voters, and the loss of their vote.

    Args:
        voters: what each says of each batch.
        loss: of a vote on all batches.
        rounds: most voters that are added.

    Returns:
        (voters,) shares that sum to 1, and the least loss that was found.
    """
    counts, least = np.zeros(len(voters)), np.inf
    for _ in range(rounds):
        trials = counts + np.eye(len(voters))
        losses = [loss([vote(said, trial) for said in zip(*voters, strict=True)]) for trial in trials]
        if min(losses) >= least:
            break
        least, counts = min(losses), trials[int(np.argmin(losses))]
    return counts / counts.sum(), float(least)


def answers(stage: str, checkpoint: Path, view: View, batches: Sequence[Batch]) -> Answers:
    """What the network of a checkpoint says of pictures that it is shown in one way."""
    model, heads = load_network(stage, checkpoint)

    def infer(feed: Mapping[str, Array]) -> dict[str, Array]:
        with torch.no_grad():
            return {name: value.numpy() for name, value in model(torch.from_numpy(feed["image"])).items()}

    backend = FakeBackend(infer, outputs=tuple(TensorSpec(head, "float32", ()) for head in heads))
    with Views(backend, [view]) as shown:
        return [shown.infer({"image": image.numpy()}) for image, _ in batches]


def search(
    stage: str, voters: Sequence[tuple[Path, View]], settings: Sequence[str] = (), rounds: int = 20
) -> tuple[Array, float, list[float]]:
    """Weights of (checkpoint, view) voters, the loss of their vote, and the loss of each alone.

    Args:
        stage: of all of them.
        voters: at least one.
        settings: as on the command line of a training: ``data.signals='DIR'``, ``log.validation_pages=16``.
        rounds: as `select` takes them.
    """
    config = stage_config(stage, 0, Path("runs") / stage, parse_overrides(list(settings)))
    task, criterion = TASKS[stage], Criterion(config.loss)
    batches = [batch for group in validation_sets(task, config).values() for batch in group]

    def loss(said: Answers) -> float:
        each = [
            criterion({k: torch.from_numpy(v) for k, v in answer.items()}, task.targets(truth))[0].item()
            for answer, (_, truth) in zip(said, batches, strict=True)
        ]
        return float(np.mean(each))

    said = [answers(stage, checkpoint, view, batches) for checkpoint, view in voters]
    return *select(said, loss, rounds), [loss(one) for one in said]


def _view(text: str) -> View:
    dx, dy, *mirrored = text.split(",")
    if mirrored not in ([], ["mirrored"]):
        raise ValueError(text)
    return View(int(dx), int(dy), bool(mirrored))


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=list(TASKS))
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("--view", type=_view, action="append", metavar="DX,DY[,mirrored]", help="[default: 0,0]")
    parser.add_argument("--signals", type=Path, help="recorded signals that the drawn pages show")
    parser.add_argument("--pages", type=int, default=16)
    args = parser.parse_args(argv)
    voters = list(itertools.product(args.checkpoints, args.view or [View()]))
    settings = [f"log.validation_pages={args.pages}", *([f"data.signals='{args.signals}'"] if args.signals else [])]
    weights, together, alone = search(args.stage, voters, settings)
    for (checkpoint, view), weight, loss in zip(voters, weights, alone, strict=True):
        mirrored = " mirrored" if view.mirrored else ""
        log.info("%.2f  %s at %d,%d%s: loss %.4f alone", weight, checkpoint, view.dx, view.dy, mirrored, loss)
    log.info("together: loss %.4f", together)


if __name__ == "__main__":
    main()

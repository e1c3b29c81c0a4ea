"""Weights of an ensemble, searched on the validation set: `python -m train.ensemble stage2 A/last.pt B/last.pt`.

Every checkpoint under every view is a member. Beginning with nothing, the member that lowers the ensemble's loss most
is added, again and again and with replacement (Caruana et al., Ensemble Selection from Libraries of Models, ICML 2004);
a member's weight is how often it was added. `ecg_trt.inference.Ensemble` and `Views` take these weights.
"""

from __future__ import annotations

import argparse
import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from ecg_trt.backends.fake import FakeBackend
from ecg_trt.inference import View, Views, vote
from ecg_trt.types import Array, TensorSpec
from train.data.batches import Batch, validation_sets
from train.experiment import parse_overrides, stage_config
from train.export import load_network
from train.losses import Criterion
from train.tasks import TASKS

log = logging.getLogger("train.ensemble")
Responses = list[dict[str, Array]]  # of one member, one for each batch


def select(members: Sequence[Responses], loss: Callable[[Responses], float], rounds: int = 20) -> tuple[Array, float]:
    """Search the weights of the members, and give the loss of the ensemble.

    Args:
        members: responses of each to each batch.
        loss: of the ensemble's responses to all batches.
        rounds: greatest number of additions.

    Returns:
        (members,) shares that sum to 1, and the least loss that was found.
    """
    counts, least = np.zeros(len(members)), np.inf
    for _ in range(rounds):
        trials = counts + np.eye(len(members))
        losses = [loss([vote(each, trial) for each in zip(*members, strict=True)]) for trial in trials]
        if min(losses) >= least:
            break
        least, counts = min(losses), trials[int(np.argmin(losses))]
    return counts / counts.sum(), float(least)


def responses(stage: str, checkpoint: Path, view: View, batches: Sequence[Batch]) -> Responses:
    """Responses of the network of a checkpoint to images under one view."""
    model, heads = load_network(stage, checkpoint)

    def infer(feed: Mapping[str, Array]) -> dict[str, Array]:
        with torch.no_grad():
            return {name: value.numpy() for name, value in model(torch.from_numpy(feed["image"])).items()}

    backend = FakeBackend(infer, outputs=tuple(TensorSpec(head, "float32", ()) for head in heads))
    with Views(backend, [view]) as shown:
        return [shown.infer({"image": image.numpy()}) for image, _ in batches]


def search(
    stage: str, members: Sequence[tuple[Path, View]], settings: Sequence[str] = (), rounds: int = 20
) -> tuple[Array, float, list[float]]:
    """Search the weights of (checkpoint, view) members; give them, the ensemble's loss, and the loss of each alone.

    Args:
        stage: of all of them.
        members: at least one.
        settings: as on the command line of a training: ``data.signals='DIR'``, ``log.validation_pages=16``.
        rounds: as `select` takes them.
    """
    config = stage_config(stage, 0, Path("runs") / stage, parse_overrides(list(settings)))
    task, criterion = TASKS[stage], Criterion(config.loss)
    batches = [batch for group in validation_sets(task, config).values() for batch in group]

    def loss(member: Responses) -> float:
        each = [
            criterion({k: torch.from_numpy(v) for k, v in response.items()}, task.targets(truth))[0].item()
            for response, (_, truth) in zip(member, batches, strict=True)
        ]
        return float(np.mean(each))

    given = [responses(stage, checkpoint, view, batches) for checkpoint, view in members]
    return *select(given, loss, rounds), [loss(member) for member in given]


def _view(text: str) -> View:
    dx, dy, *mirrored = text.split(",")
    if mirrored not in ([], ["mirrored"]):
        raise ValueError(text)
    return View(int(dx), int(dy), bool(mirrored))


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=list(TASKS))
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("--view", type=_view, action="append", metavar="DX,DY[,mirrored]", help="[default: 0,0]")
    parser.add_argument("--signals", type=Path, help="recorded signals that the drawn pages show")
    parser.add_argument("--pages", type=int, default=16)
    args = parser.parse_args(argv)
    members = list(itertools.product(args.checkpoints, args.view or [View()]))
    settings = [f"log.validation_pages={args.pages}", *([f"data.signals='{args.signals}'"] if args.signals else [])]
    weights, together, alone = search(args.stage, members, settings)
    for (checkpoint, view), weight, loss in zip(members, weights, alone, strict=True):
        mirrored = " mirrored" if view.mirrored else ""
        log.info("%.2f  %s at %d,%d%s: loss %.4f alone", weight, checkpoint, view.dx, view.dy, mirrored, loss)
    log.info("together: loss %.4f", together)


if __name__ == "__main__":
    main()

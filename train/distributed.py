"""Several devices by torchrun: who one is, and what all must agree on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist

_PATIENCE = timedelta(hours=12)  # the first process may check thousands of pages while the others wait


@dataclass(frozen=True, slots=True)
class World:
    """The processes that train together.

    Attributes:
        rank: number of this one; the first one alone writes.
        ranks: how many there are.
        device: of this one.
    """

    rank: int
    ranks: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this process logs and saves."""
        return self.rank == 0

    def from_first(self, value: float) -> float:
        """The first process's value, in all processes."""
        if self.ranks == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=self.device)
        dist.broadcast(shared, 0)
        return float(shared.item())

    def wait(self) -> None:
        """Until all processes are here."""
        if self.ranks > 1:
            dist.barrier()


@contextmanager
def joined(device: str) -> Iterator[World]:
    """The world that torchrun started, or a world of one; NCCL between GPUs, gloo between CPUs."""
    kind = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    if ranks == 1:
        yield World(0, 1, torch.device(kind))
        return
    local = int(os.environ["LOCAL_RANK"])
    if kind == "cuda":
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if kind == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield World(dist.get_rank(), ranks, torch.device(kind, local) if kind == "cuda" else torch.device(kind))
    finally:
        dist.destroy_process_group()

"""Order of the samples: epochs with given shares, over workers and devices."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from torch.utils.data import IterableDataset, get_worker_info

from ecg_trt.errors import OptionError
from train.config import Sampler
from train.data.samples import Sample

Maker = Callable[[np.random.Generator], list[Sample]]
_MAX_PAGES = 200  # drawn in search of one sample of the wanted sort


@dataclass(frozen=True, slots=True)
class Shard:
    """One device's part of the samples, and how far it has come.

    Attributes:
        rank: number of the device.
        ranks: number of devices.
        done: batches that each device has been given already.
    """

    rank: int = 0
    ranks: int = 1
    done: int = 0


@dataclass(frozen=True, slots=True)
class Stream(IterableDataset):  # type: ignore[type-arg]
    """Endless samples, each determined by the number of its stream and its index, so that any stream can be resumed.

    Attributes:
        makers: kind to function of a generator that draws the samples of one page.
        shares: kind to its share in every epoch.
        is_positive: tells if a sample shows what the stage looks for.
        sampler: epoch, batch and share of positives.
        seed: of the run.
        shard: part of the samples that this device sees.
        fresh: samples of a batch that are drawn, the others being shown again.
    """

    makers: Mapping[str, Maker]
    shares: Mapping[str, float]
    is_positive: Callable[[Sample], bool]
    sampler: Sampler
    seed: int
    fresh: int
    shard: Shard = field(default_factory=Shard)

    def __iter__(self) -> Iterator[Sample]:
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        # Batches are taken from the workers in turn; after a pause the turn begins with the first one again.
        turn = (worker + self.shard.done) % workers
        skip = self.fresh * ((self.shard.done - turn + workers - 1) // workers)
        number, streams = self.shard.rank * workers + turn, self.shard.ranks * workers
        length = -(-self.sampler.epoch // streams)
        epoch, skip = divmod(skip, length)
        while True:
            for k, sample in enumerate(self._epoch(epoch, number, length)):
                if k >= skip:
                    yield sample
            epoch, skip = epoch + 1, 0

    def _epoch(self, epoch: int, number: int, length: int) -> Iterator[Sample]:
        """Draw one epoch of one stream; crops of a page are mixed with those of others."""
        plan_rng, mix = (np.random.default_rng((self.seed, number, epoch, k)) for k in (7, 8))
        plan = self._plan(length, plan_rng)
        to_come, page = Counter(plan), 0
        held: dict[tuple[str, bool | None], list[Sample]] = defaultdict(list)
        for sort in plan:
            enough = min(4 * self.sampler.batch, to_come[sort])
            tried = 0
            while len(held[sort]) < enough and tried < _MAX_PAGES:
                rng = np.random.default_rng((self.seed, number, epoch, page))
                tried, page = tried + 1, page + 1
                for sample in self.makers[sort[0]](rng):
                    same = held[sort[0], None if sort[1] is None else self.is_positive(sample)]
                    if len(same) < 8 * self.sampler.batch:
                        same.append(sample)
            if not held[sort]:
                raise _unavailable(sort, tried)
            to_come[sort] -= 1
            yield held[sort].pop(int(mix.integers(len(held[sort]))))

    def _plan(self, length: int, rng: np.random.Generator) -> list[tuple[str, bool | None]]:
        """Choose the sort of each of an epoch's samples: kind, and positive or not (None: either)."""
        positive = self.sampler.positive
        signs: dict[bool | None, float] = {None: 1.0} if positive is None else {True: positive, False: 1 - positive}
        wanted = {(kind, sign): a * b for kind, a in self.shares.items() for sign, b in signs.items()}
        counts = _apportion(list(wanted.values()), length)
        plan = [sort for sort, n in zip(wanted, counts, strict=True) for _ in range(n)]
        return [plan[k] for k in rng.permutation(length)]


def _apportion(shares: list[float], total: int) -> list[int]:
    """Round shares of a total to whole numbers that add up to it; the largest remainders are rounded up."""
    exact = np.array(shares) * total / sum(shares)
    counts = np.floor(exact + 1e-9).astype(int)
    for k in np.argsort(counts - exact, kind="stable")[: total - counts.sum()]:
        counts[k] += 1
    return [int(n) for n in counts]


def _unavailable(sort: tuple[str, bool | None], tried: int) -> OptionError:
    sign = {True: " that is positive", False: " that is negative", None: ""}[sort[1]]
    return OptionError(
        "The shares of an epoch cannot be reached", got=f"{tried} pages of kind {sort[0]!r} without a sample{sign}",
        expected="one at least now and then", hint="Change sampler.positive or sampler.shares.",
    )  # fmt: skip

"""Samples in the order in which they are trained on: epochs with given shares, over workers and devices."""

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
_MOST_PAGES = 200  # drawn in search of one sample of the wanted sort


@dataclass(frozen=True, slots=True)
class Place:
    """One of the streams that train together.

    Attributes:
        rank: number of the device.
        ranks: how many there are.
        done: batches that each device has been given already.
    """

    rank: int = 0
    ranks: int = 1
    done: int = 0


@dataclass(frozen=True, slots=True)
class Stream(IterableDataset):  # type: ignore[type-arg]
    """Endless samples: a sample depends on its stream's number and its place in it alone, so that any can be resumed.

    Attributes:
        makers: kind to function of a generator that draws the samples of one page.
        shares: kind to its share in every epoch.
        is_positive: whether a sample shows what the stage looks for.
        sampler: epoch, batch and share of positives.
        seed: of the run.
        place: which of the streams.
        fresh: samples of a batch that are drawn, the others being shown again.
    """

    makers: Mapping[str, Maker]
    shares: Mapping[str, float]
    is_positive: Callable[[Sample], bool]
    sampler: Sampler
    seed: int
    fresh: int
    place: Place = field(default_factory=Place)

    def __iter__(self) -> Iterator[Sample]:
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        # Batches are taken from the workers in turn; after a pause the turn begins with the first one again.
        turn = (worker + self.place.done) % workers
        skip = self.fresh * ((self.place.done - turn + workers - 1) // workers)
        number, streams = self.place.rank * workers + turn, self.place.ranks * workers
        length = -(-self.sampler.epoch // streams)
        epoch, skip = divmod(skip, length)
        while True:
            for k, sample in enumerate(self._epoch(epoch, number, length)):
                if k >= skip:
                    yield sample
            epoch, skip = epoch + 1, 0

    def _epoch(self, epoch: int, number: int, length: int) -> Iterator[Sample]:
        """The samples of one epoch of one stream; crops of a page are mixed with those of others."""
        plan_rng, mix = (np.random.default_rng((self.seed, number, epoch, k)) for k in (7, 8))
        plan = self._plan(length, plan_rng)
        to_come, page = Counter(plan), 0
        held: dict[tuple[str, bool | None], list[Sample]] = defaultdict(list)
        for sort in plan:
            enough = min(4 * self.sampler.batch, to_come[sort])
            tried = 0
            while len(held[sort]) < enough and tried < _MOST_PAGES:
                rng = np.random.default_rng((self.seed, number, epoch, page))
                tried, page = tried + 1, page + 1
                for sample in self.makers[sort[0]](rng):
                    same = held[sort[0], None if sort[1] is None else self.is_positive(sample)]
                    if len(same) < 8 * self.sampler.batch:
                        same.append(sample)
            if not held[sort]:
                raise _never(sort, tried)
            to_come[sort] -= 1
            yield held[sort].pop(int(mix.integers(len(held[sort]))))

    def _plan(self, length: int, rng: np.random.Generator) -> list[tuple[str, bool | None]]:
        """The sort of each of an epoch's samples: kind, and positive or not (None: either)."""
        positive = self.sampler.positive
        signs: dict[bool | None, float] = {None: 1.0} if positive is None else {True: positive, False: 1 - positive}
        wanted = {(kind, sign): a * b for kind, a in self.shares.items() for sign, b in signs.items()}
        counts = _whole(list(wanted.values()), length)
        plan = [sort for sort, n in zip(wanted, counts, strict=True) for _ in range(n)]
        return [plan[k] for k in rng.permutation(length)]


def _whole(shares: list[float], total: int) -> list[int]:
    """Whole numbers with the given shares that add up to the total; the largest remainders are rounded up."""
    exact = np.array(shares) * total / sum(shares)
    counts = np.floor(exact + 1e-9).astype(int)
    for k in np.argsort(counts - exact, kind="stable")[: total - counts.sum()]:
        counts[k] += 1
    return [int(n) for n in counts]


def _never(sort: tuple[str, bool | None], tried: int) -> OptionError:
    sign = {True: " that is positive", False: " that is negative", None: ""}[sort[1]]
    return OptionError(
        "The shares of an epoch cannot be had", got=f"{tried} pages of kind {sort[0]!r} without a sample{sign}",
        expected="one at least now and then", mend="Change sampler.positive or sampler.shares.",
    )  # fmt: skip


class Hard:
    """Samples whose loss was high, to be shown again.

    Args:
        capacity: how many are kept.
        most: how often one is shown again; what stays hard then is likely to be wrong.
    """

    def __init__(self, capacity: int = 256, most: int = 4) -> None:
        self.capacity, self.most = capacity, most
        self._held: list[tuple[float, int, Sample]] = []

    def __len__(self) -> int:
        return len(self._held)

    def take(self, count: int) -> list[tuple[Sample, int]]:
        """The hardest, at most `count`, with how often each has been shown again; they are kept no more."""
        taken, self._held = self._held[:count], self._held[count:]
        return [(sample, shown + 1) for _, shown, sample in taken]

    def put(self, samples: list[tuple[Sample, int]], losses: list[float]) -> None:
        """Keeps samples by their new loss."""
        new = [(loss, shown, s) for loss, (s, shown) in zip(losses, samples, strict=True) if shown < self.most]
        self._held = sorted([*self._held, *new], key=lambda held: -held[0])[: self.capacity]

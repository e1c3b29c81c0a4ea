"""What an epoch shows: shares, positives, workers, devices and pauses."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.utils.data import DataLoader  # noqa: E402

from ecg_trt.errors import OptionError  # noqa: E402
from train.config import Sampler  # noqa: E402
from train.data.hard_examples import HardExampleBuffer  # noqa: E402
from train.data.samples import Sample, align_sample  # noqa: E402
from train.data.signals import SignalSource  # noqa: E402
from train.data.stream import Shard, Stream  # noqa: E402
from train.tasks import align  # noqa: E402

KINDS = {"photo": 0, "scan": 1, "render": 2, "any": 3}


def _maker(kind: str):  # type: ignore[no-untyped-def]
    def make(rng: np.random.Generator) -> list[Sample]:
        return [{"kind": np.array(KINDS[kind]), "positive": np.array(rng.random() < 0.8), "id": np.array(rng.random())}
                for _ in range(3)]  # fmt: skip

    return make


MAKERS = {kind: _maker(kind) for kind in KINDS}


def _positive(sample: Sample) -> bool:
    return bool(sample["positive"])


def _stream(shares: dict[str, float], shard: Shard | None = None, seed: int = 0, **sampler: object) -> Stream:
    settings = Sampler(**{"batch": 4, "epoch": 40, **sampler})  # type: ignore[arg-type]
    return Stream(MAKERS, shares, _positive, settings, seed, settings.batch, shard or Shard())


def _ids(samples: list[Sample]) -> list[float]:
    return [float(s["id"]) for s in samples]


def test_shares_hold_in_every_epoch() -> None:
    shares = {"photo": 0.5, "scan": 0.3, "render": 0.2}
    drawn = list(islice(_stream(shares, positive=0.25), 120))
    for epoch in range(3):
        part = drawn[40 * epoch : 40 * (epoch + 1)]
        assert Counter(int(s["kind"]) for s in part) == {0: 20, 1: 12, 2: 8}
        assert sum(_positive(s) for s in part) == 10
    assert len(set(_ids(drawn))) == 120


def test_without_wishes_samples_come_as_they_are_drawn() -> None:
    drawn = list(islice(_stream({"any": 1.0}, epoch=400), 400))
    assert 0.72 < np.mean([_positive(s) for s in drawn]) < 0.88


@pytest.mark.parametrize("seconds", [{"seed": 1}, {"shard": Shard(rank=1, ranks=2)}])
def test_seeds_and_devices_see_other_samples(seconds: dict[str, object]) -> None:
    one = _ids(list(islice(_stream({"any": 1.0}, Shard(0, 2) if "shard" in seconds else None), 80)))
    other = _ids(list(islice(_stream({"any": 1.0}, **seconds), 80)))  # type: ignore[arg-type]
    assert not set(one) & set(other)


def test_devices_share_an_epoch() -> None:
    shares = {"photo": 0.5, "scan": 0.5}
    parts = [list(islice(_stream(shares, Shard(rank, 2)), 20)) for rank in (0, 1)]
    assert [Counter(int(s["kind"]) for s in part) for part in parts] == 2 * [{0: 10, 1: 10}]


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than this machine has cores
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("pause", [3, 11])
def test_a_pause_changes_nothing(workers: int, pause: int) -> None:
    def batches(done: int, count: int) -> list[list[float]]:
        stream = _stream({"any": 1.0}, Shard(done=done), positive=0.5)
        loader = DataLoader(stream, 4, collate_fn=list, num_workers=workers)
        return [_ids(batch) for batch in islice(loader, count)]

    assert batches(pause, 4) == batches(0, pause + 4)[pause:]


def test_a_sort_that_never_comes_is_told() -> None:
    with pytest.raises(OptionError, match="positive"):
        next(iter(Stream(MAKERS, {"any": 1.0}, lambda _: False, Sampler(positive=1.0), 0, 4)))


@pytest.mark.slow
def test_a_real_stage_keeps_its_shares() -> None:
    source = SignalSource()
    makers = {kind: lambda rng, kind=kind: [align_sample(rng, source, size=64, kind=kind)]
              for kind in ("photo", "render")}  # fmt: skip
    sampler = Sampler(batch=1, epoch=4, positive=0.5)
    drawn = list(islice(Stream(makers, {"photo": 0.5, "render": 0.5}, align.TASK.is_positive, sampler, 0, 1), 4))
    assert sum(align.TASK.is_positive(s) for s in drawn) == 2


def test_the_hardest_come_again_but_not_for_ever() -> None:
    hard = HardExampleBuffer(capacity=3, max_repeats=2)
    samples = [({"id": torch.tensor(k)}, 0) for k in range(5)]
    hard.put(samples, [0.1, 5.0, 3.0, 0.2, 4.0])
    assert len(hard) == 3
    again = hard.take(2)
    assert [int(s["id"]) for s, _ in again] == [1, 4]
    hard.put(again, [0.05, 9.0])
    assert [int(s["id"]) for s, _ in hard.take(3)] == [4, 2, 1]  # its new loss counts, not the old one
    hard.put([(samples[1][0], 2)], [99.0])
    assert not len(hard)

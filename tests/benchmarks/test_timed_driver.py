"""A timed driver does what the driver does, and its labels add up."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from benchmarks.throughput_suite.timed_driver import KERNEL_STEPS, TimedDriver, step_of
from ecg_trt.cuda.compile import kernel_files, kernels_of
from ecg_trt.cuda.graph import Graph
from ecg_trt.cuda.kernel_set import Kernels
from ecg_trt.cuda.memory import Workspace
from ecg_trt.cuda.stream import Stream
from ecg_trt.errors import DeviceError
from tests.cuda.fake_driver import FakeDriver


@pytest.fixture(autouse=True)
def any_cubin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ecg_trt.cuda.kernel_set.cubin", lambda file, capability: file.encode())


@pytest.fixture
def fake() -> Iterator[FakeDriver]:
    driver = FakeDriver()
    yield driver
    assert driver.faults == [] and driver.live == {}


def work(timed: TimedDriver) -> np.ndarray:
    """Up, two kernels, down: what an operation does."""
    with Kernels(timed) as kernels, Stream(timed) as stream:
        memory = Workspace(timed, stream, {}, {})
        try:
            there = memory.upload("x", np.arange(8, dtype=np.uint8))
            kernels.launch("warp_linear", (8, 8), stream)
            kernels.launch("ridge_merge", (8, 8), stream)
            return memory.download(there)[0]
        finally:
            memory.close()


def test_every_kernel_belongs_to_a_step() -> None:
    names = [name for file in kernel_files() for name in kernels_of(file)]
    assert names and all(step_of(name) in KERNEL_STEPS.values() for name in names)
    assert step_of("new_kernel") == "new_kernel"


def test_labels_add_up_and_nothing_stays(fake: FakeDriver) -> None:
    with TimedDriver(fake) as timed:
        assert timed.name == "fake" and timed.device is fake.device
        np.testing.assert_array_equal(work(timed), np.arange(8))
        # The fake's clock counts calls: of each pair of events, the one between them and its own end.
        assert timed.take() == {"h2d": 2.0, "warp": 2.0, "decode ridge": 2.0, "d2h": 2.0}
        assert timed.take() == {}
        made = fake.calls.count("create_event")
        work(timed)
        # The workspace made its own two again; the pool gave the rest.
        assert fake.calls.count("create_event") == made + 2
        assert sum(timed.take().values()) == 8.0
    assert fake.closed


def test_a_graph_goes_by_the_name_of_who_launches_it(fake: FakeDriver) -> None:
    with TimedDriver(fake) as timed, Kernels(timed) as kernels, Stream(timed) as stream:
        graph = Graph(timed, stream)
        for name in ("stage1", "stage1", "stage1", ""):
            with timed.within(name or "stage2"):
                graph.run("key", lambda: kernels.launch("cut", (8, 8), stream))
        assert timed.take() == {"cut": 2.0, "stage1": 4.0, "stage2": 2.0}
        graph.launch()
        assert timed.take() == {"graph": 2.0}
        graph.close()


@pytest.mark.parametrize("call", ["launch", "copy_to_device", "record_event", "create_event", "elapsed_ms"])
def test_what_fails_leaves_nothing_behind(call: str) -> None:
    scout = FakeDriver()
    with TimedDriver(scout) as timed:
        work(timed)
        timed.take()
    for at in [k + 1 for k, name in enumerate(scout.calls) if name == call]:
        fake = FakeDriver(fail_at=at)
        with pytest.raises(DeviceError), TimedDriver(fake) as timed:
            work(timed)
            timed.take()
        assert fake.faults == [] and fake.live == {}

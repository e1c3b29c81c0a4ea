"""Streams, events and graphs, on the fake driver."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import numpy as np
import pytest

from ecg_trt.cuda.graph import Graph
from ecg_trt.cuda.memory import DeviceBuffer, PinnedBuffer
from ecg_trt.cuda.stream import Event, Stream
from ecg_trt.errors import BackendError, DeviceFaultError
from ecg_trt.types import Array
from tests.cuda.fake_driver import FakeDriver


class Counter:
    """Work that sets four bytes to a value that changes between calls of Python, but not within a graph."""

    def __init__(self, driver: FakeDriver, stream: Stream) -> None:
        self.driver, self.stream, self.calls = driver, stream, 0
        self.device, self.host = DeviceBuffer(driver, 4), PinnedBuffer(driver, 4)

    def __call__(self) -> None:
        self.calls += 1
        self.driver.fill(self.device.handle, self.calls, 4, self.stream.handle)
        self.driver.copy_to_host(self.host.handle, self.device.handle, 4, self.stream.handle)

    def close(self) -> None:
        self.device.close()
        self.host.close()


@pytest.fixture(params=[True, False], ids=["graphs", "no graphs"])
def driver(request: pytest.FixtureRequest) -> Iterator[FakeDriver]:
    driver = FakeDriver(graphs=request.param)
    yield driver
    assert driver.live == {}
    assert driver.faults == []


def test_work_is_captured_once_for_each_key(driver: FakeDriver) -> None:
    with Stream(driver) as stream:
        work, graph = Counter(driver, stream), Graph(driver, stream)
        for _ in range(5):
            graph.run("first", work)
            stream.sync()
        assert work.calls == (2 if driver.graphs else 5)  # to warm up, and to be captured
        assert (work.host.array == work.calls).all()
        assert graph.holds("first") == driver.graphs
        graph.run("second", work)
        assert not graph.holds("first")
        graph.run("second", work)
        stream.sync()
        assert (work.host.array == work.calls).all()
        assert driver.calls.count("instantiate") == (2 if driver.graphs else 0)
        graph.close()
        graph.close()
        work.close()


def test_a_capture_that_fails_holds_nothing() -> None:
    driver = FakeDriver()
    with Stream(driver) as stream, Event(driver) as event:
        graph = Graph(driver, stream)
        with pytest.raises(DeviceFaultError, match="STREAM_CAPTURE_UNSUPPORTED"), graph.capture("key"):
            event.sync()  # waiting cannot be captured
        with pytest.raises(DeviceFaultError, match="holds nothing"):
            graph.launch()
        with pytest.raises(KeyboardInterrupt), graph.capture("key"):
            raise KeyboardInterrupt
        assert not graph.holds("key")
        stream.sync()  # the capture has ended
    assert driver.live == {}


def test_a_capture_leaves_other_streams_and_threads_alone() -> None:
    driver = FakeDriver()
    with ExitStack() as stack:
        one, other = (stack.enter_context(Stream(driver)) for _ in range(2))
        captured, beside = (stack.enter_context(DeviceBuffer(driver, 4)) for _ in range(2))
        host, graph = stack.enter_context(PinnedBuffer(driver, 4)), Graph(driver, one)
        driver.fill(captured.handle, 0, 4, one.handle)

        def beside_it() -> Array:
            driver.fill(beside.handle, 7, 4, other.handle)
            driver.copy_to_host(host.handle, beside.handle, 4, other.handle)
            other.sync()
            return host.array.copy()

        with graph.capture("key"), ThreadPoolExecutor(1) as pool:
            driver.fill(captured.handle, 9, 4, one.handle)
            assert (pool.submit(beside_it).result() == 7).all(), "waits for its own, which is done"
        driver.copy_to_host(host.handle, captured.handle, 4, one.handle)
        one.sync()
        assert (host.array == 0).all(), "what is captured waits for its launch"
        graph.launch()
        driver.copy_to_host(host.handle, captured.handle, 4, one.handle)
        one.sync()
        assert (host.array == 9).all()
        graph.close()
    assert (driver.live, driver.faults) == ({}, [])


def test_whichever_call_of_a_capture_fails_nothing_is_left() -> None:
    def everything(driver: FakeDriver) -> None:
        with Stream(driver) as stream, DeviceBuffer(driver, 8) as memory:
            graph = Graph(driver, stream)
            try:
                for _ in range(3):
                    graph.run(0, lambda: driver.fill(memory.handle, 1, 8, stream.handle))
                stream.sync()
            finally:
                graph.close()

    whole = FakeDriver()
    everything(whole)
    for k, name in enumerate(whole.calls, 1):
        driver = FakeDriver(fail_at=k)
        if name.startswith(("destroy", "free")):
            everything(driver)
        else:
            with pytest.raises(DeviceFaultError):
                everything(driver)
        assert driver.live == {}, f"after {name} failed"
        assert driver.faults == []


def test_events_keep_the_time() -> None:
    driver = FakeDriver()
    with Stream(driver) as one, Event(driver) as start, Event(driver) as end:
        start.record(one)
        end.record(one)
        end.sync()
        assert end.ms_since(start) > 0
    with pytest.raises(BackendError, match="a closed stream"):
        one.sync()


def test_memory_ends_once_and_is_not_used_after() -> None:
    driver = FakeDriver()
    buffer = PinnedBuffer(driver, 16)
    buffer.array[:] = np.arange(16)
    assert buffer.array[5] == 5
    buffer.close()
    buffer.close()
    assert driver.calls.count("free_host") == 1
    with pytest.raises(BackendError, match="a closed pinned buffer"):
        _ = buffer.array

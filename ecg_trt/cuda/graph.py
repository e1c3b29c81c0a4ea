"""CUDA graphs: work that is captured once and launched as one."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress

from ecg_trt.cuda.driver import Driver, device_error
from ecg_trt.cuda.handle import Handle
from ecg_trt.cuda.stream import Stream
from ecg_trt.errors import DeviceError


class Graph:
    """Owner of one CUDA graph on one stream.

    A graph holds addresses and sizes. They make its key: with another key the graph is void and is captured anew.

    Args:
        driver: a driver without graphs runs the work each time.
        stream: on which the work is queued.
    """

    def __init__(self, driver: Driver, stream: Stream) -> None:
        self._driver, self._stream = driver, stream
        self._ready: Handle | None = None
        self._key: Hashable = None

    def holds(self, key: Hashable) -> bool:
        """Tell if work of this key has been captured."""
        return self._ready is not None and self._key == key

    @contextmanager
    def capture(self, key: Hashable) -> Iterator[None]:
        """Capture the work that is queued on the stream in the with block, in place of the graph held before.

        Nothing in it may allocate, wait, or run on the host. If it fails, nothing is held.

        Raises:
            DeviceError: the work cannot be captured.
        """
        self.close()
        self._driver.begin_capture(self._stream.handle)
        try:
            yield
        except BaseException:
            with suppress(DeviceError):  # Work that cannot be captured voids the graph; only the first error matters.
                self._end().close()
            raise
        with self._end() as graph:
            executable = self._driver.instantiate(graph.handle)
        self._ready, self._key = Handle("graph", executable, self._driver.destroy_executable), key

    def _end(self) -> Handle:
        """End the capture, which must end even if its work failed."""
        return Handle("captured graph", self._driver.end_capture(self._stream.handle), self._driver.destroy_graph)

    def launch(self) -> None:
        """Queue the captured work.

        Raises:
            DeviceError: nothing is held, or the launch failed.
        """
        if self._ready is None:
            raise device_error("a graph that holds nothing", "INVALID_VALUE")
        self._driver.launch_graph(self._ready.handle, self._stream.handle)

    def run(self, key: Hashable, work: Callable[[], None]) -> None:
        """Run work on the stream: the first time directly, to warm up, the second time captured, then as a graph.

        Args:
            key: all that the work's addresses and sizes depend on.
            work: queues it.
        """
        if self._key != key:
            self.close()
            work()
            self._key = key
        elif not self._driver.graphs:
            work()
        else:
            if not self.holds(key):
                with self.capture(key):
                    work()
            self.launch()

    def close(self) -> None:
        """Free the graph; more than once is fine."""
        ready, self._ready, self._key = self._ready, None, None
        if ready is not None:
            ready.close()

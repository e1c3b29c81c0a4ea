"""Time of each step of a photo on the GPU: a `Driver` that brackets all queued work with a pair of events.

Nothing in the runtime changes for it. A span that finds its stream idle also holds the host's time between the two
events (about 10 us), and spans on streams that overlap are counted twice: the sum is the device's busy time from above.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ecg_trt.closeable import Closeable
from ecg_trt.cuda.driver import Driver, Extent
from ecg_trt.cuda.stream import Event

# Beginning of a kernel's name, and the step that it belongs to; a kernel of another name is a step of its own.
KERNEL_STEPS = {
    "warp": "warp",
    "reduce": "warp",
    "flatten": "flatten",
    "grey": "ruling",
    "ruling": "ruling",
    "page_planes": "lines",
    "paper": "lines",
    "every": "lines",
    "pen": "lines",
    "line": "lines",
    "cut": "cut",
    "at_rows": "decode ridge",
    "peaks": "decode nodes",
    "marks": "decode marks",
    "ridge": "decode ridge",
}
TO_DEVICE, TO_HOST, ON_DEVICE, FILL, GRAPH = "h2d", "d2h", "d2d", "fill", "graph"


def step_of(kernel: str) -> str:
    """The step that a kernel belongs to."""
    return next((step for start, step in KERNEL_STEPS.items() if kernel.startswith(start)), kernel)


class TimedDriver(Closeable):
    """Delegate to a driver, and keeps the time of each queued call under a label.

    Work that is being captured is not bracketed (its events would be nodes of the graph): the graph's launch is, under
    the name that `within` gives, else as "graph".

    Args:
        driver: of the GPU; closed with this one.

    Example:
        >>> timed = TimedDriver(open_driver())  # doctest: +SKIP
        >>> with Digitizer(runtime=open_runtime("trt", driver=timed)) as digitizer:
        ...     digitizer(photo)
        ...     timed.take()
        {'h2d': 1.1, 'warp': 0.2, 'stage0': 0.4, ...}
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._kernels: dict[int, str] = {}
        self._events: list[Event] = []  # all there are; `_free` holds those that may be recorded
        self._free: list[Event] = []
        self._spans: list[tuple[str, Event, Event]] = []
        self._capturing: set[int] = set()
        self._here = threading.local()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)

    @contextmanager
    def within(self, label: str) -> Iterator[None]:
        """Name the graphs that this thread launches in the with block."""
        before = getattr(self._here, "label", GRAPH)
        self._here.label = label
        try:
            yield
        finally:
            self._here.label = before

    @contextmanager
    def span(self, label: str, stream: int) -> Iterator[None]:
        """Keep the time of the work queued on a stream in the with block; a failure leaves no time."""
        if stream in self._capturing:
            yield
            return
        start, end = self._event(), self._event()
        self._driver.record_event(start.handle, stream)
        yield
        self._driver.record_event(end.handle, stream)
        self._spans.append((label, start, end))

    def take(self) -> dict[str, float]:
        """Milliseconds by label since the last call; waits for what is queued.

        Raises:
            DeviceError: any of it failed.
        """
        spans, self._spans = self._spans, []
        total: dict[str, float] = {}
        for label, start, end in spans:
            end.sync()
            total[label] = total.get(label, 0.0) + end.ms_since(start)
            self._free += (start, end)
        return total

    def close(self) -> None:
        """Give the events back and closes the driver; more than once is fine."""
        self._spans.clear()
        self._free.clear()
        while self._events:
            self._events.pop().close()
        self._driver.close()

    def _event(self) -> Event:
        if self._free:
            return self._free.pop()
        self._events.append(Event(self._driver))
        return self._events[-1]

    def get_function(self, module: int, name: str) -> int:
        """See `Driver.get_function`."""
        function = self._driver.get_function(module, name)
        self._kernels[function] = name
        return function

    def launch(self, function: int, grid: Extent, block: Extent, arguments: Sequence[np.generic], stream: int) -> None:
        """See `Driver.launch`."""
        with self.span(step_of(self._kernels.get(function, "kernel")), stream):
            self._driver.launch(function, grid, block, arguments, stream)

    def copy_to_device(self, device: int, host: int, nbytes: int, stream: int) -> None:
        """See `Driver.copy_to_device`."""
        with self.span(TO_DEVICE, stream):
            self._driver.copy_to_device(device, host, nbytes, stream)

    def copy_to_host(self, host: int, device: int, nbytes: int, stream: int) -> None:
        """See `Driver.copy_to_host`."""
        with self.span(TO_HOST, stream):
            self._driver.copy_to_host(host, device, nbytes, stream)

    def copy_on_device(self, to: int, of: int, nbytes: int, stream: int) -> None:
        """See `Driver.copy_on_device`."""
        with self.span(ON_DEVICE, stream):
            self._driver.copy_on_device(to, of, nbytes, stream)

    def fill(self, device: int, byte: int, nbytes: int, stream: int) -> None:
        """See `Driver.fill`."""
        with self.span(FILL, stream):
            self._driver.fill(device, byte, nbytes, stream)

    def launch_graph(self, executable: int, stream: int) -> None:
        """See `Driver.launch_graph`."""
        with self.span(getattr(self._here, "label", GRAPH), stream):
            self._driver.launch_graph(executable, stream)

    def begin_capture(self, stream: int) -> None:
        """See `Driver.begin_capture`."""
        self._driver.begin_capture(stream)
        self._capturing.add(stream)

    def end_capture(self, stream: int) -> int:
        """See `Driver.end_capture`."""
        self._capturing.discard(stream)
        return self._driver.end_capture(stream)

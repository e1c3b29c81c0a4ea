"""Streams and events."""

from __future__ import annotations

from ecg_trt.cuda.driver import Driver
from ecg_trt.cuda.handle import Handle


class Stream(Handle):
    """Queue of work on the GPU that does not wait for the default stream."""

    def __init__(self, driver: Driver) -> None:
        super().__init__("stream", driver.create_stream(), driver.destroy_stream)
        self._driver = driver

    def sync(self) -> None:
        """Wait until all that is queued is done. Raises `DeviceError` if any of it failed."""
        self._driver.sync_stream(self.handle)


class Event(Handle):
    """CUDA event: a mark in a stream, with its time."""

    def __init__(self, driver: Driver) -> None:
        super().__init__("event", driver.create_event(), driver.destroy_event)
        self._driver = driver

    def record(self, stream: Stream) -> None:
        """Record the event behind all that is queued."""
        self._driver.record_event(self.handle, stream.handle)

    def sync(self) -> None:
        """Wait until the stream has reached the event."""
        self._driver.sync_event(self.handle)

    def ms_since(self, start: Event) -> float:
        """Measure the GPU time between two events that have been reached, ms."""
        return self._driver.elapsed_ms(start.handle, self.handle)

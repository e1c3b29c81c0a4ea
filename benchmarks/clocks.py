"""Clocks that are put around what a digitizer runs on, so that it need not know of them."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.timed_driver import TimedDriver
from ecg_trt.closeable import Closeable

_OPS_STEPS = {"warp_homography": "warp", "remap": "flatten"}


class Clock:
    """Milliseconds by step, by the host's clock or by who measured them."""

    def __init__(self) -> None:
        self._ms: dict[str, float] = {}

    def add(self, step: str, ms: float) -> None:
        """Adds to a step."""
        self._ms[step] = self._ms.get(step, 0.0) + ms

    def take(self) -> dict[str, float]:
        """What has been added since the last call."""
        taken, self._ms = self._ms, {}
        return taken

    def around(self, step: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """The work, its time added."""

        @functools.wraps(work)
        def timed(*args: object, **kwargs: object) -> Any:
            start = time.perf_counter()
            result = work(*args, **kwargs)
            self.add(step, 1e3 * (time.perf_counter() - start))
            return result

        return timed


class Clocked(Closeable):
    """A backend whose `infer` is timed: by itself, if it keeps `last_ms`, else by the host's clock."""

    def __init__(self, backend: Any, stage: str, clock: Clock) -> None:
        self._backend, self._stage, self._clock = backend, stage, clock
        self._timed = clock.around(stage, backend.infer)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def infer(self, feed: Mapping[str, Any]) -> Any:
        """See `Backend.infer`."""
        if not hasattr(self._backend, "last_ms"):
            return self._timed(feed)
        out = self._backend.infer(feed)
        for step, ms in self._backend.last_ms.items():
            self._clock.add(step, ms)
        return out

    def close(self) -> None:
        """Closes the backend."""
        self._backend.close()


class Labelled(Closeable):
    """A backend on the GPU: graphs that any of its methods launches go by the stage's name."""

    def __init__(self, backend: Any, stage: str, timed: TimedDriver) -> None:
        self._backend, self._stage, self._driver = backend, stage, timed

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._backend, name)
        if not inspect.ismethod(value):
            return value

        @functools.wraps(value)
        def labelled(*args: object, **kwargs: object) -> Any:
            with self._driver.within(self._stage):
                return value(*args, **kwargs)

        return labelled

    def close(self) -> None:
        """Closes the backend."""
        self._backend.close()


class ClockedOps:
    """Pixel work on the CPU, timed."""

    def __init__(self, ops: Any, clock: Clock) -> None:
        self._ops = ops
        for method, step in _OPS_STEPS.items():
            setattr(self, method, clock.around(step, getattr(ops, method)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ops, name)

"""Timers around the backends and pixel work of a digitizer, unknown to it."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.throughput_suite.timed_driver import TO_DEVICE, TO_HOST, TimedDriver
from ecg_trt.closeable import Closeable
from ecg_trt.ops.base import ImageOps

# Step of each method of the pixel work, by the names that `timed_driver.KERNEL_STEPS` gives to its kernels. A method
# that is not named here is a step of its own.
OPS_STEPS = {
    "upload": TO_DEVICE,
    "download": TO_HOST,
    "warp_homography": "warp",
    "line_offsets": "lines",
    "node_candidates": "decode nodes",
    "rectify": "flatten",
    "grid_orientation": "ruling",
    "crop_tiles": "cut",
    "page_heatmaps": "decode marks",
    "ridge": "decode ridge",
    "gather_rows": "decode ridge",
}


def ops_methods() -> list[str]:
    """Name every method of the pixel work's protocol."""
    return [name for name, value in vars(ImageOps).items() if inspect.isfunction(value) and not name.startswith("_")]


class StepTimer:
    """Milliseconds by step, by the host's clock or as measured by the step itself."""

    def __init__(self) -> None:
        self._ms: dict[str, float] = {}

    def add(self, step: str, ms: float) -> None:
        """Add to a step."""
        self._ms[step] = self._ms.get(step, 0.0) + ms

    def take(self) -> dict[str, float]:
        """Return what has been added since the last call."""
        taken, self._ms = self._ms, {}
        return taken

    def around(self, step: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a function so that its time is added."""

        @functools.wraps(work)
        def timed(*args: object, **kwargs: object) -> Any:
            start = time.perf_counter()
            result = work(*args, **kwargs)
            self.add(step, 1e3 * (time.perf_counter() - start))
            return result

        return timed


class TimedBackend(Closeable):
    """A backend whose `infer` is timed: by itself, if it keeps `last_ms`, else by the host's clock."""

    def __init__(self, backend: Any, stage: str, timer: StepTimer) -> None:
        self._backend, self._stage, self._timer = backend, stage, timer
        self._timed = timer.around(stage, backend.infer)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def infer(self, feed: Mapping[str, Any]) -> Any:
        """See `Backend.infer`."""
        if not hasattr(self._backend, "last_ms"):
            return self._timed(feed)
        out = self._backend.infer(feed)
        for step, ms in self._backend.last_ms.items():
            self._timer.add(step, ms)
        return out

    def close(self) -> None:
        """Close the backend."""
        self._backend.close()


class LabelledBackend(Closeable):
    """A backend on the GPU whose network goes by the stage's name, as a CUDA graph or enqueued.

    A graph is launched by the driver, which knows its time. A network that is not captured is enqueued by TensorRT
    itself, past the driver; the backend brackets that with the driver's `span` (see `ecg_trt.cuda.driver.span_of`).
    """

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
        """Close the backend."""
        self._backend.close()


class TimedOps:
    """Pixel work on the CPU, every method of it timed."""

    def __init__(self, ops: Any, timer: StepTimer) -> None:
        self._ops = ops
        for method in ops_methods():
            setattr(self, method, timer.around(OPS_STEPS.get(method, method), getattr(ops, method)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ops, name)

"""A CUDA driver in host memory, which counts, checks and can fail."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ecg_trt.cuda.device import DeviceInfo
from ecg_trt.cuda.driver import Extent, device_error, packed

_RIM = 64  # bytes around every allocation, which nothing may write
_MARK = b"\xa5"


class FakeDriver:
    """`Driver` that runs the host-compiled kernels, if it is given them.

    What is queued is done as late as CUDA may do it: when somebody waits. Whoever reuses memory too early is found out,
    and so is who leaves something behind, gives it back twice, or writes beyond its end. What is given back by a call
    that fails is gone all the same: one try is all that an owner has. As in CUDA's thread-local mode, a stream is
    captured alone, and only the thread that captures may not wait.

    Args:
        kernels: from `host_kernels`; without them launches do nothing.
        fail_at: number of the call that fails, from 1; 0 for none.
        code: what it fails with.
        graphs: whether graphs can be captured.

    Attributes:
        calls: names of all calls so far.
        live: what has been made and not given back, by handle.
        faults: what was done that CUDA would not forgive.
        copied: bytes that each kind of copy has moved.
    """

    name = "fake"
    any_thread = True

    def __init__(
        self, kernels: ctypes.CDLL | None = None, *, fail_at: int = 0, code: str = "LAUNCH_FAILED", graphs: bool = True
    ) -> None:
        self.device = DeviceInfo(0, "no GPU at all", (9, 0), 1 << 40, (13, 0))
        self.graphs = graphs
        self.calls: list[str] = []
        self.live: dict[int, str] = {}
        self.faults: list[str] = []
        self.copied = {"copy_to_device": 0, "copy_to_host": 0, "copy_on_device": 0}
        self.closed = False
        self._kernels, self._fail_at, self._code = kernels, fail_at, code
        self._things: dict[int, Any] = {}
        self._queue: list[Callable[[], object]] = []
        self._captured: dict[int, list[Callable[[], object]]] = {}  # by the stream that is being captured
        self._capturer: dict[int, int] = {}  # stream by the thread that captures it
        self._void: set[int] = set()
        self._lock = threading.RLock()
        self._next = 1 << 60

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if len(self.calls) == self._fail_at:
            raise device_error(name, self._code)

    def _waits(self, name: str) -> None:
        """A call that may not be captured."""
        self._call(name)
        captured = self._capturer.get(threading.get_ident())
        if captured is not None:
            self._void.add(captured)
            raise device_error(name, "STREAM_CAPTURE_UNSUPPORTED")

    def _make(self, kind: str, thing: Any, handle: int = 0) -> int:
        if not handle:
            self._next += 1
            handle = self._next
        self.live[handle], self._things[handle] = kind, thing
        return handle

    def _end(self, kind: str, handle: int) -> Any:
        if self.live.pop(handle, None) != kind:
            self.faults.append(f"{kind} given back that is none")
        return self._things.pop(handle, None)

    def _use(self, kind: str, handle: int) -> Any:
        if self.live.get(handle) != kind:
            self.faults.append(f"{kind} used that is none")
        return self._things.get(handle)

    def _later(self, stream: int, work: Callable[[], object]) -> None:
        with self._lock:
            self._captured.get(stream, self._queue).append(work)

    def _drain(self) -> None:
        """Does all that is queued, on whatever stream; one thread at a time, as the kernels' thread is a global."""
        with self._lock:
            queue, self._queue = self._queue, []
            for work in queue:
                work()

    def _allocate(self, kind: str, nbytes: int) -> int:
        if nbytes <= 0:
            self.faults.append(f"{kind} of {nbytes} bytes")
        memory = ctypes.create_string_buffer(_MARK * _RIM + b"\xee" * nbytes + _MARK * _RIM, nbytes + 2 * _RIM)
        return self._make(kind, (memory, nbytes), ctypes.addressof(memory) + _RIM)

    def _release(self, kind: str, address: int) -> None:
        self._drain()
        held = self._end(kind, address)
        if held is not None and (held[0].raw[:_RIM] + held[0].raw[_RIM + held[1] :]) != _MARK * (2 * _RIM):
            self.faults.append(f"{kind} written beyond its {held[1]} bytes")

    def check_range(self, kind: str, address: int, nbytes: int) -> None:
        """Notes a fault unless the bytes lie in memory of the kind that has not been given back."""
        for start, what in self.live.items():
            if what == kind and start <= address and address + nbytes <= start + self._things[start][1]:
                return
        self.faults.append(f"{nbytes} bytes that lie in no {kind}")

    def close(self) -> None:
        self.closed = True

    def load_module(self, cubin: bytes) -> int:
        self._waits("load_module")
        return self._make("module", cubin)

    def unload_module(self, module: int) -> None:
        self._end("module", module)
        self._call("unload_module")

    def get_function(self, module: int, name: str) -> int:
        self._call("get_function")
        self._use("module", module)
        self._next += 1
        self._things[self._next] = None if self._kernels is None else getattr(self._kernels, f"launch_{name}")
        return self._next

    def launch(self, function: int, grid: Extent, block: Extent, arguments: Sequence[np.generic], stream: int) -> None:
        self._call("launch")
        self._use("stream", stream)
        kernel = self._things[function]
        if np.prod(block) > 1024 or min(grid) < 1 or max(grid[1:]) > 65535:
            self.faults.append(f"a grid of {grid} blocks of {block}")
        if kernel is not None:
            addresses, values = packed(arguments)

            def work(values: Any = values) -> None:
                kernel((ctypes.c_uint * 3)(*grid), (ctypes.c_uint * 3)(*block), ctypes.c_void_p(addresses))

            self._later(stream, work)

    def queue_on(self, stream: int, work: Callable[[], object]) -> None:
        """What a library queues on a stream without asking the driver."""
        self._use("stream", stream)
        self._later(stream, work)

    def malloc(self, nbytes: int) -> int:
        self._waits("malloc")
        return self._allocate("device memory", nbytes)

    def free(self, address: int) -> None:
        self._release("device memory", address)
        self._call("free")

    def malloc_host(self, nbytes: int) -> int:
        self._waits("malloc_host")
        return self._allocate("pinned memory", nbytes)

    def free_host(self, address: int) -> None:
        self._release("pinned memory", address)
        self._call("free_host")

    def copy_to_device(self, device: int, host: int, nbytes: int, stream: int) -> None:
        self._call("copy_to_device")
        self.copied["copy_to_device"] += nbytes
        self._copy(device, host, nbytes, stream, ("device memory", "pinned memory"))

    def copy_to_host(self, host: int, device: int, nbytes: int, stream: int) -> None:
        self._call("copy_to_host")
        self.copied["copy_to_host"] += nbytes
        self._copy(host, device, nbytes, stream, ("pinned memory", "device memory"))

    def copy_on_device(self, to: int, of: int, nbytes: int, stream: int) -> None:
        self._call("copy_on_device")
        self.copied["copy_on_device"] += nbytes
        self._copy(to, of, nbytes, stream, ("device memory", "device memory"))

    def _copy(self, to: int, of: int, nbytes: int, stream: int, kinds: tuple[str, str]) -> None:
        self._use("stream", stream)
        for address, kind in zip((to, of), kinds, strict=True):
            self.check_range(kind, address, nbytes)
        self._later(stream, lambda: ctypes.memmove(to, of, nbytes))

    def fill(self, device: int, byte: int, nbytes: int, stream: int) -> None:
        self._call("fill")
        self._use("stream", stream)
        self.check_range("device memory", device, nbytes)
        self._later(stream, lambda: ctypes.memset(device, byte, nbytes))

    def create_stream(self) -> int:
        self._waits("create_stream")
        return self._make("stream", None)

    def destroy_stream(self, stream: int) -> None:
        self._end("stream", stream)
        self._call("destroy_stream")

    def sync_stream(self, stream: int) -> None:
        self._waits("sync_stream")
        self._use("stream", stream)
        self._drain()

    def create_event(self) -> int:
        self._waits("create_event")
        return self._make("event", [0.0])

    def destroy_event(self, event: int) -> None:
        self._end("event", event)
        self._call("destroy_event")

    def record_event(self, event: int, stream: int) -> None:
        self._call("record_event")
        self._use("stream", stream)
        at, time = self._use("event", event), float(len(self.calls))
        self._later(stream, lambda: at.__setitem__(0, time))

    def sync_event(self, event: int) -> None:
        self._waits("sync_event")
        self._use("event", event)
        self._drain()

    def elapsed_ms(self, start: int, end: int) -> float:
        self._waits("elapsed_ms")
        return float(self._use("event", end)[0] - self._use("event", start)[0])

    def begin_capture(self, stream: int) -> None:
        self._waits("begin_capture")
        self._use("stream", stream)
        self._captured[stream], self._capturer[threading.get_ident()] = [], stream

    def end_capture(self, stream: int) -> int:
        work, is_void = self._captured.pop(stream), stream in self._void
        del self._capturer[threading.get_ident()]  # a capture that fails to end has ended all the same
        self._void.discard(stream)
        self._call("end_capture")
        if is_void:
            raise device_error("end_capture", "STREAM_CAPTURE_INVALIDATED")
        return self._make("graph", work)

    def destroy_graph(self, graph: int) -> None:
        self._end("graph", graph)
        self._call("destroy_graph")

    def instantiate(self, graph: int) -> int:
        self._call("instantiate")
        return self._make("executable", list(self._use("graph", graph)))

    def launch_graph(self, executable: int, stream: int) -> None:
        self._call("launch_graph")
        self._use("stream", stream)
        with self._lock:
            self._queue += self._use("executable", executable)

    def destroy_executable(self, executable: int) -> None:
        self._end("executable", executable)
        self._call("destroy_executable")

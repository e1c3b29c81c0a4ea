"""`Driver` by pycuda, in the primary context: no ``autoinit``, no context of its own. It has no graphs.

pycuda's objects live in a table here until they are destroyed, since most of them have no name but themselves.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from ecg_trt.cuda.device import DeviceInfo
from ecg_trt.cuda.driver import Extent, device_error, missing_package

_NON_BLOCKING, _PORTABLE = 1, 1  # CUstream_flags, CU_MEMHOSTALLOC_PORTABLE


class PycudaDriver:
    """CUDA through `pycuda.driver`, for the thread that opened it alone, as pycuda's objects are bound to it.

    Args:
        device: from `probe`.

    Raises:
        BackendUnavailableError: pycuda is not installed.
        DeviceError: the context cannot be had.
    """

    name = "pycuda"
    graphs = False
    any_thread = False

    def __init__(self, device: DeviceInfo) -> None:
        try:
            from pycuda import driver
        except ImportError as error:
            raise missing_package("pycuda", "pycuda", error) from error
        self.device = device
        self._drv: Any = driver
        self._held: dict[int, Any] = {}
        self._functions: dict[int, list[int]] = {}
        self._thread = threading.get_ident()
        self._closed = False
        self._context = self._call(self._primary_context, device.ordinal)

    def _primary_context(self, ordinal: int) -> Any:
        self._drv.init()
        context = self._drv.Device(ordinal).retain_primary_context()
        context.push()
        return context

    def close(self) -> None:
        """Release the primary context."""
        if not self._closed:
            self._closed = True
            self._held.clear()
            self._context.pop()
            self._context.detach()

    def _call(self, function: Callable[..., Any], *arguments: object) -> Any:
        if self._closed:
            raise device_error("a closed driver", "DEINITIALIZED")
        if threading.get_ident() != self._thread:
            raise device_error("another thread", "INVALID_CONTEXT")
        try:
            return function(*arguments)
        except self._drv.MemoryError as error:
            raise device_error(str(error), "OUT_OF_MEMORY") from error
        except self._drv.Error as error:
            # pycuda's errors carry CUDA's sentence and not its code.
            image = "kernel image" in str(error)
            raise device_error(str(error), "NO_BINARY_FOR_GPU" if image else "UNKNOWN") from error

    def _hold(self, thing: Any) -> int:
        self._held[id(thing)] = thing
        return id(thing)

    def load_module(self, cubin: bytes) -> int:
        """See `Driver.load_module`."""
        return self._hold(self._call(self._drv.module_from_buffer, cubin))

    def unload_module(self, module: int) -> None:
        """Release the module and its functions; pycuda unloads it with the last of them."""
        for function in self._functions.pop(module, ()):
            del self._held[function]
        del self._held[module]

    def get_function(self, module: int, name: str) -> int:
        """See `Driver.get_function`."""
        function = self._hold(self._call(self._held[module].get_function, name))
        self._functions.setdefault(module, []).append(function)
        return function

    def launch(self, function: int, grid: Extent, block: Extent, arguments: Sequence[np.generic], stream: int) -> None:
        """See `Driver.launch`."""

        def start() -> None:
            self._held[function](*arguments, grid=grid, block=block, stream=self._held[stream])

        self._call(start)

    def malloc(self, nbytes: int) -> int:
        """See `Driver.malloc`."""
        memory = self._call(self._drv.mem_alloc, nbytes)
        self._held[int(memory)] = memory
        return int(memory)

    def free(self, address: int) -> None:
        """See `Driver.free`."""
        self._call(self._held.pop(address).free)

    def malloc_host(self, nbytes: int) -> int:
        """See `Driver.malloc_host`."""
        memory = self._call(self._drv.pagelocked_empty, nbytes, np.uint8, "C", _PORTABLE)
        self._held[memory.ctypes.data] = memory.base
        return int(memory.ctypes.data)

    def free_host(self, address: int) -> None:
        """See `Driver.free_host`."""
        self._call(self._held.pop(address).free)

    def copy_to_device(self, device: int, host: int, nbytes: int, stream: int) -> None:
        """See `Driver.copy_to_device`."""
        source = (ctypes.c_char * nbytes).from_address(host)
        self._call(self._drv.memcpy_htod_async, device, source, self._held[stream])

    def copy_to_host(self, host: int, device: int, nbytes: int, stream: int) -> None:
        """See `Driver.copy_to_host`."""
        target = (ctypes.c_char * nbytes).from_address(host)
        self._call(self._drv.memcpy_dtoh_async, target, device, self._held[stream])

    def copy_on_device(self, to: int, of: int, nbytes: int, stream: int) -> None:
        """See `Driver.copy_on_device`."""
        self._call(self._drv.memcpy_dtod_async, to, of, nbytes, self._held[stream])

    def fill(self, device: int, byte: int, nbytes: int, stream: int) -> None:
        """See `Driver.fill`."""
        self._call(self._drv.memset_d8_async, device, byte, nbytes, self._held[stream])

    def create_stream(self) -> int:
        """See `Driver.create_stream`."""
        stream = self._call(self._drv.Stream, _NON_BLOCKING)
        self._held[stream.handle] = stream
        return int(stream.handle)

    def destroy_stream(self, stream: int) -> None:
        """See `Driver.destroy_stream`."""
        del self._held[stream]

    def sync_stream(self, stream: int) -> None:
        """See `Driver.sync_stream`."""
        self._call(self._held[stream].synchronize)

    def create_event(self) -> int:
        """See `Driver.create_event`."""
        return self._hold(self._call(self._drv.Event))

    def destroy_event(self, event: int) -> None:
        """See `Driver.destroy_event`."""
        del self._held[event]

    def record_event(self, event: int, stream: int) -> None:
        """See `Driver.record_event`."""
        self._call(self._held[event].record, self._held[stream])

    def sync_event(self, event: int) -> None:
        """See `Driver.sync_event`."""
        self._call(self._held[event].synchronize)

    def elapsed_ms(self, start: int, end: int) -> float:
        """See `Driver.elapsed_ms`."""
        return float(self._call(self._held[end].time_since, self._held[start]))

    def begin_capture(self, stream: int) -> NoReturn:
        """Raise `DeviceError`: pycuda wraps no graphs."""
        raise device_error("pycuda, which has no graphs", "NOT_SUPPORTED")

    def end_capture(self, stream: int) -> NoReturn:
        """See `begin_capture`."""
        self.begin_capture(stream)

    def destroy_graph(self, graph: int) -> NoReturn:
        """See `begin_capture`."""
        self.begin_capture(graph)

    def instantiate(self, graph: int) -> NoReturn:
        """See `begin_capture`."""
        self.begin_capture(graph)

    def launch_graph(self, executable: int, stream: int) -> NoReturn:
        """See `begin_capture`."""
        self.begin_capture(stream)

    def destroy_executable(self, executable: int) -> NoReturn:
        """See `begin_capture`."""
        self.begin_capture(executable)

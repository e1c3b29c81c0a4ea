"""`Driver` by cuda-core, which holds the primary context, and its bindings, which carry the calls.

Its own buffers, streams and graphs are not used: each of them owns what it holds, and here the owner must be the same
whichever package drives.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ecg_trt.cuda.device import DeviceInfo
from ecg_trt.cuda.driver import Extent, device_error, missing_package, packed


class CudaCoreDriver:
    """CUDA through `cuda.core` and `cuda.bindings`.

    Args:
        device: from `probe`.

    Raises:
        BackendUnavailableError: the packages are not installed.
        DeviceError: the context cannot be had.
    """

    name = "cuda-core"
    graphs = True
    any_thread = True

    def __init__(self, device: DeviceInfo) -> None:
        try:
            from cuda.bindings import driver
            from cuda.core import Device
        except ImportError as error:
            raise missing_package("cuda-core", "cuda", error) from error
        self.device = device
        self._cu: Any = driver
        self._make_current: Callable[[], object] | None = lambda: Device(device.ordinal).set_current()
        self._here = threading.local()
        self._enter()

    def close(self) -> None:
        """Forget the context, which cuda-core keeps for the rest of the process."""
        self._make_current = None

    def _enter(self) -> None:
        """Make the primary context current in this thread, once."""
        if self._make_current is None:
            raise device_error("a closed driver", "DEINITIALIZED")
        if not getattr(self._here, "ready", False):
            try:
                self._make_current()
            except Exception as error:  # Each layer of cuda-core has an error of its own.
                words = str(error).split()
                code = next((w.strip(":,'()") for w in words if w.startswith("CUDA_ERROR_")), "UNKNOWN")
                raise device_error("Device.set_current", code) from error
            self._here.ready = True

    def _call(self, name: str, *arguments: object) -> Any:
        self._enter()
        try:
            code, *results = getattr(self._cu, name)(*arguments)
        except RuntimeError as error:  # The driver is older than the bindings and lacks the function.
            raise device_error(name, "SYSTEM_DRIVER_MISMATCH") from error
        if code != self._cu.CUresult.CUDA_SUCCESS:
            raise device_error(name, code.name)
        return results[0] if results else None

    def load_module(self, cubin: bytes) -> int:
        """See `Driver.load_module`."""
        return int(self._call("cuModuleLoadData", cubin))

    def unload_module(self, module: int) -> None:
        """See `Driver.unload_module`."""
        self._call("cuModuleUnload", module)

    def get_function(self, module: int, name: str) -> int:
        """See `Driver.get_function`."""
        return int(self._call("cuModuleGetFunction", module, name.encode()))

    def launch(self, function: int, grid: Extent, block: Extent, arguments: Sequence[np.generic], stream: int) -> None:
        """See `Driver.launch`."""
        addresses, _values = packed(arguments)
        self._call("cuLaunchKernel", function, *grid, *block, 0, stream, addresses, 0)

    def malloc(self, nbytes: int) -> int:
        """See `Driver.malloc`."""
        return int(self._call("cuMemAlloc", nbytes))

    def free(self, address: int) -> None:
        """See `Driver.free`."""
        self._call("cuMemFree", address)

    def malloc_host(self, nbytes: int) -> int:
        """See `Driver.malloc_host`."""
        return int(self._call("cuMemHostAlloc", nbytes, self._cu.CU_MEMHOSTALLOC_PORTABLE))

    def free_host(self, address: int) -> None:
        """See `Driver.free_host`."""
        self._call("cuMemFreeHost", address)

    def copy_to_device(self, device: int, host: int, nbytes: int, stream: int) -> None:
        """See `Driver.copy_to_device`."""
        self._call("cuMemcpyHtoDAsync", device, host, nbytes, stream)

    def copy_to_host(self, host: int, device: int, nbytes: int, stream: int) -> None:
        """See `Driver.copy_to_host`."""
        self._call("cuMemcpyDtoHAsync", host, device, nbytes, stream)

    def copy_on_device(self, to: int, of: int, nbytes: int, stream: int) -> None:
        """See `Driver.copy_on_device`."""
        self._call("cuMemcpyDtoDAsync", to, of, nbytes, stream)

    def fill(self, device: int, byte: int, nbytes: int, stream: int) -> None:
        """See `Driver.fill`."""
        self._call("cuMemsetD8Async", device, byte, nbytes, stream)

    def create_stream(self) -> int:
        """See `Driver.create_stream`."""
        return int(self._call("cuStreamCreate", self._cu.CUstream_flags.CU_STREAM_NON_BLOCKING.value))

    def destroy_stream(self, stream: int) -> None:
        """See `Driver.destroy_stream`."""
        self._call("cuStreamDestroy", stream)

    def sync_stream(self, stream: int) -> None:
        """See `Driver.sync_stream`."""
        self._call("cuStreamSynchronize", stream)

    def create_event(self) -> int:
        """See `Driver.create_event`."""
        return int(self._call("cuEventCreate", self._cu.CUevent_flags.CU_EVENT_DEFAULT.value))

    def destroy_event(self, event: int) -> None:
        """See `Driver.destroy_event`."""
        self._call("cuEventDestroy", event)

    def record_event(self, event: int, stream: int) -> None:
        """See `Driver.record_event`."""
        self._call("cuEventRecord", event, stream)

    def sync_event(self, event: int) -> None:
        """See `Driver.sync_event`."""
        self._call("cuEventSynchronize", event)

    def elapsed_ms(self, start: int, end: int) -> float:
        """See `Driver.elapsed_ms`."""
        return float(self._call("cuEventElapsedTime", start, end))

    def begin_capture(self, stream: int) -> None:
        """See `Driver.begin_capture`."""
        mode = self._cu.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        self._call("cuStreamBeginCapture", stream, mode)

    def end_capture(self, stream: int) -> int:
        """See `Driver.end_capture`."""
        return int(self._call("cuStreamEndCapture", stream))

    def destroy_graph(self, graph: int) -> None:
        """See `Driver.destroy_graph`."""
        self._call("cuGraphDestroy", graph)

    def instantiate(self, graph: int) -> int:
        """See `Driver.instantiate`."""
        return int(self._call("cuGraphInstantiate", graph, 0))

    def launch_graph(self, executable: int, stream: int) -> None:
        """See `Driver.launch_graph`."""
        self._call("cuGraphLaunch", executable, stream)

    def destroy_executable(self, executable: int) -> None:
        """See `Driver.destroy_executable`."""
        self._call("cuGraphExecDestroy", executable)

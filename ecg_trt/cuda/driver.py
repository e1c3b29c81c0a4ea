"""Protocol of the CUDA driver API calls that this package uses, and the errors of its implementations.

Handles and addresses are plain ints, as TensorRT wants them too. Nothing here owns anything: the owners are in memory,
stream, graph and kernels, one for each object. Two packages answer, both with the same cubins: `cuda-core`, and
`pycuda`, whose users have a context and streams of it already.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Protocol

import numpy as np

from ecg_trt.cuda.device import DeviceInfo
from ecg_trt.errors import (
    BackendUnavailableError,
    DeviceError,
    DeviceFaultError,
    DeviceMemoryError,
    DriverError,
    install_hint,
)

Extent = tuple[int, int, int]


class Driver(Protocol):
    """CUDA on one GPU, in its primary context, from any thread. Every method raises `DeviceError`.

    Copies, fills and launches are queued on a stream and return at once; memory named in them must live on.
    """

    @property
    def name(self) -> str:
        """Name of the Python package behind the driver."""
        ...

    @property
    def device(self) -> DeviceInfo:
        """The GPU."""
        ...

    @property
    def graphs(self) -> bool:
        """True if work can be captured into graphs."""
        ...

    @property
    def any_thread(self) -> bool:
        """True if every thread may call it, and not only the one that opened it."""
        ...

    def close(self) -> None:
        """Release the primary context; more than once is fine."""
        ...

    def load_module(self, cubin: bytes) -> int:
        """Load compiled kernels."""
        ...

    def unload_module(self, module: int) -> None:
        """Unload a module's kernels."""
        ...

    def get_function(self, module: int, name: str) -> int:
        """Find a kernel, which lives as long as its module."""
        ...

    def launch(self, function: int, grid: Extent, block: Extent, arguments: Sequence[np.generic], stream: int) -> None:
        """Queue a kernel; arguments are numpy scalars of exactly its parameters' types, pointers as uint64."""
        ...

    def malloc(self, nbytes: int) -> int:
        """Allocate device memory."""
        ...

    def free(self, address: int) -> None:
        """Free device memory, once all queued work is done with it."""
        ...

    def malloc_host(self, nbytes: int) -> int:
        """Allocate pinned host memory."""
        ...

    def free_host(self, address: int) -> None:
        """Free pinned memory."""
        ...

    def copy_to_device(self, device: int, host: int, nbytes: int, stream: int) -> None:
        """Queue a copy from pinned memory."""
        ...

    def copy_to_host(self, host: int, device: int, nbytes: int, stream: int) -> None:
        """Queue a copy to pinned memory."""
        ...

    def copy_on_device(self, to: int, of: int, nbytes: int, stream: int) -> None:
        """Queue a copy from device memory to device memory."""
        ...

    def fill(self, device: int, byte: int, nbytes: int, stream: int) -> None:
        """Queue the setting of every byte."""
        ...

    def create_stream(self) -> int:
        """Create a stream that does not wait for the default stream."""
        ...

    def destroy_stream(self, stream: int) -> None:
        """Destroy the object."""
        ...

    def sync_stream(self, stream: int) -> None:
        """Wait until all that is queued is done; errors of queued work come out here."""
        ...

    def create_event(self) -> int:
        """Create an event that records its time."""
        ...

    def destroy_event(self, event: int) -> None:
        """Destroy the object."""
        ...

    def record_event(self, event: int, stream: int) -> None:
        """Queue the event."""
        ...

    def sync_event(self, event: int) -> None:
        """Wait for the event."""
        ...

    def elapsed_ms(self, start: int, end: int) -> float:
        """Measure the time between two completed events, ms."""
        ...

    def begin_capture(self, stream: int) -> None:
        """Begin a capture: work that is queued on the stream from here on goes into a graph."""
        ...

    def end_capture(self, stream: int) -> int:
        """End a capture and return its graph; a capture voided by work that cannot be captured ends too, but fails."""
        ...

    def destroy_graph(self, graph: int) -> None:
        """Destroy the object."""
        ...

    def instantiate(self, graph: int) -> int:
        """Make an executable graph, which does not depend on the captured one."""
        ...

    def launch_graph(self, executable: int, stream: int) -> None:
        """Queue all the work of an executable graph."""
        ...

    def destroy_executable(self, executable: int) -> None:
        """Destroy the object."""
        ...


def span_of(driver: Driver, label: str, stream: int) -> AbstractContextManager[None]:
    """Bracket work that a library such as TensorRT queues on a stream by itself, past the driver.

    A driver that measures time has a method `span(label, stream)`, a context manager that times the work queued within
    it. It is no part of `Driver`: without it, nothing is done.

    Args:
        driver: of the GPU.
        label: under which the time is kept, for example a network's name.
        stream: handle of the stream.
    """
    span: Callable[[str, int], AbstractContextManager[None]] | None = getattr(driver, "span", None)
    return nullcontext() if span is None else span(label, stream)


def no_gpu(reason: str) -> DriverError:
    """Make the error of a machine without a usable GPU, for a reason of `probe`."""
    return DriverError(
        "The GPU cannot be used",
        got=reason,
        expected="an NVIDIA GPU of compute capability 7.5 or later with a driver for CUDA 12.0 or later",
        hint="Install NVIDIA's driver, or run with --backend ort.",
    )


def missing_package(package: str, extra: str, error: ImportError) -> BackendUnavailableError:
    """Make the error of a driver whose Python package cannot be imported."""
    return BackendUnavailableError(
        "The GPU cannot be driven",
        got=f"{package} cannot be imported ({error})",
        expected=f"{package} installed",
        hint=install_hint(extra),
    )


_OF_THE_DRIVER = (
    "NO_DEVICE", "INVALID_DEVICE", "NOT_INITIALIZED", "STUB_LIBRARY", "SYSTEM_DRIVER_MISMATCH", "NO_BINARY_FOR_GPU",
    "INVALID_IMAGE", "INSUFFICIENT_DRIVER", "COMPAT_NOT_SUPPORTED_ON_DEVICE", "DEVICE_UNAVAILABLE",
    "DEVICE_NOT_LICENSED", "UNSUPPORTED_PTX_VERSION",
)  # fmt: skip


def device_error(call: str, code: str) -> DeviceError:
    """Make the error of a call that failed.

    Args:
        call: name of the call.
        code: CUDA's name of the error, with or without ``CUDA_ERROR_`` before it.
    """
    bare = code.removeprefix("CUDA_ERROR_")
    got = f"CUDA_ERROR_{bare} from {call}"
    if bare == "OUT_OF_MEMORY":
        is_pinned = "HostAlloc" in call
        return DeviceMemoryError(
            "Too little memory can be pinned" if is_pinned else "The GPU's memory is used up",
            got=got,
            expected="enough free memory",
            hint="Raise the limit of locked memory (ulimit -l), or send smaller photos." if is_pinned
            else "Close what else uses the GPU (see nvidia-smi), or send smaller photos.",
        )  # fmt: skip
    if bare in _OF_THE_DRIVER:
        return DriverError(
            "The GPU cannot be used",
            got=got,
            expected="a driver that serves this GPU and these kernels",
            hint="Update NVIDIA's driver, or run with --backend ort.",
        )
    return DeviceFaultError(
        "The GPU failed",
        got=got,
        expected="success",
        hint="Start the program again; if it comes back, run with --backend ort and report it.",
    )


_CODES: dict[type, str] = {np.uint64: "Q", np.int32: "i4x", np.uint32: "I4x", np.float32: "f4x"}


@cache
def _layout(kinds: tuple[type, ...]) -> struct.Struct:
    """Lay out a block of eight bytes a value, then eight bytes an address."""
    return struct.Struct("=" + "".join(_CODES[kind] for kind in kinds) + f"{len(kinds)}Q")


def packed(arguments: Sequence[np.generic]) -> tuple[int, object]:
    """Pack a kernel's arguments as CUDA takes them; this takes some microseconds and is done for each launch.

    Args:
        arguments: numpy scalars, uint64, int32, uint32 or float32.

    Returns:
        The address of an array of the values' addresses, and what must live until the launch returns.
    """
    n = len(arguments)
    block = (ctypes.c_uint64 * max(2 * n, 1))()
    base = ctypes.addressof(block)
    _layout(tuple(map(type, arguments))).pack_into(block, 0, *arguments, *range(base, base + 8 * n, 8))
    return base + 8 * n, block

"""What the room asks of CUDA, in the words of the driver API, and who answers.

Handles and addresses are plain ints, as TensorRT wants them too. Nothing here owns anything: the owners are in memory,
stream, graph and kernels, one for each object. Two packages answer, both with the same cubins: `cuda-core`, and
`pycuda`, whose users have a context and streams of it already.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
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
        """Of the package that answers."""
        ...

    @property
    def device(self) -> DeviceInfo:
        """The GPU."""
        ...

    @property
    def graphs(self) -> bool:
        """Whether work can be captured into graphs."""
        ...

    @property
    def any_thread(self) -> bool:
        """Whether every thread may call it, and not only the one that opened it."""
        ...

    def close(self) -> None:
        """Lets go of the primary context; more than once is fine."""
        ...

    def load_module(self, cubin: bytes) -> int:
        """Loads compiled kernels."""
        ...

    def unload_module(self, module: int) -> None:
        """Unloads them."""
        ...

    def get_function(self, module: int, name: str) -> int:
        """A kernel; lives as long as its module."""
        ...

    def launch(self, function: int, grid: Extent, block: Extent, arguments: Sequence[np.generic], stream: int) -> None:
        """Queues a kernel; arguments are numpy scalars of exactly its parameters' types, pointers as uint64."""
        ...

    def malloc(self, nbytes: int) -> int:
        """Device memory."""
        ...

    def free(self, address: int) -> None:
        """Gives device memory back, once all queued work is done with it."""
        ...

    def malloc_host(self, nbytes: int) -> int:
        """Pinned host memory."""
        ...

    def free_host(self, address: int) -> None:
        """Gives pinned memory back."""
        ...

    def copy_to_device(self, device: int, host: int, nbytes: int, stream: int) -> None:
        """Queues a copy from pinned memory."""
        ...

    def copy_to_host(self, host: int, device: int, nbytes: int, stream: int) -> None:
        """Queues a copy to pinned memory."""
        ...

    def fill(self, device: int, byte: int, nbytes: int, stream: int) -> None:
        """Queues setting every byte."""
        ...

    def create_stream(self) -> int:
        """A stream that does not wait for the default stream."""
        ...

    def destroy_stream(self, stream: int) -> None:
        """Destroys it."""
        ...

    def sync_stream(self, stream: int) -> None:
        """Waits until all that is queued is done; errors of queued work come out here."""
        ...

    def create_event(self) -> int:
        """An event that keeps the time."""
        ...

    def destroy_event(self, event: int) -> None:
        """Destroys it."""
        ...

    def record_event(self, event: int, stream: int) -> None:
        """Queues the event."""
        ...

    def sync_event(self, event: int) -> None:
        """Waits for the event."""
        ...

    def elapsed_ms(self, start: int, end: int) -> float:
        """Time between two events that have come to pass."""
        ...

    def begin_capture(self, stream: int) -> None:
        """From here on, what is queued on the stream goes into a graph."""
        ...

    def end_capture(self, stream: int) -> int:
        """The graph; fails, and ends the capture all the same, if work that cannot be captured made it void."""
        ...

    def destroy_graph(self, graph: int) -> None:
        """Destroys it."""
        ...

    def instantiate(self, graph: int) -> int:
        """Makes a graph that can be launched; it needs the first no longer."""
        ...

    def launch_graph(self, executable: int, stream: int) -> None:
        """Queues all its work."""
        ...

    def destroy_executable(self, executable: int) -> None:
        """Destroys it."""
        ...


def no_gpu(reason: str) -> DriverError:
    """The error of a machine without a usable GPU, for a reason of `probe`."""
    return DriverError(
        "The GPU cannot be used",
        got=reason,
        expected="an NVIDIA GPU of compute capability 7.5 or later with a driver for CUDA 12.0 or later",
        hint="Install NVIDIA's driver, or run with --backend ort.",
    )


def missing_package(package: str, extra: str, error: ImportError) -> BackendUnavailableError:
    """The error of a driver whose Python package cannot be imported."""
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
    """The error of a call that failed.

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
    """Eight bytes a value, then eight bytes an address."""
    return struct.Struct("=" + "".join(_CODES[kind] for kind in kinds) + f"{len(kinds)}Q")


def packed(arguments: Sequence[np.generic]) -> tuple[int, object]:
    """A kernel's arguments as CUDA takes them, in some microseconds: they are packed for each of its launches.

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

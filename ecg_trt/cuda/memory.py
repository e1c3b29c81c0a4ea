"""Memory on the GPU and pinned memory on the host, allocated once under names and used again."""

from __future__ import annotations

import ctypes
import logging
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from ecg_trt.cuda.driver import Driver
from ecg_trt.cuda.handle import Handle
from ecg_trt.cuda.stream import Event, Stream
from ecg_trt.errors import OptionError
from ecg_trt.types import Array

_log = logging.getLogger(__name__)


class DeviceBuffer(Handle):
    """Bytes on the GPU."""

    def __init__(self, driver: Driver, nbytes: int) -> None:
        super().__init__("device buffer", driver.malloc(nbytes), driver.free)
        self.nbytes = nbytes


class PinnedBuffer(Handle):
    """Bytes on the host that the GPU copies without help; `array` (nbytes,) uint8 must not outlive it."""

    def __init__(self, driver: Driver, nbytes: int) -> None:
        super().__init__("pinned buffer", driver.malloc_host(nbytes), driver.free_host)
        self.nbytes = nbytes

    @property
    def array(self) -> Array:
        """Memory as (nbytes,) uint8."""
        return np.frombuffer(memoryview((ctypes.c_uint8 * self.nbytes).from_address(self.handle)), np.uint8)


@dataclass(frozen=True, slots=True)
class DeviceArray:
    """An array on the GPU; it owns nothing, and lives as long as its owner leaves it there.

    Attributes:
        address: of its first element.
        shape: C order, no gaps.
        dtype: of its elements.
        owner: what holds the memory.
    """

    address: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    owner: object

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def part(self, byte: int, shape: tuple[int, ...], dtype: Any) -> DeviceArray:
        """Make an array over a part of the memory, from one of its bytes on."""
        return DeviceArray(self.address + byte, shape, np.dtype(dtype), self.owner)

    def reshape(self, *shape: int) -> DeviceArray:
        """View the elements under another shape. Raises `OptionError` if their number differs."""
        other = DeviceArray(self.address, shape, self.dtype, self.owner)
        if other.nbytes != self.nbytes:
            raise OptionError(
                "A device array cannot be reshaped",
                got=f"{shape}",
                expected=f"as many elements as in {self.shape}",
                hint="Check the shape.",
            )
        return other


class Workspace:
    """Named memory for the work of one stream.

    Memory of one name lies at the same address every time, as long as it does not grow.
    A larger one takes its place: graphs captured before are void.

    Args:
        driver: of the GPU.
        stream: on which all of it is used.
        nbytes: device memory to allocate at the start, by name.
        pinned_nbytes: pinned memory to allocate at the start, by name.

    Raises:
        DeviceMemoryError: there is not as much memory; nothing stays allocated.
    """

    def __init__(
        self,
        driver: Driver,
        stream: Stream,
        nbytes: Mapping[str, int],
        pinned_nbytes: Mapping[str, int],
    ) -> None:
        self._driver, self._stream = driver, stream
        self._device: dict[str, DeviceBuffer] = {}
        self._pinned: dict[str, PinnedBuffer] = {}
        self._copied: dict[str, Event] = {}
        with ExitStack() as undo:
            undo.callback(self.close)
            for name, size in nbytes.items():
                self._device[name] = DeviceBuffer(driver, size)
            for name, size in pinned_nbytes.items():
                self._pinned[name] = PinnedBuffer(driver, size)
                self._copied[name] = Event(driver)
            undo.pop_all()

    def array(self, name: str, shape: Sequence[int], dtype: Any) -> DeviceArray:
        """Provide device memory under a name, with its last content."""
        kind = np.dtype(dtype)
        nbytes = math.prod(shape) * kind.itemsize
        buffer = self._device.get(name)
        if buffer is None or buffer.nbytes < nbytes:
            self._log_growth(name, buffer, nbytes)
            if buffer is not None:
                self._stream.sync()
                del self._device[name]
                buffer.close()
            buffer = self._device[name] = DeviceBuffer(self._driver, nbytes)
        return DeviceArray(buffer.handle, tuple(int(n) for n in shape), kind, self)

    def pinned(self, name: str, shape: Sequence[int], dtype: Any) -> Array:
        """Provide pinned memory under a name, free to be written: copies out of it are waited for."""
        kind = np.dtype(dtype)
        nbytes = math.prod(shape) * kind.itemsize
        if name in self._copied:
            self._copied[name].sync()
        else:
            self._copied[name] = Event(self._driver)
        buffer = self._pinned.get(name)
        if buffer is None or buffer.nbytes < nbytes:
            self._log_growth(f"pinned {name}", buffer, nbytes)
            if buffer is not None:
                del self._pinned[name]
                buffer.close()
            buffer = self._pinned[name] = PinnedBuffer(self._driver, nbytes)
        return np.asarray(buffer.array[:nbytes].view(kind).reshape(tuple(shape)))

    def upload(self, name: str, array: Array) -> DeviceArray:
        """Queue a copy to device memory of this name, by way of pinned memory; `array` may change at once.

        An array that is itself the pinned memory of this name is copied straight, and must not change until the
        stream has reached the copy.
        """
        there = self.array(name, array.shape, array.dtype)
        held = self._pinned.get(name)
        source = array
        if held is None or array.ctypes.data != held.handle or not array.flags.c_contiguous:
            source = self.pinned(name, array.shape, array.dtype)
            np.copyto(source, array)
        self._driver.copy_to_device(there.address, source.ctypes.data, there.nbytes, self._stream.handle)
        self._copied[name].record(self._stream)
        return there

    def upload_all(self, name: str, *arrays: Array) -> tuple[DeviceArray, ...]:
        """Queue one copy of several small arrays, which may change at once."""
        sizes, starts = _laid_out(arrays)
        staging = self.pinned(name, (sum(sizes),), np.uint8)
        for array, start in zip(arrays, starts, strict=True):
            np.copyto(staging[start : start + array.nbytes].view(array.dtype).reshape(array.shape), array)
        whole = self.upload(name, staging)
        return tuple(whole.part(start, array.shape, array.dtype) for array, start in zip(arrays, starts, strict=True))

    def download(self, *arrays: DeviceArray) -> tuple[Array, ...]:
        """Wait for the stream and return host copies."""
        sizes, starts = _laid_out(arrays)
        landing = self.pinned("download", (sum(sizes),), np.uint8)
        parts = [landing[start:][: array.nbytes] for array, start in zip(arrays, starts, strict=True)]
        for array, part in zip(arrays, parts, strict=True):
            self._driver.copy_to_host(part.ctypes.data, array.address, array.nbytes, self._stream.handle)
        self._stream.sync()
        return tuple(p.view(a.dtype).reshape(a.shape).copy() for a, p in zip(arrays, parts, strict=True))

    def close(self) -> None:
        """Free all memory; more than once is fine."""
        for owners in (self._copied, self._pinned, self._device):
            while owners:
                owners.popitem()[1].close()

    def _log_growth(self, name: str, buffer: Handle | None, nbytes: int) -> None:
        """Log that a buffer grows, which costs time and voids graphs."""
        before = 0 if buffer is None else getattr(buffer, "nbytes", 0)
        _log.info("memory %s: from %d to %d bytes", name, before, nbytes)


def _laid_out(arrays: Sequence[Array] | Sequence[DeviceArray]) -> tuple[list[int], list[int]]:
    """Lay out arrays one behind the other: sizes rounded up so that each is aligned for any type, and offsets."""
    sizes = [-(-array.nbytes // 16) * 16 for array in arrays]
    return sizes, [sum(sizes[:k]) for k in range(len(sizes))]

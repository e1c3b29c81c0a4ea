"""Search for a usable GPU through the driver's own library, so that no package and no context is needed."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76  # CUdevice_attribute
_LEAST_DRIVER = (12, 0)  # CUDA version, the first that serves sm_89 and sm_90.
_LEAST_CAPABILITY = (7, 5)


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """A GPU and the driver that serves it.

    Attributes:
        ordinal: number among the visible GPUs.
        name: for people.
        capability: compute capability, (major, minor).
        memory_bytes: of the GPU.
        driver_version: newest CUDA version that the driver serves, (major, minor).
    """

    ordinal: int
    name: str
    capability: tuple[int, int]
    memory_bytes: int
    driver_version: tuple[int, int]

    @property
    def compute_capability(self) -> str:
        """Compute capability as text, for example "8.6"."""
        return "{}.{}".format(*self.capability)

    def __str__(self) -> str:
        (major, minor), (cuda, point) = self.capability, self.driver_version
        return f"{self.name} (sm_{major}{minor}, {self.memory_bytes >> 20} MiB, driver for CUDA {cuda}.{point})"


class _UnusableError(Exception):
    """Reason why there is no usable GPU."""


def probe(ordinal: int = 0) -> DeviceInfo | str:
    """Look for a GPU; never raises and never creates a context.

    Args:
        ordinal: number among the visible GPUs.

    Returns:
        The GPU, or the reason why there is none, half a sentence for a message.
    """
    try:
        info = _ask(ctypes.CDLL(_LIBRARY), ordinal)
    except _UnusableError as reason:
        return str(reason)
    except OSError:
        return f"no NVIDIA driver ({_LIBRARY} cannot be loaded)"
    except (AttributeError, ctypes.ArgumentError) as error:
        return f"an NVIDIA driver that cannot be queried ({error})"
    if info.capability < _LEAST_CAPABILITY:
        return f"{info}, older than compute capability {_LEAST_CAPABILITY[0]}.{_LEAST_CAPABILITY[1]}"
    return info


def _ask(library: ctypes.CDLL, ordinal: int) -> DeviceInfo:
    version = ctypes.c_int()
    _call(library.cuDriverGetVersion, ctypes.byref(version))
    driver = (version.value // 1000, version.value % 1000 // 10)
    if driver < _LEAST_DRIVER:
        raise _UnusableError(
            f"a driver for CUDA {driver[0]}.{driver[1]}, older than {_LEAST_DRIVER[0]}.{_LEAST_DRIVER[1]}"
        )
    _call(library.cuInit, 0)
    count, device, total = ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t()
    _call(library.cuDeviceGetCount, ctypes.byref(count))
    if not 0 <= ordinal < count.value:
        raise _UnusableError(f"{count.value} visible GPUs, none of them number {ordinal}")
    _call(library.cuDeviceGet, ctypes.byref(device), ordinal)
    name = ctypes.create_string_buffer(256)
    _call(library.cuDeviceGetName, name, len(name), device)
    _call(library.cuDeviceTotalMem_v2, ctypes.byref(total), device)
    capability = []
    for attribute in (_CAPABILITY_MAJOR, _CAPABILITY_MINOR):
        value = ctypes.c_int()
        _call(library.cuDeviceGetAttribute, ctypes.byref(value), attribute, device)
        capability.append(value.value)
    return DeviceInfo(ordinal, name.value.decode(errors="replace"), (capability[0], capability[1]), total.value, driver)


def _call(function: Callable[..., int], *arguments: Any) -> None:
    """Call the driver, whose result 0 is success and 100 no device."""
    code = function(*arguments)
    if code == 100:
        raise _UnusableError("a driver that sees no GPU")
    if code:
        raise _UnusableError(f"a driver that answers error {code}")

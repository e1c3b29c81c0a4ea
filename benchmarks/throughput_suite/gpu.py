"""Free memory of a GPU and the speed of a copy, asked beside the package's own driver."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from ecg_trt.closeable import Closeable
from ecg_trt.cuda.device import probe
from ecg_trt.errors import DriverError, install_hint


def why_no_gpu() -> str:
    """Reason why there is no GPU to measure on, "" if there is one."""
    found = probe()
    if isinstance(found, str):
        return f"no CUDA: {found}"
    try:
        import cuda.bindings.driver  # noqa: F401
    except ImportError as error:
        return f"no CUDA: cuda-bindings cannot be imported ({error})"
    return ""


class Gpu(Closeable):
    """The primary context of the first GPU, held while this is open.

    Raises:
        DriverError: no GPU, or a call failed.
    """

    def __init__(self) -> None:
        reason = why_no_gpu()
        if reason:
            raise _failed(reason)
        from cuda.bindings import driver

        self._cu: Any = driver
        self._stack = ExitStack()
        self._call("cuInit", 0)
        device = self._call("cuDeviceGet", 0)
        self._call("cuCtxSetCurrent", self._call("cuDevicePrimaryCtxRetain", device))
        self._stack.callback(self._call, "cuDevicePrimaryCtxRelease", device)

    def used_bytes(self) -> int:
        """Memory of the whole GPU that is taken, by whoever it may be."""
        free, total = self._call("cuMemGetInfo")
        return int(total) - int(free)

    def copy_seconds(self, nbytes: int, best_of: int) -> float:
        """Seconds of a copy from device memory to device memory, the fastest of some, by CUDA events."""
        taken = []
        with ExitStack() as stack:

            def make(create: str, destroy: str, *arguments: object) -> Any:
                handle = self._call(create, *arguments)
                stack.callback(self._call, destroy, handle)
                return handle

            source, target = (make("cuMemAlloc", "cuMemFree", nbytes) for _ in range(2))
            start, end = (make("cuEventCreate", "cuEventDestroy", 0) for _ in range(2))
            for _ in range(best_of + 2):
                self._call("cuEventRecord", start, 0)
                self._call("cuMemcpyDtoDAsync", target, source, nbytes, 0)
                self._call("cuEventRecord", end, 0)
                self._call("cuEventSynchronize", end)
                taken.append(1e-3 * self._call("cuEventElapsedTime", start, end))
        return min(taken[2:])

    def close(self) -> None:
        """Let go of the context; more than once is fine."""
        self._stack.close()

    def _call(self, name: str, *arguments: object) -> Any:
        code, *results = getattr(self._cu, name)(*arguments)
        if code != self._cu.CUresult.CUDA_SUCCESS:
            raise _failed(f"{code.name} from {name}")
        return results[0] if len(results) == 1 else results


def _failed(got: str) -> DriverError:
    return DriverError(
        "The GPU cannot be measured", got=got, expected="a GPU, its driver and cuda-bindings",
        hint=f"{install_hint('cuda')}, or measure the CPU alone with --backends ort.",
    )  # fmt: skip

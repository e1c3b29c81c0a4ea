"""Compiled kernels on one GPU."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np

from ecg_trt.closeable import Closeable
from ecg_trt.cuda.compile import cubin, kernel_files, kernels_of, target_of
from ecg_trt.cuda.driver import Driver, Extent
from ecg_trt.cuda.handle import Handle
from ecg_trt.cuda.stream import Stream

BLOCK: Extent = (32, 8, 1)
ROW_BLOCK: Extent = (128, 1, 1)


class Kernels(Closeable):
    """All kernels of the package, loaded at once and shared by the streams of one GPU.

    Args:
        driver: of the GPU.

    Raises:
        BackendUnavailableError: they are not compiled yet, and NVRTC is not installed.
        DeviceError: they cannot be compiled or loaded.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._functions: dict[str, int] = {}
        target = target_of(driver.device.capability)
        with ExitStack() as stack:
            for file in kernel_files():
                module = driver.load_module(cubin(file, target))
                owner = stack.enter_context(Handle(f"module {file}", module, driver.unload_module))
                for name in kernels_of(file):
                    self._functions[name] = driver.get_function(owner.handle, name)
            self._modules = stack.pop_all()

    def launch(
        self, name: str, extent: Sequence[int], stream: Stream, *arguments: np.generic, block: Extent = BLOCK
    ) -> None:
        """Queue a kernel.

        Args:
            name: of the kernel.
            extent: threads in x, y and z.
            stream: where it is queued.
            arguments: numpy scalars of exactly the kernel's types, pointers as uint64.
            block: threads of a block.
        """
        x, y, z = (*extent, 1, 1)[:3]
        grid: Extent = (-(-x // block[0]), -(-y // block[1]), -(-z // block[2]))
        self._driver.launch(self._functions[name], grid, block, arguments, stream.handle)

    def close(self) -> None:
        """Unload the kernels; more than once is fine."""
        self._functions.clear()
        self._modules.close()

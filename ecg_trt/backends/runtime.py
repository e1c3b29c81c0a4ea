"""What runs the networks and does the pixel work for them, opened and closed together."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Protocol

from ecg_trt.backends.base import Backend
from ecg_trt.closeable import Closeable
from ecg_trt.config import MODELS
from ecg_trt.errors import BackendError
from ecg_trt.ops.base import ImageOps
from ecg_trt.types import Array

NETWORKS = ("stage0", "stage1", "stage2", "caption")


def available_cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class PhotoDecoder(Protocol):
    """Decodes some photos where the pixel work is done."""

    def takes(self, data: bytes) -> bool:
        """Whether a photo is of the kind that is decoded here, by its header; from any thread, at any time.

        `decode` may still fail at one that it takes.
        """
        ...

    def decode(self, data: bytes, *, name: str | None, max_pixels: int, min_pixels: int) -> Array | None:
        """(H, W, 3) uint8 RGB, upright, there until the next call; None if it must be decoded on the host.

        Raises:
            InputError: the header says that it is no usable image.
            BackendError: the decoder or the GPU failed.
        """
        ...


class Runtime(Closeable):
    """Open networks and the pixel work that goes with them: all of one slot, for one photo at a time.

    Args:
        name: of the backend, for the record.
        backends: an open one for each of `NETWORKS`.
        ops: the pixel work; it understands the arrays that the backends answer with.
        model: size of the networks.
        decoder: of photos, None if all are decoded on the CPU.
        on_close: what `close` calls; closes `backends` alone if None.
        twin: opens a second slot that shares what can be shared, None if photos are not worth overlapping.

    Attributes:
        note: why no better backend was chosen, one line; "" if this one was asked for or is the best.
    """

    def __init__(
        self,
        name: str,
        backends: Mapping[str, Backend],
        ops: ImageOps,
        *,
        model: str = MODELS[0],
        decoder: PhotoDecoder | None = None,
        on_close: Callable[[], None] | None = None,
        twin: Callable[[], Runtime] | None = None,
    ) -> None:
        self.name, self.backends, self.ops, self.model, self.decoder = name, backends, ops, model, decoder
        self.note = ""
        self._twin = twin
        self._stack = ExitStack()
        if on_close is not None:
            self._stack.callback(on_close)
        else:
            for backend in backends.values():
                self._stack.callback(backend.close)

    @property
    def slots(self) -> int:
        """How many photos are worth having in flight: 2 where the work of one can hide behind another's."""
        return 1 if self._twin is None else 2

    def twin(self) -> Runtime:
        """A second slot; it must be closed before this one.

        Raises:
            BackendError: this runtime has but one slot.
            DeviceError: the GPU has no room for another.
        """
        if self._twin is None:
            raise BackendError(
                "A second slot cannot be opened",
                got=f"a runtime of {self.name}",
                expected="one whose work is done on a GPU",
                mend="Use one slot, as `slots` says.",
            )
        return self._twin()

    def close(self) -> None:
        """Frees the networks and the memory; more than once is fine."""
        self._stack.close()

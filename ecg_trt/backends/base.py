"""Contract of every backend."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Protocol

import numpy as np

from ecg_trt.errors import BackendError
from ecg_trt.types import Array, TensorSpec


class Backend(Protocol):
    """Runner of one network; a context manager."""

    @property
    def name(self) -> str:
        """Short name, for example "ort"."""
        ...

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Inputs that `infer` must be fed."""
        ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Outputs that `infer` returns."""
        ...

    def infer(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        """Run the network once.

        Args:
            feed: an array for each input.

        Returns:
            An array for each output.

        Raises:
            BackendError: the feed does not match `inputs`, the network failed, or the backend is closed.
        """
        ...

    def close(self) -> None:
        """Free the network; more than once is fine."""
        ...

    def __enter__(self) -> Backend: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def static_batch(backend: Backend) -> int:
    """Find how many images a network takes at a time; 1 where it takes any number."""
    first = backend.inputs[0].shape[0] if backend.inputs else None
    return first if isinstance(first, int) else 1


def static_hw(backend: Backend) -> tuple[int, int] | None:
    """Find the (height, width) of the one image size that a network takes, None where it takes any."""
    height, width = backend.inputs[0].shape[1:3] if backend.inputs else (None, None)
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def check_feed(
    inputs: tuple[TensorSpec, ...], feed: Mapping[str, Array], kinds: tuple[type, ...] = (np.ndarray,)
) -> None:
    """Compare a feed with the inputs: names, types and shapes; a named free axis has one length throughout.

    Args:
        inputs: of the network.
        feed: what it is to be fed.
        kinds: of array that it takes.

    Raises:
        BackendError: the first difference found.
    """
    wanted = {spec.name for spec in inputs}
    if set(feed) != wanted:
        raise _mismatch(f"inputs {sorted(feed)}", f"inputs {sorted(wanted)}")
    free: dict[str, int] = {}
    for spec in inputs:
        array = feed[spec.name]
        if not isinstance(array, kinds):
            raise _mismatch(f"{spec.name} as {type(array).__name__}", f"{spec} as {kinds[0].__name__}")
        got = f"{spec.name} {array.dtype} {array.shape}"
        if array.dtype != np.dtype(spec.dtype) or array.ndim != len(spec.shape):
            raise _mismatch(got, str(spec))
        for side, length in zip(spec.shape, array.shape, strict=True):
            if length == 0 or (isinstance(side, int) and side != length):
                raise _mismatch(got, str(spec))
            if isinstance(side, str) and free.setdefault(side, length) != length:
                raise _mismatch(got, f"{spec} with {side} = {free[side]} as in the other axes")


def _mismatch(got: str, expected: str) -> BackendError:
    return BackendError(
        "The network cannot be run",
        got=got,
        expected=expected,
        hint="Feed the arrays that its inputs describe.",
    )


def closed_error(name: str) -> BackendError:
    """Make the error of a backend that is used after `close`."""
    return BackendError(
        "The network cannot be run",
        got=f"a closed {name} backend",
        expected="an open one",
        hint="Use it inside its with block.",
    )

"""Ownership of CUDA objects."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ecg_trt.closeable import Closeable
from ecg_trt.errors import BackendError, DeviceError

_log = logging.getLogger(__name__)


class Handle(Closeable):
    """Owner of one handle, freed once, by `close` or at the end of a with block.

    Args:
        what: what it is, for messages.
        handle: of the object.
        give_back: the driver's call that ends it.
    """

    def __init__(self, what: str, handle: int, give_back: Callable[[int], None]) -> None:
        self._what, self._handle, self._give_back = what, handle, give_back

    @property
    def handle(self) -> int:
        """Handle of the object.

        Raises:
            BackendError: it has been given back.
        """
        if not self._handle:
            raise BackendError(
                "The GPU cannot be used",
                got=f"a closed {self._what}",
                expected="an open one",
                hint="Use it inside its with block.",
            )
        return self._handle

    def close(self) -> None:
        """Free the object; more than once is fine. A failure is only logged: it must not hide an earlier error."""
        handle, self._handle = self._handle, 0
        if handle:
            try:
                self._give_back(handle)
            except DeviceError as error:
                _log.warning("%s was not given back: %s", self._what, error)

"""Backend made of a function, for tests and for measuring everything except the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ecg_trt.backends.base import check_feed, closed_error
from ecg_trt.closeable import Closeable
from ecg_trt.types import Array, TensorSpec


class FakeBackend(Closeable):
    """Backend that calls a function instead of a network.

    Args:
        function: from the feed to the outputs.
        inputs: checked if given.
        outputs: for who asks.
        name: of the backend.
    """

    def __init__(
        self,
        function: Callable[[Mapping[str, Array]], Mapping[str, Array]],
        inputs: tuple[TensorSpec, ...] = (),
        outputs: tuple[TensorSpec, ...] = (),
        name: str = "fake",
    ) -> None:
        self._function: Callable[[Mapping[str, Array]], Mapping[str, Array]] | None = function
        self.inputs, self.outputs, self.name = inputs, outputs, name

    def infer(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        """See `Backend.infer`."""
        if self._function is None:
            raise closed_error(self.name)
        if self.inputs:
            check_feed(self.inputs, feed)
        return dict(self._function(feed))

    def close(self) -> None:
        """Forget the function."""
        self._function = None

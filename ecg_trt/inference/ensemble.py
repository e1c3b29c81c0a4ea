"""Ensemble of networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ecg_trt.backends.base import Backend
from ecg_trt.errors import OptionError
from ecg_trt.inference.vote import shares_of, vote
from ecg_trt.inference.wrapped import IMAGE, Wrapped
from ecg_trt.ops.base import ImageOps
from ecg_trt.types import Array


class Ensemble(Wrapped):
    """Weighted mean of the predictions of several networks of one stage, which it owns.

    Args:
        backends: run the networks.
        weights: of the networks, as `train.ensemble` finds them; all alike if None.
        ops: fetches pictures from where they lie; None where all are numpy arrays.

    Raises:
        OptionError: no network, weights that do not fit, or networks that are fed or answer differently.
    """

    def __init__(
        self, backends: Sequence[Backend], weights: Sequence[float] | None = None, ops: ImageOps | None = None
    ) -> None:
        shares_of(len(backends), weights)
        super().__init__(backends[0], ops)
        self.backends, self.weights = tuple(backends), weights
        for other in self.backends[1:]:
            for got, expected in ((other.inputs, self.inputs), (other.outputs, self.outputs)):
                if sorted(map(str, got)) != sorted(map(str, expected)):
                    raise OptionError(
                        "The networks cannot vote together", got="; ".join(map(str, got)),
                        expected="; ".join(map(str, expected)), hint="Take networks of one stage.",
                    )  # fmt: skip

    def infer(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        """See `Backend.infer`; one run of each network, answers on the host."""
        shown = {**feed, IMAGE: self._picture(feed)}  # Predictions on a device may share their memory.
        return vote([backend.infer(shown) for backend in self.backends], self.weights)

    def close(self) -> None:
        """Close the networks."""
        for backend in self.backends:
            backend.close()

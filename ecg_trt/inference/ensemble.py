"""Several networks that answer as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ecg_trt.backends.base import Backend, TensorSpec
from ecg_trt.closing import Closing
from ecg_trt.errors import OptionError
from ecg_trt.inference.vote import vote
from ecg_trt.types import Array


class Ensemble(Closing):
    """Asks several networks of one stage and takes the mean of what they say; closes them.

    Args:
        backends: run the networks.
        weights: of the networks, as `train.voting` finds them; all alike if None.

    Raises:
        OptionError: no network, weights that do not fit, or networks that are fed or answer differently.
    """

    def __init__(self, backends: Sequence[Backend], weights: Sequence[float] | None = None) -> None:
        vote([{}] * len(backends), weights)
        self.backends, self.weights = tuple(backends), weights
        for other in self.backends[1:]:
            for got, expected in ((other.inputs, self.inputs), (other.outputs, self.outputs)):
                if sorted(map(str, got)) != sorted(map(str, expected)):
                    raise OptionError(
                        "The networks cannot vote together", got="; ".join(map(str, got)),
                        expected="; ".join(map(str, expected)), mend="Take networks of one stage.",
                    )  # fmt: skip

    @property
    def name(self) -> str:
        """That of the first network's backend."""
        return self.backends[0].name

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Those of each network."""
        return self.backends[0].inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Those of each network."""
        return self.backends[0].outputs

    def infer(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        """See `Backend.infer`; one run of each network, answers where the first network leaves them."""
        return vote([backend.infer(feed) for backend in self.backends], self.weights)

    def close(self) -> None:
        """Closes the networks."""
        for backend in self.backends:
            backend.close()

"""Samples that are shown again because their loss was high (online hard example mining by replay)."""

from __future__ import annotations

from torch import Tensor

TensorSample = dict[str, Tensor]


class HardExampleBuffer:
    """Samples of high loss, the hardest first.

    Args:
        capacity: number of samples kept.
        max_repeats: how often one is shown again; what stays hard after that is likely to be labelled wrongly.
    """

    def __init__(self, capacity: int = 256, max_repeats: int = 4) -> None:
        self.capacity, self.max_repeats = capacity, max_repeats
        self._held: list[tuple[float, int, TensorSample]] = []

    def __len__(self) -> int:
        return len(self._held)

    def take(self, count: int) -> list[tuple[TensorSample, int]]:
        """Remove the hardest samples, at most `count`; each comes with the number of times it is shown again."""
        taken, self._held = self._held[:count], self._held[count:]
        return [(sample, repeats + 1) for _, repeats, sample in taken]

    def put(self, samples: list[tuple[TensorSample, int]], losses: list[float]) -> None:
        """Keep samples by their new loss.

        Args:
            samples: each with the number of times it has been shown again; views of a batch are copied where kept.
            losses: of each sample.
        """
        new = [
            (loss, repeats, sample)
            for loss, (sample, repeats) in zip(losses, samples, strict=True)
            if repeats < self.max_repeats
        ]
        kept = sorted([*self._held, *new], key=lambda entry: -entry[0])[: self.capacity]
        before = {id(sample) for _, _, sample in self._held}
        self._held = [
            (loss, repeats, sample if id(sample) in before else {name: value.clone() for name, value in sample.items()})
            for loss, repeats, sample in kept
        ]

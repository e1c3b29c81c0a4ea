"""Truth of a head, and the weight of each part of it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Target:
    """The truth of one head.

    Attributes:
        value: maps (N, C, h, w) in [0, 1] or of plain values, rows (N, W) in px, or columns (N, W) in [0, 1].
        weight: of the same shape, or with one channel; 0 where nothing is known.
        count: divisor of weighted sums; the sum of the weights, at least 1, if None.
    """

    value: Tensor
    weight: Tensor
    count: Tensor | float | None = None

    @property
    def divisor(self) -> Tensor | float:
        """Divisor of weighted sums."""
        return self.weight.sum().clamp(min=1) if self.count is None else self.count

    @staticmethod
    def of_map(value: Tensor) -> Target:
        """A map in [0, 1] whose negative cells are unknown."""
        return Target(value.clamp(0, 1), (value >= 0).float())

"""Data echoing: drawn samples are shown several times, where drawing is slower than learning.

Choi et al., Faster Neural Network Training with Data Echoing, arXiv:1907.05550 (2019).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from train.losses import Maps

Vary = Callable[[Tensor, Maps], tuple[Tensor, Maps]]
CAPACITY = 4096  # samples; 3 GB of crops of the trace network
_NOISE = 6.0  # of 255, greatest standard deviation
_CONTRAST = 0.15  # greatest relative change
_BRIGHTNESS = 12.0  # of 255, greatest change


def photometric(image: Tensor, truth: Maps) -> tuple[Tensor, Maps]:
    """Change contrast, brightness and noise of each picture, and leave the truth as it is.

    Args:
        image: (N, H, W, 3) uint8.
        truth: by name, (N, ...).
    """
    n, device = len(image), image.device

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(n, 1, 1, 1, device=device) * (high - low) + low

    gain, lift = uniform(1 - _CONTRAST, 1 + _CONTRAST), uniform(-_BRIGHTNESS, _BRIGHTNESS)
    noise = torch.randn(image.shape, device=device) * uniform(0, _NOISE)
    return ((image.float() - 128) * gain + 128 + lift + noise).clamp(0, 255).to(torch.uint8), truth


class EchoBuffer:
    """The samples drawn last, kept on the device.

    Args:
        vary: gives a batch another look.
        capacity: samples kept.
    """

    def __init__(self, vary: Vary = photometric, capacity: int = CAPACITY) -> None:
        self.vary, self.capacity = vary, capacity
        self._held: Maps = {}
        self._count = 0

    def __len__(self) -> int:
        return min(self._count, self.capacity)

    def put(self, image: Tensor, truth: Maps) -> None:
        """Keep a batch in place of the samples that have been kept longest."""
        batch = {"image": image, **truth}
        if not self._held:
            self._held = {k: v.new_empty((self.capacity, *v.shape[1:])) for k, v in batch.items()}
        at = (torch.arange(len(image), device=image.device) + self._count) % self.capacity
        for name, value in batch.items():
            self._held[name][at] = value
        self._count += len(image)

    def draw(self, count: int) -> tuple[Tensor, Maps]:
        """Take samples at random, each with a new look.

        Raises:
            ValueError: nothing is kept yet.
        """
        if not self._count:
            raise ValueError("an echo needs samples that were drawn before")
        at = torch.randint(len(self), (count,), device=self._held["image"].device)
        batch = {name: value[at] for name, value in self._held.items()}
        return self.vary(batch.pop("image"), batch)

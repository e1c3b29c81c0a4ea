"""Sliding windows: a network of one size on pictures of any size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ecg_trt.backends.base import Backend, static_hw
from ecg_trt.errors import OptionError
from ecg_trt.inference.vote import Kind, kind_of
from ecg_trt.inference.wrapped import IMAGE, Wrapped
from ecg_trt.ops.base import ImageOps
from ecg_trt.types import Array, TensorSpec

_SIGMA = 1 / 8  # Share of the window's side (nnU-Net); pixels at its border lack half of their context.
_ALIGNED = 8  # Windows start at multiples of the coarsest output stride, px.
_PAPER_GREY = 114


class Windows(Wrapped):
    """Predictions of a network for overlapping windows of a larger picture, merged.

    Where windows overlap, their predictions, logits or values, are averaged with Gaussian weights around each
    window's middle, in FP32 (Isensee et al., nnU-Net, Nature Methods 18, 2021, methods: inference).

    Args:
        backend: runs the network.
        window_hw: height and width that it is shown; what it takes, if None.
        overlap: share of a window that the next one shows again.
        ops: fetches pictures from where they lie.

    Raises:
        OptionError: no size, or an overlap outside 0 .. 0.9.
    """

    def __init__(
        self, backend: Backend, window_hw: tuple[int, int] | None = None, overlap: float = 0.5,
        ops: ImageOps | None = None,
    ) -> None:  # fmt: skip
        super().__init__(backend, ops)
        window = window_hw or static_hw(backend)
        if window is None or min(window) < 2 * _ALIGNED or not 0 <= overlap <= 0.9:
            raise OptionError(
                "Windows cannot be cropped", got=f"a window of {window} and an overlap of {overlap:g}",
                expected=f"{2 * _ALIGNED} px or more, and an overlap of 0 to 0.9", hint="Pass window_hw.",
            )  # fmt: skip
        self.window_hw, self.overlap = window, overlap

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Inputs of the network, with a picture of any size."""
        return tuple(
            replace(spec, shape=(spec.shape[0], "h", "w", *spec.shape[3:])) if spec.name == IMAGE else spec
            for spec in self.backend.inputs
        )

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Outputs of the network, of any size."""
        return tuple(replace(s, shape=(*s.shape[:-2], None, None)) for s in self.backend.outputs)

    def infer(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        """See `Backend.infer`; outputs must be maps (n, C, h, w). One run for each window, predictions on the host."""
        image = self._picture(feed)
        hw = image.shape[1:3]
        padded_hw = [
            max(-(-side // _ALIGNED) * _ALIGNED, window) for side, window in zip(hw, self.window_hw, strict=True)
        ]
        padded = np.pad(image, ((0, 0), *((0, r - s) for r, s in zip(padded_hw, hw, strict=True)), (0, 0)),
                        constant_values=_PAPER_GREY)  # fmt: skip
        tops, lefts = (self._starts(r, w) for r, w in zip(padded_hw, self.window_hw, strict=True))
        if len(tops) > 1 and any(kind_of(spec.name) is Kind.RIDGE for spec in self.backend.outputs):
            raise OptionError("The picture is too high", got=f"{hw[0]} px", expected=f"at most {self.window_hw[0]} px",
                              hint="A ridge needs whole columns: crop strips no higher than this.")  # fmt: skip
        total: dict[str, Array] = {}
        weight: dict[str, Array] = {}
        strides: dict[str, int] = {}
        for top in tops:
            for left in lefts:
                window = padded[:, top : top + self.window_hw[0], left : left + self.window_hw[1]]
                for name, prediction in self.backend.infer({**feed, IMAGE: np.ascontiguousarray(window)}).items():
                    if name not in total:
                        strides[name] = stride = self._stride(name, prediction.shape, (*tops, *lefts))
                        cells = [-(-r // stride) for r in padded_hw]
                        total[name] = np.zeros((*prediction.shape[:2], *cells), np.float32)
                        weight[name] = np.zeros(cells, np.float32)
                    y, x = top // strides[name], left // strides[name]
                    there = np.s_[..., y : y + prediction.shape[2], x : x + prediction.shape[3]]
                    bell = np.outer(*(_bell(n) for n in prediction.shape[2:]))
                    total[name][there] += bell * prediction
                    weight[name][there] += bell
        ends = {name: [-(-s // stride) for s in hw] for name, stride in strides.items()}
        return {name: (sums / weight[name])[..., : ends[name][0], : ends[name][1]] for name, sums in total.items()}

    def _starts(self, side: int, window: int) -> list[int]:
        """List starts of windows that overlap by at least the overlap, at whole cells; the last ends with the side."""
        step = max(_ALIGNED, int(window * (1 - self.overlap)) // _ALIGNED * _ALIGNED)
        return [*range(0, side - window, step), side - window]

    def _stride(self, name: str, shape: tuple[int, ...], starts: tuple[int, ...]) -> int:
        stride = self.window_hw[1] // shape[-1]
        if len(shape) != 4 or any(start % stride for start in starts):
            raise OptionError(f"The windows of {name} cannot be laid together", got=f"an output {shape}",
                              expected=f"maps (n, C, h, w), and windows of a multiple of {_ALIGNED} px",
                              hint="Pass another window_hw.")  # fmt: skip
        return stride


def _bell(n: int) -> Array:
    """Make (n,) Gaussian weights, 1 in the middle; above 0 at the ends, so that a border covered once counts."""
    at = (np.arange(n) - (n - 1) / 2) / (_SIGMA * n)
    return np.exp(-0.5 * at**2).astype(np.float32).clip(1e-4)

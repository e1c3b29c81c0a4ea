"""Test-time augmentation: one network that is shown a picture in several ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ecg_trt.backends.base import Backend
from ecg_trt.errors import OptionError
from ecg_trt.inference.vote import shares_of, vote
from ecg_trt.inference.wrapped import IMAGE, Wrapped
from ecg_trt.networks import HeadKind, head_kind
from ecg_trt.ops.base import ImageOps
from ecg_trt.types import Array

# Mirrored text cannot be read, and mirrored directions change their sign.
_MIRRORED_KINDS = (HeadKind.RIDGE, HeadKind.PRESENCE, HeadKind.BORDER)


@dataclass(frozen=True, slots=True)
class View:
    """Way to show a picture: a shift, a mirror.

    Attributes:
        dx: px by which it is moved to the right; what comes in at the rim repeats the rim.
        dy: px by which it is moved down.
        mirrored: left and right exchanged, before it is moved.
    """

    dx: int = 0
    dy: int = 0
    mirrored: bool = False

    def show(self, image: Array) -> Array:
        """Transform pictures (n, H, W, 3) to this view."""
        seen = image[:, :, ::-1] if self.mirrored else image
        return np.ascontiguousarray(_moved(_moved(seen, self.dx, 2), self.dy, 1))

    def undo(self, prediction: Array, hw: tuple[int, int]) -> Array:
        """Map a network's prediction for this view, (n, C, h, w) or (n, w), back to the picture (H, W).

        Raises:
            OptionError: the picture is moved by less than a cell of the prediction, or a part of one.
        """
        strides = -(-hw[0] // prediction.shape[2]) if prediction.ndim == 4 else 1, -(-hw[1] // prediction.shape[-1])
        if self.dy % strides[0] or self.dx % strides[1]:
            raise OptionError(
                "The view cannot be undone", got=f"moves of {self.dx} and {self.dy} px",
                expected=f"multiples of {strides[1]} and {strides[0]}, the strides of the prediction",
                hint="Move the picture by whole cells.",
            )  # fmt: skip
        back = _moved(prediction, -self.dx // strides[1], prediction.ndim - 1)
        if prediction.ndim == 4:
            back = _moved(back, -self.dy // strides[0], 2)
        return np.ascontiguousarray(back[..., ::-1]) if self.mirrored else back


def _moved(array: Array, by: int, axis: int) -> Array:
    """Shift an array along an axis, repeating its border."""
    if not by:
        return array
    return np.take(array, np.arange(array.shape[axis]) - by, axis, mode="clip")


class Views(Wrapped):
    """Mean of a network's predictions over several views of its picture (test-time augmentation).

    Args:
        backend: runs the network.
        views: ways to show the picture.
        weights: of the views; all alike if None.
        ops: fetches pictures from where they lie.

    Raises:
        OptionError: no view, weights that do not fit, or a mirror for a network that does not bear one.
    """

    def __init__(
        self, backend: Backend, views: Sequence[View], weights: Sequence[float] | None = None,
        ops: ImageOps | None = None,
    ) -> None:  # fmt: skip
        super().__init__(backend, ops)
        self.views, self.weights = tuple(views), weights
        shares_of(len(self.views), weights)
        heads = [spec.name for spec in backend.outputs]
        bears_mirror = all(head_kind(head) in _MIRRORED_KINDS for head in heads)
        if any(view.mirrored for view in views) and not bears_mirror:
            raise OptionError("The network cannot be shown a mirrored picture", got=f"heads {', '.join(heads)}",
                              expected=f"heads of the kinds {', '.join(_MIRRORED_KINDS)}",
                              hint="Leave the mirrored views out.")  # fmt: skip

    def infer(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        """See `Backend.infer`; one run for each view, predictions on the host."""
        image = self._picture(feed)
        hw = image.shape[1:3]
        predictions = []
        for view in self.views:
            prediction = self.backend.infer({**feed, IMAGE: view.show(image)})
            predictions.append({name: view.undo(np.asarray(value), hw) for name, value in prediction.items()})
        return vote(predictions, self.weights)

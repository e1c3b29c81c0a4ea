"""Common base of all backends around backends."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ecg_trt.backends.base import Backend
from ecg_trt.closeable import Closeable
from ecg_trt.ops.base import ImageOps
from ecg_trt.types import Array, TensorSpec

IMAGE = "image"  # what the package's networks are fed


class Wrapped(Closeable):
    """Backend around another, which it owns, with the inputs and outputs of that.

    Args:
        backend: runs the network.
        ops: fetches pictures from where they lie; None where all are numpy arrays.
    """

    def __init__(self, backend: Backend, ops: ImageOps | None = None) -> None:
        self.backend, self.ops = backend, ops

    @property
    def name(self) -> str:
        """Name of the wrapped backend."""
        return self.backend.name

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Inputs of the wrapped backend."""
        return self.backend.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Outputs of the wrapped backend."""
        return self.backend.outputs

    def close(self) -> None:
        """Close the wrapped backend."""
        self.backend.close()

    def _picture(self, feed: Mapping[str, Array]) -> Array:
        """Fetch the pictures (n, H, W, 3) uint8 of a feed to the host."""
        image = feed[IMAGE]
        if self.ops is None or isinstance(image, np.ndarray):
            return image
        return self.ops.download(image)[0]

"""What all backends around backends share."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ecg_trt.backends.base import Backend
from ecg_trt.closeable import Closeable
from ecg_trt.ops.base import ImageOps
from ecg_trt.types import Array, TensorSpec

IMAGE = "image"  # what the package's networks are fed


class Wrapped(Closeable):
    """Looks from outside like the backend that it holds, and closes it.

    Args:
        backend: runs the network.
        ops: fetches pictures from where they lie; None where all are numpy arrays.
    """

    def __init__(self, backend: Backend, ops: ImageOps | None = None) -> None:
        self.backend, self.ops = backend, ops

    @property
    def name(self) -> str:
        """That of the backend within."""
        return self.backend.name

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Those of the backend within."""
        return self.backend.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Those of the backend within."""
        return self.backend.outputs

    def close(self) -> None:
        """Closes the backend within."""
        self.backend.close()

    def _picture(self, feed: Mapping[str, Array]) -> Array:
        """(n, H, W, 3) uint8, on the host."""
        image = feed[IMAGE]
        if self.ops is None or isinstance(image, np.ndarray):
            return image
        return self.ops.download(image)[0]

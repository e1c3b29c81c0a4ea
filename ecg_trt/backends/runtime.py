"""Runtime: the networks and the pixel work for them, opened and closed together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Protocol

from ecg_trt.backends.base import Backend, closed_error
from ecg_trt.closeable import Closeable
from ecg_trt.errors import BackendError
from ecg_trt.io.readers.base import EncodedPhoto
from ecg_trt.io.readers.photo import PhotoSource, load_photo, read_photo
from ecg_trt.ops.base import ImageOps
from ecg_trt.types import Array, Photo, TensorSpec


class PhotoDecoder(Protocol):
    """Decoder of photos on the device of the pixel work."""

    def takes(self, data: bytes) -> bool:
        """Decide by its header if a photo is of the kind that is decoded here; from any thread, at any time.

        `decode` may still fail at one that it takes.
        """
        ...

    def decode(self, data: bytes, *, name: str | None, max_pixels: int, min_pixels: int) -> Array | None:
        """Decode to (H, W, 3) uint8 RGB, upright, valid until the next call; None if the host must decode it.

        Raises:
            InputError: by its header it is no usable image.
            BackendError: the decoder or the GPU failed.
        """
        ...


class LazyBackend(Closeable):
    """Backend that is opened when it is first used.

    Args:
        name: of the backend.
        open_it: opens it; what it raises comes out of the first use.
    """

    def __init__(self, name: str, open_it: Callable[[], Backend]) -> None:
        self.name = name
        self._open_it: Callable[[], Backend] | None = open_it
        self._backend: Backend | None = None

    @property
    def is_open(self) -> bool:
        """True from the first use until it is closed."""
        return self._backend is not None

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """See `Backend.inputs`."""
        return self._opened().inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """See `Backend.outputs`."""
        return self._opened().outputs

    def infer(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        """See `Backend.infer`."""
        return self._opened().infer(feed)

    def close(self) -> None:
        """Close the backend if it was opened; it cannot be opened any more."""
        self._open_it = None
        if self._backend is not None:
            self._backend.close()
            self._backend = None

    def _opened(self) -> Backend:
        if self._backend is None:
            if self._open_it is None:
                raise closed_error(self.name)
            self._backend = self._open_it()
        return self._backend


class Runtime(Closeable):
    """Networks and the pixel work that goes with them: one worker slot, for one photo at a time.

    Args:
        name: of the backend, for the record.
        backends: by the names of their networks.
        ops: the pixel work; it understands the arrays that the backends answer with.
        decoder: of photos, None if all are decoded on the CPU.
        on_close: what `close` calls; closes `backends` alone if None.
        open_replica: opens a second worker slot that shares what can be shared; None if photos cannot overlap.

    Attributes:
        note: why no better backend was chosen, one line; "" if this one was requested or is the best.
    """

    def __init__(
        self,
        name: str,
        backends: Mapping[str, Backend],
        ops: ImageOps,
        *,
        decoder: PhotoDecoder | None = None,
        on_close: Callable[[], None] | None = None,
        open_replica: Callable[[], Runtime] | None = None,
    ) -> None:
        self.name, self.backends, self.ops, self.decoder = name, backends, ops, decoder
        self.note = ""
        self._open_replica = open_replica
        self._stack = ExitStack()
        if on_close is not None:
            self._stack.callback(on_close)
        else:
            for backend in backends.values():
                self._stack.callback(backend.close)

    def backend(self, network: str) -> Backend:
        """Find the backend of a network.

        Raises:
            BackendError: this runtime was opened without it.
        """
        if network not in self.backends:
            raise BackendError(
                f"The runtime has no network {network}",
                got=", ".join(self.backends) or "none",
                expected=network,
                hint="Name it among the networks of `open_runtime`, or leave them out to open all.",
            )
        return self.backends[network]

    def decoded(self, source: PhotoSource | Photo, *, max_pixels: int, min_pixels: int) -> Photo:
        """Decode a photo, where the pixel work is done if that can be.

        Args:
            source: a path, the bytes of an image file (`EncodedPhoto` if they have a name), or an (H, W, 3) uint8 RGB
                array; a decoded photo is given back as it is.
            max_pixels: photos with more pixels are rejected before they are decoded.
            min_pixels: photos with fewer pixels are rejected.

        Raises:
            InputError: the source is no usable image.
            BackendError: the decoder or the GPU failed.
        """
        if isinstance(source, Photo):
            return source
        limits = {"max_pixels": max_pixels, "min_pixels": min_pixels}
        if self.decoder is not None:
            encoded = source if isinstance(source, EncodedPhoto) else load_photo(source)
            source = source if encoded is None else encoded
            if encoded is not None and self.decoder.takes(encoded.data):
                image = self.decoder.decode(encoded.data, name=encoded.source, **limits)
                if image is not None:
                    return Photo(image, encoded.source)
        return read_photo(source, **limits)

    @property
    def slots(self) -> int:
        """Number of photos worth having in flight: 2 where the work on one can overlap the work on another."""
        return 1 if self._open_replica is None else 2

    def replica(self) -> Runtime:
        """Open a second worker slot; it must be closed before this one.

        Raises:
            BackendError: this runtime has one worker slot.
            DeviceError: the GPU has too little memory for another.
        """
        if self._open_replica is None:
            raise BackendError(
                "A second worker slot cannot be opened",
                got=f"a runtime of {self.name}",
                expected="one whose work is done on a GPU",
                hint="Use one worker slot: see `slots`.",
            )
        return self._open_replica()

    def close(self) -> None:
        """Free the networks and the memory; more than once is fine."""
        self._stack.close()

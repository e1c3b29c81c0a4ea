"""Staging of photos in pinned memory, where the decoding threads leave them for the GPU."""

from __future__ import annotations

import logging
import weakref
from collections import deque
from typing import Any

import numpy as np

from ecg_trt.closeable import Closeable
from ecg_trt.cuda.driver import Driver
from ecg_trt.cuda.memory import DeviceArray, PinnedBuffer
from ecg_trt.cuda.stream import Event, Stream
from ecg_trt.errors import BackendError, DeviceMemoryError
from ecg_trt.types import Array

_log = logging.getLogger(__name__)

_MOST = 8  # As many photos as are decoded ahead; one of 12 megapixels takes 38 MB.


class _Place:
    """Pinned memory for one photo, and the event behind the last copy out of it."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.memory: PinnedBuffer | None = None
        self.copied: Event | None = None

    def fill(self, image: Array) -> None:
        """Store a photo, once the one before is on the GPU."""
        if self.copied is None:
            self.copied = Event(self.driver)
        self.copied.sync()
        if self.memory is None or self.memory.nbytes < image.nbytes:
            if self.memory is not None:
                self.memory.close()
                self.memory = None
            self.memory = PinnedBuffer(self.driver, image.nbytes)
        np.copyto(self.memory.array[: image.nbytes].reshape(image.shape), image)

    def close(self) -> None:
        """Free everything."""
        for owner in (self.memory, self.copied):
            if owner is not None:
                owner.close()
        self.memory = self.copied = None


class StagedPhoto:
    """Photo (H, W, 3) uint8 in pinned memory, until it is uploaded or dropped.

    Attributes:
        shape: (H, W, 3).
        dtype: uint8.
    """

    def __init__(self, place: _Place, free: deque[_Place], image: Array) -> None:
        self.shape, self.dtype = tuple(image.shape), image.dtype
        self._place = place
        self._give_back = weakref.finalize(self, free.append, place)  # This also runs if a batch is closed early.
        self._give_back.atexit = False

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def copy_to(self, there: DeviceArray, stream: Stream) -> None:
        """Queue the copy and free the memory for the next photos; this can be done once.

        Raises:
            BackendError: it was done before, or the memory is no more.
            DeviceError: the GPU failed.
        """
        memory, copied = self._place.memory, self._place.copied
        if not self._give_back.alive or memory is None or copied is None:
            raise BackendError(
                "A photo cannot be uploaded",
                got="one that has left its pinned memory",
                expected="one that waits there",
                hint="Stage it anew.",
            )
        self._place.driver.copy_to_device(there.address, memory.handle, there.nbytes, stream.handle)
        copied.record(stream)
        self._give_back()


class Staging(Closeable):
    """Pinned memory for some photos, allocated on demand and filled by any thread, which never waits for a place.

    Args:
        driver: of the GPU, one that serves any thread; stays open when this is closed.
    """

    def __init__(self, driver: Driver) -> None:
        self._places = [_Place(driver) for _ in range(_MOST)]
        # A deque needs no lock, and garbage is collected at any time. The place freed last is taken first.
        self._free = deque(self._places)

    def copy_to_pinned(self, image: Array) -> Any:
        """Copy a photo (H, W, 3) uint8 to pinned memory.

        Returns:
            A `StagedPhoto`; the image itself if all places are taken, or no more memory can be pinned.

        Raises:
            DeviceError: the GPU failed.
        """
        try:
            place = self._free.pop()
        except IndexError:
            return image
        try:
            place.fill(image)
        except BaseException as error:
            self._free.append(place)
            if isinstance(error, DeviceMemoryError):
                _log.info("a photo waits in memory that is not pinned: %s", error)
                return image
            raise
        return StagedPhoto(place, self._free, image)

    def close(self) -> None:
        """Free all memory, once no thread copies or uploads any more; more than once is fine."""
        self._free = deque()  # Places of photos that are dropped later are not used again.
        while self._places:
            self._places.pop().close()

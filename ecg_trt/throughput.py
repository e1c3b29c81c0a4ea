"""Many photos: one is decoded while the one before is digitized."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from ecg_trt.config import Options
from ecg_trt.errors import EcgTrtError
from ecg_trt.io.photo import read_photo
from ecg_trt.types import Array, EcgRecord, Photo

if TYPE_CHECKING:
    from ecg_trt.digitizer import Digitizer, Reading

Source: TypeAlias = "str | os.PathLike[str] | bytes | Array"

_AHEAD = 1  # decoded photos that may wait; one of 50 megapixels takes 150 MB


@dataclass(frozen=True, slots=True)
class _Decoded:
    """A photo, or why there is none, and how long that took."""

    photo: Photo | EcgTrtError
    decode_ms: float


def digitize_many(
    photos: Iterable[Source], options: Options | None = None
) -> Generator[EcgRecord | EcgTrtError, None, None]:
    """Digitizes photos one after the other, in order; one bad photo harms no other.

    Args:
        photos: paths, encoded bytes or (H, W, 3) uint8 RGB arrays; taken one by one, so a generator will do.
        options: settings for all of them.

    Yields:
        For each photo its record, or the error that it met.

    Raises:
        BackendError: the networks cannot be loaded at all.
    """
    with closing(read_many(photos, options)) as readings:
        for reading in readings:
            yield reading if isinstance(reading, EcgTrtError) else reading.record


def read_many(
    photos: Iterable[Source], options: Options | None = None, digitizer: Digitizer | None = None
) -> Generator[Reading | EcgTrtError, None, None]:
    """As `digitize_many`, but with everything that an overlay needs.

    Args:
        photos: paths, encoded bytes or arrays.
        options: settings for all of them.
        digitizer: an open one to use; the caller closes it. `options` must be those it was made with.

    Yields:
        For each photo its reading, or the error that it met. An error that nobody foresaw is an `EcgTrtError`
        whose `__cause__` is the original.

    Raises:
        BackendError: the networks cannot be loaded at all.
    """
    from ecg_trt.digitizer import Digitizer

    options = options or Options()
    with ExitStack() as stack:
        worker = digitizer or stack.enter_context(Digitizer(options))
        for decoded in stack.enter_context(closing(_decode_ahead(photos, options))):
            yield _read(worker, decoded)


def _decode_ahead(photos: Iterable[Source], options: Options) -> Generator[_Decoded, None, None]:
    """Decodes in one thread (Pillow lets go of the interpreter's lock), `_AHEAD` photos in advance."""
    waiting: deque[Future[_Decoded]] = deque()
    pool = ThreadPoolExecutor(1, thread_name_prefix="ecg-trt-decode")
    try:
        for photo in photos:
            waiting.append(pool.submit(_decode, photo, options))
            if len(waiting) > _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:  # also when the consumer stops early
        pool.shutdown(wait=True, cancel_futures=True)


def _decode(source: Source, options: Options) -> _Decoded:
    start = time.perf_counter()
    photo: Photo | EcgTrtError
    try:
        photo = read_photo(source, max_pixels=options.max_pixels, min_pixels=options.min_pixels)
    except EcgTrtError as error:
        photo = error
    except Exception as error:
        photo = _unforeseen(error)
    return _Decoded(photo, 1e3 * (time.perf_counter() - start))


def _read(digitizer: Digitizer, decoded: _Decoded) -> Reading | EcgTrtError:
    photo = decoded.photo
    if isinstance(photo, EcgTrtError):
        return photo
    try:
        reading = digitizer.digitize_with_views(photo)
    except EcgTrtError as error:
        return error
    except Exception as error:
        return _unforeseen(error)
    # The digitizer got a decoded photo, and does not know how long that took.
    timings = {**reading.record.timings_ms, "decode": decoded.decode_ms}
    timings["total"] = sum(ms for step, ms in timings.items() if step != "total")
    return replace(reading, record=replace(reading.record, timings_ms=timings))


def _unforeseen(error: Exception) -> EcgTrtError:
    """Wraps an error of which the package knows nothing, so that a batch goes on."""
    wrapped = EcgTrtError(
        "Internal error",
        got=f"{type(error).__name__}: {error}",
        expected="a record, or an error that says what is wrong with the photo",
        mend="Please report it with the photo and the traceback (-v).",
    )
    wrapped.__cause__ = error
    return wrapped

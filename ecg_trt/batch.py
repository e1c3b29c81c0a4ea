"""Many photos: some are decoded while the ones before are digitized, one in each slot of the runtime."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from ecg_trt.backends.runtime import PhotoDecoder, available_cores
from ecg_trt.config import Options
from ecg_trt.errors import DeviceFaultError, EcgTrtError, InputError, PageError
from ecg_trt.io.readers.base import EncodedPhoto
from ecg_trt.io.readers.photo import load_photo, pages_of, read_photo
from ecg_trt.record import EcgRecord
from ecg_trt.types import Array, Photo

if TYPE_CHECKING:
    from ecg_trt.digitizer import Digitizer, Reading

Source: TypeAlias = "str | os.PathLike[str] | bytes | Array | EncodedPhoto"

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_AHEAD, _MOST_AHEAD = 1, 8  # decoded photos that may wait, on a CPU and for a GPU; one of 50 megapixels takes 150 MB


@dataclass(frozen=True, slots=True)
class _Decoded:
    """A photo, decoded or at least loaded, or why there is none, and how long that took."""

    photo: Photo | EncodedPhoto | EcgTrtError
    decode_ms: float


def digitize_many(
    photos: Iterable[Source], options: Options | None = None, digitizer: Digitizer | None = None
) -> Generator[EcgRecord | EcgTrtError, None, None]:
    """Digitizes photos in order; one bad photo harms no other.

    On a GPU two photos are in flight: what one thinks about on the CPU hides behind the other's work on the GPU.

    Args:
        photos: paths, encoded bytes or (H, W, 3) uint8 RGB arrays; taken one by one, so a generator will do. Of a file
            with several pages all are digitized; `pages_of` in `io.readers.photo` tells beforehand which there are.
        options: settings for all of them.
        digitizer: an open one to use; the caller closes it. `options` must be those it was made with.

    Yields:
        For each photo, and each page of it, its record, or the error that it met. An error that nobody foresaw is an
        `EcgTrtError` whose `__cause__` is the original.

    Raises:
        BackendError: the networks cannot be loaded at all.
        DeviceFaultError: the GPU has failed, as the last error yielded says; nothing more can be done on it in this
            process. A photo too large for the GPU's memory, however, is an error of that photo alone.
    """
    with closing(_many(photos, options, digitizer, _record)) as records:
        yield from records


def read_many(
    photos: Iterable[Source], options: Options | None = None, digitizer: Digitizer | None = None
) -> Generator[Reading | EcgTrtError, None, None]:
    """As `digitize_many`, but yields readings, with everything that an overlay needs. Raises as that does."""
    with closing(_many(photos, options, digitizer, _reading)) as readings:
        yield from readings


def _many(
    photos: Iterable[Source],
    options: Options | None,
    digitizer: Digitizer | None,
    read: Callable[[Digitizer, _Decoded], _Result],
) -> Generator[_Result | EcgTrtError, None, None]:
    """Decodes ahead and lets each slot `read`; results keep the photos' order."""
    from ecg_trt.digitizer import Digitizer

    options = options or Options()
    with ExitStack() as stack:
        first = digitizer or stack.enter_context(Digitizer(options))
        photos, slots = _slots(chain.from_iterable(map(pages_of, photos)), first)
        ahead = _AHEAD if len(slots) == 1 else min(max(len(slots), available_cores() - len(slots)), _MOST_AHEAD)
        stage = first.runtime.ops.stage if len(slots) > 1 else None  # for one photo it would not be worth the memory
        decode = partial(_decode, options=options, decoder=first.runtime.decoder, stage=stage)
        decoded = stack.enter_context(closing(_ordered(photos, decode, ahead, ahead, "ecg-trt-decode")))
        if len(slots) == 1:  # in this thread: some drivers serve no other
            yield from _until_a_fault(_guarded(read, first, photo) for photo in decoded)
        else:
            yield from _until_a_fault(stack.enter_context(closing(_in_slots(slots, decoded, read))))


def _slots(photos: Iterator[Source], first: Digitizer) -> tuple[Iterator[Source], Sequence[Digitizer]]:
    """All photos, and digitizers for those in flight: a twin takes memory and time, too much for a single photo."""
    if first.slots == 1:
        return photos, (first,)
    seen = list(islice(photos, 2))
    return chain(seen, photos), first.with_twins() if len(seen) > 1 else (first,)


def _until_a_fault(results: Iterable[_Result | EcgTrtError]) -> Iterator[_Result | EcgTrtError]:
    """Ends a batch at the photo at which the GPU failed: CUDA refuses all work of a process from then on."""
    for result in results:
        yield result
        if isinstance(result, DeviceFaultError):
            raise DeviceFaultError(
                "The GPU has failed, and with it the batch",
                got=result.got,
                expected="success",
                mend="Start the program again, from this photo on; if it comes back, run with --backend ort.",
            ) from result


def _in_slots(
    slots: Sequence[Digitizer], decoded: Iterable[_Decoded], read: Callable[[Digitizer, _Decoded], _Result]
) -> Generator[_Result | EcgTrtError, None, None]:
    """As many photos in flight as there are slots, and as many waiting: no slot idles while the consumer is busy."""
    free: SimpleQueue[Digitizer] = SimpleQueue()
    for slot in slots:
        free.put(slot)

    def work(photo: _Decoded) -> _Result | EcgTrtError:
        slot = free.get()
        try:
            return _guarded(read, slot, photo)
        finally:
            free.put(slot)

    yield from _ordered(decoded, work, len(slots), len(slots), "ecg-trt-slot")


def _ordered(
    items: Iterable[_Item], work: Callable[[_Item], _Result], threads: int, ahead: int, name: str
) -> Generator[_Result, None, None]:
    """Works on items in threads, `ahead` of what is asked for, and yields the results in the items' order."""
    waiting: deque[Future[_Result]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:  # also when the consumer stops early
        pool.shutdown(wait=True, cancel_futures=True)


def _decode(
    source: Source, options: Options, decoder: PhotoDecoder | None, stage: Callable[[Array], Array] | None
) -> _Decoded:
    """In a thread of its own, as Pillow lets go of the interpreter's lock; what the slots decode is only loaded."""

    def read() -> Photo | EncodedPhoto:
        encoded = None if decoder is None else load_photo(source)
        if decoder is not None and encoded is not None and decoder.takes(encoded.data):
            return encoded
        photo = read_photo(encoded or source, max_pixels=options.max_pixels, min_pixels=options.min_pixels)
        return photo if stage is None else replace(photo, image=stage(photo.image))

    return _timed(read)


def _timed(read: Callable[[], Photo | EncodedPhoto]) -> _Decoded:
    start = time.perf_counter()
    photo: Photo | EncodedPhoto | EcgTrtError
    try:
        photo = read()
    except EcgTrtError as error:
        photo = error
    except Exception as error:
        photo = _unforeseen(error)
    return _Decoded(photo, 1e3 * (time.perf_counter() - start))


def _guarded(
    read: Callable[[Digitizer, _Decoded], _Result], digitizer: Digitizer, decoded: _Decoded
) -> _Result | EcgTrtError:
    if isinstance(decoded.photo, EcgTrtError):
        return decoded.photo
    try:
        return read(digitizer, decoded)
    except (InputError, PageError) as error:
        return error.with_traceback(None)  # it would keep the photo alive, and a batch may collect thousands of these
    except EcgTrtError as error:
        return error
    except Exception as error:
        return _unforeseen(error)


def _record(digitizer: Digitizer, decoded: _Decoded) -> EcgRecord:
    assert not isinstance(decoded.photo, EcgTrtError)
    return _with_decode_time(digitizer(decoded.photo), decoded.decode_ms)


def _reading(digitizer: Digitizer, decoded: _Decoded) -> Reading:
    assert not isinstance(decoded.photo, EcgTrtError)
    reading = digitizer.digitize_with_views(decoded.photo)
    return replace(reading, record=_with_decode_time(reading.record, decoded.decode_ms))


def _with_decode_time(record: EcgRecord, decode_ms: float) -> EcgRecord:
    """The digitizer does not know how long its photo took until it got it."""
    timings = {**record.timings_ms, "decode": decode_ms + record.timings_ms.get("decode", 0.0)}
    timings["total"] = sum(ms for step, ms in timings.items() if step != "total")
    return replace(record, timings_ms=timings)


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

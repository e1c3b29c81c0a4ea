"""Batches of photos: some are decoded while the ones before are digitized, one in each worker slot."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice, repeat
from typing import TYPE_CHECKING, TypeAlias, TypeVar, cast

from ecg_trt.backends.runtime import PhotoDecoder
from ecg_trt.closeable import Closeable
from ecg_trt.config import ReadOptions, RuntimeOptions
from ecg_trt.corrections import Corrections
from ecg_trt.errors import DeviceFaultError, EcgTrtError, InputError, OptionError, PageError
from ecg_trt.io.readers.base import EncodedPhoto
from ecg_trt.io.readers.photo import PhotoSource, load_photo, pages_of, read_photo, read_recording
from ecg_trt.merging import merge_answers, name_of
from ecg_trt.processes import available_cores
from ecg_trt.record import EcgRecord
from ecg_trt.recorded import record_of
from ecg_trt.slots import SlotPool, SlotQueue
from ecg_trt.types import Array, Photo, Recording

if TYPE_CHECKING:
    from ecg_trt.digitizer import Digitizer
    from ecg_trt.reading import Reading

Source: TypeAlias = PhotoSource

SourceOrGroup: TypeAlias = "Source | Sequence[Source]"  # A group is a list or a tuple.

_Item: TypeAlias = "tuple[Source, ReadOptions]"
_Work = TypeVar("_Work")
_Result = TypeVar("_Result")

_AHEAD, _MOST_AHEAD = 1, 8  # Most decoded photos that wait: on a CPU, for a GPU. One of 50 MP takes 150 MB.


@dataclass(frozen=True, slots=True)
class _Group:
    """Photos of one page, by name, and the least quality of the record that they give; no names for a single photo."""

    names: tuple[str, ...] = ()
    min_quality: float = 0.0


@dataclass(frozen=True, slots=True)
class _Decoded:
    """Photo, decoded or at least loaded, or the signal itself, or the error; the time that took, and the options."""

    photo: Photo | EncodedPhoto | Recording | EcgTrtError
    decode_ms: float
    options: ReadOptions


def digitize_many(
    photos: Iterable[SourceOrGroup], options: ReadOptions | Iterable[ReadOptions] | None = None,
    runtime_options: RuntimeOptions | None = None, *, digitizer: Digitizer | None = None,
) -> Generator[EcgRecord | EcgTrtError, None, None]:  # fmt: skip
    """Digitize photos in order; one bad photo harms no other.

    On a GPU two photos are in flight: the CPU's work on one overlaps the GPU's work on the other.

    Args:
        photos: paths, encoded bytes or (H, W, 3) uint8 RGB arrays; taken one by one, so a generator will do. Of a file
            with several pages all are digitized; `io.readers.photo.pages_of` names them beforehand. An element that is
            a list or a tuple is several photos of one page, and gives one record (`Digitizer.merge`).
        options: how they are read: one for all, or one for each photo (and all pages of it) or group.
        runtime_options: what runs the networks.
        digitizer: an open one to use in place of `runtime_options`; the caller closes it.

    Yields:
        For each photo, and each page of it, its record, or the error that it met. An error that nobody foresaw is an
        `EcgTrtError` whose `__cause__` is the original.

    Raises:
        BackendError: the networks cannot be loaded at all.
        DeviceFaultError: the GPU has failed, as the last error yielded shows; nothing more can be done on it in this
            process. A photo too large for the GPU's memory, however, is an error of that photo alone.
        ValueError: more or fewer options than photos.
    """
    groups: deque[_Group] = deque()
    with closing(_many(photos, options, runtime_options, digitizer, _record, groups)) as records:
        yield from _merged(records, groups)


def read_many(
    photos: Iterable[Source], options: ReadOptions | Iterable[ReadOptions] | None = None,
    runtime_options: RuntimeOptions | None = None, *, digitizer: Digitizer | None = None,
    corrections: Corrections | None = None,
) -> Generator[Reading | EcgRecord | EcgTrtError, None, None]:  # fmt: skip
    """Read photos as `digitize_many` does, but yield readings, with everything that an overlay needs.

    All photos are corrected alike, by `corrections`. Of a file that holds the signal itself there is nothing to draw
    or to correct: it gives its record, and with corrections an error.
    """
    read = partial(_reading, corrections=corrections)
    with closing(_many(photos, options, runtime_options, digitizer, read, None)) as readings:
        yield from readings


class DigitizerPool(Closeable):
    """Open networks that many threads share: a photo is submitted from any thread and answered by a future.

    There are as many worker slots as photos are worth having in flight: two on a GPU, one on the CPU, whose networks
    use all cores for one photo.

    Args:
        runtime_options: what runs the networks.
        options: how photos are read that are submitted without options of their own; as the digitizer does if None.
        waiting: photos that may wait for a slot; `submit` blocks while as many do.
        digitizer: an open one to use in place of `runtime_options`; the caller closes it.

    Raises:
        BackendError: the networks cannot be loaded.

    Example:
        >>> with DigitizerPool() as pool:  # doctest: +SKIP
        ...     first, second = pool.submit("a.jpg"), pool.submit("b.jpg", ReadOptions(speed=50))
        ...     record = first.result()
    """

    def __init__(
        self, runtime_options: RuntimeOptions | None = None, options: ReadOptions | None = None, *,
        waiting: int = 64, digitizer: Digitizer | None = None,
    ) -> None:  # fmt: skip
        from ecg_trt.digitizer import Digitizer

        with ExitStack() as stack:
            first = digitizer or stack.enter_context(Digitizer(runtime_options))
            self.options = first.options if options is None else options
            self._slots = stack.enter_context(SlotPool(first.with_replicas(), waiting, "ecg-trt-pool"))
            self._stack = stack.pop_all()

    @property
    def slots(self) -> int:
        """Number of photos that are digitized at a time."""
        return len(self._slots)

    def submit(self, photo: SourceOrGroup, options: ReadOptions | None = None) -> Future[EcgRecord]:
        """Digitize a photo in one of the worker slots, as soon as one is free.

        Args:
            photo: a path, encoded bytes or an (H, W, 3) uint8 RGB array; or a list or tuple of these, several photos of
                one page, which are read in one slot and give one record.
            options: of this photo, those of the pool if None.

        Returns:
            A future of the record; it raises what `Digitizer` raises.

        Raises:
            RuntimeError: the pool is closed.
        """
        chosen = options or self.options
        if isinstance(photo, (list, tuple)):
            return self._slots.submit(lambda slot: slot.merge(photo, chosen))
        return self._slots.submit(lambda slot: slot(cast("Source", photo), chosen))

    def close(self) -> None:
        """Cancel waiting photos, finish those in flight, and close the networks; more than once is fine."""
        self._stack.close()


def _merged(
    results: Iterable[EcgRecord | EcgTrtError], groups: deque[_Group]
) -> Iterator[EcgRecord | EcgTrtError]:  # fmt: skip
    """Merge the results of each group to one; a group is noted before its first photo is read."""
    answers: list[EcgRecord | EcgTrtError] = []
    for result in results:
        group = groups[0]
        if isinstance(result, DeviceFaultError):
            yield result
            continue  # Nothing comes after it but the error that ends the batch.
        answers.append(result)
        if len(answers) < len(group.names):
            continue
        groups.popleft()
        if group.names:
            try:
                result = merge_answers(group.names, answers, min_quality=group.min_quality)
            except EcgTrtError as error:
                result = error
        answers = []
        yield result


def _many(
    photos: Iterable[SourceOrGroup],
    options: ReadOptions | Iterable[ReadOptions] | None,
    runtime_options: RuntimeOptions | None,
    digitizer: Digitizer | None,
    read: Callable[[Digitizer, _Decoded], _Result],
    groups: deque[_Group] | None,
) -> Generator[_Result | EcgTrtError, None, None]:
    """Decode ahead and let each worker slot `read`; results keep the photos' order. Groups are noted in `groups`."""
    from ecg_trt.digitizer import Digitizer

    with ExitStack() as stack:
        first = digitizer or stack.enter_context(Digitizer(runtime_options))
        items, slots = _slots(_with_options(photos, first.options if options is None else options, groups), first)
        ahead = _AHEAD if len(slots) == 1 else min(max(len(slots), available_cores() - len(slots)), _MOST_AHEAD)
        # A single photo does not justify pinned memory.
        copy_to_pinned = first.runtime.ops.copy_to_pinned if len(slots) > 1 else None
        decode = partial(_decode, decoder=first.runtime.decoder, copy_to_pinned=copy_to_pinned)
        decoded = stack.enter_context(closing(_ordered(items, decode, ahead, ahead, "ecg-trt-decode")))
        if len(slots) == 1:  # This thread does the work: some drivers serve no other.
            yield from _until_a_fault(_guarded(read, first, photo) for photo in decoded)
        else:
            yield from _until_a_fault(stack.enter_context(closing(_in_slots(slots, decoded, read))))


def _with_options(
    photos: Iterable[SourceOrGroup], options: ReadOptions | Iterable[ReadOptions], groups: deque[_Group] | None
) -> Iterator[_Item]:
    """List the pages of each photo, in order, with their options, and note of each to which group it belongs."""
    is_one = isinstance(options, ReadOptions)
    each: Iterable[ReadOptions] = repeat(options) if isinstance(options, ReadOptions) else options
    for photo, own in zip(photos, each, strict=not is_one):
        if isinstance(photo, (list, tuple)):
            if groups is None or not photo:
                raise _bad_group(photo)
            pages = [page for part in photo for page in pages_of(part)]
            groups.append(_Group(tuple(map(name_of, pages)), own.min_quality))
            yield from ((page, replace(own, min_quality=0.0)) for page in pages)
            continue
        for page in pages_of(photo):
            if groups is not None:
                groups.append(_Group())
            yield page, own


def _bad_group(photos: Sequence[Source]) -> OptionError:
    return OptionError(
        "Photos of one page cannot be read together here",
        got=f"a group of {len(photos)} photos",
        expected="single photos, as no reading stands for several; for records, a group with a photo",
        hint="Call digitize_many, with a photo in each group.",
    )


def _slots(items: Iterator[_Item], first: Digitizer) -> tuple[Iterator[_Item], Sequence[Digitizer]]:
    """Choose the digitizers for a batch: a replica takes memory and time, too much for a single photo."""
    if first.slots == 1:
        return items, (first,)
    seen = list(islice(items, 2))
    return chain(seen, items), first.with_replicas() if len(seen) > 1 else (first,)


def _until_a_fault(results: Iterable[_Result | EcgTrtError]) -> Iterator[_Result | EcgTrtError]:
    """End a batch at the photo at which the GPU failed: CUDA rejects all later work of the process."""
    for result in results:
        yield result
        if isinstance(result, DeviceFaultError):
            raise DeviceFaultError(
                "The GPU has failed, and with it the batch",
                got=result.got,
                expected="success",
                hint="Start the program again, from this photo on; if it comes back, run with --backend ort.",
            ) from result


def _in_slots(
    slots: Sequence[Digitizer], decoded: Iterable[_Decoded], read: Callable[[Digitizer, _Decoded], _Result]
) -> Generator[_Result | EcgTrtError, None, None]:
    """Keep a photo in flight for every worker slot, and as many waiting, so that none idles meanwhile."""
    queue = SlotQueue(slots)

    def work(photo: _Decoded) -> _Result | EcgTrtError:
        return queue.lend(lambda slot: _guarded(read, slot, photo))

    yield from _ordered(decoded, work, len(slots), len(slots), "ecg-trt-slot")


def _ordered(
    items: Iterable[_Work], work: Callable[[_Work], _Result], threads: int, ahead: int, name: str
) -> Generator[_Result, None, None]:
    """Work on items in threads, `ahead` of the consumer, and yield the results in the items' order."""
    waiting: deque[Future[_Result]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:  # The consumer may stop early.
        pool.shutdown(wait=True, cancel_futures=True)


def _decode(item: _Item, decoder: PhotoDecoder | None, copy_to_pinned: Callable[[Array], Array] | None) -> _Decoded:
    """Decode a photo in a thread, as Pillow releases the GIL; only load it if a worker slot decodes it."""
    source, options = item

    def read() -> Photo | EncodedPhoto | Recording:
        encoded = None if decoder is None else load_photo(source)
        if decoder is not None and encoded is not None and decoder.takes(encoded.data):
            return encoded
        recording = read_recording(encoded or source)
        if recording is not None:
            return recording
        photo = read_photo(encoded or source, max_pixels=options.max_pixels, min_pixels=options.min_pixels)
        return photo if copy_to_pinned is None else replace(photo, image=copy_to_pinned(photo.image))

    start = time.perf_counter()
    photo: Photo | EncodedPhoto | Recording | EcgTrtError
    try:
        photo = read()
    except EcgTrtError as error:
        photo = error
    except Exception as error:
        photo = _unforeseen(error)
    return _Decoded(photo, 1e3 * (time.perf_counter() - start), options)


def _guarded(
    read: Callable[[Digitizer, _Decoded], _Result], digitizer: Digitizer, decoded: _Decoded
) -> _Result | EcgTrtError:
    if isinstance(decoded.photo, EcgTrtError):
        return decoded.photo
    try:
        return read(digitizer, decoded)
    except (InputError, PageError) as error:
        return error.with_traceback(None)  # It would keep the photo alive, thousands of times.
    except EcgTrtError as error:
        return error
    except Exception as error:
        return _unforeseen(error)


def _record(digitizer: Digitizer, decoded: _Decoded) -> EcgRecord:
    assert not isinstance(decoded.photo, EcgTrtError)
    if isinstance(decoded.photo, Recording):
        return _with_decode_time(record_of(decoded.photo, decoded.options.fs), decoded.decode_ms)
    return _with_decode_time(digitizer(decoded.photo, decoded.options), decoded.decode_ms)


def _reading(
    digitizer: Digitizer, decoded: _Decoded, *, corrections: Corrections | None
) -> Reading | EcgRecord:  # fmt: skip
    assert not isinstance(decoded.photo, EcgTrtError)
    if isinstance(decoded.photo, Recording):
        if corrections is not None:
            raise OptionError("The corrections cannot be applied", got=f"{decoded.photo.source}, a signal",
                              expected="a picture of a page", hint="Leave them out.")  # fmt: skip
        return _record(digitizer, decoded)
    reading = digitizer.read(decoded.photo, decoded.options, corrections)
    return replace(reading, record=_with_decode_time(reading.record, decoded.decode_ms))


def _with_decode_time(record: EcgRecord, decode_ms: float) -> EcgRecord:
    """Add the decoding time, which the digitizer cannot know, to a record's timings."""
    timings = {**record.timings_ms, "decode": decode_ms + record.timings_ms.get("decode", 0.0)}
    timings["total"] = sum(ms for step, ms in timings.items() if step != "total")
    return replace(record, timings_ms=timings)


def _unforeseen(error: Exception) -> EcgTrtError:
    """Wrap an unexpected error, so that a batch goes on."""
    wrapped = EcgTrtError(
        "Internal error",
        got=f"{type(error).__name__}: {error}",
        expected="a record, or an error that explains the photo's fault",
        hint="Please report it with the photo and the traceback (-v).",
    )
    wrapped.__cause__ = error
    return wrapped

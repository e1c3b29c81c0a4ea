"""Order, overlap, and one bad photo among good ones."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from functools import partial

import numpy as np
import pytest

from ecg_trt import batch
from ecg_trt.backends.fake import FakeBackend
from ecg_trt.backends.runtime import Runtime
from ecg_trt.batch import DigitizerPool, digitize_many, read_many
from ecg_trt.config import ReadOptions
from ecg_trt.digitizer import Digitizer
from ecg_trt.errors import (
    DeviceFaultError,
    DeviceMemoryError,
    EcgTrtError,
    NoEcgFoundError,
    OptionError,
    PhotoNotFoundError,
    UnknownFormatError,
)
from ecg_trt.io.readers.base import EncodedPhoto
from ecg_trt.io.readers.photo import read_photo
from ecg_trt.networks import READING_NETWORKS
from ecg_trt.ops.cv2_ops import Cv2Ops
from ecg_trt.record import EcgRecord
from ecg_trt.types import Photo


def test_order_and_bad_photos(fake_digitizer, photo_path, tools, tmp_path):
    blank = np.full((500, 700, 3), 200, np.uint8)
    photos = [photo_path, tmp_path / "no.jpg", blank, b"no image", photo_path.read_bytes(), tools.picture()]
    results = list(digitize_many(photos, ReadOptions(fs=250)))
    kinds = [EcgRecord, PhotoNotFoundError, NoEcgFoundError, UnknownFormatError, EcgRecord, EcgRecord]
    assert [type(result) for result in results] == kinds
    assert isinstance(results[0], EcgRecord)
    assert results[0].source == str(photo_path)
    assert results[0].timings_ms["decode"] > 0
    assert results[0].fs == 250


def test_a_bug_becomes_an_error_with_its_cause(fake_digitizer, tools, monkeypatch):
    def fail(*_args, **_kwargs):
        raise RuntimeError("decoder")

    bug = np.full((500, 700, 3), 13, np.uint8)
    good = tools.picture()
    first, second = digitize_many([bug, good])
    assert isinstance(first, EcgTrtError)
    assert isinstance(first.__cause__, ZeroDivisionError)
    assert isinstance(second, EcgRecord)
    monkeypatch.setattr("ecg_trt.batch.read_photo", fail)
    (third,) = digitize_many([good])
    assert isinstance(third, EcgTrtError) and isinstance(third.__cause__, RuntimeError)


def test_photos_are_taken_one_by_one(fake_digitizer, tools):
    taken = []

    def photos():
        for number in range(100):
            taken.append(number)
            yield tools.picture()

    results = digitize_many(photos())
    next(results)
    assert len(taken) == 2, "one in hand, one ahead"
    results.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("ecg-trt-decode")]


def test_decoding_overlaps_with_reading(fake_digitizer, tools, monkeypatch):
    """The second photo is decoded while the first is being read: each waits for the other to have started."""
    decoding_second = threading.Event()
    honest, calls = batch.read_photo, []  # type: ignore[attr-defined]

    def read_photo(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            decoding_second.set()
        return honest(*args, **kwargs)

    class Waiting(fake_digitizer):  # type: ignore[valid-type, misc]
        def read(self, source, options=None):
            assert decoding_second.wait(10)
            return super().read(source, options)

    monkeypatch.setattr(batch, "read_photo", read_photo)
    with Waiting() as digitizer:
        assert len(list(read_many([tools.picture(), tools.picture()], digitizer=digitizer))) == 2
    fake_digitizer.opened = 0  # the subclass kept its own count


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_photos_share_the_slots_and_keep_their_order(fake_digitizer, tools, monkeypatch, slots):
    """Every slot waits until all others are at work too: photos really are in flight together."""
    together, lock, busy = threading.Barrier(slots), threading.Lock(), []

    class Slow(fake_digitizer):  # type: ignore[valid-type, misc]
        def read(self, source, options=None):
            with lock:
                assert self not in busy, "two photos in one slot"
                busy.append(self)
            together.wait(10)
            if source.source == "<array>" and source.image.max() == 13:
                busy.remove(self)
                raise ZeroDivisionError("a bug")
            with lock:
                busy.remove(self)
            return super().read(source, options)

    monkeypatch.setattr(sys.modules["ecg_trt.digitizer"], "Digitizer", Slow)
    monkeypatch.setattr(Slow, "slots", slots)
    photos = [tools.picture(seed=k) for k in range(6)]
    photos[3] = np.full((500, 700, 3), 13, np.uint8)
    results = list(digitize_many(photos))
    assert [isinstance(result, EcgRecord) for result in results] == [True] * 3 + [False] + [True] * 2
    assert Slow.opened == 0
    assert not [t for t in threading.enumerate() if t.name.startswith("ecg-trt")]


def test_results_come_in_order_whoever_is_first(tools):
    first = threading.Event()

    def work(k):
        if k == 0:
            assert first.wait(10)
        else:
            first.set()
        return k

    assert list(batch._ordered(range(5), work, 2, 1, "ecg-trt-test")) == list(range(5))


def test_a_slot_that_is_done_early_goes_on(fake_digitizer, tools, tmp_path, monkeypatch):
    """The first photo waits for the third, which the other slot must begin by itself."""
    third = threading.Event()

    class Uneven(fake_digitizer):  # type: ignore[valid-type, misc]
        def read(self, source, options=None):
            number = int(source.source.removesuffix(".png")[-1])
            if number == 2:
                third.set()
            assert number or third.wait(10)
            return super().read(source, options)

    monkeypatch.setattr(sys.modules["ecg_trt.digitizer"], "Digitizer", Uneven)
    monkeypatch.setattr(Uneven, "slots", 2)
    paths = [tmp_path / f"{k}.png" for k in range(3)]
    for path in paths:
        path.write_bytes(tools.encode(tools.picture()))
    assert all(isinstance(result, EcgRecord) for result in digitize_many(paths))


def test_what_the_gpu_does_not_decode_is_decoded_ahead(fake_digitizer, photo_path, tools, tmp_path):
    """The slots get a JPEG as it is, and everything else as pixels; errors are those of the CPU."""
    seen = []

    class Decoder:
        def takes(self, data):
            seen.append(threading.current_thread().name)
            return data.startswith(b"\xff\xd8")

    class Slot(fake_digitizer):  # type: ignore[valid-type, misc]
        def read(self, source, options=None):
            got.append(type(source))
            return super().read(source if isinstance(source, Photo) else read_photo(source))

    got: list[type] = []
    with Slot() as digitizer:
        digitizer.runtime.decoder = Decoder()
        photos = [photo_path, tools.encode(tools.picture()), tools.picture(), b"no image", tmp_path / "no.jpg"]
        results = list(digitize_many(photos, digitizer=digitizer))
    assert got == [EncodedPhoto, Photo, Photo]
    assert [type(result) for result in results] == [EcgRecord] * 3 + [UnknownFormatError, PhotoNotFoundError]
    assert len(seen) == 3
    assert all(name.startswith("ecg-trt-decode") for name in seen)
    fake_digitizer.opened = 0  # the subclass kept its own count


def test_a_replica_is_opened_for_a_second_photo_alone(fake_digitizer, tools, monkeypatch):
    calls = []

    class Counting(fake_digitizer):  # type: ignore[valid-type, misc]
        slots = 2

        def with_replicas(self):
            calls.append(1)
            return super().with_replicas()

    with Counting() as digitizer:
        for count, opened in ((0, 0), (1, 0), (2, 1)):
            results = list(digitize_many((tools.picture() for _ in range(count)), digitizer=digitizer))
            assert [type(result) for result in results] == [EcgRecord] * count
            assert len(calls) == opened
    fake_digitizer.opened = 0  # the subclass kept its own count


@pytest.mark.parametrize("slots", [1, 2])
def test_photos_for_several_slots_are_staged_while_they_are_decoded(fake_digitizer, photo_path, tools, slots):
    threads = []

    def copy_to_pinned(image):
        threads.append(threading.current_thread().name)
        return np.full_like(image, 200)  # a photo without an ECG

    class Staging(fake_digitizer):  # type: ignore[valid-type, misc]
        pass

    Staging.slots = slots
    with Staging() as digitizer:
        digitizer.runtime.ops.copy_to_pinned = copy_to_pinned
        results = list(digitize_many([photo_path, b"no image", tools.picture()], digitizer=digitizer))
    expected = EcgRecord if slots == 1 else NoEcgFoundError
    assert [type(result) for result in results] == [expected, UnknownFormatError, expected]
    assert len(threads) == (0 if slots == 1 else 2)
    assert all(name.startswith("ecg-trt-decode") for name in threads)
    fake_digitizer.opened = 0  # the subclass kept its own count


@pytest.mark.parametrize("slots", [1, 2])
def test_errors_of_photos_keep_no_photos(fake_digitizer, tools, tmp_path, monkeypatch, slots):
    alive, honest = [], batch.read_photo  # type: ignore[attr-defined]

    def read_photo(*args, **kwargs):
        photo = honest(*args, **kwargs)
        alive.append(weakref.ref(photo.image))
        return photo

    monkeypatch.setattr(batch, "read_photo", read_photo)
    monkeypatch.setattr(fake_digitizer, "slots", slots)
    path = tmp_path / "photo.png"
    path.write_bytes(tools.encode(np.full((500, 700, 3), 200, np.uint8)))
    results = list(digitize_many([path] * 3))
    assert [type(result) for result in results] == [NoEcgFoundError] * 3
    gc.collect()
    assert all(photo() is None for photo in alive)


class Slots:
    """Runtimes that compute nothing, of which only so many fit."""

    def __init__(self, room):
        self.room, self.events = room, []

    def open(self):
        if len(self.events) == self.room:
            raise DeviceMemoryError("Full", got="nothing left", expected="memory", hint="Close what else runs.")
        self.events.append("open")
        number = len(self.events)
        backends = {name: FakeBackend(lambda feed: {}) for name in READING_NETWORKS}
        close = partial(self.events.append, f"close {number}")
        return Runtime("fake", backends, Cv2Ops(), on_close=close, open_replica=self.open)


def test_twins_are_kept_and_closed_first():
    slots = Slots(room=2)
    with slots.open() as runtime:
        digitizer = Digitizer(runtime=runtime)
        assert slots.events == ["open"]
        first, second = digitizer.with_replicas()
        assert first is digitizer
        assert digitizer.with_replicas() == (first, second)
        digitizer.close()
        digitizer.close()
    assert slots.events == ["open", "open", "close 2", "close 1"]


def test_without_memory_for_a_replica_one_slot_does_all_the_work(tools, caplog, monkeypatch):
    slots = Slots(room=1)
    monkeypatch.setattr(Digitizer, "__call__", lambda self, source, options: tools.record())
    with slots.open() as runtime, Digitizer(runtime=runtime) as digitizer, caplog.at_level("INFO", "ecg_trt"):
        results = list(digitize_many([tools.picture()] * 3, digitizer=digitizer))
    assert [type(result) for result in results] == [EcgRecord] * 3
    (line,) = caplog.records
    assert line.levelname == "INFO"
    assert "only 1 of 2 photos in flight: Full: got nothing left" in line.message


@pytest.mark.parametrize("slots", [1, 2])
def test_with_slots_no_more_photos_are_taken_than_are_needed(fake_digitizer, tools, monkeypatch, slots):
    taken = []

    def photos():
        for number in range(100):
            taken.append(number)
            yield tools.picture()

    monkeypatch.setattr(fake_digitizer, "slots", slots)
    monkeypatch.setattr(batch, "available_cores", lambda: 1)
    results = digitize_many(photos())
    next(results)
    # In each queue as many as may wait, and the one that was asked for.
    assert len(taken) == (2 if slots == 1 else 2 * slots + 1)
    results.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("ecg-trt")]


@pytest.mark.parametrize("slots", [1, 2])
def test_a_fault_of_the_gpu_ends_the_batch(fake_digitizer, tools, monkeypatch, slots):
    """Too little memory for one photo does not."""
    words = {"got": "CUDA_ERROR_ILLEGAL_ADDRESS", "expected": "success", "hint": "Start again."}

    class Failing(fake_digitizer):  # type: ignore[valid-type, misc]
        def read(self, source, options=None):
            level = source.image[0, 0, 0]
            if level == 1:
                raise DeviceMemoryError("Full", **words)
            if level == 2:
                raise DeviceFaultError("Failed", **words)
            return super().read(source, options)

    monkeypatch.setattr(sys.modules["ecg_trt.digitizer"], "Digitizer", Failing)
    monkeypatch.setattr(Failing, "slots", slots)
    photos = [tools.picture(), np.full((500, 700, 3), 1, np.uint8), tools.picture()]
    photos += [np.full((500, 700, 3), 2, np.uint8)] * 20
    results = digitize_many(photos)
    got = [next(results) for _ in range(4)]
    assert [type(result) for result in got] == [EcgRecord, DeviceMemoryError, EcgRecord, DeviceFaultError]
    with pytest.raises(DeviceFaultError, match="and with it the batch: got CUDA_ERROR_ILLEGAL_ADDRESS") as caught:
        next(results)
    assert caught.value.__cause__ is got[3]
    assert list(results) == []
    assert Failing.opened == 0
    assert not [t for t in threading.enumerate() if t.name.startswith("ecg-trt")]


def test_no_photos(fake_digitizer):
    assert list(digitize_many([])) == []


def test_a_broken_list_of_photos_closes_everything(fake_digitizer, tools):
    def photos():
        yield tools.picture()
        raise LookupError

    with pytest.raises(LookupError):
        list(digitize_many(photos()))


def test_each_photo_may_have_options_of_its_own(fake_digitizer, tools) -> None:
    options = [ReadOptions(fs=250), ReadOptions(fs=1000)]
    first, second = digitize_many([tools.picture(), tools.picture(seed=1)], options)
    assert isinstance(first, EcgRecord) and isinstance(second, EcgRecord)
    assert (first.fs, second.fs) == (250, 1000)
    with pytest.raises(ValueError, match="shorter"):
        list(digitize_many([tools.picture()] * 3, options))
    with pytest.raises(ValueError, match="shorter"):
        list(digitize_many([tools.picture()], []))


def test_a_pool_answers_any_thread(fake_digitizer, tools) -> None:
    with DigitizerPool(options=ReadOptions(fs=250), waiting=2) as pool:
        assert pool.slots == 1
        futures = [pool.submit(Photo(tools.picture(seed=k), "photo")) for k in range(4)]  # type: ignore[arg-type]
        fine = pool.submit(Photo(tools.picture(), "photo"), ReadOptions(fs=1000))  # type: ignore[arg-type]
        refused = pool.submit(Photo(np.full((500, 700, 3), 7, np.uint8), "grey"))  # type: ignore[arg-type]
        assert [future.result().fs for future in futures] == [250] * 4
        assert fine.result().fs == 1000
        with pytest.raises(NoEcgFoundError):
            refused.result()
    with pytest.raises(RuntimeError):
        pool.submit(tools.picture())
    with pytest.raises(OptionError, match="waiting"):
        DigitizerPool(waiting=0)


def test_a_pool_reads_as_its_digitizer_does(fake_digitizer, tools) -> None:
    digitizer = fake_digitizer(options=ReadOptions(fs=250))
    with DigitizerPool(digitizer=digitizer) as pool:
        assert pool.submit(Photo(tools.picture(), "photo")).result().fs == 250  # type: ignore[arg-type]

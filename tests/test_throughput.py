"""Order, overlap, and one bad photo among good ones."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest

from ecg_trt import throughput
from ecg_trt.config import Options
from ecg_trt.errors import EcgTrtError, NoEcgFoundError, NotAnImageError, PhotoNotFoundError
from ecg_trt.io.photo import EncodedPhoto, read_photo
from ecg_trt.throughput import digitize_many, read_many
from ecg_trt.types import EcgRecord, Photo


def test_order_and_bad_photos(fake_digitizer, photo_path, tools, tmp_path):
    blank = np.full((500, 700, 3), 200, np.uint8)
    photos = [photo_path, tmp_path / "no.jpg", blank, b"no image", photo_path.read_bytes(), tools.picture()]
    results = list(digitize_many(photos, Options(fs=250)))
    kinds = [EcgRecord, PhotoNotFoundError, NoEcgFoundError, NotAnImageError, EcgRecord, EcgRecord]
    assert [type(result) for result in results] == kinds
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
    monkeypatch.setattr("ecg_trt.throughput.read_photo", fail)
    (third,) = digitize_many([good])
    assert isinstance(third.__cause__, RuntimeError)


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
    honest, calls = throughput.read_photo, []

    def read_photo(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            decoding_second.set()
        return honest(*args, **kwargs)

    class Waiting(fake_digitizer):
        def digitize_with_views(self, source):
            assert decoding_second.wait(10)
            return super().digitize_with_views(source)

    monkeypatch.setattr(throughput, "read_photo", read_photo)
    with Waiting() as digitizer:
        assert len(list(read_many([tools.picture(), tools.picture()], Options(), digitizer))) == 2
    fake_digitizer.opened = 0  # the subclass kept its own count


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_photos_share_the_slots_and_keep_their_order(fake_digitizer, tools, monkeypatch, slots):
    """Every slot waits until all others are at work too: photos really are in flight together."""
    together, lock, busy = threading.Barrier(slots), threading.Lock(), []

    class Slow(fake_digitizer):
        def digitize_with_views(self, source):
            with lock:
                assert self not in busy, "two photos in one slot"
                busy.append(self)
            together.wait(10)
            if source.source == "<array>" and source.image.max() == 13:
                busy.remove(self)
                raise ZeroDivisionError("a bug")
            with lock:
                busy.remove(self)
            return super().digitize_with_views(source)

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

    assert list(throughput._ordered(range(5), work, 2, 1, "ecg-trt-test")) == list(range(5))


def test_a_slot_that_is_done_early_goes_on(fake_digitizer, tools, tmp_path, monkeypatch):
    """The first photo waits for the third, which the other slot must begin by itself."""
    third = threading.Event()

    class Uneven(fake_digitizer):
        def digitize_with_views(self, source):
            number = int(source.source.removesuffix(".png")[-1])
            if number == 2:
                third.set()
            assert number or third.wait(10)
            return super().digitize_with_views(source)

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

    class Slot(fake_digitizer):
        def digitize_with_views(self, source):
            got.append(type(source))
            return super().digitize_with_views(source if isinstance(source, Photo) else read_photo(source))

    got = []
    with Slot() as digitizer:
        digitizer.runtime.decoder = Decoder()
        photos = [photo_path, tools.encode(tools.picture()), tools.picture(), b"no image", tmp_path / "no.jpg"]
        results = list(digitize_many(photos, Options(), digitizer))
    assert got == [EncodedPhoto, Photo, Photo]
    assert [type(result) for result in results] == [EcgRecord] * 3 + [NotAnImageError, PhotoNotFoundError]
    assert len(seen) == 3
    assert all(name.startswith("ecg-trt-decode") for name in seen)
    fake_digitizer.opened = 0  # the subclass kept its own count


def test_no_photos(fake_digitizer):
    assert list(digitize_many([])) == []


def test_a_broken_list_of_photos_closes_everything(fake_digitizer, tools):
    def photos():
        yield tools.picture()
        raise LookupError

    with pytest.raises(LookupError):
        list(digitize_many(photos()))

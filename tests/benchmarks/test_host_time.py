"""Host time is what a photo takes without decoding, and without what the fake GPU works."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks.host_time import PausingDriver, host_ms, measure
from benchmarks.throughput_suite.workload import SamplePhoto, synthetic
from ecg_trt.digitizer import Digitizer


def busy(seconds: float) -> None:
    """Spend CPU time of this thread."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_the_clock_stands_still_while_the_fake_gpu_works() -> None:
    driver = PausingDriver()
    stream = driver.create_stream()
    start = driver.host_s()
    driver.queue_on(stream, lambda: busy(0.2))
    driver.sync_stream(stream)
    assert driver.worked_s >= 0.2
    assert driver.host_s() - start < 0.1
    busy(0.05)
    assert driver.host_s() - start >= 0.05
    driver.destroy_stream(stream)


def test_decoding_is_left_out() -> None:
    def digitize(file: bytes) -> Any:
        return SimpleNamespace(timings_ms={"decode": 60.0, "align": 2.0, "trace": float(len(file)), "total": 65.0})

    found = host_ms(cast(Digitizer, digitize), [SamplePhoto("one", b"123"), SamplePhoto("other", b"12345")], 2)
    assert found == {"align": [2.0] * 4, "trace": [3.0, 5.0] * 2, "host": [5.0, 7.0] * 2}


@pytest.mark.slow
def test_a_photo_is_measured() -> None:
    times = measure(synthetic((7,), width_px=2400), 1)
    assert {"align", "rectify", "refine", "scales", "trace", "signal", "host"} <= times.keys()
    assert 0 < times["host"][0] < 5000

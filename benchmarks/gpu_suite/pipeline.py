"""The whole pipeline by one backend, the answers of the CPU, and the decoder of photos."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any

import numpy as np

from benchmarks.common import ROOT
from benchmarks.gpu_suite.record import PartRecord, Unavailable
from benchmarks.gpu_suite.settings import Settings
from benchmarks.throughput_suite import gpu
from benchmarks.throughput_suite import measure as measuring
from benchmarks.throughput_suite.baselines import BASELINES
from benchmarks.throughput_suite.run import accuracy, reference_of
from benchmarks.throughput_suite.workload import SamplePhoto, synthetic
from ecg_trt.cuda import select as cuda_select
from ecg_trt.cuda.stream import Stream
from ecg_trt.io.readers.photo import read_photo
from ecg_trt.networks import READING_NETWORKS

_WARM_NETWORKS, _WARM_PHOTOS = 3, 1
_EXAMPLE = ROOT / "examples" / "photo.jpg"
_FAKE_SEED, _FAKE_WIDTH_PX = 6, 1800
_DECODINGS = 5


def reference(record: PartRecord, settings: Settings) -> None:
    """Digitize the photos by ONNX Runtime on the CPU, and keep the answers for the parts that follow."""
    photos = synthetic((_FAKE_SEED,), _FAKE_WIDTH_PX) if settings.is_fake else synthetic()
    if _EXAMPLE.exists() and not settings.is_fake:
        photos.append(SamplePhoto("examples/photo.jpg", _EXAMPLE.read_bytes()))
    began = time.monotonic()
    answers = reference_of(photos)
    settings.save_reference(photos, answers)
    record.add(photos=[photo.name for photo in photos], digitized_in_s=round(time.monotonic() - began, 1))
    record.add(**accuracy(photos, answers, answers))


def pipeline(name: str, record: PartRecord, settings: Settings) -> None:
    """Measure one backend: networks within the pipeline, steps of a photo, accuracy, photos a second, memory."""
    photos, answers = settings.load_reference()
    baseline = BASELINES[name]
    began = time.monotonic()
    with ExitStack() as stack:
        if reason := gpu.why_no_gpu():
            raise Unavailable(reason)
        device = stack.enter_context(gpu.Gpu())
        before = device.used_bytes()
        with baseline.enter(True) as entry:
            record.add(precision=baseline.precision, opened_in_s=round(time.monotonic() - began, 1))
            record.add(networks=measuring.networks(entry, READING_NETWORKS, settings.seconds, _WARM_NETWORKS))
            steps, got = measuring.one_by_one(entry, photos, settings.seconds, _WARM_PHOTOS)
            record.add(**steps)
            record.add(**accuracy(photos, answers, got))
        with baseline.enter(False) as entry:
            record.add(**measuring.sustained(entry, photos, settings.seconds, _WARM_PHOTOS))
            record.add(device_memory_mib=(device.used_bytes() - before) >> 20)


def decode_photos(record: PartRecord, settings: Settings) -> None:
    """Decode the photos on the GPU: time beside the CPU's, and how far the pixels are from the CPU's."""
    from ecg_trt.cuda.decode import GpuDecoder

    photos, _ = settings.load_reference()
    if reason := gpu.why_no_gpu():
        raise Unavailable(reason)
    driver = cuda_select.open_driver()
    try:
        with Stream(driver) as stream, GpuDecoder(driver, stream) as decoder:
            for photo in photos:
                record.step(photo.name, _decode, decoder, stream, photo.file)
    finally:
        driver.close()


def _decode(decoder: Any, stream: Stream, file: bytes) -> dict[str, Any]:
    began = time.perf_counter()
    expected = np.asarray(read_photo(file).image)
    cpu_ms = 1e3 * (time.perf_counter() - began)
    took, decoded = [], None
    for _ in range(_DECODINGS):
        began = time.perf_counter()
        decoded = decoder.decode(file)
        stream.sync()
        took.append(1e3 * (time.perf_counter() - began))
    if decoded is None:
        return {"left_to_cpu": True, "cpu_ms": round(cpu_ms, 2)}
    (pixels,) = decoder._memory.download(decoded)
    off = np.abs(pixels.astype(int) - expected)
    return {"ms": round(min(took), 2), "cpu_ms": round(cpu_ms, 2), "mean_off": round(float(off.mean()), 3),
            "max_off": int(off.max())}  # fmt: skip

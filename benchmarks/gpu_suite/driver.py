"""Every call of the driver on a real GPU: kernels compiled and loaded, graphs, pinned copies, launches, errors."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.gpu_suite.record import PartRecord
from benchmarks.gpu_suite.settings import Settings
from ecg_trt.cuda import compile as cuda_compile
from ecg_trt.cuda import select as cuda_select
from ecg_trt.cuda.driver import Driver
from ecg_trt.cuda.graph import Graph
from ecg_trt.cuda.kernel_set import Kernels
from ecg_trt.cuda.memory import DeviceBuffer, PinnedBuffer
from ecg_trt.cuda.stream import Event, Stream
from ecg_trt.errors import EcgTrtError
from ecg_trt.ops.cuda_ops import CudaOps

_COPY_BYTES, _FAKE_COPY_BYTES = 1 << 28, 1 << 16
_FILL_BYTES = 1 << 20
_PHOTO_HW, _VIEW_HW = (3000, 4000), (1200, 1600)
_EXPECTED_ERRORS = {"too much memory": "DeviceMemoryError", "no kernels": "DriverError"}


def driver_calls(record: PartRecord, settings: Settings) -> None:
    """Use every call of the driver, and time copies, graphs and launches."""
    driver = cuda_select.open_driver()
    try:
        record.add(device=str(driver.device), driver=driver.name)
        record.step("compile", _compile, driver)
        record.step("load", lambda: Kernels(driver).close())
        record.step("graphs", _graphs, driver, 5 if settings.is_fake else 200)
        record.step("pinned_copies", _copies, driver, _FAKE_COPY_BYTES if settings.is_fake else _COPY_BYTES)
        record.step("launches", _launches, driver, 2 if settings.is_fake else 500)
        if not settings.is_fake:
            record.step("errors", _errors, driver)
    finally:
        driver.close()


def _compile(driver: Driver) -> dict[str, Any]:
    began = time.monotonic()
    target = cuda_compile.target_of(driver.device.capability)
    sizes = {file: len(cuda_compile.cubin(file, target)) for file in cuda_compile.kernel_files()}
    return {"seconds": round(time.monotonic() - began, 2), "cubin_bytes": sizes}


def _graphs(driver: Driver, launches: int) -> dict[str, Any]:
    """Run work once as it is, once captured, then as a graph, which repeats what was captured."""
    with (
        Stream(driver) as stream,
        Event(driver) as start,
        Event(driver) as end,
        DeviceBuffer(driver, _FILL_BYTES) as device,
        PinnedBuffer(driver, _FILL_BYTES) as host,
    ):
        values, seen = iter((1, 2, 3, 4)), []

        def fill() -> None:
            driver.fill(device.handle, next(values), _FILL_BYTES, stream.handle)
            driver.copy_to_host(host.handle, device.handle, _FILL_BYTES, stream.handle)

        graph = Graph(driver, stream)
        for _ in range(4):
            graph.run("key", fill)
            stream.sync()
            seen.append(int(host.array[5]))
        start.record(stream)
        for _ in range(launches):
            graph.launch()
        end.record(stream)
        end.sync()
        graph.close()
        return {"seen": seen, "expected": [1, 2, 2, 2], "launch_us": round(1e3 * end.ms_since(start) / launches, 2)}


def _copies(driver: Driver, nbytes: int) -> dict[str, float]:
    with (
        Stream(driver) as stream,
        Event(driver) as start,
        Event(driver) as end,
        DeviceBuffer(driver, nbytes) as device,
        PinnedBuffer(driver, nbytes) as host,
    ):
        host.array[:] = 7

        def best(copy: Callable[[], None]) -> float:
            """GB/s of the fastest of five."""
            rates = []
            for _ in range(5):
                start.record(stream)
                copy()
                end.record(stream)
                end.sync()
                rates.append(1e-6 * nbytes / end.ms_since(start))
            return round(max(rates), 1)

        to_device = best(lambda: driver.copy_to_device(device.handle, host.handle, nbytes, stream.handle))
        to_host = best(lambda: driver.copy_to_host(host.handle, device.handle, nbytes, stream.handle))
        return {"to_device_gb_per_s": to_device, "to_host_gb_per_s": to_host}


def _launches(driver: Driver, count: int) -> dict[str, Any]:
    """Time a warp as the host queues it and as the GPU does it; and let another thread use the driver."""
    image = np.random.default_rng(0).integers(0, 256, (*_PHOTO_HW, 3), np.uint8)
    matrix = np.diag([0.4, 0.4, 1.0])
    with CudaOps(driver) as ops:
        photo: Any = ops.upload(image)
        for _ in range(2):
            ops.warp_homography(photo, matrix, _VIEW_HW)
        ops.stream.sync()
        began = time.perf_counter()
        for _ in range(count):
            ops.warp_homography(photo, matrix, _VIEW_HW)
        queued = time.perf_counter() - began
        ops.stream.sync()
        done = time.perf_counter() - began
        answers: list[float] = []
        thread = threading.Thread(target=lambda: answers.append(float(ops.download(photo)[0].mean())))
        thread.start()
        thread.join(60)
    per_call = 1e6 / count
    return {"warp_queued_us": round(per_call * queued, 1), "warp_done_us": round(per_call * done, 1),
            "other_thread_agrees": answers == [float(image.mean())]}  # fmt: skip


def _errors(driver: Driver) -> dict[str, Any]:
    calls: dict[str, Callable[[], object]] = {
        "too much memory": lambda: driver.malloc(1 << 42),
        "no kernels": lambda: driver.load_module(b"no cubin" * 9),
    }
    found = {}
    for name, call in calls.items():
        try:
            call()
            found[name] = "none"
        except EcgTrtError as error:
            found[name] = type(error).__name__
    return {"found": found, "expected": _EXPECTED_ERRORS}

"""Run by test_drivers in a process of its own: the pixel work through a real driver package. Prints what it found."""

from __future__ import annotations

import ctypes
import json
import sys
import threading
from typing import Any

import numpy as np

import ecg_trt.cuda.kernel_set
from ecg_trt.cuda.device import DeviceInfo, probe
from ecg_trt.cuda.driver import Driver
from ecg_trt.cuda.graph import Graph
from ecg_trt.cuda.memory import DeviceBuffer, PinnedBuffer
from ecg_trt.cuda.select import open_driver
from ecg_trt.cuda.stream import Event, Stream
from ecg_trt.errors import EcgTrtError
from ecg_trt.ops.cuda_ops import CudaOps
from ecg_trt.ops.cuda_work import Sizes

SMALL = Sizes(photo_px=64, view_px=64, page_px=64, tiles=1, tile_hw=(8, 8), heatmap_cells=64, heatmaps_bytes=64)


def refused(call: Any, *arguments: Any) -> str:
    try:
        call(*arguments)
    except EcgTrtError as error:
        return type(error).__name__
    return "nothing"


def copies(driver: Driver) -> dict[str, Any]:
    """Streams, events, memory and graphs."""
    found: dict[str, Any] = {}
    with (
        Stream(driver) as stream,
        Event(driver) as start,
        Event(driver) as end,
        DeviceBuffer(driver, 8) as source,
        DeviceBuffer(driver, 8) as device,
        PinnedBuffer(driver, 8) as host,
    ):

        def work(value: int) -> None:
            driver.fill(source.handle, value, 8, stream.handle)
            driver.copy_on_device(device.handle, source.handle, 8, stream.handle)
            driver.copy_to_host(host.handle, device.handle, 8, stream.handle)

        start.record(stream)
        work(7)
        end.record(stream)
        end.sync()
        found["bytes"], found["ms"] = host.array.tolist(), end.ms_since(start)
        graph = Graph(driver, stream)
        values = iter((1, 2, 3))
        for _ in range(3):
            graph.run("key", lambda: work(next(values)))
            stream.sync()
        found["after graphs"] = host.array.tolist()
        graph.close()
    return found


def pixels(driver: Driver) -> list[Any]:
    """A warp, by which a kernel's arguments of every kind have passed through."""
    setattr(ecg_trt.cuda.kernel_set, "cubin", lambda file, capability: b"\x7fELF" + bytes(64))  # noqa: B010
    image = np.random.default_rng(0).integers(0, 256, (9, 8, 3), np.uint8)
    with CudaOps(driver, sizes=SMALL) as ops:
        return ops.download(ops.warp_homography(image, np.diag([1.5, 1.25, 1.0]), (6, 5)))[0].tolist()


def main(name: str) -> None:
    device = probe()
    assert isinstance(device, DeviceInfo), device
    driver = open_driver(name)
    found = {"device": [driver.device.name, driver.device.capability], **copies(driver), "pixels": pixels(driver)}
    found["too much"] = refused(driver.malloc, 1 << 40)
    found["no cubin"] = refused(driver.load_module, b"nonsense, and nothing more than that")
    threads: list[str] = []

    def event() -> None:
        driver.destroy_event(driver.create_event())

    thread = threading.Thread(target=lambda: threads.append(refused(event)))
    thread.start()
    thread.join()
    found["another thread"] = threads[0]
    driver.close()
    driver.close()
    found["closed"] = refused(driver.malloc, 8)
    found["left"] = ctypes.CDLL("libcuda.so.1").stub_live()
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])

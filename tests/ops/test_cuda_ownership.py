"""Memory, slots and errors of the pixel work on the GPU."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ecg_trt.cuda.compile import kernel_files
from ecg_trt.cuda.kernel_set import Kernels
from ecg_trt.errors import (
    BackendError,
    DeviceError,
    DeviceFaultError,
    DeviceMemoryError,
    DriverError,
    OptionError,
)
from ecg_trt.layout import MARKED_WORDS
from ecg_trt.ops.base import TextMask
from ecg_trt.ops.cuda_ops import CudaOps
from ecg_trt.ops.select import open_cuda_ops
from ecg_trt.types import Array
from tests.cuda.fake_driver import FakeDriver
from tests.cuda.host_kernels import host_kernels
from tests.ops.parity import SMALL, bent_nodes, noise, places, ridge_logits


def test_a_larger_photo_makes_room_and_says_so(gpu: CudaOps, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "ecg_trt.cuda.memory"):
        small = gpu.upload(noise(4, 4, 3))
        assert not caplog.records
        gpu.upload(noise(40, 50, 3))
        told = [record.message for record in caplog.records]
        assert told == ["memory photo: from 192 to 6000 bytes", "memory pinned photo: from 192 to 6000 bytes"]
        caplog.clear()
        image = noise(30, 20, 3, seed=4)
        there = gpu.upload(image)
        image[:] = 0  # the caller may do so at once
        assert there.address == gpu.upload(noise(5, 5, 3)).address != small.address
        assert not caplog.records


def test_a_staged_photo_is_not_copied_twice(gpu: CudaOps, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, large = noise(4, 5, 3), noise(3, 2, 3, seed=1), noise(40, 50, 3, seed=2)
    staged = gpu.copy_to_pinned(first)
    assert (staged.shape, staged.dtype, staged.ndim) == ((4, 5, 3), np.uint8, 3)
    monkeypatch.setattr(gpu.memory, "upload", None)
    there = gpu.upload(staged)
    again = gpu.copy_to_pinned(second)  # in the same memory, once the copy is done
    assert np.array_equal(gpu.download(there)[0], first)
    assert np.array_equal(gpu.download(gpu.upload(again))[0], second)
    assert np.array_equal(gpu.download(gpu.upload(gpu.copy_to_pinned(large)))[0], large)
    with pytest.raises(BackendError, match="one that has left its pinned memory"):
        gpu.upload(staged)
    with pytest.raises(OptionError):
        gpu.copy_to_pinned(noise(4, 5, 3).astype(np.float32))


@pytest.mark.usefixtures("any_cubin")
def test_staged_photos_that_are_forgotten_make_room() -> None:
    driver = FakeDriver()
    with CudaOps(driver, sizes=SMALL) as gpu:
        photo, pinned = noise(4, 5, 3), driver.calls.count("malloc_host")
        staged = [gpu.copy_to_pinned(photo) for _ in range(20)]
        assert [one is photo for one in staged] == [False] * 8 + [True] * 12, "nobody waits for a place"
        del staged[:4]
        assert [gpu.copy_to_pinned(photo) is photo, gpu.copy_to_pinned(photo) is photo] == [False, False]
        assert driver.calls.count("malloc_host") == pinned + 8
    with pytest.raises(BackendError):
        staged[0].copy_to(None, None)
    assert gpu.copy_to_pinned(photo) is photo
    del staged
    assert gpu.copy_to_pinned(photo) is photo
    assert (driver.live, driver.faults) == ({}, [])


@pytest.mark.usefixtures("any_cubin")
def test_slots_upload_what_another_has_staged_in_other_threads() -> None:
    driver = FakeDriver(host_kernels())
    with CudaOps(driver, sizes=SMALL) as one, CudaOps(driver, sizes=SMALL) as two, ThreadPoolExecutor(4) as pool:
        photos = [noise(9, 7, 3, seed=k) for k in range(40)]
        for k, staged in enumerate(pool.map(one.copy_to_pinned, photos)):
            slot = (one, two)[k % 2]
            assert np.array_equal(slot.download(slot.upload(staged))[0], photos[k])
    assert (driver.live, driver.faults) == ({}, [])


@pytest.mark.usefixtures("any_cubin")
@pytest.mark.parametrize(("code", "error"), [("OUT_OF_MEMORY", None), ("ILLEGAL_ADDRESS", DeviceFaultError)])
def test_what_cannot_be_staged(code: str, error: type[DeviceError] | None, caplog: pytest.LogCaptureFixture) -> None:
    """Without more pinned memory a photo waits where it is; no place is lost."""
    photo = noise(4, 5, 3)
    driver = FakeDriver()
    with CudaOps(driver, sizes=SMALL) as gpu:
        driver._fail_at, driver._code = len(driver.calls) + 3, code  # after the event's two calls
        with caplog.at_level(logging.INFO, "ecg_trt.cuda.staging"):
            if error is None:
                assert gpu.copy_to_pinned(photo) is photo
                assert "not pinned: The GPU's memory is used up" in caplog.text
            else:
                with pytest.raises(error):
                    gpu.copy_to_pinned(photo)
        assert driver.calls[-1] == "malloc_host"
        held = [gpu.copy_to_pinned(photo) for _ in range(8)]
        assert not any(one is photo for one in held)
        driver.any_thread = False
        assert gpu.copy_to_pinned(photo) is photo
    assert (driver.live, driver.faults) == ({}, [])


def everything(driver: FakeDriver) -> list[Array]:
    """One pass through all that `CudaOps` does, in memory that has to grow."""
    logits, nodes = ridge_logits(1, 50, 12), bent_nodes(4, 4, 12.0)
    with CudaOps(driver, sizes=SMALL) as gpu:
        photo = gpu.upload(gpu.copy_to_pinned(noise(40, 41, 3)))
        out = list(gpu.download(gpu.warp_homography(photo, np.diag([0.4, 0.4, 1.0]), (16, 16)), gpu.grey(photo)))
        page, seen = gpu.rectify(photo, nodes, 5.0, (0.0, 0.0), (3.0, 3.0), (40, 40))
        out += gpu.download(page, seen, gpu.crop_tiles(page, np.array([[3, 4]]), (8, 8)))
        offsets = gpu.line_offsets(page, (3.0, 3.0), places([5.0, 10.0], [5.0]))
        out += [offsets.x, offsets.y, np.array(gpu.grid_orientation(photo, np.eye(3), (30, 31)))]
        out += gpu.ridge(logits, TextMask(np.eye(3), np.zeros((1, 50)), np.zeros((1, 12)), 3.0))
        out += gpu.node_candidates(logits[0], np.zeros((2, 50, 12), np.float32), 0.3, 4)
        out += gpu.page_heatmaps({"label": logits}, nodes, 5.0, 4).values()
    gpu.close()
    return out


@pytest.mark.usefixtures("any_cubin")
@pytest.mark.parametrize(
    ("code", "error", "every"),
    [
        ("ILLEGAL_ADDRESS", DeviceFaultError, 1),
        ("OUT_OF_MEMORY", DeviceMemoryError, 7),
        ("NO_BINARY_FOR_GPU", DriverError, 11),
    ],
)
def test_whichever_call_fails_nothing_is_left_behind(
    code: str, error: type[DeviceError], every: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ecg_trt")
    whole = FakeDriver()
    everything(whole)
    assert whole.live == {}
    assert whole.faults == []
    ends = {"unload_module", "free", "free_host", "destroy_stream", "destroy_event"}
    assert ends < set(whole.calls)
    for k, name in list(enumerate(whole.calls, 1))[::every]:
        driver = FakeDriver(fail_at=k, code=code)
        caplog.clear()
        if name in ends:  # giving back fails: told, and the rest is given back all the same
            everything(driver)
            assert "not given back" in caplog.text
        else:
            try:
                everything(driver)
            except error as raised:
                assert f"CUDA_ERROR_{code} from {name}" in str(raised)
            else:  # a photo can do without a place in pinned memory, and nothing else can
                assert error is DeviceMemoryError and "memory that is not pinned" in caplog.text, name
        assert driver.live == {}, f"after {name} failed"
        assert driver.faults == []


@pytest.mark.usefixtures("any_cubin")
def test_slots_share_kernels_and_nothing_else() -> None:
    driver = FakeDriver(host_kernels())
    with (
        Kernels(driver) as kernels,
        CudaOps(driver, kernels, SMALL) as one,
        open_cuda_ops(driver, kernels, SMALL) as two,
    ):
        first, second = one.upload(noise(4, 4, 3)), two.upload(noise(4, 4, 3, seed=1))
        assert one.stream.handle != two.stream.handle
        assert np.array_equal(one.download(first)[0], noise(4, 4, 3))
        assert np.array_equal(two.download(second)[0], noise(4, 4, 3, seed=1))
        assert driver.calls.count("load_module") == len(kernel_files())
    assert driver.live == {}


@pytest.mark.usefixtures("any_cubin")
def test_nothing_is_allocated_for_a_usual_photo() -> None:
    driver = FakeDriver()  # without kernels: all counts stay 0
    nodes, logits = bent_nodes(50, 66, 50.0), np.zeros((8, 320, 2688), np.float32)
    planes = {"zero": 1, "start": 1, "end": 1, "pulse": 1, "label": len(MARKED_WORDS)}
    maps = [np.zeros((n, 320, 320), np.float32) for n in (*planes.values(), 1, 2)]
    names = (*(f"{name} logits" for name in planes), "node logits", "node offsets")
    with CudaOps(driver) as gpu:
        *heat, node, offset = (gpu.memory.upload(name, a) for name, a in zip(names, maps, strict=True))  # the networks'
        ridge, before = gpu.memory.upload("ridge logits", logits), driver.calls.count("malloc")
        photo = gpu.upload(noise(3000, 4000, 3))
        gpu.warp_homography(photo, np.eye(3), (1280, 1280))
        gpu.grid_orientation(photo, np.diag([0.4, 0.4, 1.0]), (1200, 1333))
        gpu.node_candidates(node.reshape(320, 320), offset, 0.3, 4)
        gpu.page_heatmaps(dict(zip(planes, heat, strict=True)), nodes, 5.0, 4)
        page, _ = gpu.rectify(photo, nodes, 5.0, (-2.0, -3.0), (10.0, 4.5), (1220, 3270))
        gpu.line_offsets(page, (10.0, 4.5), places(5.0 * np.arange(66), 5.0 * np.arange(50)))
        page, _ = gpu.rectify(photo, nodes, 5.0, (-2.0, -3.0), (20.0, 4.5), (1220, 6540))
        gpu.crop_tiles(page, np.zeros((8, 2)), (320, 2688))
        gpu.ridge(ridge, TextMask(np.ones((330, 330)), np.zeros((8, 320)), np.zeros((8, 2688)), 3.0))
        assert driver.calls.count("malloc") == before
    assert driver.faults == []
    assert driver.live == {}

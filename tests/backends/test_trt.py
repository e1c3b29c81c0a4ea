"""The TensorRT runtime on a fake GPU: what it calls, what it owns, what it answers, and how it fails."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ecg_trt.backends.select as select
from build_engines.export import Precision, export
from ecg_trt.backends.runtime import Runtime
from ecg_trt.backends.select import open_runtime
from ecg_trt.cuda.driver import device_error
from ecg_trt.engines.manifest import Flavour
from ecg_trt.errors import (
    BackendError,
    BackendUnavailableError,
    DeviceError,
    DeviceMemoryError,
    DriverError,
    EcgTrtError,
    PlanCorruptError,
    PlanMismatchError,
    PlanMissingError,
)
from ecg_trt.networks import NETWORKS
from ecg_trt.types import Array
from ecg_trt.weights import weights_path
from tests.backends.fake_gpu import GPU, move_in, plug_in, save_plans
from tests.backends.fake_tensorrt import ACTIVATION_BYTES, make_runtime
from tests.cuda.fake_driver import FakeDriver
from tests.make_onnx import as_float
from tests.ops.parity import SMALL, noise


@pytest.fixture(scope="module")
def networks() -> dict[str, bytes]:
    """One of the shipped networks, and others that compute nothing; FP32, as ONNX Runtime computes FP16 in FP32 too."""
    real = export(weights_path("stage0"), Precision.FP32, NETWORKS["stage0"].shapes)
    others = {name: as_float((1 + k, 8, 8, 3)) for k, name in enumerate([*NETWORKS][1:])}
    return {"stage0": real, **others}


@pytest.fixture
def use_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    move_in(monkeypatch, tmp_path)
    return partial(plug_in, monkeypatch)


@pytest.fixture
def driver() -> Iterator[FakeDriver]:
    driver = FakeDriver()
    yield driver
    assert driver.live == {}
    assert driver.faults == []
    assert driver.closed


@pytest.fixture(scope="module")
def tile() -> Array:
    return np.random.default_rng(0).integers(0, 256, NETWORKS["stage0"].shapes["image"], np.uint8)


@pytest.mark.parametrize(("flavour", "is_old"), [("rtx", False), ("trt", False), ("trt", True)])
def test_a_network_answers_as_on_the_cpu(
    flavour: str, is_old: bool, networks: dict[str, bytes], use_gpu: Any, driver: FakeDriver, tile: Array
) -> None:
    trt = use_gpu(driver, name=Flavour(flavour).module, is_old=is_old)
    save_plans(networks, flavour)
    with open_runtime(flavour) as runtime, open_runtime("ort", threads=1) as cpu:
        assert runtime.name == flavour
        network = runtime.backends["stage0"]
        expected = cpu.backends["stage0"].infer({"image": tile})
        for _ in range(3):
            got = network.infer({"image": tile})
            assert all(np.allclose(got[name], expected[name], atol=1e-4) for name in expected)
        there = runtime.ops.upload(tile[0]).reshape(*tile.shape)
        on_gpu = network.infer({"image": there})
        back = runtime.ops.download(*on_gpu.values())
        assert all(np.array_equal(a, got[name]) for a, name in zip(back, on_gpu, strict=True))
        with pytest.raises(BackendError, match="image uint8"):
            network.infer({"image": tile[:, :-1]})
    with pytest.raises(BackendError, match="closed"):
        network.infer({"image": tile})
    assert trt.calls.count("create_execution_context") == len(NETWORKS)
    assert bool(trt.given) != is_old, "contexts of an old TensorRT allocate their memory"


def test_each_network_is_captured_once(
    networks: dict[str, bytes], use_gpu: Any, driver: FakeDriver, tile: Array
) -> None:
    trt = use_gpu(driver)
    save_plans(networks)
    with open_runtime("rtx") as runtime:
        captured = driver.calls.count("end_capture")
        assert captured == len(NETWORKS)
        enqueued = trt.calls.count("execute_async_v3")
        photo = runtime.ops.upload(tile[0])
        height, width = NETWORKS["stage0"].shapes["image"][1:3]
        for _ in range(4):  # where the pixel work leaves it: the very addresses that were captured
            view = runtime.ops.warp_homography(photo, np.eye(3), (height, width))
            runtime.backends["stage0"].infer({"image": view.reshape(1, *view.shape)})
        assert driver.calls.count("end_capture") == captured
        assert trt.calls.count("execute_async_v3") == enqueued
        runtime.ops.upload(np.zeros((3000, 5000, 3), np.uint8))  # the photo's memory grows; no network knows of it
        allocated = driver.calls.count("malloc")
        runtime.backends["stage0"].infer({"image": view.reshape(1, *view.shape)})
        assert (driver.calls.count("malloc"), driver.calls.count("end_capture")) == (allocated, captured)


@pytest.mark.parametrize("how", [{"graphs": False}, {"capturable": False}])
def test_without_graphs(how: dict[str, bool], networks: dict[str, bytes], use_gpu: Any, tile: Array) -> None:
    driver = FakeDriver(graphs=how.pop("graphs", True))
    trt = use_gpu(driver, **how)
    save_plans(networks)
    with open_runtime("rtx") as runtime:
        before = trt.calls.count("execute_async_v3")
        for _ in range(3):
            runtime.backends["stage0"].infer({"image": tile})
        assert trt.calls.count("execute_async_v3") == before + 3
    assert "begin_capture" not in driver.calls
    assert driver.live == {}


def test_the_runtime_cache_is_kept(
    networks: dict[str, bytes], use_gpu: Any, driver: FakeDriver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    use_gpu(driver)
    save_plans(networks)
    open_runtime("rtx").close()
    kept = sorted((tmp_path / "runtime_cache").glob("*_sm90.cache"))
    assert [path.read_bytes() for path in kept] == [b"compiled"] * len(NETWORKS)
    kept[0].write_bytes(b"of another GPU")
    with caplog.at_level("INFO", "ecg_trt"):
        open_runtime("rtx").close()
    assert "starts anew" in caplog.text
    assert kept[0].read_bytes() == b"compiled"


def test_slots_share_engines_and_nothing_else(
    networks: dict[str, bytes], use_gpu: Any, driver: FakeDriver, tile: Array
) -> None:
    trt = use_gpu(driver)
    save_plans(networks)
    with open_runtime("rtx") as first:
        assert first.slots == 2
        with first.replica() as second:
            assert trt.calls.count("deserialize_cuda_engine") == len(NETWORKS)
            assert trt.calls.count("create_execution_context") == 2 * len(NETWORKS)
            a, b = (slot.backends["stage0"].infer({"image": tile}) for slot in (first, second))
            assert all(np.array_equal(a[name], b[name]) for name in a)
        assert np.array_equal(first.backends["stage0"].infer({"image": tile})["page"], a["page"])
    with open_runtime("ort", threads=1) as cpu:
        assert cpu.slots == 1
        with pytest.raises(BackendError, match="second worker slot"):
            cpu.replica()


@pytest.mark.parametrize("flavour", ["rtx", "trt"])
def test_networks_of_a_slot_run_in_one_block_of_memory(
    flavour: str, networks: dict[str, bytes], use_gpu: Any, driver: FakeDriver, tile: Array
) -> None:
    """Each slot's is as large as the largest network needs, and lives as long as graphs are launched that write it."""
    trt = use_gpu(driver, name=Flavour(flavour).module)
    save_plans(networks, flavour)
    largest = ACTIVATION_BYTES * (len(NETWORKS) - 1)  # the largest batch of `networks`
    with open_runtime(flavour) as first:
        (block,) = set(trt.given)
        assert block[1] == largest and driver.live[block[0]] == "device memory"
        assert len(trt.given) == len(NETWORKS)
        with first.replica() as second:
            (other,) = set(trt.given[len(NETWORKS) :])
            assert other[1] == largest and other[0] != block[0]
            for slot in (first, second):
                launched = driver.calls.count("launch_graph")
                for _ in range(3):  # at an address other than the warm-up's: queued, captured and launched, launched
                    slot.backends["stage0"].infer({"image": tile})
                assert driver.calls.count("launch_graph") == launched + 2
        assert block[0] in driver.live and other[0] not in driver.live
        first.backends["stage0"].infer({"image": tile})
        del driver.calls[:]
    assert driver.calls.index("destroy_executable") < driver.calls.index("free")


def one_pass() -> None:
    with open_runtime("rtx") as runtime, runtime.replica() as replica:
        for slot in (runtime, replica):
            slot.backends["stage0"].infer({"image": noise(1, 8, 8, 3)})


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Networks and memory so small that all can be opened hundreds of times."""
    import_module("ecg_trt.backends.trt")  # Else it would keep the sizes that are patched here.
    monkeypatch.setattr("ecg_trt.ops.cuda_work.Sizes", lambda: SMALL)
    return {name: as_float((1, 8, 8, 3)) for name in NETWORKS}


def test_every_call_of_tensorrt_may_fail(small: dict[str, bytes], use_gpu: Any) -> None:
    whole = use_gpu(FakeDriver())
    save_plans(small)
    one_pass()
    assert len(whole.calls) > 30
    # Without the cache the next start is slow; what cannot be captured runs without a graph.
    harmless = ("set_runtime_cache", "execute_async_v3")
    for k in range(1, len(whole.calls) + 1):
        driver = FakeDriver()
        trt = use_gpu(driver, fail_at=k)
        try:
            one_pass()
        except EcgTrtError as error:
            assert isinstance(error, (DeviceError, PlanMismatchError)), (k, trt.calls[-1])
            assert error.hint
        else:
            assert trt.calls[k - 1] in harmless, trt.calls[k - 1]
        assert driver.live == {} and driver.faults == [] and driver.closed, (k, trt.calls[k - 1])


def test_every_call_of_the_driver_may_fail(small: dict[str, bytes], use_gpu: Any) -> None:
    whole = FakeDriver()
    use_gpu(whole)
    save_plans(small)
    one_pass()
    for k in range(1, len(whole.calls) + 1):
        driver = FakeDriver(fail_at=k)
        use_gpu(driver)
        try:
            one_pass()
        except DeviceError as error:
            assert error.hint
        assert driver.live == {} and driver.faults == [] and driver.closed, (k, whole.calls[k - 1])
        assert len(driver.calls) >= k


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"version": "1.6.9"}, PlanMismatchError, "TensorRT version 1.6.9.*ecg-trt build --flavour rtx"),
        ({"capability": "8.6"}, PlanMismatchError, "compute capability 8.6.*--compute-capability 9.0"),
        ({"onnx_sha256": "f" * 64}, PlanMismatchError, "ONNX"),
    ],
)
def test_plans_for_something_else(
    changes: dict[str, str], error: type[EcgTrtError], words: str, small: dict[str, bytes], use_gpu: Any,
    driver: FakeDriver,
) -> None:  # fmt: skip
    use_gpu(driver)
    save_plans(small, **changes)
    with pytest.raises(error, match=words):
        open_runtime("rtx")
    with open_runtime("auto", threads=1) as runtime:
        assert runtime.name == "ort"
        assert "\n" not in runtime.note and "trt (tensorrt is not installed" in runtime.note
        assert "rtx (The plan" in runtime.note and "ecg-trt build" in runtime.note


def test_no_plans_bad_plans_and_fp32_plans(small: dict[str, bytes], use_gpu: Any, driver: FakeDriver) -> None:
    use_gpu(driver)
    with pytest.raises(PlanMissingError, match="ecg-trt build"):
        open_runtime("rtx")
    store = save_plans(small, precision="fp32")
    open_runtime("rtx").close()
    plan = next(store.root.glob("stage1*.plan"))
    whole = plan.read_bytes()
    for damage in (whole[:-1], whole[:-1] + b"!", b"no plan"):
        plan.write_bytes(damage)
        with pytest.raises(PlanCorruptError, match="Build it again"):
            open_runtime("rtx")


def test_a_plan_whose_tensors_are_not_its_manifest_s(small: dict[str, bytes], use_gpu: Any, driver: FakeDriver) -> None:
    use_gpu(driver)
    store = save_plans(small)
    manifest = store.plans()[0].manifest
    assert manifest is not None
    plan = b"vtrt" + as_float((1, 8, 9, 3))
    store.save(replace(manifest, plan_sha256=hashlib.sha256(plan).hexdigest(), plan_bytes=len(plan)), plan)
    with pytest.raises(PlanCorruptError, match="as in its manifest"):
        open_runtime("rtx")


def refuse_memory(nbytes: int) -> int:
    raise device_error("malloc", "OUT_OF_MEMORY")


def test_a_replica_that_does_not_fit_harms_nobody(
    networks: dict[str, bytes], use_gpu: Any, driver: FakeDriver, tile: Array
) -> None:
    use_gpu(driver)
    save_plans(networks)
    with open_runtime("rtx") as runtime:
        before = runtime.backends["stage0"].infer({"image": tile})
        driver.malloc = refuse_memory  # type: ignore[method-assign]
        with pytest.raises(DeviceMemoryError):
            runtime.replica()
        after = runtime.backends["stage0"].infer({"image": tile})
        assert all(np.array_equal(before[name], after[name]) for name in before)


def test_a_gpu_that_rtx_does_not_list_is_served_by_plans_for_any(
    small: dict[str, bytes], use_gpu: Any, driver: FakeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    trt = use_gpu(driver)
    monkeypatch.delattr(trt.ComputeCapability, "SM90")
    with pytest.raises(PlanMissingError, match=r"ecg-trt build --flavour rtx .*--compute-capability any"):
        open_runtime("rtx")
    save_plans(small, capability="any")
    open_runtime("rtx").close()
    monkeypatch.setattr(trt.Runtime, "deserialize_cuda_engine", lambda self, plan: None)
    with pytest.raises(PlanMismatchError, match=r"Use --backend trt or ort\.$"):
        open_runtime("rtx")


def test_a_trt_plan_for_any_gpu_serves_from_ampere_on(
    small: dict[str, bytes], use_gpu: Any, driver: FakeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    trt = use_gpu(driver, name="tensorrt")
    save_plans(small, "trt", capability="any")
    open_runtime("trt").close()
    with monkeypatch.context() as patch:
        patch.setattr(trt.Runtime, "deserialize_cuda_engine", lambda self, plan: None)
        with pytest.raises(PlanMismatchError, match=r"--flavour trt .*--hardware-compat ampere\+$"):
            open_runtime("trt")
    monkeypatch.setattr(driver, "device", replace(GPU, capability=(7, 5)))
    with pytest.raises(PlanMismatchError, match=r"got compute capability any; expected compute capability 7\.5"):
        open_runtime("trt")


def test_a_gpu_that_no_rtx_plan_serves(small: dict[str, bytes], use_gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = FakeDriver()
    use_gpu(driver)
    monkeypatch.setattr(driver, "device", replace(GPU, capability=(7, 5)))
    save_plans(small, capability="any")
    with pytest.raises(BackendUnavailableError, match=r"7\.5.*lists: 8\.6, 9\.0, 12\.0.*--backend trt or ort"):
        open_runtime("rtx")


def test_a_library_that_fails_in_a_way_of_its_own(
    small: dict[str, bytes], use_gpu: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    driver = FakeDriver()
    trt = use_gpu(driver)
    save_plans(small)
    monkeypatch.setattr(trt, "Runtime", None)
    with pytest.raises(DriverError, match="NoneType"):
        open_runtime("rtx")
    monkeypatch.setattr(trt, "CudaGraphStrategy", None)
    monkeypatch.setattr(trt, "Runtime", make_runtime(driver).Runtime)
    with open_runtime("auto", threads=1) as runtime:
        assert runtime.name == "ort" and "rtx ('NoneType'" in runtime.note
    assert "Traceback" in caplog.text
    assert driver.live == {}


def test_no_gpu_and_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "probe", lambda: "no NVIDIA driver")
    for flavour in ("rtx", "trt"):
        with pytest.raises(BackendUnavailableError, match=rf"no NVIDIA driver.*\.\[{flavour},cuda,build\]"):
            open_runtime(flavour)
    with open_runtime("auto", threads=1) as runtime:
        assert (runtime.name, runtime.note) == ("ort", "trt, rtx (no NVIDIA driver)")
    monkeypatch.setattr(select, "probe", lambda: GPU)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BackendUnavailableError, match="tensorrt_rtx is not installed"):
        open_runtime("rtx")


def test_a_plain_runtime_closes_its_networks() -> None:
    with open_runtime("ort", threads=1) as cpu:
        backends = dict(cpu.backends)
        with Runtime("mine", backends, cpu.ops) as mine:
            assert mine.slots == 1
    with pytest.raises(BackendError, match="closed"):
        backends["stage0"].infer({})


def test_one_plan_alone_for_the_gpu_at_hand(
    networks: dict[str, bytes], use_gpu: Any, driver: FakeDriver, tile: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_gpu(driver)
    store = save_plans(networks)
    plans = {plan.manifest.key.stage: store.load(plan.manifest.key) for plan in store.plans() if plan.manifest}
    plan, manifest = plans["stage0"]
    opened = select.open_plan(plan, manifest)
    assert opened is not None
    with opened as network, open_runtime("ort", threads=1) as cpu:
        got, expected = network.infer({"image": tile}), cpu.backends["stage0"].infer({"image": tile})
        assert all(np.allclose(got[name], expected[name], atol=1e-4) for name in expected)
    assert select.open_plan(plan, replace(manifest, key=replace(manifest.key, capability="8.6"))) is None
    assert select.open_plan(plan, replace(manifest, key=replace(manifest.key, capability="any"))) is not None
    monkeypatch.setattr(select, "probe", lambda: "no NVIDIA driver")
    assert select.open_plan(plan, manifest) is None

"""Each network alone on the static shape of its plan: by torch in several ways, and by TensorRT; and the roofline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks.common import spread
from benchmarks.gpu_suite.record import PartRecord, Unavailable
from benchmarks.gpu_suite.settings import Settings
from benchmarks.throughput_suite.floor import cuda_rates, demand, floor_ms
from benchmarks.throughput_suite.step_timers import LabelledBackend
from benchmarks.throughput_suite.timed_driver import TimedDriver
from benchmarks.throughput_suite.torch_backend import prepare_network
from build_engines.verify import compare, draw_feed
from ecg_trt.backends.ort import OrtBackend
from ecg_trt.backends.trt import open_plan_alone
from ecg_trt.cuda import select as cuda_select
from ecg_trt.engines.manifest import Manifest
from ecg_trt.engines.store import PlanStore, StoredPlan, checked_plan
from ecg_trt.networks import READING_NETWORKS
from ecg_trt.weights import weights_path

_RUNS, _WARM_RUNS = 60, 5
_FAKE_RUNS = 1
_DIGITS = 4
# Mode: precision, TF32 in convolutions and products, CUDA graph, mode of torch.compile.
_MODES = {
    "fp16 graphs": ("fp16", True, True, ""),
    "fp16 eager": ("fp16", True, False, ""),
    "tf32 graphs": ("fp32", True, True, ""),
    "tf32 eager": ("fp32", True, False, ""),
    "fp32 eager": ("fp32", False, False, ""),
}
_COMPILED = {"fp16 compiled graphs": ("fp16", True, True, "default")}


def rates(record: PartRecord, settings: Settings) -> None:
    """Measure what the GPU copies and multiplies, and from that the least time of each network."""
    measured = cuda_rates()
    if measured is None:
        raise Unavailable("no GPU")
    record.add(**measured.as_json())
    for stage, spec in READING_NETWORKS.items():
        need = demand(weights_path(stage), spec.shapes, "fp16")
        floor = floor_ms(need, measured, "fp16")["floor_ms"]
        record.add(floor_ms={**record.figures.get("floor_ms", {}), stage: round(float(floor or 0.0), _DIGITS)})


def by_torch(record: PartRecord, settings: Settings) -> None:
    """Time the networks by torch: eager and as CUDA graphs, in FP16, TF32 and FP32."""
    _torch_modes(record, settings, _MODES)


def compiled(record: PartRecord, settings: Settings) -> None:
    """Time the networks by torch.compile, as CUDA graphs."""
    _torch_modes(record, settings, _COMPILED)


def _torch_modes(record: PartRecord, settings: Settings, modes: dict[str, tuple[str, bool, bool, str]]) -> None:
    torch: Any = _torch_with_cuda()
    with torch.inference_mode():
        inputs = {stage: torch.from_numpy(draw_feed(spec)["image"]).cuda() for stage, spec in READING_NETWORKS.items()}
        _set_tf32(torch, False)
        truth = {
            stage: {name: value.float().clone() for name, value in prepare_network(stage)(image).items()}
            for stage, image in inputs.items()
        }
        for mode in modes:
            for stage, image in inputs.items():
                record.step((mode, stage), _torch_network, torch, modes[mode], stage, image, truth[stage])
                torch._dynamo.reset()
                torch.cuda.empty_cache()


def _torch_with_cuda() -> Any:
    import torch

    if not torch.cuda.is_available():
        raise Unavailable("torch has no CUDA here")
    return torch


def _set_tf32(torch: Any, is_allowed: bool) -> None:
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = is_allowed


def _torch_network(
    torch: Any, how: tuple[str, bool, bool, str], stage: str, image: Any, truth: dict[str, Any]
) -> dict[str, float]:
    """Median and IQR (ms, by CUDA events), seconds until the first answer, and the largest relative difference."""
    precision, allows_tf32, uses_graph, mode = how
    _set_tf32(torch, allows_tf32)
    began = time.monotonic()
    network = prepare_network(stage, precision=precision, compiled=mode)
    answer = network(image)
    worst = max(float((answer[k].float() - v).abs().max() / v.abs().max()) for k, v in truth.items())
    ready = time.monotonic() - began
    run = _captured(torch, network, image) if uses_graph else lambda: network(image)
    for _ in range(_WARM_RUNS):
        run()
    torch.cuda.synchronize()
    took = []
    for _ in range(_RUNS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        end.synchronize()
        took.append(start.elapsed_time(end))
    return _milliseconds(took) | {"ready_s": round(ready, 1), "worst_relative": round(worst, 5)}


def _captured(torch: Any, network: Any, image: Any) -> Callable[[], None]:
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(3):
            network(image)
    side.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=side):
        network(image)
    return graph.replay


def tensorrt(record: PartRecord, settings: Settings) -> None:
    """Time each plan of the store as a CUDA graph and enqueued, and compare its answers with ONNX Runtime's."""
    plans = [(plan, plan.manifest) for plan in PlanStore().plans()
             if plan.manifest is not None and plan.manifest.key.stage in READING_NETWORKS]  # fmt: skip
    if not plans:
        raise Unavailable("no plan in the store: run `ecg-trt build` first")
    runs = _FAKE_RUNS if settings.is_fake else _RUNS
    for plan, manifest in plans:
        record.step((str(manifest.key.flavour), manifest.key.stage), _plan, plan, manifest, runs)


def _plan(stored: StoredPlan, manifest: Manifest, runs: int) -> dict[str, Any]:
    plan, _ = checked_plan(stored.path, manifest.key)
    stage = manifest.key.stage
    spec = READING_NETWORKS[stage]
    found: dict[str, Any] = {"precision": manifest.key.precision, "version": manifest.key.version,
                             "capability": manifest.key.capability, "plan_kib": len(plan) >> 10}  # fmt: skip
    with (
        TimedDriver(cuda_select.open_driver()) as driver,
        open_plan_alone(plan, manifest, driver) as whole,
        OrtBackend(weights_path(stage)) as reference,
    ):
        work = whole._work
        backend: Any = LabelledBackend(whole, stage, driver)
        found["is_captured"] = whole._is_graphed
        worst = compare(reference, backend, draw_feed(spec), spec).worst
        found["difference"] = {"output": worst.name, "max": round(worst.max, 5), "mean": round(worst.mean, 5),
                               "scale": round(worst.scale, 3)}  # fmt: skip
        feed = {"image": work.memory.upload(f"{stage} image", draw_feed(spec)["image"])}

        def call() -> None:
            with driver.span("call", work.stream.handle):
                backend.infer(feed)

        if whole._is_graphed:
            took = _timed(call, driver, runs)
            found |= {"graph": took[stage], "graph_call": took["call"]}
            whole._is_graphed = False
        took = _timed(call, driver, runs)
        found |= {"enqueued": took[stage], "enqueued_call": took["call"]}
    return found


def _timed(run: Callable[[], object], driver: TimedDriver, runs: int) -> dict[str, dict[str, float]]:
    """Median and IQR (ms) of the network and of the whole call, by events around each.

    A call finds its stream idle, so that its events also hold the host's time until the network is queued; torch's
    are measured so.
    """
    for _ in range(min(runs, _WARM_RUNS)):
        run()
    driver.take()
    rows = []
    for _ in range(runs):
        run()
        rows.append(driver.take())
    return {label: _milliseconds([row[label] for row in rows]) for label in rows[0]}


def _milliseconds(took: list[float]) -> dict[str, float]:
    found = spread(took, _DIGITS)
    return {"median": found["median"], "iqr": found["iqr"], "n": len(took)}

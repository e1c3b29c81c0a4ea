"""Target figures of the package on a GPU, and their state in a result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.gpu_suite.record import DONE, FAILED, OUT_OF_TIME
from ecg_trt.networks import READING_NETWORKS

TENSORRT = ("trt", "rtx")  # in the order in which they are looked for
NOT_DEVICE = frozenset({"decode", "host", "photo"})  # steps of a photo that are not the GPU's queued work
TORCH_EAGER, TORCH_GPU = "torch-eager-fp16", "torch-gpu"
_MOST_PROCESSES = "12"


@dataclass(frozen=True, slots=True)
class Target:
    """One target.

    Attributes:
        what: is measured.
        bound: that it must keep.
        is_least: whether the bound is a lower one.
        unit: of both, "" for a ratio.
        measure: figure of a result and how it was had, None where the result lacks it.
    """

    what: str
    bound: float
    is_least: bool
    unit: str
    measure: Callable[[Mapping[str, Any]], tuple[float, str] | None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A target and its state in a result.

    Attributes:
        target: which.
        value: measured, None where it was not.
        detail: how it was had.
    """

    target: Target
    value: float | None
    detail: str

    @property
    def is_reached(self) -> bool | None:
        """State of the target; None where it was not measured."""
        if self.value is None:
            return None
        return self.value >= self.target.bound if self.target.is_least else self.value <= self.target.bound


def outcomes(content: Mapping[str, Any]) -> list[Outcome]:
    """List every target with its state in a result."""
    found = []
    for target in TARGETS:
        value, detail = target.measure(content) or (None, "not measured")
        found.append(Outcome(target, value, detail))
    return found


def figures(content: Mapping[str, Any], part: str) -> dict[str, Any]:
    """Figures of a part, also of one that did not come to its end; empty where there are none."""
    found = content["parts"].get(part, {})
    return dict(found.get("figures", {})) if found.get("status") in (DONE, FAILED, OUT_OF_TIME) else {}


def own_backend(content: Mapping[str, Any], kind: str) -> str:
    """The best backend whose part of a kind has figures: a TensorRT before torch; "" without any."""
    return next((name for name in (*TENSORRT, TORCH_GPU) if figures(content, f"{kind}-{name}")), "")


def network_ms(content: Mapping[str, Any], mode: str) -> dict[str, float]:
    """Median of each network by a mode of torch, or by TensorRT as a graph ("trt", "rtx")."""
    if mode in TENSORRT:
        plans = figures(content, "networks_tensorrt").get(mode, {})
        return {stage: float((row.get("graph") or row["enqueued"])["median"]) for stage, row in plans.items()}
    found = {**figures(content, "networks_torch"), **figures(content, "networks_compiled")}.get(mode, {})
    return {stage: float(row["median"]) for stage, row in found.items()}


def device_ms(steps: Mapping[str, Mapping[str, float]]) -> float:
    """Sum of the medians of the GPU's steps of a photo, networks among them."""
    return sum(row["median"] for step, row in steps.items() if step not in NOT_DEVICE)


def _ratio_of_networks(content: Mapping[str, Any], mode: str, is_inverse: bool) -> tuple[float, str] | None:
    other = network_ms(content, mode)
    for flavour in TENSORRT:
        own = network_ms(content, flavour)
        if set(READING_NETWORKS) <= own.keys() & other.keys():
            mine, theirs = (sum(of[name] for name in READING_NETWORKS) for of in (own, other))
            ratio = mine / theirs if is_inverse else theirs / mine
            words = f"sums of medians: {mine:.2f} ms by {flavour}, {theirs:.2f} ms by torch, {mode}"
            calls = figures(content, "networks_tensorrt")[flavour]
            if all("graph_call" in calls[name] for name in READING_NETWORKS):
                whole = sum(calls[name]["graph_call"]["median"] for name in READING_NETWORKS)
                words += f"; {whole:.2f} ms with the host's call"
            return ratio, words
    return None


def _device_work(content: Mapping[str, Any]) -> tuple[float, str] | None:
    name = own_backend(content, "pipeline")
    steps = figures(content, f"pipeline-{name}").get("steps_ms", {})
    return (device_ms(steps), f"sum of the steps' medians with {name}") if steps else None


def _end_to_end(content: Mapping[str, Any]) -> tuple[float, str] | None:
    """Compare photos a second of as many processes where both were measured, else the time of one photo."""
    name = own_backend(content, "processes")
    own, other = figures(content, f"processes-{name}"), figures(content, f"processes-{TORCH_EAGER}")
    shared = sorted(own.keys() & other.keys(), key=int)
    if shared:
        mine, theirs = (float(of[shared[-1]]["photos_per_s"]) for of in (own, other))
        return mine / theirs, f"{mine:.1f} and {theirs:.1f} photos/s of {shared[-1]} processes"
    name = own_backend(content, "pipeline")
    both = [figures(content, f"pipeline-{who}").get("steps_ms", {}).get("photo") for who in (name, TORCH_EAGER)]
    if not all(both):
        return None
    mine, theirs = (float(row["median"]) for row in both if row)
    return theirs / mine, f"one photo after the other: {mine:.0f} ms with {name}, {theirs:.0f} ms with torch"


def _snr_loss(content: Mapping[str, Any]) -> tuple[float, str] | None:
    name = own_backend(content, "pipeline")
    own = figures(content, f"pipeline-{name}").get("snr_db")
    cpu = figures(content, "reference").get("snr_db")
    if own is None or cpu is None:
        return None
    return abs(cpu - own), f"{own:.2f} dB with {name}, {cpu:.2f} dB on the CPU"


def _many_processes(content: Mapping[str, Any]) -> tuple[float, str] | None:
    for name in (*TENSORRT, TORCH_GPU):
        found = figures(content, f"processes-{name}").get(_MOST_PROCESSES)
        if found:
            return float(found["photos_per_s"]), f"with {name}"
    return None


TARGETS: Sequence[Target] = (
    Target("networks: times faster than torch FP16 eager", 2.5, True, "",
           lambda content: _ratio_of_networks(content, "fp16 eager", False)),
    Target("networks: time over that of torch's CUDA graphs", 1.1, False, "",
           lambda content: _ratio_of_networks(content, "fp16 graphs", True)),
    Target("device work of a 9-megapixel photo", 5.0, False, "ms", _device_work),
    Target("end to end: times faster than torch eager with OpenCV", 10.0, True, "", _end_to_end),
    Target("SNR: difference from the CPU", 0.1, False, "dB", _snr_loss),
    Target(f"photos a second of {_MOST_PROCESSES} processes", 40.0, True, "", _many_processes),
)  # fmt: skip

"""Tables in Markdown and a plot of one result of the suite."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu_suite.record import DONE
from benchmarks.gpu_suite.schema import problems
from benchmarks.gpu_suite.targets import (
    TENSORRT,
    TORCH_EAGER,
    TORCH_GPU,
    Outcome,
    device_ms,
    figures,
    network_ms,
    outcomes,
)
from benchmarks.throughput_suite.report import table, where
from ecg_trt.networks import READING_NETWORKS

_MODES = {
    "trt": "TensorRT, CUDA graph",
    "rtx": "TensorRT for RTX, CUDA graph",
    "fp16 compiled graphs": "torch.compile FP16, CUDA graph",
    "fp16 graphs": "torch FP16, CUDA graph",
    "fp16 eager": "torch FP16, eager",
    "tf32 graphs": "torch TF32, CUDA graph",
    "tf32 eager": "torch TF32, eager",
    "fp32 eager": "torch FP32, eager",
}
_BACKENDS = (*TENSORRT, TORCH_GPU, TORCH_EAGER)
_WORDS = {True: "reached", False: "**missed**", None: "not measured"}
_NONE = "-"


def main(path: Path, png: Path) -> int:
    """Print the tables and draw the plot; 1 where the file is no result of the suite."""
    try:
        content = json.loads(path.read_text())
        wrong = problems(content)
    except (OSError, ValueError) as error:
        wrong = [str(error)]
    if wrong:
        print(f"{path} is no whole result of the suite: {'; '.join(wrong)}", file=sys.stderr)
        return 1
    print(markdown(content))
    print("written:", draw(content, png), file=sys.stderr)
    return 0


def markdown(content: Mapping[str, Any]) -> str:
    """Machine, targets, networks, pipeline, processes, checks, and parts without a figure."""
    sections = [[where(content["machine"])], _targets(content), _networks(content), _pipeline(content),
                _processes(content), _checks(content), _missing(content)]  # fmt: skip
    return "\n\n".join("\n".join(lines) for lines in sections if lines)


def _targets(content: Mapping[str, Any]) -> list[str]:
    rows = []
    for outcome in outcomes(content):
        target, unit = outcome.target, f" {outcome.target.unit}".rstrip()
        bound = f"{'at least' if target.is_least else 'at most'} {target.bound:g}{unit}"
        measured = _NONE if outcome.value is None else f"{_short(outcome.value)}{unit} ({outcome.detail})"
        rows.append([target.what, bound, measured, _WORDS[outcome.is_reached]])
    return table(("target", "bound", "measured", ""), rows)


def _networks(content: Mapping[str, Any]) -> list[str]:
    rows = []
    for mode, words in _MODES.items():
        found = network_ms(content, mode)
        if found:
            whole = sum(found.values()) if set(READING_NETWORKS) <= found.keys() else None
            rows.append([words, *_all_short(found.get(stage) for stage in READING_NETWORKS), *_all_short([whole])])
    floor = figures(content, "rates").get("floor_ms", {})
    if floor:
        shares = [floor.get(stage) for stage in READING_NETWORKS]
        rows.append(["roofline bound, FP16", *_all_short([*shares, sum(floor.values())])])
    return table(("median ms", *READING_NETWORKS, "sum"), rows) if rows else []


def _pipeline(content: Mapping[str, Any]) -> list[str]:
    rows = []
    for name in _BACKENDS:
        found = figures(content, f"pipeline-{name}")
        steps = found.get("steps_ms")
        if steps and "photo" in steps:
            device = None if name == TORCH_EAGER else device_ms(steps)
            decode, host, photo = (steps.get(step, {}).get("median") for step in ("decode", "host", "photo"))
            rest = (found.get(key) for key in ("photos_per_s", "snr_db", "agreement_db", "device_memory_mib"))
            rows.append([name, *_all_short([decode, device, host, photo, *rest])])
    head = ("one process", "decode ms", "GPU ms", "host ms", "photo ms", "photos/s", "SNR dB", "against CPU dB",
            "GPU MiB")  # fmt: skip
    return table(head, rows) if rows else []


def _processes(content: Mapping[str, Any]) -> list[str]:
    found = {name: figures(content, f"processes-{name}") for name in _BACKENDS}
    counts = sorted({count for row in found.values() for count in row}, key=int)
    rows = [
        [name, *_all_short(row.get(count, {}).get("photos_per_s") for count in counts)]
        for name, row in found.items()
        if row
    ]
    return table(("photos/s of processes", *counts), rows) if rows else []


def _checks(content: Mapping[str, Any]) -> list[str]:
    lines = []
    tests = figures(content, "kernel_tests")
    if tests:
        lines.append(f"- kernels' parity tests: {tests['passed']} passed, {tests['failed']} failed")
    for tool in ("memcheck", "racecheck"):
        found = figures(content, tool)
        if "errors" in found:
            lines.append(f"- compute-sanitizer {tool}: {found['errors']} errors in {found['passed']} tests")
    copies = figures(content, "driver").get("pinned_copies")
    if copies:
        both = copies["to_device_gb_per_s"], copies["to_host_gb_per_s"]
        lines.append(f"- pinned copies: {both[0]:g} GB/s to the GPU, {both[1]:g} GB/s back")
    rates = figures(content, "rates")
    if rates:
        products = rates.get("matrix_tflop_per_s") or {}
        by = ", ".join(f"{rate:.0f} TFLOP/s {precision}" for precision, rate in products.items())
        lines.append(f"- device copy {rates['copy_gb_per_s']:.0f} GB/s; matrix products {by or 'not measured'}")
    for name in _BACKENDS:
        energy = figures(content, f"energy-{name}")
        if energy.get("photos_per_joule"):
            lines.append(
                f"- energy with {name}: {energy['photos_per_joule']:.3g} photos a joule, {energy['mean_w']:g} W"
            )
    return lines


def _missing(content: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, part in content["parts"].items():
        if part["status"] != DONE:
            lines.append(f"- {name}: {part['status']} ({part['reason'] or 'see failures'})")
        lines += [f"- {name}, {step}: {reason}" for step, reason in part["failures"].items()]
    return lines


def draw(content: Mapping[str, Any], path: Path) -> Path:
    """Bars: the networks by each mode, and how far each target is reached."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(13, 4.4), layout="constrained")
    _draw_networks(left, content)
    _draw_targets(right, outcomes(content))
    figure.suptitle(where(content["machine"]), fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return path


def _draw_networks(axes: Any, content: Mapping[str, Any]) -> None:
    rows = [(words, found) for mode, words in _MODES.items() if (found := network_ms(content, mode))][::-1]
    start = [0.0] * len(rows)
    for stage in READING_NETWORKS:
        widths = [found.get(stage, 0.0) for _, found in rows]
        axes.barh([words for words, _ in rows], widths, left=start, label=stage)
        start = [a + b for a, b in zip(start, widths, strict=True)]
    for k, total in enumerate(start):
        axes.text(total, k, f" {total:.2f}", va="center", fontsize=8)
    axes.set(xlabel="ms, sum of the medians", title="Networks alone")
    axes.margins(x=0.15)
    if rows:
        axes.legend(fontsize=8)


def _draw_targets(axes: Any, found: Sequence[Outcome]) -> None:
    """Draw each figure as a share of its bound: reached right of the line."""
    for k, outcome in enumerate(found[::-1]):
        if outcome.value is None:
            axes.text(0.02, k, "not measured", va="center", fontsize=8)
            continue
        bound = outcome.target.bound
        share = outcome.value / bound if outcome.target.is_least else bound / max(outcome.value, 1e-3 * bound)
        axes.barh(k, min(share, 2.0), color="#3b8a5a" if outcome.is_reached else "#b5523b")
        unit = f" {outcome.target.unit}".rstrip()
        axes.text(0.02, k, f"{_short(outcome.value)}{unit}", va="center", fontsize=8, color="white")
    axes.axvline(1.0, color="0.2", linewidth=1)
    axes.set_yticks(range(len(found)), [outcome.target.what for outcome in found[::-1]], fontsize=8)
    axes.set(xlim=(0, 2), xlabel="share of the target (at least 1 is reached, cut at 2)", title="Targets")


def _all_short(values: Iterable[float | None]) -> list[str]:
    return [_NONE if value is None else _short(value) for value in values]


def _short(value: float) -> str:
    """Three digits and no exponent; four where the first is a ten."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"

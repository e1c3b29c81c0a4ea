"""The table and the plot of one result of the throughput benchmark, see `benchmarks/throughput.py`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.throughput_suite.schema import problems
from ecg_trt.networks import READING_NETWORKS

_HEAD = ("backend", "precision", *(f"{stage} ms (of floor)" for stage in READING_NETWORKS), "photo ms (IQR)", "p99",
         "host ms", "photos/s", "GPU MiB", "SNR dB", "against ort dB")  # fmt: skip
_PACKAGES = ("tensorrt", "tensorrt-rtx", "torch", "onnxruntime")
_NONE = "-"


def main() -> None:
    """Print the table and draws the plot."""
    parser = argparse.ArgumentParser("python -m benchmarks.throughput_suite.report", description=__doc__)
    parser.add_argument("json", type=Path, help="written by benchmarks/throughput.py")
    parser.add_argument("--png", type=Path, default=None, help="default: beside the JSON")
    args = parser.parse_args()
    try:
        content = json.loads(args.json.read_text())
    except (OSError, ValueError) as error:
        parser.error(f"{args.json} cannot be read ({error}): run benchmarks/throughput.py first")
    if wrong := problems(content):
        parser.error(f"{args.json} is no whole result of the throughput benchmark: " + "; ".join(wrong))
    print(where(content["machine"]) + "\n")
    print(markdown(content))
    print("written:", draw(content, args.png or args.json.with_suffix(".png")), file=sys.stderr)


def where(machine: Mapping[str, Any]) -> str:
    """One line about the machine."""
    parts = [machine.get("gpu"), machine.get("driver") and f"driver {machine['driver']}",
             f"{machine.get('cores')} cores of {machine.get('cpu')}"]  # fmt: skip
    parts += [f"{name} {machine[name]}" for name in _PACKAGES if name in machine]
    return ", ".join(str(part) for part in [*parts, machine.get("date")] if part)


def markdown(content: Mapping[str, Any]) -> str:
    """A row for each backend; below it, milliseconds of each step of a photo; and the backends that are unavailable."""
    measured = [row for row in content["backends"] if row["available"]]
    lines = table(_HEAD, [_figures(row) for row in measured]) if measured else []
    steps = _steps(measured)
    if steps:
        rows = [[row["name"], *(_ms(row["steps_ms"].get(step)) for step in steps)] for row in measured]
        lines += ["", *table(("median ms of", *steps), rows)]
    missing: dict[str, list[str]] = {}
    for row in content["backends"]:
        if not row["available"]:
            missing.setdefault(row["reason"], []).append(row["name"])
    lines += [""] * bool(missing and lines)
    lines += [f"- not measured: {', '.join(names)} ({reason.rstrip('.')})" for reason, names in missing.items()]
    return "\n".join(lines)


def draw(content: Mapping[str, Any], path: Path) -> Path:
    """Bars: photos a second, and the steps of one photo."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    measured = [row for row in content["backends"] if row["available"]][::-1]
    figure, (rate, split) = pyplot.subplots(1, 2, figsize=(12, 1.6 + 0.55 * len(measured)), layout="constrained")
    names = [f"{row['name']}\n{row['precision']}" for row in measured]
    bars = rate.barh(names, [row["photos_per_s"] for row in measured], color="#3b6ea5")
    rate.bar_label(bars, [_rate_label(row) for row in measured], padding=3, fontsize=8)
    rate.margins(x=0.25)
    rate.set(xlabel="photos a second", title="Many photos")
    left = [0.0] * len(measured)
    steps = [step for step in _steps(measured) if step != "photo"]
    colours = matplotlib.colormaps["tab20"].colors  # type: ignore[attr-defined]
    for step, colour in zip(steps, colours * (1 + len(steps) // len(colours)), strict=False):
        widths = [row["steps_ms"].get(step, {}).get("median", 0.0) for row in measured]
        split.barh(names, widths, left=left, label=step, color=colour)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    split.set(xlabel="ms, sum of the steps' medians", title="One photo")
    if steps:
        split.legend(fontsize=8, ncols=2)
    figure.suptitle(where(content["machine"]), fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return path


def _rate_label(row: Mapping[str, Any]) -> str:
    snr = "" if row["snr_db"] is None else f", {row['snr_db']:.1f} dB"
    return f"{row['photos_per_s']:.3g}{snr}"


def _figures(row: Mapping[str, Any]) -> list[str]:
    networks = [_network(row["networks"].get(stage)) for stage in READING_NETWORKS]
    photo = row["steps_ms"].get("photo")
    whole = (f"{_ms(photo)} ({_short(photo['iqr'])})", _short(photo["p99"])) if photo else (_NONE, _NONE)
    rest = (_number(row[key], form) for key, form in (
        ("photos_per_s", ".3g"), ("device_memory_mib", "d"), ("snr_db", ".2f"), ("agreement_db", ".1f")
    ))  # fmt: skip
    return [row["name"], row["precision"], *networks, *whole, _ms(row["steps_ms"].get("host")), *rest]


def _network(network: Mapping[str, Any] | None) -> str:
    if not network or not network["run_ms"]:
        return _NONE
    ratio = "" if network["ratio"] is None else f" ({network['ratio']:.1f}x)"
    return _ms(network["run_ms"]) + ratio


def _steps(measured: Sequence[Mapping[str, Any]]) -> list[str]:
    """All steps in the order of their first mention, the host's and the whole last."""
    steps = list(dict.fromkeys(step for row in measured for step in row["steps_ms"]))
    return sorted(steps, key=lambda step: (step in ("host", "photo"), step == "photo"))


def _ms(figures: Mapping[str, float] | None) -> str:
    return _NONE if figures is None else _short(figures["median"])


def _short(value: float) -> str:
    """Three digits, and no exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _number(value: float | None, form: str) -> str:
    return _NONE if value is None else format(value, form)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]


if __name__ == "__main__":
    main()

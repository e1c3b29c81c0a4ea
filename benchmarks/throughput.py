"""Who digitizes how fast, and how well: `python benchmarks/throughput.py [--backends trt,torch-eager,ort]`.

Measures each backend that is to be had, in a process of its own: its networks alone beside the least time that the
machine allows, one photo after the other, photos a second, memory of the GPU, and the SNR. What is not to be had is
said, with the reason. `python benchmarks/report.py` makes the table and the plot of it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.child import Unmeasured, in_child, in_place
from benchmarks.common import write_results
from benchmarks.contenders import CONTENDERS, Contender, chosen
from benchmarks.floor import Rates, cpu_rates, cuda_rates, demand, floor_ms
from benchmarks.measure import Answers, measure
from benchmarks.report import markdown
from benchmarks.workload import Shot, agreement_db, from_folder, snr_db, synthetic
from ecg_trt.errors import EcgTrtError, OptionError
from ecg_trt.weights import weights_path

_LIMIT_S = 600.0
Save = Callable[[dict[str, Any]], object]


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backends", default=",".join(CONTENDERS), help="with commas between (default: all)")
    parser.add_argument("--photos", type=Path, help="a folder of photos without truth (default: synthetic ones)")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each of three measurements (default: 10)")
    parser.add_argument("--limit", type=float, default=_LIMIT_S, help="most seconds for one backend (default: 600)")
    parser.add_argument("--json", type=Path, default=None, help="default: benchmarks/results/throughput.json")
    args = parser.parse_args()
    try:
        contenders = chosen([name for name in args.backends.split(",") if name])
        shots = from_folder(args.photos) if args.photos else synthetic()
    except OptionError as error:
        parser.error(str(error))
    written: list[Path] = []

    def save(content: dict[str, Any]) -> None:
        written.append(write_results("throughput", content, args.json))

    content = run(contenders, shots, reference_of(shots), args.seconds, save, call=in_child, limit_s=args.limit)
    print(markdown(content))
    print("written:", written[-1])


def run(
    contenders: Sequence[Contender], shots: Sequence[Shot], reference: Answers, seconds: float, save: Save,
    *, call: Callable[..., Any] = in_place, limit_s: float = _LIMIT_S,
) -> dict[str, Any]:  # fmt: skip
    """Measures the contenders one after the other.

    Args:
        contenders: who.
        shots: the photos.
        reference: the answer to each photo that all are compared with, see `reference_of`.
        seconds: for each measurement.
        save: called with all there is so far, after each of them.
        call: `child.in_child`, or `child.in_place`.
        limit_s: most seconds for one of them.
    """
    rates: dict[str, Rates | None] = {"cpu": cpu_rates(), "cuda": None}
    if any(c.device == "cuda" for c in contenders):
        try:
            rates["cuda"] = call(cuda_rates, limit_s=limit_s)
        except Unmeasured as reason:
            _tell("the GPU's rates", str(reason))
    content: dict[str, Any] = {
        "photos": {"names": [shot.name for shot in shots], "has_truth": all(s.truth is not None for s in shots)},
        "seconds": seconds,
        "rates": {device: rate and rate.as_json() for device, rate in rates.items()},
        "backends": [],
    }
    for contender in contenders:
        print(f"{contender.name} ...", file=sys.stderr, flush=True)
        row: dict[str, Any] = {"name": contender.name, "device": contender.device, "precision": contender.precision,
                               "what": contender.what, "available": True, "reason": ""}  # fmt: skip
        try:
            # By name: what opens a contender cannot be sent to another process.
            work, who = (_measure_named, contender.name) if call is in_child else (measure, contender)
            result, answers = call(work, who, shots, seconds, limit_s=limit_s)
        except Unmeasured as reason:
            row |= {"available": False, "reason": str(reason)}
            _tell(contender.name, str(reason))
        else:
            _add_floors(result["networks"], contender, rates[contender.device])
            row |= result | _accuracy(shots, reference, answers)
        content["backends"].append(row)
        save(content)
    return content


def _measure_named(name: str, shots: Sequence[Shot], seconds: float) -> tuple[dict[str, Any], Answers]:
    return measure(CONTENDERS[name], shots, seconds)


def reference_of(shots: Sequence[Shot]) -> Answers:
    """What ONNX Runtime on the CPU answers."""
    answers: Answers = []
    with CONTENDERS["ort"].enter(False) as entry:
        for shot in shots:
            try:
                answers.append(entry.digitizer(shot.file))
            except EcgTrtError as error:
                _tell(shot.name, f"refused by the reference: {error}")
                answers.append(None)
    return answers


def _accuracy(shots: Sequence[Shot], reference: Answers, answers: Answers) -> dict[str, Any]:
    return {"answered": sum(a is not None for a in answers), "snr_db": snr_db(shots, answers),
            "agreement_db": agreement_db(reference, answers)}  # fmt: skip


def _add_floors(networks: dict[str, dict[str, Any]], contender: Contender, rates: Rates | None) -> None:
    """Writes each network's demand, its floor, and how many times the floor its median is, into its row."""
    for stage, row in networks.items():
        row |= {"bytes": None, "macs": None, "floor": None, "ratio": None}
        try:
            need = demand(weights_path(stage), row["shapes"], contender.precision)
        except ImportError as error:
            _tell("floors", str(error))
            continue
        row |= {"bytes": need.bytes, "macs": need.macs}
        if rates is None:
            continue
        floor = floor_ms(need, rates, contender.precision)
        row["floor"] = {name: None if ms is None else round(ms, 4) for name, ms in floor.items()}
        if row["run_ms"]:
            row["ratio"] = round(row["run_ms"]["median"] / floor["floor_ms"], 2)  # type: ignore[operator]


def _tell(name: str, what: str) -> None:
    print(f"{name}: {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

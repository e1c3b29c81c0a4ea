"""One backend after the other, measured; the results are written anew after each.

Measures each backend that is available, in a process of its own: its networks alone beside the least time that the
machine allows, one photo after the other, photos a second, memory of the GPU, and the SNR. Of what is not available,
the reason is written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import write_results
from benchmarks.throughput_suite.baselines import BASELINES, Baseline, chosen
from benchmarks.throughput_suite.child import Unmeasured, in_child, in_place
from benchmarks.throughput_suite.floor import Rates, cpu_rates, cuda_rates, demand, floor_ms
from benchmarks.throughput_suite.measure import Answers, measure
from benchmarks.throughput_suite.report import markdown
from benchmarks.throughput_suite.workload import SamplePhoto, agreement_db, from_folder, snr_db, synthetic
from ecg_trt.errors import EcgTrtError, OptionError
from ecg_trt.weights import weights_path

_LIMIT_S = 600.0
Save = Callable[[dict[str, Any]], object]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser("throughput.py", description=__doc__)
    parser.add_argument("--backends", default=",".join(BASELINES), help="with commas between (default: all)")
    parser.add_argument("--photos", type=Path, help="a folder of photos without truth (default: synthetic ones)")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each of three measurements (default: 10)")
    parser.add_argument("--limit", type=float, default=_LIMIT_S, help="most seconds for one backend (default: 600)")
    parser.add_argument("--json", type=Path, default=None, help="default: runs/benchmarks/throughput--MACHINE.json")
    args = parser.parse_args()
    try:
        baselines = chosen([name for name in args.backends.split(",") if name])
        photos = from_folder(args.photos) if args.photos else synthetic()
    except OptionError as error:
        parser.error(str(error))
    written: list[Path] = []

    def save(content: dict[str, Any]) -> None:
        written.append(write_results("throughput", content, args.json))

    content = run(baselines, photos, reference_of(photos), args.seconds, save, call=in_child, limit_s=args.limit)
    print(markdown(content))
    print("written:", written[-1])


def run(
    baselines: Sequence[Baseline], photos: Sequence[SamplePhoto], reference: Answers, seconds: float, save: Save,
    *, call: Callable[..., Any] = in_place, limit_s: float = _LIMIT_S,
) -> dict[str, Any]:  # fmt: skip
    """Measure the baselines one after the other.

    Args:
        baselines: who.
        photos: the photos.
        reference: the answer to each photo that all are compared with, see `reference_of`.
        seconds: for each measurement.
        save: called with all there is so far, after each of them.
        call: `child.in_child`, or `child.in_place`.
        limit_s: most seconds for one of them.
    """
    rates: dict[str, Rates | None] = {"cpu": cpu_rates(), "cuda": None}
    if any(c.device == "cuda" for c in baselines):
        try:
            rates["cuda"] = call(cuda_rates, limit_s=limit_s)
        except Unmeasured as reason:
            _tell("the GPU's rates", str(reason))
    content: dict[str, Any] = {
        "photos": {"names": [photo.name for photo in photos], "has_truth": all(s.truth is not None for s in photos)},
        "seconds": seconds,
        "rates": {device: rate and rate.as_json() for device, rate in rates.items()},
        "backends": [],
    }
    for baseline in baselines:
        print(f"{baseline.name} ...", file=sys.stderr, flush=True)
        row: dict[str, Any] = {"name": baseline.name, "device": baseline.device, "precision": baseline.precision,
                               "what": baseline.what, "available": True, "reason": ""}  # fmt: skip
        try:
            # By name: what opens a baseline cannot be sent to another process.
            work, who = (_measure_named, baseline.name) if call is in_child else (measure, baseline)
            result, answers = call(work, who, photos, seconds, limit_s=limit_s)
        except Unmeasured as reason:
            row |= {"available": False, "reason": str(reason)}
            _tell(baseline.name, str(reason))
        else:
            _add_floors(result["networks"], baseline, rates[baseline.device])
            row |= result | accuracy(photos, reference, answers)
        content["backends"].append(row)
        save(content)
    return content


def _measure_named(name: str, photos: Sequence[SamplePhoto], seconds: float) -> tuple[dict[str, Any], Answers]:
    return measure(BASELINES[name], photos, seconds)


def reference_of(photos: Sequence[SamplePhoto]) -> Answers:
    """Answers of ONNX Runtime on the CPU."""
    answers: Answers = []
    with BASELINES["ort"].enter(False) as entry:
        for photo in photos:
            try:
                answers.append(entry.digitizer(photo.file))
            except EcgTrtError as error:
                _tell(photo.name, f"rejected by the reference: {error}")
                answers.append(None)
    return answers


def accuracy(photos: Sequence[SamplePhoto], reference: Answers, answers: Answers) -> dict[str, Any]:
    """Count the answers, and compare them with the truth and with the reference; None where they cannot be scored."""
    figures: dict[str, Any] = {"answered": sum(a is not None for a in answers), "snr_db": None, "agreement_db": None}
    try:
        figures["snr_db"] = snr_db(photos, answers)
        figures["agreement_db"] = agreement_db(reference, answers)
    except OptionError as error:  # what was measured must not be lost for it
        _tell("accuracy", str(error))
    return figures


def _add_floors(networks: dict[str, dict[str, Any]], baseline: Baseline, rates: Rates | None) -> None:
    """Write each network's demand, its roofline bound, and the ratio of its median to the bound, into its row."""
    for stage, row in networks.items():
        row |= {"bytes": None, "macs": None, "floor": None, "ratio": None}
        try:
            need = demand(weights_path(stage), row["shapes"], baseline.precision)
        except ImportError as error:
            _tell("floors", str(error))
            continue
        row |= {"bytes": need.bytes, "macs": need.macs}
        if rates is None:
            continue
        floor = floor_ms(need, rates, baseline.precision)
        row["floor"] = {name: None if ms is None else round(ms, 4) for name, ms in floor.items()}
        if row["run_ms"]:
            row["ratio"] = round(row["run_ms"]["median"] / floor["floor_ms"], 2)  # type: ignore[operator]


def _tell(name: str, what: str) -> None:
    print(f"{name}: {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

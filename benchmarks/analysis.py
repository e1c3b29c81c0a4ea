"""Time of an analysis, part by part, and of its networks: `python benchmarks/analysis.py [--backend ort]`.

Records are drawn (`ecg_trt.synth.known_waves`), as twelve leads of 10 s and as what 3x4+1 and 3x4 pages print of them;
`--record` takes one of a file instead. Each network is also run alone, on the shape of its plan: by ONNX Runtime, by
torch where it is installed (eager, batch norms folded, weights as they are initialised, on the CPU and on a GPU), and
by the chosen backend. The CPU is used with `--threads` threads.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.common import spread, write_results
from benchmarks.intervals import SEED, printed
from build_engines.verify import draw_feed
from ecg_trt.analysis import PARTS, Analyzer
from ecg_trt.analysis.analyzer import load_record
from ecg_trt.backends.select import open_runtime
from ecg_trt.config import RuntimeOptions
from ecg_trt.io.writers.analysis_files import draw_analysis, write_analysis
from ecg_trt.networks import NETWORKS, READING_NETWORKS
from ecg_trt.record import EcgRecord
from ecg_trt.synth.known_waves import draw_known_ecg

_WARM_RUNS = 3
_PICTURES = 3  # Times that they are drawn; they take seconds.
NETWORKS_AFTER = tuple(name for name in NETWORKS if name not in READING_NETWORKS)
"""Names of the networks that begin at a record."""

Times = dict[str, list[float]]  # Step to ms.


def drawn_records() -> dict[str, EcgRecord]:
    """Draw one ECG, as each layout shows it."""
    ecg = draw_known_ecg(np.random.default_rng(SEED))
    return {layout: printed(ecg, layout) for layout in ("12x1", "3x4+1", "3x4")}


def part_times(record: EcgRecord, analyzer: Analyzer, repeats: int) -> Times:
    """Measure the parts of an analysis, all of it, and the writing and drawing of its files."""
    times: Times = {}
    for k in range(_WARM_RUNS + repeats):
        start = time.perf_counter()
        found = analyzer(record)
        whole_ms = 1e3 * (time.perf_counter() - start)
        if k >= _WARM_RUNS:
            for part, ms in (*found.timings_ms.items(), ("whole analysis", whole_ms)):
                times.setdefault(part, []).append(ms)
    with tempfile.TemporaryDirectory() as folder:
        times["files"] = [_timed(lambda: write_analysis(found, Path(folder), "ecg", ())) for _ in range(repeats)]
    times["pictures"] = [_timed(lambda: draw_analysis(found)) for _ in range(_PICTURES)]
    return times


def network_times(options: RuntimeOptions, repeats: int) -> tuple[str, Times]:
    """Measure each network alone by a backend of the package; the backend's name comes first."""
    with open_runtime(options.backend, networks=NETWORKS_AFTER, threads=options.threads) as runtime:
        times = {}
        for name in NETWORKS_AFTER:
            backend, feed = runtime.backend(name), draw_feed(NETWORKS[name])
            times[name] = _repeated(lambda backend=backend, feed=feed: backend.infer(feed), repeats)  # type: ignore[misc]
        return runtime.name, times


def torch_times(threads: int, repeats: int) -> Iterator[tuple[str, Times]]:
    """Measure each network alone by torch, on the CPU and on a GPU; nothing where torch is not installed."""
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(threads)
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        yield f"torch {device}", {name: _by_torch(torch, name, device, repeats) for name in NETWORKS_AFTER}


def _by_torch(torch: Any, name: str, device: str, repeats: int) -> list[float]:
    """Milliseconds of each run of a network, with the copies to the device and back."""
    from torch.fx.experimental.optimization import fuse

    from train.models.encoders import build_network

    model = fuse(build_network(name).eval()).to(device)
    (feed,) = draw_feed(NETWORKS[name]).values()

    def run() -> list[Any]:
        answers = model(torch.from_numpy(feed).to(device))
        return [answer.cpu() for answer in answers.values()]

    with torch.inference_mode():
        return _repeated(run, repeats)


def _repeated(run: Callable[[], object], repeats: int) -> list[float]:
    for _ in range(_WARM_RUNS):
        run()
    return [_timed(run) for _ in range(repeats)]


def _timed(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - start)


def _summary(title: str, times: Mapping[str, list[float]]) -> dict[str, dict[str, float]]:
    """Summarise times, and print them."""
    figures = {step: spread(values, 3) for step, values in times.items()}
    for step, figure in figures.items():
        print(f"{title:10} {step:16} {figure['median']:9.2f} ms   IQR {figure['iqr']:.2f}", flush=True)
    return figures


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", type=Path, help="file of a record, or a photo")
    parser.add_argument("--backend", default="auto", help="what runs the networks (default: auto)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    options = RuntimeOptions(backend=arguments.backend, threads=arguments.threads)
    records = drawn_records() if arguments.record is None else {"record": load_record(arguments.record)}
    with Analyzer(PARTS, options) as analyzer:
        parts = {name: _summary(name, part_times(record, analyzer, arguments.repeats))
                 for name, record in records.items()}  # fmt: skip
    runs = dict(network_times(RuntimeOptions(backend=name, threads=options.threads), arguments.repeats)
                for name in dict.fromkeys(("ort", options.backend)))  # fmt: skip
    runs |= dict(torch_times(options.threads, arguments.repeats))
    networks = {name: _summary(name, times) for name, times in runs.items()}
    content = {"threads": options.threads, "repeats": arguments.repeats, "parts_ms": parts, "networks_ms": networks}
    print(write_results("analysis", content, arguments.out))


if __name__ == "__main__":
    main()

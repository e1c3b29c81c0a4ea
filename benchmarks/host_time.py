"""Time of the host for a photo, apart from kernels, networks and decoding: `python benchmarks/host_time.py`.

The whole pipeline runs on the tests' fake GPU. The clock that the stages are timed with counts the thread's
own CPU time, so that busy neighbours do not matter, and stands still while the fake GPU works. What is left is what
keeps a real GPU waiting; calls of a real driver, and of TensorRT, come on top.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).parents[1]))

import cv2
import pytest

from benchmarks.common import spread, write_results
from benchmarks.throughput_suite.workload import SEEDS, SamplePhoto, synthetic
from build_engines.export import Precision, export
from ecg_trt.config import RuntimeOptions
from ecg_trt.digitizer import Digitizer
from ecg_trt.networks import READING_NETWORKS
from ecg_trt.weights import weights_path
from tests.backends.fake_gpu import move_in, plug_in, save_plans
from tests.cuda.fake_driver import FakeDriver
from tests.cuda.host_kernels import host_kernels

GOAL_MS = 80.0
_NOT_HOST = ("decode", "total")  # steps of a record's times


class PausingDriver(FakeDriver):
    """A fake driver that measures its own work: `worked_s` of this thread's time in kernels and networks."""

    worked_s = 0.0

    def _drain(self) -> None:
        start = time.thread_time()
        super()._drain()
        self.worked_s += time.thread_time() - start

    def host_s(self) -> float:
        """This thread's time without its work as the GPU."""
        return time.thread_time() - self.worked_s


def host_ms(digitizer: Digitizer, photos: Sequence[SamplePhoto], repeats: int) -> dict[str, list[float]]:
    """Milliseconds of each step, one of each photo and repeat; "host" is their sum, without decoding."""
    found: dict[str, list[float]] = {}
    for _ in range(repeats):
        for photo in photos:
            times = digitizer(photo.file).timings_ms
            steps = {step: ms for step, ms in times.items() if step not in _NOT_HOST}
            for step, ms in {**steps, "host": sum(steps.values())}.items():
                found.setdefault(step, []).append(ms)
    return found


def measure(photos: Sequence[SamplePhoto], repeats: int) -> dict[str, list[float]]:
    """`host_ms` of a digitizer on a fake GPU, warmed up."""
    driver = PausingDriver(host_kernels())
    cv2.setNumThreads(1)
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as home:
        move_in(patch, Path(home))
        plug_in(patch, driver)
        patch.setattr("ecg_trt.step_timer.time", SimpleNamespace(perf_counter=driver.host_s))
        specs = READING_NETWORKS.items()
        save_plans({name: export(weights_path(name), Precision.FP32, spec.shapes) for name, spec in specs})
        with Digitizer(RuntimeOptions(backend="rtx")) as digitizer:
            host_ms(digitizer, photos, 1)
            return host_ms(digitizer, photos, repeats)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7, help="of each of the four photos (default: 7)")
    parser.add_argument("--json", type=Path, default=None)
    args = parser.parse_args()
    times = measure(synthetic(), args.repeats)
    steps = {step: spread(values) for step, values in times.items()}
    for step, figures in steps.items():
        print(f"{step:10} {figures['median']:7.1f} ms (IQR {figures['iqr']:.1f})")
    print(f"goal: at most {GOAL_MS:g} ms")
    photos = [f"synthetic, seed {seed}" for seed in SEEDS]
    content = {"photos": photos, "repeats": args.repeats, "goal_ms": GOAL_MS, "steps_ms": steps}
    print("written:", write_results("host_time", content, args.json))


if __name__ == "__main__":
    main()

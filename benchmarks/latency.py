"""Time of one photo, from file to CSV: `python benchmarks/latency.py [--backend ort]`.

Measures import and load in a fresh interpreter, then the steps of a photo of 9 megapixels, and the peak memory.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.common import spread, write_results
from ecg_trt.config import RuntimeOptions
from ecg_trt.errors import OptionError

_LOAD = (
    "import sys, time; t = time.perf_counter(); from ecg_trt import Digitizer, RuntimeOptions; "
    "d = Digitizer(RuntimeOptions(backend=sys.argv[1])); print(time.perf_counter() - t)"
)
_PEAK = (
    "import sys, resource; from ecg_trt import RuntimeOptions as R, digitize; "
    "digitize(sys.argv[1], None, R(backend=sys.argv[2])); "
    "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
)


def load_seconds(repeats: int, backend: str) -> list[float]:
    """Seconds to import the package and open the networks, each in a fresh interpreter."""
    root = Path(__file__).parents[1]
    command = [sys.executable, "-c", _LOAD, backend]
    return [float(subprocess.run(command, capture_output=True, text=True, check=True, cwd=root).stdout)
            for _ in range(repeats)]  # fmt: skip


def nine_megapixels(folder: Path) -> Path:
    """A synthetic photo of 3456 x 2592 px as a JPEG file."""
    from ecg_trt.synth.sample import make_sample

    image, _ = make_sample(7, width_px=3456, layout="3x4+1", paper_speed_mm_per_s=25.0, gain_mm_per_mv=10.0)
    path = folder / "photo.jpg"
    cv2.imwrite(str(path), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
    return path


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photo", type=Path, default=None, help="default: a synthetic one of 9 megapixels")
    parser.add_argument("--backend", default="auto", help="what runs the networks (default: auto)")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", type=Path, default=None)
    args = parser.parse_args()
    try:
        RuntimeOptions(backend=args.backend)
    except OptionError as error:
        parser.error(str(error))
    load = load_seconds(5, args.backend)
    with tempfile.TemporaryDirectory() as name:
        photo = args.photo or nine_megapixels(Path(name))
        steps, found, peak_mib = _measure(photo, Path(name), args.repeats, args.backend)
    print(f"backend          {found['backend']}")
    print(f"import and load  {spread(load)['median']:8.2f} s")
    for step, values in steps.items():
        s = spread(values)
        print(f"{step:<16}{s['median']:9.1f} ms   IQR {s['iqr']:.1f}")
    print(f"peak memory      {peak_mib:8.0f} MiB")
    figures = {step: spread(values) for step, values in steps.items()}
    content = {"photo": "synthetic, 3456 x 2592" if args.photo is None else photo.name, **found,
               "load_s": spread(load), "steps_ms": figures, "peak_memory_mib": round(peak_mib)}  # fmt: skip
    print("written:", write_results("latency", content, args.json))


def _measure(
    photo: Path, folder: Path, repeats: int, backend: str
) -> tuple[dict[str, list[float]], dict[str, str], float]:
    """Milliseconds of each step, the layout and the backend that served, and the peak memory of a run of its own."""
    from ecg_trt.digitizer import Digitizer

    steps: dict[str, list[float]] = {}
    with Digitizer(RuntimeOptions(backend=backend)) as digitizer:
        for k in range(repeats + 2):
            start = time.perf_counter()
            record = digitizer(str(photo))
            written = time.perf_counter()
            record.to_csv(folder / "out.csv")
            done = time.perf_counter()
            if k >= 2:
                for step, ms in record.timings_ms.items():
                    steps.setdefault(step, []).append(ms)
                steps.setdefault("write csv", []).append(1000 * (done - written))
                steps.setdefault("file to csv", []).append(1000 * (done - start))
    command = [sys.executable, "-c", _PEAK, str(photo), backend]
    out = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1]).stdout
    unit = 1024 if sys.platform == "darwin" else 1  # macOS counts bytes
    return steps, {"layout": record.layout, "backend": record.backend}, float(out) / unit


if __name__ == "__main__":
    main()

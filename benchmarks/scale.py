"""Measure time, memory and disk of a page of an archive: `python benchmarks/scale.py [--pages 8]`.

Each page is a synthetic photo of 9 megapixels, read by one process with one thread on the CPU. Time of the CPU counts
and not that of the clock, so that other work on the machine matters less.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.common import spread, write_results
from ecg_trt.config import RuntimeOptions
from ecg_trt.digitizer import Digitizer
from ecg_trt.distributed.ray import page_schema, record_columns
from ecg_trt.errors import PageError
from ecg_trt.io.writers import WRITERS
from ecg_trt.record import EcgRecord

WIDTH_PX, JPEG_QUALITY, FIRST_SEED = 3456, 92, 100
FORMATS = ("csv", "json", "wfdb", "npz", "parquet")


def write_photos(folder: Path, pages: int) -> list[Path]:
    """Write synthetic photos of all kinds as JPEG files."""
    from ecg_trt.synth.sample import make_sample

    paths = [folder / f"photo{k}.jpg" for k in range(pages)]
    for k, path in enumerate(paths):
        image, _ = make_sample(FIRST_SEED + k, width_px=WIDTH_PX)
        cv2.imwrite(str(path), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return paths


def read_photos(paths: list[Path]) -> tuple[list[EcgRecord], list[float], float]:
    """Read photos with one thread: the records of those with an answer, the CPU's seconds of each, and peak MiB."""
    records, seconds = [], []
    cv2.setNumThreads(1)
    with Digitizer(RuntimeOptions(backend="ort", threads=1)) as digitizer:
        digitizer(paths[0])  # Networks are loaded when they are first used.
        for path in paths:
            start = time.process_time()
            with suppress(PageError):
                records.append(digitizer(path))
            seconds.append(time.process_time() - start)
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10  # macOS counts bytes.
    return records, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def sizes_of(records: list[EcgRecord], folder: Path) -> dict[str, int]:
    """Mean bytes of a page in each format, and of its row in a dataset's Parquet file."""
    import pyarrow
    from pyarrow import parquet

    sizes = {}
    for name in FORMATS:
        for k, record in enumerate(records):
            record.save(folder / f"{name}{k}{WRITERS[name].suffixes[0]}", name)
        sizes[name] = sum(path.stat().st_size for path in folder.glob(f"{name}*")) // len(records)
    rows: list[dict[str, Any]] = [record_columns(record) for record in records]
    parquet.write_table(pyarrow.Table.from_pylist(rows, page_schema()), folder / "rows")
    return {**sizes, "row of a dataset": (folder / "rows").stat().st_size // len(records)}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=8)
    parser.add_argument("--json", type=Path, default=None)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = write_photos(folder, args.pages)
        photo_bytes = sum(path.stat().st_size for path in paths) // len(paths)
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as alone:
            records, seconds, peak_mib = alone.submit(read_photos, paths).result()
        sizes = sizes_of(records, folder)
    content = {"pages": args.pages, "answered": len(records), "photo": f"synthetic, {WIDTH_PX} px wide",
               "photo_bytes": photo_bytes,
               "cpu_s": spread(seconds), "cpu_s_mean": round(sum(seconds) / len(seconds), 2),
               "peak_memory_mib": round(peak_mib), "bytes": sizes}  # fmt: skip
    for key, value in content.items():
        print(f"{key:<18}{value}")
    print("written:", write_results("scale", content, args.json))


if __name__ == "__main__":
    main()

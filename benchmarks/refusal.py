"""Rejection of what cannot be read, and of nothing else: `python benchmarks/refusal.py`.

Pictures without an ECG that can be read (`synth.negatives`), and recordings of other kinds that look like ECGs
(`synth.recordings`), count as answered well where their mean quality is a half or more. Photos of sound pages, of the
generator's standard severity, count where they are rejected.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.common import write_results
from ecg_trt.config import RuntimeOptions
from ecg_trt.digitizer import Digitizer, Source
from ecg_trt.errors import EcgTrtError
from ecg_trt.synth.negatives import KINDS, draw_negative
from ecg_trt.synth.recordings import KINDS as RECORDINGS
from ecg_trt.synth.recordings import draw_recording
from ecg_trt.synth.sample import make_sample

SEED = 50_000_000  # nothing of these was trained on or calibrated with
HIGH_QUALITY = 0.5
TO_REJECT = ("negatives", "recordings")
Pictures = Iterator[tuple[str, str, Callable[[], Source]]]


def negatives(each: int, seed: int) -> Pictures:
    """Draw every picture to be rejected: kind, name and picture."""
    for k in range(each):
        for kind in KINDS:
            yield kind, f"{kind} {seed + k}", lambda kind=kind, k=k: draw_negative(kind, seed + k)  # type: ignore[misc]


def recordings(each: int, seed: int) -> Pictures:
    """Draw recordings that are no ECGs: kind, name and picture."""
    for k in range(each):
        for kind in RECORDINGS:
            yield kind, f"{kind} {seed + k}", lambda kind=kind, k=k: draw_recording(kind, seed + k)  # type: ignore[misc]


def pages(count: int, seed: int) -> Pictures:
    """Photos of sound pages."""
    for k in range(seed, seed + count):
        yield "page", f"page {k}", lambda k=k: make_sample(k)[0]  # type: ignore[misc]


def clinical(manifest: Path) -> Pictures:
    """Pages of hospitals, without a truth."""
    with manifest.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["kind"] in ("clinical", "device_export"):
                yield row["kind"], row["image"], lambda row=row: str(manifest.parent / row["image"])  # type: ignore[misc]


def judged(digitizer: Digitizer, pictures: Pictures) -> list[dict[str, object]]:
    """Mean quality of each picture, or the error."""
    out: list[dict[str, object]] = []
    for kind, name, draw in pictures:
        row: dict[str, object] = {"name": name, "kind": kind, "quality": None, "error": ""}
        try:
            row["quality"] = round(digitizer(draw()).mean_quality, 3)
        except EcgTrtError as error:
            row["error"] = f"{type(error).__name__}: {error.what}, {error.got}"
        out.append(row)
        print(f"{name:<36} {row['quality']} {row['error']}", flush=True)
    return out


def count(rows: list[dict[str, object]]) -> dict[str, object]:
    """Figures of one set of pictures."""
    answered = [row for row in rows if row["quality"] is not None]
    high = [row for row in answered if row["quality"] >= HIGH_QUALITY]  # type: ignore[operator]
    return {"pictures": len(rows), "answered": len(answered), "answered_high": len(high),
            "answered_by_kind": dict(Counter(str(row["kind"]) for row in answered)),
            "high_by_kind": dict(Counter(str(row["kind"]) for row in high))}  # fmt: skip


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=12, help=f"pictures of each of {len(KINDS)} kinds to be rejected")
    parser.add_argument(
        "--recordings", type=int, default=16, help=f"pictures of each of {len(RECORDINGS)} kinds that look like ECGs"
    )
    parser.add_argument("--pages", type=int, default=200)
    parser.add_argument("--manifest", type=Path, help="also look at the clinical pages that it names")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--threads", type=int, default=0, help="of the networks, 0 for all cores")
    parser.add_argument("--json", type=Path, default=None, help="default: runs/benchmarks/refusal--MACHINE.json")
    args = parser.parse_args()
    sets = {"negatives": negatives(args.each, args.seed), "recordings": recordings(args.recordings, args.seed),
            "pages": pages(args.pages, args.seed)}  # fmt: skip
    if args.manifest:
        sets["clinical"] = clinical(args.manifest)
    with Digitizer(RuntimeOptions(threads=args.threads)) as digitizer:
        rows = {name: judged(digitizer, pictures) for name, pictures in sets.items()}
    summary = {name: count(mine) for name, mine in rows.items()}
    for name, figures in summary.items():
        print(name, figures)
    telling = [row for name, mine in rows.items() for row in mine
               if (row["quality"] is None) == (name not in TO_REJECT)]  # fmt: skip
    print("written:", write_results("refusal", {"summary": summary, "unlike_expected": telling}, args.json))


if __name__ == "__main__":
    main()

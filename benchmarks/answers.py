"""Comparison of all answers before and after a change: `python benchmarks/answers.py --data ../shared/data [--write]`.

Digitizes all pictures of a folder and twelve synthetic pages with one thread, and hashes the answer to each: the CSV,
the JSON without its times and versions, and the words of warnings and errors apart from them, as words may change where
numbers must not. Without --write, compares with the JSON that is there, and exits with 1 where anything differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.common import RESULTS, write_results

if TYPE_CHECKING:
    from ecg_trt.digitizer import Digitizer

SEEDS = range(301, 313)
SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
Answer = dict[str, str]
_CHANGING = ("notice", "source", "warnings", "timings_ms", "versions", "backend")  # keys of the JSON
_opened: list[Digitizer] = []  # one in each process


def answer_of(picture: str) -> Answer:
    """Hash the answer to a picture: a file, or the seed of a synthetic page after a colon."""
    from ecg_trt.config import RuntimeOptions
    from ecg_trt.digitizer import Digitizer
    from ecg_trt.errors import EcgTrtError
    from ecg_trt.io.writers.csv import csv_text
    from ecg_trt.io.writers.json import record_as_dict
    from ecg_trt.synth.sample import make_sample

    if not _opened:
        _opened.append(Digitizer(RuntimeOptions(threads=1)))
    source = make_sample(int(picture[1:]))[0] if picture.startswith(":") else picture
    try:
        record = _opened[0](source)
    except EcgTrtError as error:
        return {"error": type(error).__name__, "words": _hash(f"{error.what} {error.got}")}
    content = {key: value for key, value in record_as_dict(record).items() if key not in _CHANGING}
    numbers = json.dumps(content, sort_keys=True)
    words = "\n".join(warning.text for warning in record.warnings)
    return {"csv": _hash(csv_text(record)), "json": _hash(numbers), "words": _hash(words)}


def pictures_of(folder: Path) -> list[str]:
    """Files of a folder and its folders, in order."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


def differences(before: dict[str, Answer], after: dict[str, Answer]) -> list[str]:
    """Name every picture whose answers differ, and the parts that do."""
    lines = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name, {}), after.get(name, {})
        changed = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
        if changed:
            lines.append(f"{name}: {', '.join(changed)}")
    return lines


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:16]


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of pictures")
    parser.add_argument("--json", type=Path, default=RESULTS / "answers.json")
    parser.add_argument("--write", action="store_true", help="keep these answers, do not compare")
    parser.add_argument("--only", default="", help="pictures whose name contains this")
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    names = {str(args.data / name): name for name in pictures_of(args.data)}
    names |= {f":{seed}": f"synthetic, seed {seed}" for seed in SEEDS}
    names = {source: name for source, name in names.items() if args.only in name}
    with ProcessPoolExecutor(args.processes) as pool:
        answers = dict(zip(names.values(), pool.map(answer_of, names), strict=True))
    if args.write:
        print("written:", write_results("answers", {"answers": answers}, args.json))
        return
    before = json.loads(args.json.read_text())["answers"]
    lines = differences({name: before[name] for name in before if args.only in name}, answers)
    print("\n".join(lines) or f"{len(answers)} pictures are answered as before")
    sys.exit(bool(lines))


if __name__ == "__main__":
    main()

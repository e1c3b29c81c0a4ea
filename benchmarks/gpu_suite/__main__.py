"""Command line of the suite: `run` measures, `report` makes a table and a plot of a result.

python -m benchmarks.gpu_suite run
python -m benchmarks.gpu_suite report runs/benchmarks/gpu_suite--MACHINE.json
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.common import NEW_RESULTS, machine, machine_name, write_json
from benchmarks.gpu_suite import report
from benchmarks.gpu_suite.runner import Limit, run_parts, tell
from benchmarks.gpu_suite.settings import Settings

_TOTAL_S = 600.0
_SECONDS = 5.0
_FAKES_ARE_SLOWER = 4.0  # than a GPU: parts of a dry run are given this many times as long


def main(arguments: list[str] | None = None) -> int:
    """Run one of the commands."""
    args = _parser().parse_args(arguments)
    return int(args.command(args))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.gpu_suite", description=__doc__.split("\n", 1)[0])
    commands = parser.add_subparsers(required=True, metavar="run | report")
    run = commands.add_parser("run", help="measure everything on this GPU")
    run.add_argument("--out", type=Path, default=NEW_RESULTS, help="folder of the result (default: runs/benchmarks)")
    run.add_argument("--total", type=float, default=_TOTAL_S, help="most seconds for all parts (default: 600)")
    run.add_argument("--parts", default="", help="with commas between (default: all)")
    run.add_argument("--processes", default="1,4,12", help="how many share the GPU (default: 1,4,12)")
    run.add_argument("--work", type=Path, default=None, help="folder for logs (default: one that is removed)")
    run.set_defaults(command=_run)
    part = commands.add_parser("part")
    part.add_argument("name")
    part.add_argument("json", type=Path)
    part.add_argument("--processes", default="1,4,12")
    part.set_defaults(command=_part)
    worker = commands.add_parser("worker")
    worker.add_argument("name")
    worker.add_argument("ready", type=Path)
    worker.add_argument("number", type=int)
    worker.set_defaults(command=_worker)
    for one in (part, worker):
        one.add_argument("--work", type=Path, required=True)
    for one in (run, part, worker):
        one.add_argument("--seconds", type=float, default=_SECONDS, help="for each measurement (default: 5)")
        one.add_argument("--fake", action="store_true", help="dry run with the tests' fakes, without a GPU")
    show = commands.add_parser("report", help="print a table of a result and draw its plot")
    show.add_argument("json", type=Path)
    show.add_argument("--png", type=Path, default=None, help="default: beside the JSON")
    show.set_defaults(command=_report)
    return parser


def _run(args: argparse.Namespace) -> int:
    from benchmarks.gpu_suite.parts import PARTS

    names = [name for name in args.parts.split(",") if name] or list(PARTS)
    if unknown := [name for name in names if name not in PARTS]:
        tell(f"Unknown parts: {', '.join(unknown)}. Choose some of {', '.join(PARTS)}.")
        return 2
    described = machine()
    label = "fake" if args.fake else machine_name(described)
    path = args.out / f"gpu_suite--{label}--{described['date']}.json"
    with tempfile.TemporaryDirectory(prefix="ecg-trt-gpu-suite-") as scratch:
        folder = (args.work or Path(scratch)).resolve()

        def command(name: str, result: Path) -> list[str]:
            start = [sys.executable, "-m", "benchmarks.gpu_suite", "part", name, str(result), "--work", str(folder)]
            how = ["--seconds", str(args.seconds), "--processes", args.processes]
            return [*start, *how, *(["--fake"] if args.fake else [])]

        def save(parts: Mapping[str, Any]) -> None:
            content = {"total_s": args.total, "is_dry_run": args.fake, "parts": dict(parts)}
            write_json(path, {"benchmark": "gpu_suite", "machine": described, **content})

        slower = _FAKES_ARE_SLOWER if args.fake else 1.0
        limits = [Limit(name, slower * PARTS[name].limit_s) for name in names]
        parts = run_parts(limits, args.total, folder, command, save)
    tell(f"written: {path}")
    return int(any(part["status"] == "failed" for part in parts.values()))


def _settings(args: argparse.Namespace) -> Settings:
    settings = Settings(args.work, args.seconds, tuple(map(int, getattr(args, "processes", "1").split(","))), args.fake)
    if args.fake:
        from benchmarks.gpu_suite.fakes import plug_in_fakes

        plug_in_fakes(args.work)
    return settings


def _part(args: argparse.Namespace) -> int:
    from benchmarks.gpu_suite.parts import run_part

    return int(not run_part(args.name, args.json, _settings(args)))


def _worker(args: argparse.Namespace) -> int:
    from benchmarks.gpu_suite.processes import work

    work(args.name, args.ready, args.number, _settings(args))
    return 0


def _report(args: argparse.Namespace) -> int:
    return report.main(args.json, args.png or args.json.with_suffix(".png"))


if __name__ == "__main__":
    sys.exit(main())

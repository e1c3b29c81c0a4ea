"""``ecg-trt engines``: the plans in the store."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ecg_trt.cli.console import EXIT_FAILED, EXIT_SOME_FAILED, MIB, NOTICE, print_columns, report
from ecg_trt.errors import EcgTrtError, PlanError

if TYPE_CHECKING:
    from ecg_trt.backends.inspection import Inspection

_STORE = click.option(
    "--dir", "folder", metavar="DIR", type=click.Path(path_type=Path), help="Where the plans are.  [default: the store]"
)


@click.group(
    short_help="List, inspect, verify and prune plans.",
    help=f"List, inspect, verify and prune TensorRT plans.\n\n{NOTICE}",
)
def engines() -> None:
    """The plans in the store."""


@engines.command(
    "list", help=f"List the plans, and whether their networks are those that the package ships.\n\n{NOTICE}"
)
@_STORE
def list_plans(folder: Path | None) -> None:
    """Print the manifests."""
    from ecg_trt.engines.store import PlanStore
    from ecg_trt.weights import list_weights

    store = PlanStore(folder)
    rows = [("network", "flavour", "version", "GPU", "precision", "MiB", "network is", "file")]
    try:
        for plan in store.plans():
            if plan.manifest is None:
                rows.append(("?", "?", "?", "?", "?", f"{plan.path.stat().st_size / MIB:.1f}", "?", plan.path.name))
                continue
            key = plan.manifest.key
            is_shipped = key.onnx_sha256 in list_weights().values()
            rows.append((key.stage, str(key.flavour), key.version, key.capability, key.precision,
                         f"{plan.manifest.plan_bytes / MIB:.1f}", "shipped" if is_shipped else "another",
                         plan.path.name))  # fmt: skip
    except EcgTrtError as error:
        sys.exit(report(error))
    if len(rows) > 1:
        print_columns(rows)
    click.echo(f"{len(rows) - 1} plans in {store.root}. {NOTICE}", err=True)


@engines.command(
    help="Show what is in plans: manifest, device memory, and layers with their types and the formats of their outputs."
    "\n\nPLAN is a file, or its name in the store; all plans if there is none. Layers are read from the loaded plan, "
    "which takes its GPU and its TensorRT: elsewhere the manifest is shown, and why the rest is not. Types and formats "
    "are in plans that were built with --layer-details.\n\n"
    f"Exit code: 0 all can be trusted, 1 some, 2 none.\n\n{NOTICE}"
)
@click.argument("names", metavar="[PLAN]...", nargs=-1)
@_STORE
@click.option("--json", "as_json", is_flag=True, help="A JSON object a line, one for each plan.")
def inspect(names: Sequence[str], folder: Path | None, as_json: bool) -> None:
    """Print each plan as soon as it is read."""
    from ecg_trt.backends.inspection import inspect_plan
    from ecg_trt.engines.store import PlanStore

    store = PlanStore(folder)
    paths = [Path(name) if Path(name).is_file() else store.root / name for name in names]
    good = bad = 0
    for path in paths if names else [plan.path for plan in store.plans()]:
        try:
            inspection = inspect_plan(path)
        except PlanError as error:
            bad += 1
            report(error)
            continue
        good += 1
        if as_json:
            click.echo(json.dumps({"file": path.name, **asdict(inspection)}))
        else:
            _print_inspection(path, inspection)
    click.echo(f"{good} plans in {store.root}, {bad} that cannot be trusted. {NOTICE}", err=True)
    sys.exit(0 if not bad else EXIT_SOME_FAILED if good else EXIT_FAILED)


def _print_inspection(path: Path, inspection: Inspection) -> None:
    """Print the table of one plan, and that of its layers if it was loaded."""
    manifest, key = inspection.manifest, inspection.manifest.key
    memory = "-" if inspection.device_bytes is None else f"{inspection.device_bytes / MIB:.1f}"
    click.echo(path.name)
    print_columns([
        ("  network", key.stage),
        ("  TensorRT", f"{key.flavour} {key.version}"),
        ("  GPU", key.capability),
        ("  precision", key.precision),
        ("  options", ", ".join(f"{name} {value}" for name, value in manifest.options.items()) or "-"),
        ("  inputs", ", ".join(map(str, manifest.inputs))),
        ("  outputs", ", ".join(map(str, manifest.outputs))),
        ("  plan MiB", f"{manifest.plan_bytes / MIB:.1f}"),
        ("  device MiB", memory),
    ])  # fmt: skip
    if inspection.layers is None:
        click.echo(f"  Layers and device memory cannot be read here: {inspection.why_not}")
        return
    rows = [(f"  {layer.kind or '-'}", layer.formats or "-", layer.name) for layer in inspection.layers]
    print_columns([("  layer", "outputs", "name"), *rows])


@engines.command(
    help="Read every plan and compare it with its manifest.\n\n"
    f"Exit code: 0 all can be trusted, 1 some, 2 none.\n\n{NOTICE}"
)
@_STORE
def verify(folder: Path | None) -> None:
    """Print the fault of each plan."""
    from ecg_trt.engines.store import PlanStore

    good = bad = 0
    for plan in PlanStore(folder).verify():
        good, bad = good + (plan.fault is None), bad + (plan.fault is not None)
        click.echo(f"{plan.path.name}  {'sound' if plan.fault is None else 'not to be trusted'}")
        if plan.fault is not None:
            report(plan.fault)
    click.echo(f"{good} plans are sound, {bad} are not. {NOTICE}", err=True)
    sys.exit(0 if not bad else EXIT_SOME_FAILED if good else EXIT_FAILED)


@engines.command(
    help="Remove plans of networks that the package ships no more, of versions of TensorRT other than the installed "
    f"one, and what cannot be trusted.\n\n{NOTICE}"
)
@_STORE
@click.option("--dry-run", is_flag=True, help="Only list what would be removed.")
def prune(folder: Path | None, dry_run: bool) -> None:
    """Remove plans that are of no use any more."""
    from ecg_trt.engines.manifest import Flavour
    from ecg_trt.engines.store import PlanStore
    from ecg_trt.weights import list_weights

    try:
        networks = set(list_weights().values())
        versions = {f: [v for v in (f.installed_version(), f.lean_version()) if v] for f in Flavour}
        gone = PlanStore(folder).prune(networks, versions, dry_run=dry_run)
    except EcgTrtError as error:
        sys.exit(report(error))
    for path, why in gone:
        click.echo(f"{path.name}  {why}")
    click.echo(f"{len(gone)} files {'would be removed' if dry_run else 'removed'}. {NOTICE}", err=True)


def engine_lines() -> Iterator[str]:
    """List the lines of ``ecg-trt info`` on TensorRT."""
    from ecg_trt.engines.manifest import Flavour
    from ecg_trt.engines.store import PlanStore

    for flavour in Flavour:
        yield f"{flavour:<12} {flavour.installed_version() or 'not installed'}"
        if lean := flavour.lean_version():
            yield f"{'':<12} lean runtime {lean}"
    store = PlanStore()
    yield f"{'plans':<12} {len(store.plans())} in {store.root}"

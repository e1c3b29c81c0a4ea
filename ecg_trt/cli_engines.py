"""``ecg-trt build`` and ``ecg-trt engines``; what they do lives in `build_engines` and `engines.store`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ecg_trt.cli_common import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_SOME_FAILED, NOTICE, refuse
from ecg_trt.config import MODELS
from ecg_trt.errors import BackendUnavailableError, BuildError, EcgTrtError

if TYPE_CHECKING:
    from build_engines.jobs import Outcome, Request
    from build_engines.verify import Difference
    from ecg_trt.engines.manifest import PlanKey

_MIB = 1 << 20
_STORE = click.option(
    "--dir", "folder", metavar="DIR", type=click.Path(path_type=Path), help="Where the plans are.  [default: the store]"
)


@click.command(
    short_help="Build TensorRT plans of the networks.",
    help="Build a TensorRT plan of each network, compare it with the FP32 network on the CPU (the plan itself where "
    "its GPU is at hand, else its ONNX), print a table, and compile the kernels. What is current is left alone.\n\n"
    "rtx plans need no GPU to be built; trt plans are built on the GPU that will run them. They go to $ECG_TRT_HOME, "
    "else to the platform's cache folder.\n\n"
    f"Exit code: 0 all plans are there, 1 some failed, 2 all failed or nothing could be done.\n\n{NOTICE}",
)
@click.option("--flavour", type=click.Choice(["auto", "trt", "rtx"]), default="auto", show_default=True)
@click.option("--precision", type=click.Choice(["fp16", "fp32"]), default="fp16", show_default=True)
@click.option(
    "--compute-capability",
    "capability",
    metavar="8.6,8.9,...",
    help="rtx: a plan for each; 'any' for one plan that serves 8.0 and later.  [default: the GPU's, else 8.6,8.9,12.0]",
)
@click.option("--frontend", type=click.Choice(["onnx", "torch"]), default="onnx", show_default=True)
@click.option(
    "--exported",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Exported programs, for --frontend torch, as `python -m train.export --exported DIR` writes them.",
)
@click.option("--model", default=MODELS[0], show_default=True, type=click.Choice(MODELS), help="Size of the networks.")
@click.option("--stage", "stages", multiple=True, metavar="STAGE", help="May be given several times.  [default: all]")
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="Instead of the store.")
@click.option("--workspace", metavar="MIB", type=click.IntRange(min=1), help="Most scratch memory of a tactic.")
@click.option(
    "--timing-cache",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="trt: what was measured, kept for the next build.  [default: beside the store]",
)
@click.option("--verify/--no-verify", default=True, show_default=True, help="Compare with ONNX Runtime on the CPU.")
@click.option("-v", "--verbose", is_flag=True, help="Tracebacks of what TensorRT and ONNX raised.")
def build(verbose: bool, **asked: object) -> None:
    """Builds plans."""
    try:
        code = _build(_request(**asked), verbose)  # type: ignore[arg-type]
    except EcgTrtError as error:
        code = refuse(error, verbose)
    except KeyboardInterrupt:
        click.echo("\nInterrupted; what is written is whole.", err=True)
        code = EXIT_INTERRUPTED
    click.echo(NOTICE, err=True)
    sys.exit(code)


def _request(
    *,
    flavour: str,
    precision: str,
    capability: str | None,
    frontend: str,
    exported: Path | None,
    model: str,
    stages: Sequence[str],
    out: Path | None,
    workspace: int | None,
    timing_cache: Path | None,
    verify: bool,
) -> Request:
    """The command line, checked."""
    _check_frontend(frontend, exported, flavour)
    try:
        from build_engines.export import Precision
        from build_engines.flavour import capabilities, open_flavour
        from build_engines.jobs import Request
        from build_engines.profile import SPECS, spec_of
    except ModuleNotFoundError as error:
        raise BackendUnavailableError(
            "Nothing can be built",
            got=f"{error.name} is not installed",
            expected="what building needs",
            mend='Run: pip install "ecg-trt[rtx,build]", or [trt,build]',
        ) from error
    from ecg_trt.backends.select import open_plan
    from ecg_trt.engines.manifest import Flavour
    from ecg_trt.engines.store import PlanStore
    from ecg_trt.paths import cache_dir

    chosen, trt = open_flavour("trt" if frontend == "torch" else flavour)
    specs = tuple(map(spec_of, dict.fromkeys(stages) or SPECS))
    targets = capabilities(chosen, capability, trt)
    if chosen is Flavour.TRT and timing_cache is None:
        timing_cache = cache_dir() / f"timing_{trt.__version__}_sm{targets[0].replace('.', '')}.cache"
    return Request(specs, chosen, trt, targets, Precision(precision), PlanStore(out), workspace, timing_cache, exported,
                   verify, open_plan, model)  # fmt: skip


def _check_frontend(frontend: str, exported: Path | None, flavour: str) -> None:
    """Whether the front end, its source and the flavour belong together."""
    if (frontend == "torch") != (exported is not None):
        raise BuildError(
            "The front end and its source do not belong together",
            got=f"--frontend {frontend} {'with' if exported else 'without'} --exported",
            expected="--exported DIR with --frontend torch, and only there",
            mend="Make the programs with `python -m train.export --exported DIR`, or use --frontend onnx.",
        )
    if frontend == "torch" and flavour == "rtx":
        raise BuildError(
            "torch-tensorrt builds no plan of this flavour",
            got="--flavour rtx",
            expected="--flavour trt",
            mend="Use --frontend onnx.",
        )


def _build(request: Request, verbose: bool) -> int:
    """Builds, prints the table; the exit code."""
    import build_engines.jobs as jobs

    outcomes: list[Outcome] = []
    with ExitStack() as bars:

        def start(key: PlanKey) -> Callable[[float], None]:
            bars.close()
            return _bar(bars, f"{key.stage} {key.flavour} {key.capability} {key.precision}")

        outcomes += jobs.build(request, start)
    _print_table(outcomes)
    compiled = _make_kernels(request.capabilities)
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    for outcome in failed:
        assert outcome.error is not None
        refuse(outcome.error, verbose)
    if not failed and not compiled and not any(outcome.is_new for outcome in outcomes):
        click.echo(f"Nothing to do: all {len(outcomes)} plans in {request.store.root} are current.", err=True)
    elif len(failed) < len(outcomes):
        click.echo(f"Plans are in {request.store.root}.", err=True)
    return 0 if not failed else EXIT_FAILED if len(failed) == len(outcomes) else EXIT_SOME_FAILED


def _make_kernels(capabilities: Sequence[str]) -> int:
    """Compiles the pixel work's kernels for the plans' GPUs, so that no first run has to; how many are new."""
    from build_engines.cubin import count_cubins, make_cubins
    from ecg_trt.cuda.compile import CAPABILITIES, target_of
    from ecg_trt.engines.manifest import ANY_CAPABILITY

    pairs = [(int(major), int(minor)) for major, minor in (c.split(".") for c in capabilities if c != ANY_CAPABILITY)]
    targets = sorted({target_of(pair) for pair in pairs}) if len(pairs) == len(capabilities) else CAPABILITIES
    new = 0
    try:
        with ExitStack() as bars:
            advance = _bar(bars, "kernels")
            for k, cubin in enumerate(make_cubins(targets), 1):
                new += cubin.made
                advance(k / count_cubins(targets))
    except BackendUnavailableError as error:
        click.echo(f"Kernels are left to the first run on a GPU: {error.got}. {error.mend}", err=True)
    return new


def _bar(bars: ExitStack, label: str) -> Callable[[float], None]:
    """A bar on stderr that is told shares of the work; none where that is no terminal."""
    bar = bars.enter_context(
        click.progressbar(length=100, label=label, file=sys.stderr, hidden=not sys.stderr.isatty(), show_eta=False)
    )

    def advance(share: float) -> None:
        bar.update(max(0, round(100 * share) - bar.pos))

    return advance


def _print_table(outcomes: Sequence[Outcome]) -> None:
    rows: list[tuple[str, ...]] = [
        ("network", "GPU", "precision", "MiB", "s", "state", "compared", "worst output", "max", "mean", "median",
         "mV: max / mean / median")
    ]  # fmt: skip
    for outcome in outcomes:
        key, compared = outcome.key, outcome.comparison
        state = "failed" if outcome.error else "built" if outcome.is_new else "current"
        row = (key.stage, f"{key.flavour} {key.capability}", key.precision, f"{outcome.plan_bytes / _MIB:.1f}",
               f"{outcome.seconds:.1f}", state)  # fmt: skip
        if compared is None:
            rows.append((*row, *"------"))
            continue
        worst, signal = compared.worst, compared.signal_mv
        in_mv = " / ".join(_numbers(signal)) if signal else "-"
        rows.append((*row, outcome.compared, worst.name, *_numbers(worst), in_mv))
    _print_columns(rows)


def _numbers(difference: Difference) -> tuple[str, ...]:
    return tuple(f"{value:.1e}" for value in (difference.max, difference.mean, difference.median))


def _print_columns(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@click.group(short_help="List, verify and prune plans.", help=f"List, verify and prune TensorRT plans.\n\n{NOTICE}")
def engines() -> None:
    """The plans in the store."""


@engines.command(
    "list", help=f"List the plans, and whether their networks are those that the package ships.\n\n{NOTICE}"
)
@_STORE
def list_plans(folder: Path | None) -> None:
    """Prints the manifests."""
    from ecg_trt.engines.store import PlanStore
    from ecg_trt.weights import models_with

    store = PlanStore(folder)
    rows = [("network", "flavour", "version", "GPU", "precision", "MiB", "network is", "file")]
    try:
        for plan in store.plans():
            if plan.manifest is None:
                rows.append(("?", "?", "?", "?", "?", f"{plan.path.stat().st_size / _MIB:.1f}", "?", plan.path.name))
                continue
            key = plan.manifest.key
            is_shipped = bool(models_with(key.onnx_sha256))
            rows.append((key.stage, str(key.flavour), key.version, key.capability, key.precision,
                         f"{plan.manifest.plan_bytes / _MIB:.1f}", "shipped" if is_shipped else "another",
                         plan.path.name))  # fmt: skip
    except EcgTrtError as error:
        sys.exit(refuse(error))
    if len(rows) > 1:
        _print_columns(rows)
    click.echo(f"{len(rows) - 1} plans in {store.root}. {NOTICE}", err=True)


@engines.command(
    help="Read every plan and compare it with its manifest.\n\n"
    f"Exit code: 0 all can be trusted, 1 some, 2 none.\n\n{NOTICE}"
)
@_STORE
def verify(folder: Path | None) -> None:
    """Prints what is wrong with each plan."""
    from ecg_trt.engines.store import PlanStore

    good = bad = 0
    for plan in PlanStore(folder).verify():
        good, bad = good + (plan.fault is None), bad + (plan.fault is not None)
        click.echo(f"{plan.path.name}  {'sound' if plan.fault is None else 'not to be trusted'}")
        if plan.fault is not None:
            refuse(plan.fault)
    click.echo(f"{good} plans are sound, {bad} are not. {NOTICE}", err=True)
    sys.exit(0 if not bad else EXIT_SOME_FAILED if good else EXIT_FAILED)


@engines.command(
    help="Remove plans of networks that the package ships no more, of versions of TensorRT other than the installed "
    f"one, and what cannot be trusted.\n\n{NOTICE}"
)
@_STORE
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
def prune(folder: Path | None, dry_run: bool) -> None:
    """Removes what is of no use."""
    from ecg_trt.engines.manifest import Flavour
    from ecg_trt.engines.store import PlanStore
    from ecg_trt.weights import folder_of, list_weights

    try:
        networks = {digest for model in MODELS for digest in list_weights(folder_of(model)).values()}
        versions = {flavour: version for flavour in Flavour if (version := flavour.installed_version())}
        gone = PlanStore(folder).prune(networks, versions, dry_run=dry_run)
    except EcgTrtError as error:
        sys.exit(refuse(error))
    for path, why in gone:
        click.echo(f"{path.name}  {why}")
    click.echo(f"{len(gone)} files {'would go' if dry_run else 'removed'}. {NOTICE}", err=True)


def engine_lines() -> Iterator[str]:
    """What ``ecg-trt info`` says of TensorRT."""
    from ecg_trt.engines.manifest import Flavour
    from ecg_trt.engines.store import PlanStore

    for flavour in Flavour:
        yield f"{flavour:<12} {flavour.installed_version() or 'not installed'}"
    store = PlanStore()
    yield f"{'plans':<12} {len(store.plans())} in {store.root}"

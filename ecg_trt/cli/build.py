"""Command ``ecg-trt build``, a thin shell around `build_engines`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ecg_trt.cli.console import EXIT_FAILED, EXIT_SOME_FAILED, MIB, NOTICE, exit_after, print_columns, report
from ecg_trt.errors import BackendUnavailableError, BuildError, OptionError, install_hint

if TYPE_CHECKING:
    from build_engines.jobs import Outcome, Request
    from build_engines.verify import Difference
    from ecg_trt.engines.manifest import PlanKey

_REPOSITORY_OPTIONS = ("stages", "precision", "capability", "out")  # Those of --triton.
# Those that --frontend onnx alone has, by parameter.
_ONNX_OPTIONS = {"hardware_compat": "--hardware-compat", "optimization_level": "--optimization-level",
                 "is_version_compatible": "--version-compatible", "has_layer_details": "--layer-details"}  # fmt: skip


@click.command(
    short_help="Build TensorRT plans of the networks.",
    help="Build a TensorRT plan of each network, compare it with the FP32 network on the CPU (the plan itself where "
    "its GPU is at hand, else its ONNX), print a table, and compile the kernels. What is current is left alone.\n\n"
    "rtx plans need no GPU to be built; trt plans are built on the GPU that will run them. They go to $ECG_TRT_HOME, "
    "else to the platform's cache folder.\n\n"
    "With --triton nothing is built: the trt plans that are there become a model repository of NVIDIA Triton, with "
    "ONNX for a network without one, and a model ecg_trt that takes a photo.\n\n"
    f"Exit code: 0 all plans are there, 1 some failed, 2 all failed or nothing could be done.\n\n{NOTICE}",
)
@click.option("--flavour", type=click.Choice(["auto", "trt", "rtx"]), default="auto", show_default=True)
@click.option("--precision", type=click.Choice(["fp16", "fp32"]), default="fp16", show_default=True)
@click.option(
    "--compute-capability",
    "capability",
    metavar="8.6,8.9,...",
    help="rtx: a plan for each; 'any' for one plan that serves 8.0 and later.  [default: the GPU's, 'any' if this "
    "TensorRT does not list it; without a GPU 8.6,8.9,12.0]",
)
@click.option(
    "--hardware-compat",
    type=click.Choice(["ampere+"]),
    help="trt: one plan for every GPU of compute capability 8.0 and later; it may be slower.",
)
@click.option("--frontend", type=click.Choice(["onnx", "torch"]), default="onnx", show_default=True)
@click.option(
    "--exported",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Exported programs, for --frontend torch, as `python -m train.export --exported DIR` writes them.",
)
@click.option("--stage", "stages", multiple=True, metavar="STAGE", help="May be given several times.  [default: all]")
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="Instead of the store.")
@click.option(
    "--workspace", "workspace_mib", metavar="MIB", type=click.IntRange(min=1), help="Most scratch memory of a tactic."
)
@click.option(
    "--optimization-level",
    metavar="0..5",
    type=click.IntRange(0, 5),
    help="How hard TensorRT searches for fast tactics; higher builds longer.  [default: TensorRT's, 3]",
)
@click.option(
    "--version-compatible",
    "is_version_compatible",
    is_flag=True,
    help="trt: plans run on the lean runtime of this version, too, alone or beside a later TensorRT; may be slower.",
)
@click.option(
    "--layer-details",
    "has_layer_details",
    is_flag=True,
    help="Plans describe their layers, for `ecg-trt engines inspect`.",
)
@click.option(
    "--timing-cache",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="trt: what was measured, kept for the next build.  [default: beside the store]",
)
@click.option(
    "--verify/--no-verify", "is_verified", default=True, show_default=True, help="Compare with ONNX Runtime on the CPU."
)
@click.option("--triton", metavar="DIR", type=click.Path(path_type=Path), help="Write Triton's repository there.")
@click.option("-v", "--verbose", is_flag=True, help="Tracebacks of what TensorRT and ONNX raised.")
def build(verbose: bool, triton: Path | None, **asked: Any) -> None:
    """Build plans, or hand those that are built to Triton."""

    def work() -> int:
        if triton is None:
            _check_frontend(asked)
            return _build(_request(**asked), verbose)
        if asked["flavour"] == "rtx":
            raise click.UsageError("--triton takes trt plans alone: Triton does not run those of TensorRT for RTX.")
        return _write_repository(triton, **{name: asked[name] for name in _REPOSITORY_OPTIONS})

    exit_after(work, verbose)


def _request(
    *,
    flavour: str,
    precision: str,
    capability: str | None,
    hardware_compat: str | None,
    frontend: str,
    exported: Path | None,
    stages: Sequence[str],
    out: Path | None,
    timing_cache: Path | None,
    is_version_compatible: bool,
    is_verified: bool,
    **options: Any,
) -> Request:
    """Turn the command line into a request; `options` are more of its `BuildOptions`."""
    try:
        import build_engines.flavour as flavours
        from build_engines.export import Precision
        from build_engines.jobs import Request
        from build_engines.plan_from_onnx import BuildOptions
    except ModuleNotFoundError as error:
        raise BackendUnavailableError(
            "Nothing can be built",
            got=f"{error.name} is not installed",
            expected="what building needs",
            hint=f"{install_hint('rtx', 'build')}, or .[trt,build]",
        ) from error
    from ecg_trt.backends.select import open_plan
    from ecg_trt.engines.manifest import Flavour
    from ecg_trt.engines.store import PlanStore
    from ecg_trt.networks import network_spec
    from ecg_trt.paths import cache_dir

    chosen, trt = flavours.open_flavour("trt" if frontend == "torch" else flavour)
    specs = tuple(map(network_spec, dict.fromkeys(stages) or _with_weights()))
    targets = flavours.capabilities(chosen, capability, trt, is_ampere_plus=hardware_compat is not None)
    if is_version_compatible:
        flavours.check_version_compatible(chosen)
    note = flavours.target_note(chosen, targets, trt)
    if note:
        click.echo(note, err=True)
    if chosen is Flavour.TRT and timing_cache is None:
        here = str(flavours.gpu_capability()).replace(".", "")
        timing_cache = cache_dir() / f"timing_{trt.__version__}_sm{here}.cache"
    how = BuildOptions(timing_cache=timing_cache, is_version_compatible=is_version_compatible, **options)
    return Request(
        specs, chosen, trt, targets, Precision(precision), PlanStore(out), how, exported, is_verified, open_plan
    )


def _with_weights() -> list[str]:
    """List the networks of the registry that have weights; all where no manifest names any."""
    from ecg_trt.networks import NETWORKS
    from ecg_trt.weights import list_weights

    known = list_weights()
    return [name for name in NETWORKS if name in known] or list(NETWORKS)


def _check_frontend(asked: Mapping[str, Any]) -> None:
    """Check that the front end, its source, the flavour and the other options belong together."""
    frontend, exported, flavour = asked["frontend"], asked["exported"], asked["flavour"]
    if (frontend == "torch") != (exported is not None):
        raise BuildError(
            "The front end and its source do not belong together",
            got=f"--frontend {frontend} {'with' if exported else 'without'} --exported",
            expected="--exported DIR with --frontend torch, and only there",
            hint="Make the programs with `python -m train.export --exported DIR`, or use --frontend onnx.",
        )
    if frontend == "torch" and flavour == "rtx":
        raise BuildError(
            "torch-tensorrt builds no plan of this flavour",
            got="--flavour rtx",
            expected="--flavour trt",
            hint="Use --frontend onnx.",
        )
    given = [option for name, option in _ONNX_OPTIONS.items() if asked[name] is not None and asked[name] is not False]
    if frontend == "torch" and given:
        raise OptionError(
            "torch-tensorrt builds without this option",
            got=f"{', '.join(given)} with --frontend torch",
            expected="--frontend onnx",
            hint="Leave it out, or use --frontend onnx.",
        )


def _build(request: Request, verbose: bool) -> int:
    """Build the plans, print the table, and return the exit code."""
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
        report(outcome.error, verbose)
    if not failed and not compiled and not any(outcome.is_new for outcome in outcomes):
        click.echo(f"Nothing to do: all {len(outcomes)} plans in {request.store.root} are current.", err=True)
    elif len(failed) < len(outcomes):
        click.echo(f"Plans are in {request.store.root}.", err=True)
    return 0 if not failed else EXIT_FAILED if len(failed) == len(outcomes) else EXIT_SOME_FAILED


def _make_kernels(capabilities: Sequence[str]) -> int:
    """Compile the pixel work's kernels for the plans' GPUs ahead of the first run; return how many are new."""
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
        click.echo(f"Kernels are left to the first run on a GPU: {error.got}. {error.hint}", err=True)
    return new


def _bar(bars: ExitStack, label: str) -> Callable[[float], None]:
    """Open a progress bar on stderr, hidden where that is no terminal; return the function that advances it."""
    bar = bars.enter_context(
        click.progressbar(length=100, label=label, file=sys.stderr, hidden=not sys.stderr.isatty(), show_eta=False)
    )

    def advance(share: float) -> None:
        bar.update(max(0, round(100 * share) - bar.pos))

    return advance


def _write_repository(
    folder: Path, *, stages: Sequence[str], precision: str, capability: str | None, out: Path | None
) -> int:
    """Write a model repository for Triton, print what serves each network, and return the exit code."""
    from ecg_trt.distributed.triton import choose_network, write_repository
    from ecg_trt.engines.store import PlanStore
    from ecg_trt.networks import network_spec

    specs = map(network_spec, dict.fromkeys(stages) or _with_weights())
    networks = [choose_network(spec, PlanStore(out), precision, capability) for spec in specs]
    write_repository(folder, networks)
    print_columns([
        ("network", "platform", "TensorRT", "GPU", "MiB"),
        *((network.spec.name, network.platform, network.plan.version if network.plan else "-",
           network.plan.capability if network.plan else "-", f"{len(network.content) / MIB:.1f}")
          for network in networks),
    ])  # fmt: skip
    onnx = [network.spec.name for network in networks if network.plan is None]
    if onnx:
        click.echo(
            f"No trt plan of {', '.join(onnx)}, which ONNX Runtime serves. For plans run, on the GPU that shall serve: "
            "ecg-trt build --flavour trt, then --triton once more.",
            err=True,
        )
    click.echo(f"The repository is in {folder}.", err=True)
    return 0


def _print_table(outcomes: Sequence[Outcome]) -> None:
    rows: list[tuple[str, ...]] = [
        ("network", "GPU", "precision", "MiB", "s", "state", "compared", "worst output", "max", "mean", "median",
         "mV: max / mean / median")
    ]  # fmt: skip
    for outcome in outcomes:
        key, compared = outcome.key, outcome.comparison
        state = "failed" if outcome.error else "built" if outcome.is_new else "current"
        row = (key.stage, f"{key.flavour} {key.capability}", key.precision, f"{outcome.plan_bytes / MIB:.1f}",
               f"{outcome.seconds:.1f}", state)  # fmt: skip
        if compared is None:
            rows.append((*row, *"------"))
            continue
        worst, signal = compared.worst, compared.signal_mv
        in_mv = " / ".join(_numbers(signal)) if signal else "-"
        rows.append((*row, outcome.compared, worst.name, *_numbers(worst), in_mv))
    print_columns(rows)


def _numbers(difference: Difference) -> tuple[str, ...]:
    return tuple(f"{value:.1e}" for value in (difference.max, difference.mean, difference.median))

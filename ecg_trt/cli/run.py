"""``ecg-trt run``: photos to records."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ecg_trt.cli.console import NOTICE, exit_after
from ecg_trt.config import AUTO, BACKENDS, VIEWS, ReadOptions, RuntimeOptions
from ecg_trt.corrections import read_corrections
from ecg_trt.errors import DeviceFaultError, OptionError
from ecg_trt.io.readers import format_names
from ecg_trt.io.writers import WRITERS, share_options
from ecg_trt.layout import GAINS_MM_PER_MV, LAYOUTS, PAPER_SPEEDS_MM_PER_S, STRIPS

if TYPE_CHECKING:
    from ecg_trt.archive.inputs import ArchiveItem
    from ecg_trt.archive.worker import ArchiveOptions
    from ecg_trt.distributed.ray_pool import ClusterPool

_STDIN = "-"  # Stands for a file from standard input.
_MOST_NAMED = 5  # Files that a line names.


class _FormatName(click.ParamType[str]):
    """One of the formats in `WRITERS`, which may have grown since this module was imported."""

    name = "format"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """List the formats for the help."""
        return f"[{'|'.join(WRITERS)}]"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Accept the name of a format."""
        if value not in WRITERS:
            self.fail(f"{value!r} is not one of {', '.join(map(repr, WRITERS))}.", param, ctx)
        return value


def _format_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give the command the options of all formats."""
    texts = {name: text for writer in WRITERS.values() for name, text in writer.options.items()}
    for name, text in reversed(texts.items()):  # The last that is added comes first.
        formats = " and ".join(writer.name for writer in WRITERS.values() if name in writer.options)
        command = click.option(f"--{name}", metavar=name.upper(), help=f"For {formats}. {text}")(command)
    return command


def _auto_or(values: Sequence[float]) -> click.Choice[str]:
    return click.Choice([AUTO, *(f"{value:g}" for value in values)])


@click.command(
    short_help="Digitize photos, files and folders.",
    help=f"Digitize PHOTOs ({format_names()}) to DIR/<name>.csv, in mV, with a <name>.json beside "
    "it that holds layout, speed, gain, quality, warnings and timings. Of a file with several pages each is a record "
    "of its own, <name>.p1.csv, <name>.p2.csv and so on; its pages without an ECG are skipped, unless none has one. "
    "A single - is a file from standard input, and its name stdin.\n\n"
    "Of a FOLDER every file is taken that is known by its suffix or its first bytes, but no hidden one, nor DIR; the "
    "folders below keep their structure in DIR. For a folder or several files DIR/results.csv has a line a page, "
    "and DIR/results.parquet too where pyarrow is installed. --resume goes on with it: pages of the same content, read "
    "with the same options, are known, wherever their file lies now.\n\n"
    "With --merge all PHOTOs show one page, and give one record under the first one's name: the curves are averaged, "
    "each photo counting by how well it shows them, gaps are filled, and what contradicts the others counts little. "
    "The JSON lists the weight and lag of each photo in each lead. With --merge-by photos belong to one page if the "
    "first group of PATTERN, or all of it, matches the same text in their paths.\n\n"
    "Exit code: 0 all went well; 1 some pages failed; 2 all failed, nothing could be done, or the GPU failed in "
    f"mid-batch; what is written is whole.\n\n{NOTICE}",
)
@click.argument("photos", metavar="PHOTO|FOLDER...", nargs=-1, required=True, type=click.Path())
@click.option("-o", "--output", "folder", metavar="DIR", default=".", help="Made if missing.  [default: .]")
@click.option("-r", "--recursive", is_flag=True, help="Search the folders below each FOLDER, too.")
@click.option("--resume", is_flag=True, help="Go on with DIR/results.csv; crashes are tried again, bad pages are not.")
@click.option("--jobs", metavar="N", type=click.IntRange(min=1),
              help="Processes, which share the cores or the GPU; each has networks of its own.  "
              "[default: 1; with --ray one a core]")  # fmt: skip
@click.option("--ray", metavar="ADDRESS", help="Work on a Ray cluster (auto, local, HOST:PORT), which shares DIR.")
@click.option(
    "--format",
    "formats",
    multiple=True,
    default=("csv",),
    show_default=True,
    type=_FormatName(),
    help="May be given several times; the JSON is always written.",
)
@_format_options
@click.option("--fs", default=500.0, show_default=True, help="Samples a second, 50 to 2000.")
@click.option("--layout", default=AUTO, show_default=True, type=click.Choice([AUTO, *LAYOUTS, STRIPS]))
@click.option("--speed", default=AUTO, show_default=True, type=_auto_or(PAPER_SPEEDS_MM_PER_S), help="mm/s.")
@click.option("--gain", default=AUTO, show_default=True, type=_auto_or(GAINS_MM_PER_MV), help="mm/mV.")
@click.option("--backend", default=AUTO, show_default=True, type=click.Choice(BACKENDS))
@click.option("--views", default="1", show_default=True, type=click.Choice([str(n) for n in VIEWS]),
              help="2 or 4 show each part of a trace to its network as often, and take the mean.")  # fmt: skip
@click.option(
    "--min-quality", default=0.0, show_default=True, metavar="Q", help="Reject pages of lower mean quality, 0 to 1."
)
@click.option(
    "--limb-blend/--no-limb-blend",
    default=True,
    show_default=True,
    help="Make limb leads that are printed together consistent with Einthoven's and Goldberger's laws.",
)
@click.option(
    "--corrections", metavar="FILE.json", type=click.Path(), help="Apply a person's corrections to the PHOTO."
)
@click.option("--overlay", is_flag=True, help="Also write <name>.overlay.png: the page with what was read.")
@click.option("--report", is_flag=True, help="Also write <name>.report.html, a page to read, and for several files "
              "DIR/report.html: all pages, the worst first.")  # fmt: skip
@click.option(
    "--analyze", is_flag=True, help="Also find beats, measure intervals and map the heart, as ecg-trt analyze does."
)
@click.option("--deidentify", is_flag=True, help="Blank all pictures but for the rows of the ECG, and leave the names "
              "of photos out of the JSON and the reports. What is written on a row stays.")  # fmt: skip
@click.option("--merge", is_flag=True, help="The photos show one page: write one record, named after the first.")
@click.option(
    "--merge-by", metavar="PATTERN", help="Regular expression: photos whose paths match in the same text show one page."
)
@click.option("-v", "--verbose", is_flag=True, help="Times of each step; why no better backend runs; tracebacks.")
def run(
    photos: tuple[str, ...],
    folder: str,
    recursive: bool,
    resume: bool,
    jobs: int | None,
    ray: str | None,
    formats: tuple[str, ...],
    fs: float,
    layout: str,
    speed: str,
    gain: str,
    backend: str,
    views: str,
    min_quality: float,
    limb_blend: bool,
    corrections: str | None,
    overlay: bool,
    report: bool,
    analyze: bool,
    deidentify: bool,
    merge: bool,
    merge_by: str | None,
    verbose: bool,
    **format_options: str | None,
) -> None:
    """Digitize photos."""
    _check_usage(photos, overlay, merge, merge_by)

    def work() -> int:
        from ecg_trt.archive.inputs import is_folder
        from ecg_trt.archive.worker import ArchiveOptions
        from ecg_trt.io.atomic import make_folder

        options = ArchiveOptions(
            formats=_with_options(
                formats, {name: value for name, value in format_options.items() if value is not None}
            ),
            overlay=overlay,
            report=report,
            analyze=analyze,
            pictures=not (merge or merge_by is not None),
            deidentify=deidentify,
            corrections=None if corrections is None else read_corrections(corrections),
            read=ReadOptions(
                layout=layout, speed=speed, gain=gain, fs=fs, min_quality=min_quality, limb_blend=limb_blend
            ),
            runtime=RuntimeOptions(backend=backend, views=int(views)),
        )
        out = Path(folder)
        make_folder(out)
        items = _find(photos, out, recursive, merge, merge_by)
        if corrections is not None and (len(items) > 1 or merge or merge_by is not None):
            raise click.UsageError("--corrections are those of one PHOTO.")
        if analyze:
            _say_what_is_missing()
        has_table = resume or len(items) > 1 or any(map(is_folder, photos))
        return _digitize(items, out, options, jobs=jobs, ray=ray, has_table=has_table, resume=resume, verbose=verbose)

    exit_after(work, verbose)


def _say_what_is_missing() -> None:
    """Say which files of an analysis cannot be written here, and how they can."""
    from ecg_trt.analysis import DEFAULT_PARTS
    from ecg_trt.io.writers.analysis_files import missing_files

    for text in missing_files(DEFAULT_PARTS):
        click.echo(text, err=True)


def _check_usage(photos: Sequence[str], overlay: bool, merge: bool, merge_by: str | None) -> None:
    """Reject options that contradict each other."""
    if overlay and (merge or merge_by is not None):
        raise click.UsageError("--merge has no --overlay, as no single picture shows what was merged.")
    if merge and merge_by is not None:
        raise click.UsageError("--merge takes all photos together, --merge-by some: give one of them.")
    if photos.count(_STDIN) > 1:
        raise click.UsageError(f"{_STDIN} may be given once, as standard input holds one file.")


def _find(photos: Sequence[str], folder: Path, recursive: bool, merge: bool, merge_by: str | None) -> list[ArchiveItem]:
    """Find the files, read that from standard input, and group photos of one page."""
    from ecg_trt.archive.inputs import find_items, merge_items, merge_items_by
    from ecg_trt.io.readers.base import EncodedPhoto

    paths = [EncodedPhoto(sys.stdin.buffer.read(), "stdin") if photo == _STDIN else photo for photo in photos]
    items, others = find_items(paths, folder, recursive=recursive)
    if others:
        named = ", ".join(others[:_MOST_NAMED]) + ", .." * (len(others) > _MOST_NAMED)
        click.echo(f"{len(others)} other file{'s' * (len(others) != 1)} left out: {named}", err=True)
    if merge:
        return [merge_items(items)]
    return items if merge_by is None else merge_items_by(items, merge_by)


def _digitize(
    items: Sequence[ArchiveItem],
    folder: Path,
    options: ArchiveOptions,
    *,
    jobs: int | None,
    ray: str | None,
    has_table: bool,
    resume: bool,
    verbose: bool,
) -> int:
    """Digitize, report on each page, and return the exit code."""
    from ecg_trt.archive.archive import Archive
    from ecg_trt.cli.outcomes import OutcomeReport

    report = OutcomeReport(len(items), verbose)
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(_open_cluster(ray, folder, options, jobs)) if ray else None
        archive = stack.enter_context(
            Archive(folder, options, jobs=jobs or 1, has_table=has_table, resume=resume, pool=pool)
        )
        if archive.note and verbose:
            report.log(archive.note)
        try:
            with report.progress(), contextlib.closing(archive.digitize(items)) as outcomes:
                for outcome in outcomes:
                    report.add(outcome)
        except DeviceFaultError as fault:
            return report.end(fault)
    return report.end()


def _open_cluster(address: str, folder: Path, options: ArchiveOptions, jobs: int | None) -> ClusterPool:
    """Open workers on a Ray cluster, once the formats are known to be sound."""
    from ecg_trt.distributed.ray_pool import ClusterPool

    options.check_formats(folder)
    return ClusterPool(address, folder, options, jobs)


def _with_options(formats: Sequence[str], given: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Map each format to those of the given options that it takes.

    Raises:
        OptionError: none of the formats takes an option.
    """
    wanted, unused = share_options(formats, given)
    if unused:
        raise OptionError(
            f"--{unused[0]} has no effect",
            got=f"--format {', '.join(wanted)}",
            expected=f"--format {' or '.join(name for name, writer in WRITERS.items() if unused[0] in writer.options)}",
            hint="Name the format that takes it.",
        )
    return wanted

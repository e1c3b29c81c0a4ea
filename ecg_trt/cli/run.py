"""``ecg-trt run``: photos to records."""

from __future__ import annotations

import contextlib
import sys
import time
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ecg_trt.cli.console import EXIT_SOME_FAILED, NOTICE, exit_after, report
from ecg_trt.cli.stems import Stems
from ecg_trt.config import AUTO, BACKENDS, VIEWS, ReadOptions, RuntimeOptions
from ecg_trt.corrections import Corrections, read_corrections
from ecg_trt.errors import DeviceFaultError, EcgTrtError, NoEcgFoundError, OptionError, OutputError
from ecg_trt.io.readers import format_names
from ecg_trt.io.writers import WRITERS, check_options, find_writer, write_record
from ecg_trt.layout import GAINS_MM_PER_MV, LAYOUTS, PAPER_SPEEDS_MM_PER_S, STRIPS

if TYPE_CHECKING:
    from ecg_trt.reading import Reading
    from ecg_trt.record import EcgRecord

_STDIN = "-"  # Stands for a file from standard input.


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
    short_help="Digitize photos.",
    help=f"Digitize PHOTOs ({format_names()}) to DIR/<name>.csv, in mV, with a <name>.json beside "
    "it that holds layout, speed, gain, quality, warnings and timings. Of a file with several pages each is a record "
    "of its own, <name>.p1.csv, <name>.p2.csv and so on; its pages without an ECG are skipped, unless none has one. "
    "A single - is a file from standard input, and its name stdin.\n\n"
    "With --merge all PHOTOs show one page, and give one record under the first one's name: the curves are averaged, "
    "each photo counting by how well it shows them, gaps are filled, and what contradicts the others counts little. "
    "The JSON lists the weight and lag of each photo in each lead.\n\n"
    "Exit code: 0 all went well, 1 some photos of several failed, 2 a single photo failed, nothing could be done, "
    f"or the GPU failed in mid-batch; what is written is whole.\n\n{NOTICE}",
)
@click.argument("photos", metavar="PHOTO...", nargs=-1, required=True, type=click.Path())
@click.option("-o", "--output", "folder", metavar="DIR", default=".", help="Made if missing.  [default: .]")
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
@click.option("--min-quality", default=0.0, show_default=True, metavar="Q", help="Refuse pages read less well, 0 to 1.")
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
@click.option("--merge", is_flag=True, help="The photos show one page: write one record, named after the first.")
@click.option("-v", "--verbose", is_flag=True, help="Times of each step; why no better backend runs; tracebacks.")
def run(
    photos: tuple[str, ...],
    folder: str,
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
    merge: bool,
    verbose: bool,
    **format_options: str | None,
) -> None:
    """Digitize photos."""
    if merge and overlay:
        raise click.UsageError("--merge has no --overlay, as no single picture shows what was merged.")
    if corrections is not None and (merge or len(photos) > 1):
        raise click.UsageError("--corrections are those of one PHOTO.")
    if photos.count(_STDIN) > 1:
        raise click.UsageError(f"{_STDIN} may be given once, as standard input holds one file.")

    def work() -> int:
        options = ReadOptions(
            layout=layout, speed=speed, gain=gain, fs=fs, min_quality=min_quality, limb_blend=limb_blend
        )
        runtime_options = RuntimeOptions(backend=backend, views=int(views))
        wanted = _with_options(formats, {name: value for name, value in format_options.items() if value is not None})
        by_hand = None if corrections is None else read_corrections(corrections)
        return _Batch(photos, Path(folder), wanted, options, runtime_options, overlay, merge, verbose, by_hand).run()

    exit_after(work, verbose)


def _with_options(formats: Sequence[str], given: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Map each format to those of the given options that it takes.

    Raises:
        OptionError: none of the formats takes an option.
    """
    wanted = {name: {key: given[key] for key in WRITERS[name].options if key in given} for name in formats}
    unused = [key for key in given if not any(key in options for options in wanted.values())]
    if unused:
        raise OptionError(
            f"--{unused[0]} has no effect",
            got=f"--format {', '.join(wanted)}",
            expected=f"--format {' or '.join(name for name, writer in WRITERS.items() if unused[0] in writer.options)}",
            hint="Name the format that takes it.",
        )
    return wanted


@dataclass(frozen=True, slots=True)
class _Page:
    """One page that is being digitized.

    Attributes:
        name: of its file, with the page's number if that has several.
        stem: of its files.
        is_last: of its file.
    """

    name: str
    stem: str
    is_last: bool


@dataclass
class _Batch:
    """One call of ``run``."""

    photos: tuple[str, ...]
    folder: Path
    formats: Mapping[str, Mapping[str, str]]  # Each with its options.
    options: ReadOptions
    runtime_options: RuntimeOptions
    overlay: bool
    merge: bool
    verbose: bool
    corrections: Corrections | None = None
    failures: list[tuple[str, EcgTrtError]] = field(default_factory=list)
    open_failures: list[tuple[str, EcgTrtError]] = field(default_factory=list)  # Of a photo with more pages to come.
    has_record: bool = False  # A page of the photo in hand gave one.
    pending: deque[_Page] = field(default_factory=deque)  # Pages in flight, in the order of their results.
    n_pages: int = 0  # Number of pages that are done.
    n_photos: int = 0  # Number of photos whose pages are all done.

    def run(self) -> int:
        """Digitize all photos and return the exit code."""
        from PIL import Image

        from ecg_trt.batch import digitize_many, read_many
        from ecg_trt.digitizer import Digitizer
        from ecg_trt.io.atomic import make_folder

        make_folder(self.folder)
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # Our own error is more helpful.
        for name, options in self.formats.items():  # What is wrong here is better reported before the first photo.
            check_options(find_writer(self.folder, name), options)
        with contextlib.ExitStack() as stack:
            digitizer = stack.enter_context(Digitizer(self.runtime_options))
            if digitizer.runtime.note and self.verbose:
                click.echo(f"Networks run on {digitizer.runtime.name}; not on {digitizer.runtime.note}.", err=True)
            # A reading costs a download of the flat page.
            many: Any = read_many if self.overlay else digitize_many
            many = many if self.corrections is None else partial(read_many, corrections=self.corrections)
            results = many(self._pages(), self.options, digitizer=digitizer)
            stack.callback(results.close)
            try:
                with self._progress() as advance:
                    start = time.perf_counter()
                    for result in results:
                        page = self.pending.popleft()
                        self._finish(page, result, start)
                        if page.is_last:
                            self.n_photos += 1
                            self._close_photo()
                            advance()
                        start = time.perf_counter()
            except DeviceFaultError as fault:
                return self._report_fault(fault)
        return self._report_failures()

    def _pages(self) -> Iterator[Any]:
        """Open one photo after the other as the batch requests it, and note the stem of its results."""
        from ecg_trt.io.readers.base import EncodedPhoto
        from ecg_trt.io.readers.photo import pages_of

        stems = Stems([WRITERS[name] for name in dict.fromkeys((*self.formats, "json"))])
        names = [_name_of(photo) for photo in self.photos]
        if self.merge:
            self.pending.append(_Page(names[0], stems.give(names[0], None)[0], True))
            yield [_open(photo) for photo in self.photos]
            return
        for photo, file_name in zip(self.photos, names, strict=True):
            following = pages_of(_open(photo))
            source = next(following)
            while source is not None:
                upcoming = next(following, None)
                if self.corrections is not None and upcoming is not None:
                    raise OptionError("The corrections cannot be applied", got=f"a file with several pages, {photo}",
                                      expected="one page", hint="Save its page as a picture.")  # fmt: skip
                name, number = (source.source, source.page) if isinstance(source, EncodedPhoto) else (photo, None)
                stem, wanted = stems.give(file_name, number)
                if stem != wanted:
                    self._log(f"{name}: warning: another photo of this batch has this name; written as {stem}")
                self.pending.append(_Page(name, stem, upcoming is None))
                yield source
                source = upcoming

    @property
    def _n_results(self) -> int:
        """Number of photos, as far as each gives a result of its own."""
        return 1 if self.merge else len(self.photos)

    @contextlib.contextmanager
    def _progress(self) -> Iterator[Callable[[], None]]:
        """Open a progress bar on stderr for several photos, if that is a terminal."""
        if self._n_results < 2 or not _is_terminal():
            yield lambda: None
            return
        with click.progressbar(length=self._n_results, file=sys.stderr, show_pos=True) as bar:
            yield lambda: bar.update(1)

    def _finish(self, page: _Page, result: EcgRecord | Reading | EcgTrtError, start: float) -> None:
        """Write the results of one page and report them."""
        self.n_pages += 1
        try:
            if isinstance(result, EcgTrtError):
                raise result
            record, paths = self._write(page.stem, result)
        except EcgTrtError as error:
            self.open_failures.append((page.name, error))
            return
        self.has_record = True
        self._clear_line()
        click.echo(_summary(page.name, record, 1e3 * (time.perf_counter() - start), paths))
        for warning in record.warnings:
            self._log(f"{page.name}: warning: {warning.text}")
        if self.verbose:
            steps = ", ".join(f"{step} {ms:.0f}" for step, ms in record.timings_ms.items())
            self._log(f"{page.name}: ms: {steps} ({record.backend})")

    def _close_photo(self) -> None:
        """Skip pages without an ECG, such as covers, if another page of the file gave a record; the others failed."""
        for name, error in self.open_failures:
            if self.has_record and isinstance(error, NoEcgFoundError):
                self._log(f"{name}: skipped: no ECG found on this page")
            else:
                self.failures.append((name, error))
        self.open_failures, self.has_record = [], False

    def _write(self, stem: str, result: EcgRecord | Reading) -> tuple[EcgRecord, list[Path]]:
        """Write all files of one page: the record in each requested format, and the overlay.

        The JSON comes last, so that it stands for a finished page.

        Raises:
            OutputError: they could not be written.
        """
        from ecg_trt.record import EcgRecord

        record = result if isinstance(result, EcgRecord) else result.record
        try:
            paths = [self._write_as(name, stem, record) for name in self.formats if name != "json"]
            if self.overlay and not isinstance(result, EcgRecord):
                from ecg_trt.io.writers.overlay import draw_overlay, write_image

                picture = draw_overlay(result.page, result.strips, result.trace, record)
                write_image(picture, self.folder / f"{stem}.overlay.png")
            last = self._write_as("json", stem, record)
        except EcgTrtError:
            raise
        except Exception as error:
            raise OutputError(
                f"{stem} could not be written: internal error",
                got=f"{type(error).__name__}: {error}",
                expected="files",
                hint="Please report it with the traceback (-v).",
            ) from error
        return record, paths or [last]

    def _write_as(self, name: str, stem: str, record: EcgRecord) -> Path:
        path = self.folder / f"{stem}{WRITERS[name].suffixes[0]}"
        return write_record(record, path, name, **self.formats.get(name, {}))

    def _report_fault(self, fault: DeviceFaultError) -> int:
        """Report a batch in which the GPU failed, and return the exit code."""
        self._close_photo()
        code = self._report_failures()
        if self._is_single:
            return code
        left = self._n_results - self.n_photos
        self._log(
            f"{left} of {self._n_results} photos were not tried, or not all of their pages; what is written is whole."
        )
        return report(fault, self.verbose)

    def _report_failures(self) -> int:
        """Print the table of failures and return the exit code."""
        if not self.failures:
            return 0
        if self._is_single:
            return report(self.failures[0][1], self.verbose)
        what = "photos" if self.n_pages <= self._n_results else "pages"
        total = max(self.n_pages, self._n_results)
        self._log(f"\n{len(self.failures)} of {total} {what} failed:")
        width = max(len(name) for name, _ in self.failures)
        for name, error in self.failures:
            self._log(f"  {name:<{width}}  {type(error).__name__:<22}  {error}")
            if self.verbose and error.__cause__ is not None:
                self._log("".join(traceback.format_exception(error.__cause__)))
        return EXIT_SOME_FAILED

    @property
    def _is_single(self) -> bool:
        """Tell a call with one photo of one page, whose failure is that of the command."""
        return self._n_results == 1 and self.n_pages <= 1

    def _log(self, text: str) -> None:
        self._clear_line()
        click.echo(text, err=True)

    def _clear_line(self) -> None:
        """Wipe the progress bar, which shares the terminal with everything else."""
        if self._n_results > 1 and _is_terminal():
            click.echo("\r\x1b[K", nl=False, err=True)


def _name_of(photo: str) -> str:
    """Name a photo for messages and for its files."""
    return "stdin" if photo == _STDIN else photo


def _open(photo: str) -> Any:
    """Read the photo that comes from standard input; any other is opened by whoever decodes it."""
    from ecg_trt.io.readers.base import EncodedPhoto

    if photo != _STDIN:
        return photo
    return EncodedPhoto(sys.stdin.buffer.read(), _name_of(photo))


def _is_terminal() -> bool:
    return sys.stderr.isatty()


def _summary(name: str, record: EcgRecord, ms: float, paths: Sequence[Path]) -> str:
    """Make the line of stdout that sums up a page and names its files."""
    import numpy as np

    n_leads = int(np.isfinite(record.signal_mv).any(1).sum())
    n_warnings = len(record.warnings)
    return "  ".join(
        (
            name,
            record.layout,
            f"{record.paper_speed_mm_per_s:g} mm/s",
            record.gain_text,
            f"{n_leads} lead{'s' * (n_leads != 1)}",
            f"quality {record.mean_quality:.2f}",
            f"{ms:.0f} ms",
            f"{n_warnings} warning{'s' * (n_warnings != 1)}",
            ", ".join(map(str, paths)),
        )
    )

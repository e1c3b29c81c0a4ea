"""``ecg-trt run``: photos to records."""

from __future__ import annotations

import contextlib
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ecg_trt.cli.console import EXIT_INTERRUPTED, EXIT_SOME_FAILED, NOTICE, report
from ecg_trt.config import AUTO, BACKENDS, VIEWS, ReadOptions, RuntimeOptions
from ecg_trt.errors import DeviceFaultError, EcgTrtError, OutputError
from ecg_trt.layout import GAINS_MM_PER_MV, LAYOUTS, PAPER_SPEEDS_MM_PER_S, STRIPS

if TYPE_CHECKING:
    from ecg_trt.digitizer import Reading
    from ecg_trt.record import EcgRecord

FORMATS = ("csv", "wfdb", "json")


def _auto_or(values: Sequence[float]) -> click.Choice[str]:
    return click.Choice([AUTO, *(f"{value:g}" for value in values)])


@click.command(
    short_help="Digitize photos.",
    help="Digitize PHOTOs (JPEG, PNG, TIFF, BMP, WebP) to DIR/<name>.csv, in mV, with a <name>.json beside "
    "it that holds layout, speed, gain, quality, warnings and timings.\n\n"
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
    type=click.Choice(FORMATS),
    help="May be given several times; the JSON is always written.",
)
@click.option("--fs", default=500.0, show_default=True, help="Samples a second, 50 to 2000.")
@click.option("--layout", default=AUTO, show_default=True, type=click.Choice([AUTO, *LAYOUTS, STRIPS]))
@click.option("--speed", default=AUTO, show_default=True, type=_auto_or(PAPER_SPEEDS_MM_PER_S), help="mm/s.")
@click.option("--gain", default=AUTO, show_default=True, type=_auto_or(GAINS_MM_PER_MV), help="mm/mV.")
@click.option("--backend", default=AUTO, show_default=True, type=click.Choice(BACKENDS))
@click.option("--views", default="1", show_default=True, type=click.Choice([str(n) for n in VIEWS]),
              help="2 or 4 show each part of a trace to its network as often, and take the mean.")  # fmt: skip
@click.option("--min-quality", default=0.0, show_default=True, metavar="Q", help="Refuse pages read less well, 0 to 1.")
@click.option("--overlay", is_flag=True, help="Also write <name>.overlay.png: the page with what was read.")
@click.option("-v", "--verbose", is_flag=True, help="Times of each step; tracebacks of internal errors.")
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
    overlay: bool,
    verbose: bool,
) -> None:
    """Digitizes photos."""
    try:
        options = ReadOptions(layout=layout, speed=speed, gain=gain, fs=fs, min_quality=min_quality)
        runtime_options = RuntimeOptions(backend=backend, views=int(views))
        batch = _Batch(photos, Path(folder), frozenset({*formats, "json"}), options, runtime_options, overlay, verbose)
        code = batch.run()
    except EcgTrtError as error:
        code = report(error, verbose)
    except KeyboardInterrupt:
        click.echo("\nInterrupted; what is written is whole.", err=True)
        code = EXIT_INTERRUPTED
    click.echo(NOTICE, err=True)
    sys.exit(code)


@dataclass
class _Batch:
    """One call of ``run``."""

    photos: tuple[str, ...]
    folder: Path
    formats: frozenset[str]
    options: ReadOptions
    runtime_options: RuntimeOptions
    overlay: bool
    verbose: bool
    failures: list[tuple[str, EcgTrtError]] = field(default_factory=list)
    n_done: int = 0

    def run(self) -> int:
        """Digitizes all photos; the exit code."""
        from PIL import Image

        from ecg_trt.batch import digitize_many, read_many
        from ecg_trt.digitizer import Digitizer
        from ecg_trt.io.atomic import make_folder

        make_folder(self.folder)
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own error says it better
        stems = self._stems()
        with contextlib.ExitStack() as stack:
            digitizer = stack.enter_context(Digitizer(self.runtime_options))
            if digitizer.runtime.note:
                click.echo(f"Networks run on {digitizer.runtime.name}; not on {digitizer.runtime.note}.", err=True)
            many = read_many if self.overlay else digitize_many  # a reading costs a download of the flat page
            results = many(self.photos, self.options, digitizer=digitizer)
            stack.callback(results.close)
            try:
                with self._progress() as advance:
                    start = time.perf_counter()
                    for photo, stem, result in zip(self.photos, stems, results, strict=True):
                        self._finish(photo, stem, result, start)
                        advance()
                        start = time.perf_counter()
            except DeviceFaultError as fault:
                return self._report_fault(fault)
        return self._report_failures()

    def _stems(self) -> list[str]:
        """A name for each photo's files; names that would collide get a number, and a warning says so."""
        taken: set[str] = set()
        stems = []
        for photo in self.photos:
            stem = wanted = Path(photo).stem or "photo"
            number = 1
            while _collision_key(stem) in taken:
                number += 1
                stem = f"{wanted}-{number}"
            if stem != wanted:
                self._log(f"{photo}: warning: another photo of this batch has this name; written as {stem}")
            taken.add(_collision_key(stem))
            stems.append(stem)
        return stems

    @contextlib.contextmanager
    def _progress(self) -> Iterator[Callable[[], None]]:
        """A bar on stderr for several photos, if that is a terminal."""
        if len(self.photos) < 2 or not _is_terminal():
            yield lambda: None
            return
        with click.progressbar(length=len(self.photos), file=sys.stderr, show_pos=True) as bar:
            yield lambda: bar.update(1)

    def _finish(self, photo: str, stem: str, result: EcgRecord | Reading | EcgTrtError, start: float) -> None:
        """Writes what came of one photo and says so."""
        if not isinstance(result, EcgTrtError):
            try:
                record = self._write(stem, result)
            except EcgTrtError as error:
                result = error
            except Exception as error:
                result = OutputError(
                    f"{stem} could not be written: internal error",
                    got=f"{type(error).__name__}: {error}",
                    expected="files",
                    mend="Please report it with the traceback (-v).",
                )
                result.__cause__ = error
        self.n_done += 1
        if isinstance(result, EcgTrtError):
            self.failures.append((photo, result))
            return
        self._clear_line()
        click.echo(_summary(photo, record, 1e3 * (time.perf_counter() - start)))
        for warning in record.warnings:
            self._log(f"{photo}: warning: {warning.text}")
        if self.verbose:
            steps = ", ".join(f"{step} {ms:.0f}" for step, ms in record.timings_ms.items())
            self._log(f"{photo}: ms: {steps} ({record.backend})")

    def _write(self, stem: str, result: EcgRecord | Reading) -> EcgRecord:
        """All files of one photo, the JSON last, so that it stands for a finished photo; the record."""
        from ecg_trt.record import EcgRecord

        record = result if isinstance(result, EcgRecord) else result.record
        if "csv" in self.formats:
            record.to_csv(self.folder / f"{stem}.csv")
        if "wfdb" in self.formats:
            record.to_wfdb(self.folder / f"{stem}.hea")
        if not isinstance(result, EcgRecord):
            from ecg_trt.io.writers.overlay import draw_overlay, write_image

            picture = draw_overlay(result.page, result.strips, result.trace, record)
            write_image(picture, self.folder / f"{stem}.overlay.png")
        record.to_json(self.folder / f"{stem}.json")
        return record

    def _report_fault(self, fault: DeviceFaultError) -> int:
        """What to say of a batch in which the GPU failed; the exit code."""
        code = self._report_failures()
        if len(self.photos) == 1:
            return code
        left = len(self.photos) - self.n_done
        self._log(f"{left} of {len(self.photos)} photos were not tried; what is written is whole.")
        return report(fault, self.verbose)

    def _report_failures(self) -> int:
        """The table of failures; the exit code."""
        if not self.failures:
            return 0
        if len(self.photos) == 1:
            return report(self.failures[0][1], self.verbose)
        self._log(f"\n{len(self.failures)} of {len(self.photos)} photos failed:")
        width = max(len(photo) for photo, _ in self.failures)
        for photo, error in self.failures:
            self._log(f"  {photo:<{width}}  {type(error).__name__:<22}  {error}")
            if self.verbose and error.__cause__ is not None:
                self._log("".join(traceback.format_exception(error.__cause__)))
        return EXIT_SOME_FAILED

    def _log(self, text: str) -> None:
        self._clear_line()
        click.echo(text, err=True)

    def _clear_line(self) -> None:
        """Wipes the progress bar, which shares the terminal with everything else."""
        if len(self.photos) > 1 and _is_terminal():
            click.echo("\r\x1b[K", nl=False, err=True)


def _is_terminal() -> bool:
    return sys.stderr.isatty()


def _collision_key(stem: str) -> str:
    """Equal for names that would meet on disk: some do not tell a from A, nor WFDB "a b" from "a_b"."""
    from ecg_trt.io.writers.wfdb import record_name

    return record_name(f"{stem}.hea").lower()


def _summary(photo: str, record: EcgRecord, ms: float) -> str:
    """One line of stdout."""
    import numpy as np

    n_leads = int(np.isfinite(record.signal_mv).any(1).sum())
    n_warnings = len(record.warnings)
    return "  ".join(
        (
            photo,
            record.layout,
            f"{record.paper_speed_mm_per_s:g} mm/s",
            f"{record.gain_mm_per_mv:g} mm/mV",
            f"{n_leads} lead{'s' * (n_leads != 1)}",
            f"quality {record.mean_quality:.2f}",
            f"{ms:.0f} ms",
            f"{n_warnings} warning{'s' * (n_warnings != 1)}",
        )
    )

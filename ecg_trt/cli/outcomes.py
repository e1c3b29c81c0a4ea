"""Lines of ``ecg-trt run`` about each page and about all, its progress, and its exit code."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from ecg_trt.cli.console import EXIT_FAILED, EXIT_SOME_FAILED, report
from ecg_trt.errors import DeviceFaultError

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar

    from ecg_trt.archive.worker import PageOutcome


class OutcomeReport:
    """Report on the pages of one call, as they end.

    Args:
        items: number of files and groups of photos.
        verbose: show times and tracebacks.
    """

    def __init__(self, items: int, verbose: bool) -> None:
        self._items, self._verbose = items, verbose
        self._n_pages = self._n_ok = self._n_known = self._n_ended = 0
        self._failures: Counter[str] = Counter()
        self._is_single = items == 1  # Of one page: its failure is that of the command.
        self._start = time.perf_counter()
        self._bar: ProgressBar[str | None] | None = None

    @contextlib.contextmanager
    def progress(self) -> Iterator[None]:
        """Show files, rate and time left on stderr for several files, if that is a terminal."""
        if self._items < 2 or not _is_terminal():
            yield
            return
        with click.progressbar(
            length=self._items, file=sys.stderr, show_pos=True, item_show_func=lambda rate: rate
        ) as self._bar:
            yield

    def add(self, outcome: PageOutcome) -> None:
        """Report on a page."""
        self._n_pages += 1
        self._is_single &= outcome.job.pages == 1 and not outcome.is_known
        self._n_known += outcome.is_known
        if outcome.result.status == "failed":
            self._failures[outcome.result.error] += 1
        self._n_ok += outcome.result.status == "ok"
        if not outcome.is_known:
            self._print(outcome)
        if outcome.is_last:
            self._n_ended += 1
            if self._bar is not None:
                rate = (self._n_pages - self._n_known) / (time.perf_counter() - self._start)
                self._bar.update(1, f"{rate:.2g} pages/s")

    def end(self, fault: DeviceFaultError | None = None) -> int:
        """Report on all, and return the exit code.

        Args:
            fault: that ended the batch.
        """
        n_failed = self._failures.total()
        if not self._is_single:
            if self._n_known:
                self.log(f"{self._n_known} of {self._n_pages} pages were known from an earlier run.")
            if n_failed:
                what = "photos" if self._n_pages <= self._items else "pages"
                kinds = ", ".join(f"{number} {kind}" for kind, number in self._failures.most_common())
                self.log(f"{n_failed} of {max(self._n_pages, self._items)} {what} failed: {kinds}.")
            if fault is not None:
                left = self._items - self._n_ended
                self.log(
                    f"{left} of {self._items} photos were not tried, or not all of their pages; "
                    "what is written is whole."
                )
                return report(fault, self._verbose)
        if n_failed == 0:
            return 0
        return EXIT_SOME_FAILED if self._n_ok else EXIT_FAILED

    def log(self, text: str) -> None:
        """Write a line to stderr."""
        self._clear_line()
        click.echo(text, err=True)

    def _print(self, outcome: PageOutcome) -> None:
        name, error = outcome.job.name, outcome.error
        if outcome.job.is_renamed:
            self.log(f"{name}: warning: another photo of this batch has this name; written as {outcome.job.stem}")
        if outcome.result.status == "skipped":
            self.log(f"{name}: skipped: no ECG found on this page")
        elif error is not None:
            self._clear_line()
            if self._is_single:
                report(error)
            else:
                click.secho(f"{name}: {outcome.result.error}: {error}", err=True, fg="red")
            if self._verbose and outcome.trace:
                click.echo(outcome.trace, err=True)
        else:
            self._clear_line()
            click.echo(_summary(outcome))
            for warning in outcome.warnings:
                self.log(f"{name}: warning: {warning}")
            if self._verbose:
                steps = ", ".join(f"{step} {ms:.0f}" for step, ms in outcome.timings_ms.items())
                self.log(f"{name}: ms: {steps} ({outcome.backend})")

    def _clear_line(self) -> None:
        """Wipe the progress bar, which shares the terminal with everything else."""
        if self._items > 1 and _is_terminal():
            click.echo("\r\x1b[K", nl=False, err=True)


def _is_terminal() -> bool:
    return sys.stderr.isatty()


def _summary(outcome: PageOutcome) -> str:
    """Make the line of stdout that sums up a page and names its files."""
    result, n_warnings = outcome.result, len(outcome.warnings)
    quality = math.nan if result.quality is None else result.quality
    return "  ".join(
        (
            outcome.job.name,
            result.layout,
            f"{result.speed_mm_per_s:g} mm/s",
            outcome.gain,
            f"{outcome.leads} lead{'s' * (outcome.leads != 1)}",
            f"quality {quality:.2f}",
            f"{1e3 * result.seconds:.0f} ms",
            f"{n_warnings} warning{'s' * (n_warnings != 1)}",
            ", ".join(map(str, outcome.paths)),
        )
    )

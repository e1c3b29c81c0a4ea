"""Parts that all commands share: the notice, exit codes, tables, and the report of a failure."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from typing import NoReturn

import click

from ecg_trt.errors import NOTICE, EcgTrtError

__all__ = ["EXIT_FAILED", "EXIT_SOME_FAILED", "MIB", "NOTICE", "exit_after", "print_columns", "report"]

MIB = 1 << 20
EXIT_SOME_FAILED, EXIT_FAILED, EXIT_INTERRUPTED = 1, 2, 130


def report(error: EcgTrtError, verbose: bool = False) -> int:
    """Print what went wrong; return the exit code of a failure."""
    click.secho(f"error: {error}", err=True, fg="red")
    if verbose and error.__cause__ is not None:
        click.echo("".join(traceback.format_exception(error.__cause__)), err=True)
    return EXIT_FAILED


def exit_after(work: Callable[[], int], verbose: bool) -> NoReturn:
    """Do the work of a command that writes files, and exit with its code; an error or Ctrl-C has a code of its own."""
    try:
        code = work()
    except EcgTrtError as error:
        code = report(error, verbose)
    except KeyboardInterrupt:
        click.echo("\nInterrupted; what is written is whole.", err=True)
        code = EXIT_INTERRUPTED
    click.echo(NOTICE, err=True)
    sys.exit(code)


def print_columns(rows: Sequence[Sequence[str]]) -> None:
    """Print a table, its columns as wide as their widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

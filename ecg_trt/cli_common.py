"""What all commands share: the notice, exit codes, and how a failure is told."""

from __future__ import annotations

import traceback

import click

from ecg_trt.errors import EcgTrtError

NOTICE = "Research use only, not a medical device."
EXIT_SOME_FAILED, EXIT_FAILED, EXIT_INTERRUPTED = 1, 2, 130


def refuse(error: EcgTrtError, verbose: bool = False) -> int:
    """Says what went wrong; the exit code of a failure."""
    click.secho(f"error: {error}", err=True, fg="red")
    if verbose and error.__cause__ is not None:
        click.echo("".join(traceback.format_exception(error.__cause__)), err=True)
    return EXIT_FAILED

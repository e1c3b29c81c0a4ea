"""Command ``ecg-trt info``: the facts that a bug report needs."""

from __future__ import annotations

import sys

import click

from ecg_trt.cli.console import NOTICE, report
from ecg_trt.cli.engines import engine_lines
from ecg_trt.errors import EcgTrtError


@click.command(
    short_help="Show versions, backends, plans and networks.",
    help="Show versions, backends (and why one is not available), TensorRT's plans, and the networks' hashes.\n\n"
    f"{NOTICE}",
)
def info() -> None:
    """Print the facts that a bug report needs."""
    import platform

    from ecg_trt.backends.select import available
    from ecg_trt.io.writers.json import versions
    from ecg_trt.quality.model import is_of
    from ecg_trt.weights import list_weights, weights_path

    click.echo("versions")
    system = {"python": platform.python_version(), "system": platform.platform()}
    for name, number in {**versions(), **system}.items():
        click.echo(f"  {name:<12} {number}")
    click.echo("backends")
    for name, is_available, why in available():
        state = "available" if is_available else "not available"
        click.echo(f"  {name:<12} {state}{f': {why}' if why else ''}")
    click.echo("tensorrt")
    for line in engine_lines():
        click.echo(f"  {line}")
    click.echo("weights (sha256)")
    code = 0
    try:
        for name, digest in list_weights().items():
            # `weights_path` reads the file and compares its hash.
            click.echo(f"  {name:<12} {digest}  {weights_path(name)}")
        fitted = f"calibrated to {'these' if is_of(list_weights()) else 'other'} networks, one view"
        click.echo(f"  {'quality':<12} {fitted}")
    except EcgTrtError as error:
        code = report(error)
    click.echo(NOTICE, err=True)
    sys.exit(code)

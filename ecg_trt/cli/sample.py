"""``ecg-trt sample``: a synthetic photo with its truth."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import click

from ecg_trt.cli.console import NOTICE, report
from ecg_trt.errors import EcgTrtError


@click.command(
    short_help="Make a synthetic photo with its truth.",
    help="Make a synthetic photo of a paper ECG, and beside it the truth: OUT.csv and OUT.json.\n\n"
    f"The same seed gives the same photo.\n\n{NOTICE}",
)
@click.argument("out", metavar="OUT.jpg", type=click.Path(path_type=Path))
@click.option("--seed", type=click.IntRange(min=0), help="Drawn at random, and shown, if not given.")
def sample(out: Path, seed: int | None) -> None:
    """Write a photo whose leads are known."""
    import secrets

    from ecg_trt.io.atomic import make_folder
    from ecg_trt.io.writers.image import write_image
    from ecg_trt.synth.sample import make_sample

    seed = secrets.randbelow(2**31) if seed is None else seed
    try:
        make_folder(out.parent)
        image, record = make_sample(seed)
        record = replace(record, source=out.name)
        paths = [write_image(image, out)]
        paths += [record.to_csv(out.with_suffix(".csv")), record.to_json(out.with_suffix(".json"))]
    except EcgTrtError as error:
        sys.exit(report(error))
    for path in paths:
        click.echo(path)
    click.echo(f"seed {seed}. {NOTICE}", err=True)

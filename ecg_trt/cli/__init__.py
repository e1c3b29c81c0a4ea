"""The command ``ecg-trt``. stdout is data, stderr is log; heavy imports wait until a command needs them."""

from __future__ import annotations

import click

from ecg_trt import __version__
from ecg_trt.cli import analyze, build, engines, info, run, sample, serve
from ecg_trt.cli.console import NOTICE

__all__ = ["main"]


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    help=f"Photos of paper ECGs in, calibrated leads in millivolts out.\n\n{NOTICE}",
)
@click.version_option(__version__, prog_name="ecg-trt")
def main() -> None:
    """Entry point."""


for command in (run.run, analyze.analyze, build.build, engines.engines, info.info, sample.sample, serve.serve):
    main.add_command(command)

"""``ecg-trt analyze``: beats and intervals of a photo or of a record."""

from __future__ import annotations

from pathlib import Path

import click

from ecg_trt.cli.console import exit_after
from ecg_trt.errors import NO_DIAGNOSIS


@click.command(
    short_help="Find beats and measure intervals of an ECG.",
    help="Find the beats of an ECG, and measure rate, regularity, intervals and axis. FILE is a photo or scan, which "
    "is digitized first, or a record: .csv (with the .json beside it), .hea (WFDB), .edf, or a DICOM waveform.\n\n"
    "Each figure has a confidence, and names the leads and beats on which it rests; what the record cannot give is "
    "left out, with the reason. Writes DIR/<name>.analysis.json, .analysis.csv and .analysis.png.\n\n"
    f"Without --beats and --intervals, all is measured.\n\n{NO_DIAGNOSIS}",
)
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("-o", "--output", "folder", metavar="DIR", default=".", type=click.Path(path_type=Path),
              help="Made if missing.  [default: .]")  # fmt: skip
@click.option("--beats", is_flag=True, help="Beats, heart rate and regularity.")
@click.option("--intervals", is_flag=True, help="PR, QRS, QT, QTc and the axis; beats are found for them as well.")
@click.option("--printed-rate", metavar="BPM", type=float, help="Heart rate that the page prints, to compare with.")
@click.option("--page", metavar="N", type=click.IntRange(min=1), help="Page of a file with several.")
@click.option("-v", "--verbose", is_flag=True, help="Tracebacks.")
def analyze(
    file: Path, folder: Path, beats: bool, intervals: bool, printed_rate: float | None, page: int | None, verbose: bool
) -> None:
    """Analyze one ECG."""

    def work() -> int:
        from ecg_trt.analysis import PARTS
        from ecg_trt.analysis import analyze as analyze_file
        from ecg_trt.io.atomic import make_folder
        from ecg_trt.io.writers.analysis import lines_of
        from ecg_trt.io.writers.analysis_files import write_analysis

        chosen = {"beats": beats, "intervals": intervals}
        parts = [name for name in PARTS if chosen[name]] or PARTS
        make_folder(folder)
        analysis = analyze_file(file, parts, printed_rate_bpm=printed_rate, page=page)
        for line in lines_of(analysis):
            click.echo(line)
        click.echo(NO_DIAGNOSIS)
        for path in write_analysis(analysis, folder, file.stem):
            click.echo(path)
        return 0

    exit_after(work, verbose)

"""``ecg-trt analyze``: beats, intervals and a map of the heart, of a photo or of a record."""

from __future__ import annotations

from pathlib import Path

import click

from ecg_trt.cli.console import exit_after
from ecg_trt.config import AUTO, BACKENDS, RuntimeOptions
from ecg_trt.errors import NO_DIAGNOSIS


@click.command(
    short_help="Find beats and measure intervals of an ECG, and map the heart.",
    help="Find the beats of an ECG and their classes, measure rate, regularity, intervals and axis, and map the "
    "activation of the heart. FILE is a photo or scan, which is digitized first, or a record: .csv (with the .json "
    "beside it), .hea (WFDB), .edf, or a DICOM waveform.\n\n"
    "Each figure has a confidence, and names the leads and beats on which it rests; what the record cannot give is "
    "left out, with the reason. Writes DIR/<name>.analysis.json and .analysis.csv, tables and arrays of maps, and "
    "pictures (extra plot).\n\n"
    f"Without --beats to --potentials, all but the potentials is done.\n\n{NO_DIAGNOSIS}",
)
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("-o", "--output", "folder", metavar="DIR", default=".", type=click.Path(path_type=Path),
              help="Made if missing.  [default: .]")  # fmt: skip
@click.option("--beats", is_flag=True, help="Beats, heart rate and regularity.")
@click.option("--classes", is_flag=True, help="Class of each beat: N, S, V, F or Q; S is not reliable.")
@click.option("--intervals", is_flag=True, help="PR, QRS, QT, QTc and the axis; beats are found for them as well.")
@click.option(
    "--activation",
    is_flag=True,
    help="Times at which 75 points of the heart are activated, by a network that learnt simulated hearts.",
)
@click.option("--potentials", is_flag=True, help="Transmembrane potentials of these points, likewise.")
@click.option("--printed-rate", metavar="BPM", type=click.FloatRange(min=1),
              help="Heart rate that the page prints, to compare with.")  # fmt: skip
@click.option("--page", metavar="N", type=click.IntRange(min=1), help="Page of a file with several.")
@click.option("--backend", default=AUTO, show_default=True, type=click.Choice(BACKENDS))
@click.option("-v", "--verbose", is_flag=True, help="Times of each part; tracebacks.")
def analyze(
    file: Path,
    folder: Path,
    printed_rate: float | None,
    page: int | None,
    backend: str,
    verbose: bool,
    **chosen: bool,
) -> None:
    """Analyze one ECG."""

    def work() -> int:
        from ecg_trt.analysis import DEFAULT_PARTS
        from ecg_trt.analysis import analyze as analyze_file
        from ecg_trt.io.atomic import make_folder
        from ecg_trt.io.writers.analysis import lines_of
        from ecg_trt.io.writers.analysis_files import missing_files, write_analysis
        from ecg_trt.types import WarningCode

        parts = [name for name, is_chosen in chosen.items() if is_chosen] or DEFAULT_PARTS
        options = RuntimeOptions(backend=backend)
        analysis = analyze_file(file, parts, printed_rate_bpm=printed_rate, page=page, runtime_options=options)
        make_folder(folder)
        for line in lines_of(analysis):
            click.echo(line)
        click.echo(NO_DIAGNOSIS)
        for warning in analysis.warnings:
            if warning.code is not WarningCode.NOT_DIGITIZED:  # Who names a record knows that it is no photo.
                click.echo(f"warning: {warning}", err=True)
        for path in write_analysis(analysis, folder, file.stem):
            click.echo(path)
        for text in missing_files(parts):
            click.echo(text, err=True)
        if verbose:
            steps = ", ".join(f"{part} {ms:.0f}" for part, ms in analysis.timings_ms.items())
            click.echo(f"ms: {steps} ({analysis.backend or 'no network'})", err=True)
        return 0

    exit_after(work, verbose)

"""The command through click's runner, with a digitizer that needs no networks."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from ecg_trt import __version__
from ecg_trt.cli import main
from ecg_trt.errors import DeviceFaultError, WeightsError
from ecg_trt.layout import LAYOUTS, LEADS
from ecg_trt.quality.warnings import reject_low_quality

NOTICE = "Research use only, not a medical device"
TABLES = ["results.csv", "results.parquet"]


@pytest.fixture
def run(fake_digitizer):
    def call(*arguments: object):
        return CliRunner().invoke(main, ["run", *map(str, arguments)])

    return call


@pytest.fixture
def blank(tmp_path, tools):
    """A picture without an ECG."""
    path = tmp_path / "in" / "blank.png"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(tools.encode(np.full((500, 700, 3), 200, np.uint8)))
    return path


@pytest.fixture
def bug(tmp_path, tools):
    """A picture on which the fake digitizer breaks."""
    path = tmp_path / "in" / "bug.png"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(tools.encode(np.full((500, 700, 3), 13, np.uint8)))
    return path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_help_has_a_line_for_each_command():
    text = CliRunner().invoke(main, ["--help"]).output
    lines = dict(line.strip().split(maxsplit=1) for line in text.split("Commands:\n")[1].splitlines())
    assert set(lines) == set(main.commands)
    assert all(line.endswith(".") and not line.endswith("...") for line in lines.values()), "cut short"


@pytest.mark.parametrize("command", [[], ["run"], ["info"], ["sample"]])
def test_help_says_research_use_only(command):
    result = CliRunner().invoke(main, [*command, "--help"])
    assert result.exit_code == 0
    assert NOTICE in result.output


def test_version():
    assert __version__ in CliRunner().invoke(main, ["--version"]).output


def test_run_writes_csv_and_json_and_one_line(run, photo_path, tmp_path):
    out = tmp_path / "new" / "out"
    result = run(photo_path, "-o", out)
    assert result.exit_code == 0, result.output
    assert names(out) == ["photo.csv", "photo.json"]
    (line,) = result.stdout.splitlines()
    for words in ("photo.jpg", "3x4+1", "25 mm/s", "10 mm/mV", "11 leads", "quality 0.70", "2 warnings"):
        assert words in line
    assert line.endswith(str(out / "photo.csv"))
    assert "warning: Lead V6 is not printed." in result.stderr
    assert result.stderr.rstrip().endswith(f"{NOTICE}")
    with (out / "photo.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["time_s", *LEADS]
    assert rows[2][0] == "0.00200"
    document = json.loads((out / "photo.json").read_text("utf-8"))
    assert document["source"] == photo_path.name
    assert document["timings_ms"]["decode"] > 0


def test_the_default_folder_is_here(run, photo_path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(photo_path).exit_code == 0
    assert {"photo.csv", "photo.json"} <= set(names(tmp_path))


def test_formats_and_overlay(run, photo_path, tmp_path):
    out = tmp_path / "out"
    result = run(photo_path, "-o", out, "--format", "wfdb", "--format", "csv", "--overlay", "--report")
    assert result.exit_code == 0
    suffixes = ("csv", "dat", "hea", "json", "overlay.png", "report.html", "thumb.jpg")
    assert names(out) == [f"photo.{suffix}" for suffix in suffixes]
    named = [str(out / f"photo.{suffix}") for suffix in ("hea", "csv", "overlay.png", "report.html")]
    assert result.stdout.rstrip().endswith(f"  {', '.join(named)}")


def test_json_alone(run, photo_path, tmp_path):
    assert run(photo_path, "-o", tmp_path / "out", "--format", "json").exit_code == 0
    assert names(tmp_path / "out") == ["photo.json"]


def test_options_reach_the_digitizer(run, fake_digitizer, photo_path, tmp_path, monkeypatch):
    opened, read = [], []
    honest_init, honest_call = fake_digitizer.__init__, fake_digitizer.__call__

    def spy_init(self, runtime_options=None, **more):
        opened.append(runtime_options)
        honest_init(self, runtime_options, **more)

    def spy_call(self, source, options=None):
        read.append(options)
        return honest_call(self, source, options)

    monkeypatch.setattr(fake_digitizer, "__init__", spy_init)
    monkeypatch.setattr(fake_digitizer, "__call__", spy_call)
    settings = ["--fs", 250, "--layout", "6x2", "--speed", 50, "--gain", 5, "--backend", "ort", "--min-quality", 0.4]
    result = run(photo_path, "-o", tmp_path, *settings)
    assert result.exit_code == 0, result.output
    assert [options.backend for options in opened] == ["ort"]
    (got,) = read
    assert (got.fs, got.layout, got.speed, got.gain, got.min_quality) == (250, "6x2", 50, 5, 0.4)


def test_a_page_read_less_well_than_asked_for_fails(run, fake_digitizer, photo_path, tmp_path, monkeypatch):
    def refuse(self, source, options=None):
        raise reject_low_quality(0.31, options.min_quality, source.source)

    monkeypatch.setattr(fake_digitizer, "read", refuse)
    result = run(photo_path, "-o", tmp_path / "out", "--min-quality", 0.8)
    assert result.exit_code == 2
    assert "0.31" in result.stderr and "0.80" in result.stderr and "--min-quality" in result.stderr
    assert names(tmp_path / "out") == []


@pytest.mark.parametrize(
    "wrong",
    [
        ["--fs", 10],
        ["--fs", "many"],
        ["--layout", "5x5"],
        ["--speed", 30],
        ["--gain", 7],
        ["--backend", "cuda"],
        ["--min-quality", 1.5],
        ["--min-quality", "good"],
        ["--format", "xml"],
        ["--unknown"],
    ],
)
def test_wrong_options(run, photo_path, tmp_path, wrong):
    result = run(photo_path, "-o", tmp_path / "out", *wrong)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert not (tmp_path / "out").exists()


def test_no_photo():
    assert CliRunner().invoke(main, ["run"]).exit_code == 2


def test_every_layout_may_be_asked_for():
    text = CliRunner().invoke(main, ["run", "--help"]).output
    for name in LAYOUTS:
        assert name in text


def test_a_batch_goes_on_and_reports_last(run, photo_path, blank, tmp_path):
    missing = tmp_path / "missing.jpg"
    other = photo_path.with_name("other.jpg")
    other.write_bytes(photo_path.read_bytes())
    result = run(photo_path, missing, blank, other, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert names(tmp_path / "out") == ["other.csv", "other.json", "photo.csv", "photo.json", *TABLES]
    assert len(result.stdout.splitlines()) == 2
    assert f"{missing}: PhotoNotFoundError: {missing} cannot be opened" in result.stderr
    table = result.stderr[result.stderr.index("2 of 4 photos failed:") :]
    assert "PhotoNotFoundError" in table
    assert "NoEcgFoundError" in table
    assert "Traceback" not in result.stderr
    assert NOTICE in table


def test_a_batch_that_fails_entirely(run, blank, tmp_path):
    assert run(blank, tmp_path / "no.jpg", "-o", tmp_path / "out").exit_code == 2


def test_a_single_failure(run, blank, tmp_path):
    result = run(blank, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: No ECG: got a uniform picture")


@pytest.mark.parametrize("verbose", [False, True])
def test_a_bug_is_an_internal_error(run, bug, photo_path, tmp_path, verbose):
    flags = ["-v"] if verbose else []
    for photos, code in (((bug,), 2), ((bug, photo_path), 1)):
        result = run(*photos, "-o", tmp_path / "out", *flags)
        assert result.exit_code == code
        assert "Internal error: got ZeroDivisionError: a bug" in result.stderr
        assert ("Traceback" in result.stderr) == verbose


def test_a_bug_while_writing(run, photo_path, tmp_path, monkeypatch):
    def fail(*_args):
        raise KeyError("writer")

    monkeypatch.setattr("ecg_trt.io.writers.csv.csv_text", fail)
    result = run(photo_path, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "internal error: got KeyError" in result.stderr
    assert names(tmp_path / "out") == []


def test_verbose_shows_times(run, photo_path, tmp_path):
    assert "align 12" in run(photo_path, "-o", tmp_path, "-v").stderr


@pytest.mark.parametrize("flags", [[], ["-v"]])
def test_why_no_better_backend_runs_is_for_the_verbose(run, fake_digitizer, photo_path, tmp_path, monkeypatch, flags):
    honest = fake_digitizer.__init__

    def init(self, options=None):
        honest(self, options)
        self.runtime.note = "trt, rtx (no GPU)"

    monkeypatch.setattr(fake_digitizer, "__init__", init)
    result = run(photo_path, "-o", tmp_path, *flags)
    assert ("Networks run on fake; not on trt, rtx (no GPU)." in result.stderr) == bool(flags)


def test_equal_names_do_not_overwrite_each_other(run, photo_path, tmp_path):
    others = [tmp_path / name for name in ("b/photo.jpg", "c/PHOTO.png", "d/a b.jpg", "a_b.jpg")]
    for other in others:
        other.parent.mkdir(exist_ok=True)
        other.write_bytes(photo_path.read_bytes())
    result = run(photo_path, *others, "-o", tmp_path / "out", "--format", "wfdb")
    assert result.exit_code == 0, result.output
    assert result.stderr.count("another photo of this batch has this name") == 3
    headers = [name for name in names(tmp_path / "out") if name.endswith(".hea")]
    assert headers == ["PHOTO-3.hea", "a_b-2.hea", "a_b.hea", "photo-2.hea", "photo.hea"]


def test_the_output_folder_is_a_file(run, photo_path, tmp_path):
    (tmp_path / "file").write_text("")
    result = run(photo_path, "-o", tmp_path / "file")
    assert result.exit_code == 2
    assert "could not be written" in result.stderr


def test_missing_networks(run, fake_digitizer, photo_path, tmp_path, monkeypatch):
    def enter(_self):
        raise WeightsError("No network", got="nothing", expected="stage0.onnx", hint="Install anew.")

    monkeypatch.setattr(fake_digitizer, "__enter__", enter)
    result = run(photo_path, photo_path, "-o", tmp_path)
    assert result.exit_code == 2
    assert "error: No network" in result.stderr


def test_interruption(run, fake_digitizer, photo_path, tmp_path, monkeypatch):
    def interrupt(_self, _source, options=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(fake_digitizer, "read", interrupt)
    result = run(photo_path, photo_path, "-o", tmp_path / "out")
    assert result.exit_code == 130
    assert "Interrupted" in result.stderr
    assert names(tmp_path / "out") == TABLES


@pytest.mark.parametrize("overlay", [False, True])
def test_the_flat_page_is_asked_for_by_overlays_alone(
    run, fake_digitizer, photo_path, tools, tmp_path, monkeypatch, overlay
):
    asked, honest = [], fake_digitizer.read

    def read(*args):
        asked.append(1)
        return honest(*args)

    monkeypatch.setattr(fake_digitizer, "read", read)
    monkeypatch.setattr(fake_digitizer, "__call__", lambda self, source, options: tools.record(source=source.source))
    assert run(photo_path, "-o", tmp_path / "out", *["--overlay"] * overlay).exit_code == 0
    assert bool(asked) == overlay
    assert ("photo.overlay.png" in names(tmp_path / "out")) == overlay


def test_a_fault_of_the_gpu_ends_the_batch(run, fake_digitizer, blank, photo_path, tmp_path, monkeypatch):
    """What is written is kept; the photo is in the table, and the fault is told once, at the end."""
    honest, others = fake_digitizer.read, [photo_path.with_name(f"{k}.jpg") for k in range(3)]
    for other in others:
        other.write_bytes(photo_path.read_bytes())

    def fail(self, source, options=None):
        if source.source.endswith("0.jpg"):
            raise DeviceFaultError("It failed", got="ILLEGAL_ADDRESS", expected="success", hint="Start again.")
        return honest(self, source)

    monkeypatch.setattr(fake_digitizer, "read", fail)
    result = run(photo_path, blank, *others, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert names(tmp_path / "out") == ["photo.csv", "photo.json", *TABLES]
    assert "2 of 5 photos failed:" in result.stderr
    assert "2 of 5 photos were not tried" in result.stderr
    assert result.stderr.count("error: The GPU has failed, and with it the batch: got ILLEGAL_ADDRESS") == 1
    alone = run(others[0], "-o", tmp_path / "out")
    assert alone.exit_code == 2
    assert alone.stderr.count("error: ") == 1
    assert "error: It failed" in alone.stderr


def test_progress_bar_on_a_terminal(run, photo_path, tmp_path, monkeypatch):
    monkeypatch.setattr("ecg_trt.cli.outcomes._is_terminal", lambda: True)
    monkeypatch.setattr("click._termui_impl.isatty", lambda _stream: True)
    result = run(photo_path, photo_path, "-o", tmp_path / "out")
    assert result.exit_code == 0
    assert "2/2" in result.stderr and "pages/s" in result.stderr
    assert "2/2" not in run(photo_path, "-o", tmp_path / "one").stderr


def test_corrections_are_those_of_one_page(run, photo_path, tmp_path, tools):
    given = tmp_path / "by_hand.json"
    given.write_text('{"gain": 20}')
    assert run(photo_path, "-o", tmp_path, "--corrections", given).exit_code == 0
    assert json.loads((tmp_path / "photo.json").read_text())["corrected"] == ["gain"]
    assert not (tmp_path / "photo.overlay.png").exists()
    assert run(photo_path, "-o", tmp_path, "--corrections", given, "--overlay").exit_code == 0
    assert (tmp_path / "photo.overlay.png").exists()
    for several in ([photo_path, photo_path], [photo_path, "--merge"]):
        assert "one PHOTO" in run(*several, "-o", tmp_path, "--corrections", given).output
    pages = tmp_path / "pages.tif"
    first, second = (Image.fromarray(tools.picture(seed=seed)) for seed in (1, 2))
    first.save(pages, save_all=True, append_images=[second])
    assert "2 pages" in run(pages, "-o", tmp_path, "--corrections", given).output
    given.write_text('{"gain": 3}')
    assert "Unknown gain" in run(photo_path, "-o", tmp_path, "--corrections", given).output

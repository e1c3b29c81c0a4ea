"""Analysis as a whole: from files, to files, and the command."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import ecg_trt
from ecg_trt.analysis import DEFAULT_PARTS, PARTS, Analyzer, analyze
from ecg_trt.archive import worker
from ecg_trt.cli import main
from ecg_trt.errors import NO_DIAGNOSIS, OptionError
from ecg_trt.io import readers
from ecg_trt.io.readers import record_files
from ecg_trt.io.writers.analysis_files import SUFFIXES, draw_analysis, write_analysis
from ecg_trt.io.writers.analysis_plot import plot_analysis
from ecg_trt.io.writers.report import write_report
from ecg_trt.types import PageWarning, WarningCode

from .known import known, printed, record_of


@pytest.fixture(scope="module")
def record():
    return record_of(printed(known(21, rate=70, noise=0.3).signal_mv), source="photo.jpg")


@pytest.fixture(scope="module")
def analysis(record):
    return analyze(record)


def call(*arguments):
    return CliRunner().invoke(main, ["analyze", *map(str, arguments)])


def test_the_public_name(record, analysis):
    found = ecg_trt.analyze(record)
    assert isinstance(found, ecg_trt.Analysis)
    assert [m.name for m in found.measurements] == [m.name for m in analysis.measurements]
    assert found["heart_rate"].value == pytest.approx(70, abs=2)
    with pytest.raises(KeyError):
        found["potassium"]


def test_a_figure_that_was_left_out_says_why():
    found = analyze(record_of(np.zeros((2, 3000), np.float32)))
    with pytest.raises(KeyError, match="beats"):
        found["qt"]


def test_parts(record):
    assert analyze(record, ["beats"]).intervals is None
    with pytest.raises(OptionError):
        analyze(record, ["beats", "aura"])
    assert set(DEFAULT_PARTS) < set(PARTS)


@pytest.mark.parametrize("suffix", [".csv", ".hea", ".edf"])
def test_a_file_says_what_its_record_says(record, analysis, tmp_path, suffix):
    found = analyze(record.save(tmp_path / f"ecg{suffix}"))
    assert {m.name for m in found.measurements} == {m.name for m in analysis.measurements}
    for measurement in analysis.measurements:
        assert found[measurement.name].value == pytest.approx(measurement.value, abs=2)


FILES = ["ecg.activation.csv", "ecg.activation.png", "ecg.analysis.csv", "ecg.analysis.json", "ecg.analysis.png",
         "ecg.heart.vtk"]  # fmt: skip


def test_files(analysis, tmp_path):
    written = write_analysis(analysis, tmp_path, "ecg")
    assert sorted(path.name for path in written) == FILES
    assert {*FILES, "ecg.potentials.npy", "ecg.potentials.png"} == {f"ecg{suffix}" for suffix in SUFFIXES}
    table, picture, content = (tmp_path / f"ecg.analysis.{suffix}" for suffix in ("csv", "png", "json"))
    assert written[-1] == content, "the JSON stands for a finished analysis"
    stored = json.loads(content.read_text("utf-8"))
    assert stored["notice"] == NO_DIAGNOSIS
    for measurement, item in zip(analysis.measurements, stored["measurements"], strict=True):
        assert item["name"] == measurement.name
        assert item["value"] == pytest.approx(measurement.value, abs=1e-4)
        assert item["leads"] == list(measurement.leads)
        assert item["beats"] == list(measurement.beats)
    assert len(stored["beats"]["r_s"]) == len(analysis.beats.r_s)
    assert stored["intervals"]["waves"]["QRS"]["end_s"] > 0
    assert stored["classes"]["lead"] == "II" and stored["classes"]["beats"] == list(analysis.classes.names)
    assert set(stored["classes"]["probabilities"]) == set("NSVFQ")
    assert stored["activation"]["points"]["AHA01"] == pytest.approx(analysis.heart.heart_map.activation_ms[0], abs=1e-3)
    assert "potentials" not in stored
    rows = list(csv.DictReader(table.read_text("utf-8").splitlines()))
    assert [row["name"] for row in rows if row["value"]] == [m.name for m in analysis.measurements]
    assert all(row["note"] for row in rows)
    assert "S is not reliable" in next(row["note"] for row in rows if row["name"] == "class_s")
    with Image.open(picture) as image:
        assert image.width > 1000
        assert np.asarray(image.convert("L")).std() > 10


def test_a_record_without_beats_has_files_too(tmp_path):
    nothing = analyze(record_of(np.full((3, 2000), np.nan, np.float32)))
    for path in write_analysis(nothing, tmp_path, "nothing"):
        assert path.stat().st_size > 100


@pytest.mark.parametrize(("repeats", "unit", "unit_s"), [(1, "s", 1), (18, "min", 60)])
def test_intervals_of_many_beats_are_points_over_minutes(repeats, unit, unit_s):
    pytest.importorskip("matplotlib")
    found: Any = analyze(record_of(np.tile(known(21, rate=70).signal_mv[:2], repeats)), ["classes"])
    panel: Any = plot_analysis(found).subfigs[1].axes[0]
    intervals, ticks = panel.lines[0], [line for line in panel.lines if line.get_marker() == "|"]
    assert panel.get_xlabel() == unit
    assert bool(intervals.get_linewidth()) is (unit == "s")
    np.testing.assert_allclose(intervals.get_xdata(), found.beats.r_s[1:] / unit_s)
    np.testing.assert_allclose(panel.get_xlim(), found.beats.r_s[[0, -1]] / unit_s, atol=0.31 / unit_s)
    judged = [name for name in found.classes.names if name]
    assert sum(len(line.get_xdata()) for line in ticks) == (len(judged) if unit == "min" else 0)
    assert len({line.get_ydata()[0] for line in ticks}) == len(ticks), "a row a class"
    assert {text.get_text() for text in panel.texts} == set(judged)


def test_potentials_are_files_of_their_own(record, tmp_path):
    written = write_analysis(analyze(record, ["potentials"]), tmp_path, "ecg")
    assert sorted(path.name for path in written) == [
        "ecg.analysis.csv", "ecg.analysis.json", "ecg.analysis.png", "ecg.heart.vtk", "ecg.potentials.npy",
        "ecg.potentials.png",
    ]  # fmt: skip
    stored = json.loads(written[-1].read_text("utf-8"))
    assert stored["potentials"]["shape"] == list(np.load(tmp_path / "ecg.potentials.npy").shape) == [75, 500]
    assert stored["potentials"]["fs"] == 1000 and "activation" not in stored and "classes" not in stored


def test_without_matplotlib_and_meshio_figures_are_written_all_the_same(record, tmp_path, monkeypatch):
    path = record.to_csv(tmp_path / "ecg.csv")
    for module in ("matplotlib", "meshio"):
        monkeypatch.setitem(sys.modules, module, None)
    result = call(path, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "ecg.activation.csv", "ecg.analysis.csv", "ecg.analysis.json"
    ]  # fmt: skip
    assert "Heart rate" in result.stdout
    assert "no .analysis.png, .activation.png" in result.stderr and 'pip install -e ".[plot]"' in result.stderr
    assert "no .heart.vtk" in result.stderr and 'pip install -e ".[vtk]"' in result.stderr


def test_the_report_shows_it(record, analysis, tmp_path):
    drawn = draw_analysis(analysis)
    text = write_report(record, tmp_path / "ecg.report.html", analysis=analysis, drawn=drawn).read_text("utf-8")
    assert NO_DIAGNOSIS in text
    assert "QTc Fridericia" in text and "Classes on II" in text
    assert text.count("data:image/png") == len(drawn) == 2
    assert NO_DIAGNOSIS not in write_report(record, tmp_path / "b.report.html").read_text("utf-8")


def test_the_command(record, tmp_path):
    path = record.to_csv(tmp_path / "ecg.csv")
    result = call(path, "-o", tmp_path / "out", "--printed-rate", "140")
    assert result.exit_code == 0, result.output
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == FILES
    assert NO_DIAGNOSIS in result.stdout
    assert "Heart rate" in result.stdout and "check the paper speed" in " ".join(result.stdout.split())
    assert json.loads((tmp_path / "out" / "ecg.analysis.json").read_text())["printed_rate"]["contradicts"] is True


def test_the_command_measures_what_is_asked_for(record, tmp_path):
    path = record.to_csv(tmp_path / "ecg.csv")
    assert call(path, "-o", tmp_path, "--beats").exit_code == 0
    assert not {"intervals", "classes", "activation"} & set(json.loads((tmp_path / "ecg.analysis.json").read_text()))
    assert call(path, "-o", tmp_path, "--intervals").exit_code == 0
    assert "intervals" in json.loads((tmp_path / "ecg.analysis.json").read_text())
    assert call(path, "-o", tmp_path, "--classes", "--backend", "ort").exit_code == 0
    stored = json.loads((tmp_path / "ecg.analysis.json").read_text())
    assert stored["backend"] == "ort" and "classes" in stored and "intervals" not in stored


def test_the_command_shows_the_warnings_of_the_record(record, tmp_path):
    warned = replace(record, warnings=(PageWarning(WarningCode.SPEED_ASSUMED, "The paper speed is not printed."),))
    warned.to_json(tmp_path / "ecg.json")
    result = call(warned.to_csv(tmp_path / "ecg.csv"), "-o", tmp_path / "out", "--beats")
    assert "warning: The paper speed is not printed." in result.stderr
    stored = json.loads((tmp_path / "out" / "ecg.analysis.json").read_text())["warnings"]
    assert [w["code"] for w in stored] == [str(WarningCode.SPEED_ASSUMED)]
    plain = call(record.to_csv(tmp_path / "plain.csv"), "-o", tmp_path / "out", "--beats")
    assert plain.exit_code == 0 and "warning" not in plain.stderr


@pytest.mark.parametrize("suffix", [".csv", ".hea", ".edf"])
def test_a_page_of_a_record_is_a_failure(record, tmp_path, suffix):
    result = call(record.save(tmp_path / f"ecg{suffix}"), "-o", tmp_path / "out", "--page", "1", "--beats")
    assert result.exit_code == 2 and not (tmp_path / "out").exists()
    assert f"ecg{suffix} has no page 1: got page=1; expected none, as it is a record" in " ".join(result.stderr.split())


@pytest.mark.parametrize(("content", "is_named"), [(b"hello", True), (b"%PDF-1.7", False)], ids=["text", "PDF"])
def test_the_kinds_of_records_are_named_for_a_file_of_no_known_kind(tmp_path, monkeypatch, content, is_named):
    monkeypatch.setitem(record_files.SIGNAL_READERS, ".toy", lambda path: [])
    monkeypatch.setattr(readers, "missing_module", lambda modules: (*modules, None)[0])
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    stderr = call(path, "-o", tmp_path).stderr
    assert (" or PDF, or a record: .csv or .hea or .edf or .toy. Convert" in stderr) is is_named
    assert ("expected the extra pdf." in stderr) is not is_named


@pytest.mark.parametrize("name", ["none.csv", "none.jpg"])
def test_a_missing_file_is_a_failure(tmp_path, name):
    result = call(tmp_path / name, "-o", tmp_path)
    assert result.exit_code == 2
    assert name in result.stderr


def test_a_wrong_printed_rate_is_a_failure(record, tmp_path):
    result = call(record.to_csv(tmp_path / "ecg.csv"), "-o", tmp_path, "--printed-rate", "7500")
    assert result.exit_code == 2
    assert "7500 bpm" in result.stderr


@pytest.mark.usefixtures("fake_digitizer")
def test_run_analyzes_too(photo_path, tmp_path):
    out = tmp_path / "out"
    result = CliRunner().invoke(main, ["run", str(photo_path), "-o", str(out), "--analyze", "--report"])
    assert result.exit_code == 0, result.output
    stem = photo_path.stem
    assert {f"{stem}.analysis.{s}" for s in ("csv", "png", "json")} < {path.name for path in out.iterdir()}
    assert f"./{stem}.analysis.png" in (out / f"{stem}.report.html").read_text("utf-8")


@pytest.mark.usefixtures("fake_digitizer")
def test_an_archive_opens_the_networks_once(photo_path, tmp_path, monkeypatch):
    opened = []

    def counted(*arguments, **options):
        opened.append(options)
        return Analyzer(*arguments, **options)

    monkeypatch.setattr(worker, "Analyzer", counted)
    photos = [shutil.copy(photo_path, tmp_path / name) for name in ("a.jpg", "b.jpg")]
    run = ["run", *map(str, photos), "--backend", "ort", "-o"]
    assert CliRunner().invoke(main, [*run, str(tmp_path / "plain")]).exit_code == 0 and not opened
    result = CliRunner().invoke(main, [*run, str(tmp_path / "out"), "--analyze"])
    assert result.exit_code == 0, result.output
    assert [options["runtime_options"].backend for options in opened] == ["ort"]
    assert {"a.analysis.json", "b.analysis.json"} < {path.name for path in (tmp_path / "out").iterdir()}

"""A day with an archive: files of every kind, two processes, a kill, a resumed run, reports, and other libraries."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import ecgdatakit
import numpy as np
import pydicom
import pyedflib
import pytest
from PIL import Image

from ecg_trt.layout import LEADS
from ecg_trt.metrics import score_record
from ecg_trt.record import EcgRecord, in_order
from ecg_trt.results import PageStatus, read_results
from ecg_trt.synth.sample import make_sample
from tests.conftest import make_record

ROOT = Path(__file__).parents[1]
PLAIN: dict[str, Any] = {"width_px": 2200, "kind": "scan", "paper_speed_mm_per_s": 25.0, "gain_mm_per_mv": 10.0}
PAGES = {"ward": (2, "3x4+1"), "clinic": (1, "6x2")}  # Seed and layout.
LEAST_SNR_DB = 12.0
HALF_UV = 5e-4

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="kills with a signal")]


@pytest.fixture(scope="module")
def pages() -> dict[str, tuple[Image.Image, EcgRecord]]:
    """Synthetic pages with their truths."""
    drawn = {name: make_sample(seed, layout=layout, **PLAIN) for name, (seed, layout) in PAGES.items()}
    return {name: (Image.fromarray(image), truth) for name, (image, truth) in drawn.items()}


@pytest.fixture(scope="module")
def recorded() -> EcgRecord:
    return make_record(n=5000, fs=500.0)


@pytest.fixture(scope="module")
def scans(pages, recorded, tmp_path_factory) -> Path:
    """An archive as it comes: photos, a PDF of two pages, a HEIC, a DICOM with the signal, and rubbish."""
    from pillow_heif import from_pillow

    folder = tmp_path_factory.mktemp("day") / "scans"
    for name, (image, _) in pages.items():
        (folder / name).mkdir(parents=True)
        image.save(folder / name / "photo.jpg", quality=92)
    first, second = (image for image, _ in pages.values())
    first.save(folder / "both.pdf", save_all=True, append_images=[second], resolution=200)
    from_pillow(first).save(folder / "phone.heic", quality=85)
    recorded.save(folder / "recorded.dcm")
    Image.new("RGB", (800, 600), (90, 120, 90)).save(folder / "lawn.png")
    (folder / "damaged.jpg").write_bytes((folder / "ward" / "photo.jpg").read_bytes()[:20_000])
    (folder / "notes.txt").write_text("Nothing to see here.")
    return folder


@pytest.fixture(scope="module")
def records(scans) -> tuple[Path, str]:
    """Folder of the results and what the resumed run wrote to stderr; the first run is killed after two pages."""
    out = scans.parent / "records"
    command = [sys.executable, "-c", "from ecg_trt.cli import main; main()", "run", str(scans), "-r", "-o", str(out)]
    command += ["--jobs", "2", "--resume", "--report", "--format", "edf", "--format", "dicom"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not (out / "results.csv").exists() or len(read_results(out)) < 2:
            assert process.poll() is None
            time.sleep(0.02)
        process.kill()
    resumed = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert resumed.returncode == 1, resumed.stderr
    return out, resumed.stderr


def edf(path: Path) -> tuple[tuple[str, ...], np.ndarray]:
    with pyedflib.EdfReader(str(path)) as file:
        names = tuple(label.removeprefix("ECG ") for label in file.getSignalLabels())
        return names, np.array([file.readSignal(k) for k in range(file.signals_in_file)])


def test_the_table_has_a_line_a_page(records):
    out, errors = records
    found = {result.stem: result for result in read_results(out)}
    read = {"ward/photo", "clinic/photo", "both.p1", "both.p2", "phone", "recorded"}
    assert {stem for stem, result in found.items() if result.status is PageStatus.OK} == read
    assert Counter(r.error for r in found.values() if r.error) == {"NoEcgFoundError": 1, "TruncatedImageError": 1}
    assert "notes.txt" in errors and "pages were known from an earlier run" in errors


def test_reports(records):
    out, _ = records
    table = (out / "report.html").read_text("utf-8")
    assert all(name in table for name in ("both.p2.report.html", "recorded.report.html", "lawn.png"))
    assert "data:image/jpeg" in (out / "phone.report.html").read_text("utf-8")
    page = (out / "recorded.report.html").read_text("utf-8")
    assert "not-digitized" in page and "Paper speed" not in page and "data:image/jpeg" not in page


@pytest.mark.parametrize(
    ("stem", "name"), [("ward/photo", "ward"), ("clinic/photo", "clinic"), ("both.p1", "ward"), ("both.p2", "clinic")]
)
def test_other_libraries_read_what_was_printed(records, pages, stem, name):
    out, _ = records
    truth = pages[name][1]
    leads, signal_mv = edf(out / f"{stem}.edf")
    answer = in_order(signal_mv, leads, truth.lead_names)
    assert score_record(truth.signal_mv, truth.fs, answer, 500.0).snr_db > LEAST_SNR_DB
    waveform = ecgdatakit.FileParser().parse(out / f"{stem}.dcm")
    assert tuple(lead.label for lead in waveform.leads) == leads
    assert pydicom.dcmread(out / f"{stem}.dcm").WaveformSequence[0].NumberOfWaveformChannels == len(leads)
    samples = np.array([lead.samples for lead in waveform.leads])
    shown = np.isfinite(samples)
    assert shown.mean() > 0.1 and (samples[shown] == pytest.approx(signal_mv[shown], abs=2 * HALF_UV))


def test_a_recorded_signal_comes_through_unchanged(records, recorded):
    out, _ = records
    leads, signal_mv = edf(out / "recorded.edf")
    assert leads == LEADS
    seen = np.isfinite(recorded.signal_mv)
    np.testing.assert_allclose(signal_mv[seen], recorded.signal_mv[seen], atol=2 * HALF_UV)

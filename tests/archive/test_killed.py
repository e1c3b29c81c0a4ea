"""An archive whose run is killed twice, with the real networks in two processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest

from ecg_trt.results import PageStatus, read_results
from ecg_trt.synth.sample import make_sample
from tests.fake_workers import is_alive

ROOT = Path(__file__).parents[2]
N_PAGES = 12


@pytest.fixture
def scans(tmp_path):
    """Synthetic pages of 1 to 1.4 megapixels, half of them in a folder below; of four, each in three sizes."""
    folder = tmp_path / "scans"
    (folder / "below").mkdir(parents=True)
    for number in range(N_PAGES):
        if number % 3 == 0:
            image, _ = make_sample(number)
        scale = ((1 + number % 3 / 5) * 1e6 / image[..., 0].size) ** 0.5
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(folder / ("below" if number % 2 else ".") / f"{number}.jpg"), small[..., ::-1])
    return folder


def finished(out):
    """Time at which each page in the table was written."""
    table = out / "results.csv"
    results = read_results(table) if table.exists() else []
    return {r.stem: (out / f"{r.stem}.json").stat().st_mtime_ns for r in results if r.status is PageStatus.OK}


def of_family(pid):
    """Processes that run and are children of a process."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = status.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == pid and state != "Z":
            found.append(int(status.parent.name))
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_every_page_is_done_once_though_the_run_is_killed_twice(scans, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-c", "from ecg_trt.cli import main; main()"]
    command += ["run", str(scans), "-r", "-o", str(out), "--jobs", "2", "--resume"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    kept: dict[str, int] = {}
    for most in (2, 6):
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            while not (out / "results.csv").exists() or len(read_results(out)) < most:
                assert process.poll() is None, process.stderr and process.stderr.read()
                time.sleep(0.01)
            workers = of_family(process.pid)
            process.kill()
        assert len(workers) >= 2
        end = time.monotonic() + 10
        while any(map(is_alive, workers)):
            assert time.monotonic() < end, "workers outlive their parent"
            time.sleep(0.02)
        assert kept.items() <= finished(out).items(), "a page that was done was done again"
        kept = finished(out)
        with (out / "results.csv").open("a") as table:
            table.write("scans/cut off")
    last = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert last.returncode in (0, 1), last.stderr
    results = read_results(out)
    assert len(results) == N_PAGES == len({r.stem for r in results}) == len({r.file for r in results})
    assert (out / "results.csv").read_text().count("\n") == 1 + N_PAGES
    assert kept.items() <= finished(out).items(), "a page that was done was done again"
    written = {path.relative_to(out).with_suffix("").as_posix() for path in out.rglob("*.json")}
    assert written == set(finished(out)) and len(written) >= N_PAGES - 2
    assert not list(out.rglob(".ecg-trt-*"))
    assert f"of {N_PAGES} pages were known" in last.stderr

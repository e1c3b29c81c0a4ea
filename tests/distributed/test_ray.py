"""Rows of pages: by a worker without Ray, and on a local cluster of two workers, one of which is killed in mid-run."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import ecg_trt.distributed.ray as on_ray
from ecg_trt.archive.worker import ArchiveOptions, PageJob
from ecg_trt.cli import main
from ecg_trt.config import RuntimeOptions
from ecg_trt.distributed import ray_pool
from ecg_trt.errors import (
    BackendUnavailableError,
    DriverError,
    NoEcgFoundError,
    OptionError,
    WorkerCrashedError,
)
from ecg_trt.record import EcgRecord
from ecg_trt.results import PageResult, arrow_schema, read_results
from tests.conftest import encode, make_record, picture

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

ROOT = Path(__file__).parents[2]
COMMAND = "from ecg_trt.cli import main; main()"
PHOTO = ROOT / "examples" / "photo.jpg"


class QuickPool:
    """A pool that answers at once, by the name and the number of the page."""

    def __init__(self, open_worker: Any, processes: int, *, timeout_s: float | None, threads: int) -> None:
        assert (processes, timeout_s, threads) == (1, None, 3)

    def submit(self, job: PageJob) -> Future[EcgRecord]:
        future: Future[EcgRecord] = Future()
        kind = {"crash.jpg": WorkerCrashedError, "no gpu.jpg": DriverError}.get(job.file)
        if job.page == 2:
            kind = NoEcgFoundError
        if kind is None:
            future.set_result(make_record(n=50))
        else:
            future.set_exception(kind("It failed", got="this", expected="that", hint="Show it."))
        return future


Rows = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Rows:
    """The rows that a worker makes of the files of one block."""
    monkeypatch.setattr(on_ray, "ProcessPool", QuickPool)

    def rows_of(block: dict[str, list[Any]], *formats: str) -> list[dict[str, Any]]:
        options = ArchiveOptions({name: {} for name in formats}, runtime=RuntimeOptions(threads=3))
        worker = on_ray.RowWorker(options, None)
        tables = list(worker(pyarrow.table(block)))
        assert all(table.schema == on_ray.page_schema(formats) for table in tables)
        return [row for table in tables for row in table.to_pylist()]

    return rows_of


def test_a_page_is_a_row_with_its_files(rows: Rows) -> None:
    (row,) = rows({"path": ["a/photo.png"], "bytes": [encode(picture())]}, "csv", "wfdb", "fhir")
    record = make_record(n=50)
    assert (row["file"], row["page"], row["status"], row["error"]) == ("a/photo.png", 1, "ok", "")
    assert (row["layout"], row["assumed"], row["warnings"]) == ("3x4+1", ["gain"], ["leads-missing", "gain-assumed"])
    np.testing.assert_array_equal(np.float32(row["signal_mv"]), record.signal_mv)
    np.testing.assert_array_equal(np.float32(row["lead_quality"]), record.quality)
    assert row["csv"].startswith(b"time_s,I,II") and row["hea"].startswith(b"photo 12 ") and len(row["dat"]) == 1200
    assert b'"Observation"' in row["fhir.json"] and row["sha256"] == hashlib.sha256(encode(picture())).hexdigest()


def test_pages_without_an_ecg_are_skipped_where_another_has_one(rows: Rows) -> None:
    pages = [Image.fromarray(picture(seed=seed)) for seed in range(3)]
    file = encode(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    found = rows({"path": ["s3://scans/report.tif"], "bytes": [file]}, "wfdb")
    assert [(row["page"], row["status"]) for row in found] == [(1, "ok"), (2, "skipped"), (3, "ok")]
    assert found[1]["error"] == "NoEcgFoundError" and found[1]["hint"] == "Show it." and found[1]["signal_mv"] is None
    assert found[2]["hea"].startswith(b"report_p3 ")


def test_an_error_is_a_row_unless_no_page_could_do_better(rows: Rows) -> None:
    crash, sound = rows({"path": ["crash.jpg", "sound.jpg"]})
    assert (crash["status"], crash["error"], sound["status"]) == ("failed", "WorkerCrashedError", "ok")
    assert crash["message"].startswith("It failed: got this")
    with pytest.raises(DriverError):
        rows({"path": ["sound.jpg", "no gpu.jpg"]})


def test_columns_begin_with_those_of_an_archive_s_table() -> None:
    names = [field.name for field in fields(PageResult)]
    assert arrow_schema().names == names
    assert list(on_ray.page_schema())[: len(names)] == list(arrow_schema())


def test_formats_are_checked_before_anything_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_ray, "import_ray", lambda module: None)
    with pytest.raises(OptionError, match="Unknown format"):
        on_ray.digitize("photos", formats=["xls"])
    with pytest.raises(OptionError, match="no such option"):
        on_ray.digitize("photos", formats={"csv": {"array": "12x500@50"}})


def test_a_cluster_that_is_not_there(photo_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_pool, "import_ray", lambda: None)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    words = ["run", str(photo_path), "-o", str(tmp_path / "out"), "--ray", f"127.0.0.1:{port}"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2 and "ray start --head" in result.stderr and str(port) in result.stderr


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_ray, "missing_module", lambda modules: modules[0])
    with pytest.raises(BackendUnavailableError, match=r'pip install -e "\.\[ray\]"'):
        on_ray.digitize("photos")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Six files of seven pages: four photos, one with a cover behind it, a file that is no picture, an empty one."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / f"{name}.jpg").write_bytes(PHOTO.read_bytes())
    with Image.open(PHOTO) as photo:
        cover = Image.new("RGB", (800, 600), "white")
        photo.convert("RGB").save(folder / "d.tif", save_all=True, append_images=[cover])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "no picture.jpg").write_bytes(b"none")
    return folder


cluster_test = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray (240 MB) is not installed: pip install -e .[ray]"),
    pytest.mark.skipif(sys.platform != "linux", reason="the workers are looked up in /proc"),
]


def run_with_ray(*words: object) -> subprocess.CompletedProcess[str]:
    """Run Python, in which a local cluster may be started."""
    # Ray reads its settings when it is imported. An installed package may be that of another clone.
    settings = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "PYTHONPATH": str(ROOT)}
    command, environment = [sys.executable, *map(str, words)], {**os.environ, **settings}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)


class TestCluster:
    pytestmark = cluster_test

    def test_every_page_is_there_once_though_a_worker_is_killed(self, archive: Path, tmp_path: Path) -> None:
        run = run_with_ray("-m", "tests.distributed.ray_cluster", archive, tmp_path / "out")
        assert run.returncode == 0, run.stderr[-3000:]
        found = json.loads(run.stdout.splitlines()[-1])
        assert found["killed"] and found["seen"] >= 3, "one of the two workers was killed, and replaced"
        assert found["errors"] == {"not there.jpg": "PhotoNotFoundError", "no picture.jpg": "UnknownFormatError"}
        rows = parquet.read_table(tmp_path / "out").to_pylist()
        assert sorted((Path(row["file"]).name, row["page"], row["status"], row["error"]) for row in rows) == [
            ("a.jpg", 1, "ok", ""),
            ("b.jpg", 1, "ok", ""),
            ("c.jpg", 1, "ok", ""),
            ("d.tif", 1, "ok", ""),
            ("d.tif", 2, "skipped", "NoEcgFoundError"),
            ("empty.jpg", 1, "failed", "UnknownFormatError"),
            ("no picture.jpg", 1, "failed", "UnknownFormatError"),
        ]
        sound = [row for row in rows if row["status"] == "ok"]
        assert all(row["layout"] == "3x4+1" and row["csv"].count(b"\n") == 5001 for row in sound)
        assert all(len(row["signal_mv"]) == 12 and row["quality"] > 0.9 for row in sound)

    def test_the_command_works_on_a_cluster(self, archive: Path, tmp_path: Path) -> None:
        out = tmp_path / "records"
        files = archive / "a.jpg", archive / "empty.jpg", archive / "not there.jpg"
        run = run_with_ray("-c", COMMAND, "run", *files, "-o", out, "--ray", "local", "--backend", "ort")
        assert run.returncode == 1, run.stderr[-3000:]
        assert {result.stem: (str(result.status), result.error) for result in read_results(out)} == {
            "a": ("ok", ""),
            "empty": ("failed", "UnknownFormatError"),
            "not there": ("failed", "PhotoNotFoundError"),
        }
        assert sorted(path.name for path in out.glob("a.*")) == ["a.csv", "a.json"]

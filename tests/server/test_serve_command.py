"""The command that starts the server, and the client of the examples."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from ecg_trt.cli import main
from tests.server.running import PHOTO, ROOT, running


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ecg_trt.cli.serve.missing_module", lambda _: "uvicorn")
    result = CliRunner().invoke(main, ["serve"])
    assert result.exit_code == 2
    assert 'pip install -e ".[web]"' in result.output


def test_a_taken_port_is_an_error_before_anything_is_loaded() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = CliRunner().invoke(main, ["serve", "--port", str(taken.getsockname()[1])])
    assert result.exit_code == 2
    assert "cannot be listened on" in result.output
    assert "--port" in result.output


def test_a_limit_of_zero_is_an_error() -> None:
    result = CliRunner().invoke(main, ["serve", "--waiting", "0"])
    assert result.exit_code == 2
    assert "waiting is out of range" in result.output


@pytest.mark.slow
def test_the_client_of_the_examples_reads_corrects_and_exports(tmp_path: Path) -> None:
    photo, text = tmp_path / "page.jpg", tmp_path / "notes.txt"
    shutil.copy(PHOTO, photo)
    text.write_text("no picture")
    folder = tmp_path / "server"
    folder.mkdir()
    with running(folder, token="word") as address:
        program = [sys.executable, str(ROOT / "examples" / "client.py")]
        command = [*program, str(photo), str(text)]
        client = {**os.environ, "ECG_TRT_SERVER": address, "ECG_TRT_TOKEN": "word"}
        done = subprocess.run(command, env=client, capture_output=True, text=True, check=True, timeout=120)
        as_read = (tmp_path / "page.p1.csv").read_text("utf-8").splitlines()
        subprocess.run([*program, "--gain", "5", str(photo)], env=client, check=True, timeout=120)
        wrong = subprocess.run(command, env={**client, "ECG_TRT_TOKEN": "other"}, capture_output=True, text=True)
    first, second = done.stdout.splitlines()
    assert first.startswith("page.jpg, page 1: quality 0.9")
    assert "notes.txt is not an image" in second
    corrected = (tmp_path / "page.p1.csv").read_text("utf-8").splitlines()
    assert len(as_read) == len(corrected) == 5001 and as_read[0].startswith("time_s,I,II,")
    assert as_read[0] == corrected[0] and as_read[1:] != corrected[1:], "half the gain is twice the voltage"
    assert "not a medical device" in done.stderr
    assert wrong.returncode == 1
    assert "no valid token" in wrong.stderr

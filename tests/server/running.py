"""A server in a process of its own, as a user starts it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "examples" / "photo.jpg"
_LONGEST_S = 120.0


@contextmanager
def running(folder: Path, *, token: str = "") -> Iterator[str]:
    """Run a server whose temporary files lie in a folder; give its address, and check that it leaves nothing."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-c", "from ecg_trt.cli import main; main()", "serve", "--port", str(port)]
    environment = {**os.environ, "ECG_TRT_TOKEN": token, "TMPDIR": str(folder)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) as server:
        try:
            url = f"http://127.0.0.1:{port}"
            until(lambda: _answers(f"{url}/healthz"))
            yield url
        finally:
            server.terminate()
            code = server.wait(60)
    assert code == 0
    assert not list(folder.glob("ecg-trt-*"))


def until(holds: Callable[[], Any], seconds: float = _LONGEST_S) -> Any:
    """Wait until something holds, and return it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if result := holds():
            return result
        time.sleep(0.05)
    raise AssertionError("it did not come so far in time")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False

"""Workers for processes, and jobs on which they fail in ways that a test chooses."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

from ecg_trt.closeable import Closeable
from ecg_trt.errors import DeviceFaultError, NoEcgFoundError, WeightsError


class FakeWorker(Closeable):
    """Does a job (what, argument) in a process of its own, and leaves a file in a folder when it is closed."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder

    def __call__(self, job: tuple[str, Any]) -> Any:
        what, argument = job
        if what == "kill":
            os.kill(os.getpid(), argument)
        if what == "exit":
            os._exit(argument)
        if what == "sleep":
            time.sleep(argument)
        if what == "fail":
            raise NoEcgFoundError("No ECG", got="a cat", expected="ECG paper", hint="Show it.")
        if what == "fault":
            raise DeviceFaultError("It failed", got="ILLEGAL_ADDRESS", expected="success", hint="Start again.")
        if what == "local error":
            raise type("LocalError", (Exception,), {})("of no module")
        if what == "lock":
            return threading.Lock()
        return os.getpid() if what == "pid" else argument

    def close(self) -> None:
        if self.folder is not None:
            (self.folder / str(os.getpid())).touch()


def open_nothing() -> FakeWorker:
    raise WeightsError("No network", got="nothing", expected="stage0.onnx", hint="Install anew.")


def open_and_die() -> FakeWorker:
    os.kill(os.getpid(), signal.SIGSEGV)
    return FakeWorker()

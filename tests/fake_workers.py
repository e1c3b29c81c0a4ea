"""Workers for processes, and jobs on which they fail in ways that a test chooses."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import types
from pathlib import Path
from typing import Any

from ecg_trt.archive.worker import ArchiveOptions, PageJob, PageOutcome, PageWorker
from ecg_trt.closeable import Closeable
from ecg_trt.errors import DeviceFaultError, NoEcgFoundError, WeightsError


def is_alive(pid: int) -> bool:
    """True for a process that runs: one that ended, but was not waited for, is a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


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


class FakePageWorker(PageWorker):
    """Worker of an archive without networks; it dies on the files that are called crash, and is slow on slow ones."""

    def __init__(self, folder: Path, options: ArchiveOptions) -> None:
        from tests.conftest import FakeDigitizer, FakeReading

        module = types.ModuleType("ecg_trt.digitizer")
        module.Digitizer, module.Reading = FakeDigitizer, FakeReading  # type: ignore[attr-defined]
        sys.modules["ecg_trt.digitizer"] = module
        super().__init__(folder, options)

    def __call__(self, job: PageJob) -> PageOutcome:
        if Path(job.file).stem == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        if Path(job.file).stem == "slow":
            time.sleep(0.5)
        return super().__call__(job)

"""Figures and failures of one part of the suite, written to its file after each step."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.common import write_json
from ecg_trt.errors import BackendUnavailableError, DriverError, EcgTrtError, PlanError

DONE, FAILED, UNAVAILABLE, OUT_OF_TIME, NOT_RUN = "done", "failed", "unavailable", "out of time", "not run"
STATUSES = (DONE, FAILED, UNAVAILABLE, OUT_OF_TIME, NOT_RUN)
_KEPT_CHARACTERS = 600
Name: TypeAlias = "str | tuple[str, str]"


class PartRecord:
    """Figures and failures of one part, kept after each step.

    Args:
        path: of the part's JSON.

    Attributes:
        figures: name to what was measured; a name of two words is nested.
        failures: name of a step to what went wrong in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.figures: dict[str, Any] = {}
        self.failures: dict[str, str] = {}
        self._began = time.monotonic()
        self._write(OUT_OF_TIME, "")  # until it ends

    def add(self, **figures: Any) -> None:
        """Keep figures."""
        self.figures.update(figures)
        self._write(OUT_OF_TIME, "")

    def step(self, name: Name, work: Callable[..., Any], *arguments: object) -> Any:
        """Do one step and keep its figures; a failure is written down and harms no other step."""
        try:
            value = work(*arguments)
        except Exception as error:
            self.failures[" ".join(name) if isinstance(name, tuple) else name] = describe(error)
            self._write(OUT_OF_TIME, "")
            return None
        if isinstance(name, tuple):
            self.figures.setdefault(name[0], {})[name[1]] = value
        else:
            self.figures[name] = value
        self._write(OUT_OF_TIME, "")
        return value

    def run(self, work: Callable[[], None]) -> bool:
        """Do the whole part; return False if it failed, with the figures found before it kept."""
        try:
            work()
        except (BackendUnavailableError, DriverError, PlanError, ImportError, Unavailable) as error:
            self._write(UNAVAILABLE, describe(error))
            return True
        except Exception as error:
            self._write(FAILED, describe(error))
            return False
        self._write(FAILED if self.failures and not self.figures else DONE, "")
        return True

    def _write(self, status: str, reason: str) -> None:
        content = {"status": status, "reason": reason, "seconds": round(time.monotonic() - self._began, 1),
                   "figures": self.figures, "failures": self.failures}  # fmt: skip
        write_json(self.path, content)


class Unavailable(Exception):
    """Error of a part that needs something unavailable."""


def describe(error: BaseException) -> str:
    """Describe an error in one line, without the folders of this machine."""
    text = f"{error.what}: got {error.got}" if isinstance(error, EcgTrtError) else f"{type(error).__name__}: {error}"
    return without_folders(" ".join(text.split()))[:_KEPT_CHARACTERS]


def without_folders(text: str) -> str:
    """Leave of each absolute path its last part."""
    return re.sub(r"(?<![\w./])/(?:[\w.+@-]+/)+", "", text)

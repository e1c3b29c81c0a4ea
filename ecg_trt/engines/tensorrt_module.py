"""Import of a flavour of TensorRT where that is safe, with its messages sent through `logging`."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from ecg_trt.cuda.device import DeviceInfo, probe
from ecg_trt.engines.manifest import Flavour
from ecg_trt.errors import BackendUnavailableError, install_hint

_log = logging.getLogger(__name__)
_MOST_WORDS = 20


def import_tensorrt(flavour: Flavour, *, builds: bool = False) -> ModuleType:
    """Import a flavour of TensorRT, after a check of the driver: `tensorrt` must not be touched without one.

    Args:
        flavour: of TensorRT.
        builds: whether plans shall be built; if not, the lean runtime will do where there is no full one.

    Raises:
        BackendUnavailableError: it is not installed or cannot be loaded, or `trt` without a GPU.
    """
    if flavour is Flavour.TRT and not isinstance(device := probe(), DeviceInfo):
        raise tensorrt_unavailable(f"trt: {device}", "Install NVIDIA's driver, or use rtx or ort.")
    rejected = []
    for name in (flavour.module,) if builds else flavour.runtime_modules:
        try:
            module = import_module(name)
            module.ILogger  # noqa: B018 - a stub from PyPI can be imported, but is empty
            return module
        except (ImportError, OSError, RuntimeError, AttributeError) as error:
            why = (str(error).splitlines() or [type(error).__name__])[0]
            rejected.append(f"{name} cannot be imported ({why})")
    raise tensorrt_unavailable(f"{flavour}: {', '.join(rejected)}", how_to_install(flavour))


def is_lean(trt: ModuleType) -> bool:
    """Decide if a module is the lean runtime, which loads version-compatible plans alone."""
    return trt.__name__ == "tensorrt_lean"


def loadable_versions(flavour: Flavour, trt: ModuleType) -> tuple[str, ...]:
    """List the versions whose plans a module can load: its own, and that of a lean runtime installed beside it.

    A full TensorRT loads the version-compatible plans of an earlier version of its major through the lean runtime of
    the very version that built them (`Runtime.load_runtime`).
    """
    own, lean = str(trt.__version__), flavour.lean_version()
    if lean is None or is_lean(trt):
        return (own,)
    lean = lean.split(".post")[0]
    numbers, others = ([int(part) for part in text.split(".") if part.isdecimal()] for text in (own, lean))
    return (own, lean) if others[:1] == numbers[:1] and others < numbers else (own,)


def lean_library() -> Path | None:
    """Find the library of the lean runtime, without loading it; None if there is none."""
    spec = find_spec("tensorrt_lean_libs")
    folders = [] if spec is None else spec.submodule_search_locations or []
    found = [path for folder in folders for path in sorted(Path(folder).glob("*nvinfer_lean[._]*"))]
    return found[0] if found else None


def listed_capabilities(trt: ModuleType) -> tuple[str, ...]:
    """List the compute capabilities for which a version of TensorRT for RTX builds plans, in ascending order.

    A GPU that is not among them may still run plans for `ANY_CAPABILITY`: TensorRT for RTX 1.4.0.76 loads and runs them
    on an H100 (9.0), which it does not list (measured on 2026-11-27).
    """
    digits = [name[2:] for name in vars(trt.ComputeCapability) if name.startswith("SM")]
    pairs = sorted((int(number[:-1]), int(number[-1])) for number in digits)
    return tuple(f"{major}.{minor}" for major, minor in pairs)


def how_to_install(flavour: Flavour) -> str:
    """Make the pip line that installs a flavour."""
    return install_hint(str(flavour), "build")


def tensorrt_unavailable(got: str, hint: str) -> BackendUnavailableError:
    """Make the error of a machine on which a flavour is not available."""
    return BackendUnavailableError(
        "TensorRT cannot be used",
        got=got,
        expected="TensorRT and the GPU that will run the plan (trt), or TensorRT for RTX (rtx)",
        hint=hint,
    )


@cache
def logger_of(trt: ModuleType) -> Any:
    """Make the one logger of a flavour, which TensorRT may keep for ever.

    It hands everything to `logging`, and keeps the last errors in `words`.
    """
    levels = {
        trt.ILogger.INTERNAL_ERROR: logging.ERROR,
        trt.ILogger.ERROR: logging.ERROR,
        trt.ILogger.WARNING: logging.WARNING,
        trt.ILogger.INFO: logging.DEBUG,
    }

    class Logger(trt.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.words: deque[str] = deque(maxlen=_MOST_WORDS)

        def log(self, severity: Any, text: str) -> None:
            level = levels.get(severity)
            if level is None:  # These are thousands of lines on every layer.
                return
            if level == logging.ERROR:
                self.words.append(text)
            _log.log(min(level, logging.INFO), "%s", text)  # Errors are raised with these messages.

    return Logger()


def join_messages(words: Iterable[str]) -> str:
    """Join TensorRT's messages on one line."""
    return "; ".join(dict.fromkeys(" ".join(line.split()) for line in words)) or "it gives no reason"

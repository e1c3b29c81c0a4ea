"""Compilation of all kernels ahead of time: a machine that finds its cubins needs no NVRTC. No GPU is needed here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ecg_trt.cuda.compile import CAPABILITIES, cubin, cubin_path, kernel_files
from ecg_trt.errors import OutputError


@dataclass(frozen=True, slots=True)
class MadeCubin:
    """A cubin on disk.

    Attributes:
        path: of the file.
        nbytes: its size.
        made: False if it was there already.
    """

    path: Path
    nbytes: int
    made: bool


def count_cubins(capabilities: Sequence[tuple[int, int]] = CAPABILITIES) -> int:
    """Count the cubins that `make_cubins` makes, for a progress bar."""
    return len(capabilities) * len(kernel_files())


def make_cubins(
    capabilities: Sequence[tuple[int, int]] = CAPABILITIES, folder: Path | None = None
) -> Iterator[MadeCubin]:
    """Compile every kernel file for every capability; cubins that are current are left alone.

    Args:
        capabilities: compute capabilities, (major, minor).
        folder: where they go; the place where the runtime looks for them if None.

    Yields:
        Each cubin as soon as it is there.

    Raises:
        BackendUnavailableError: NVRTC is not installed.
        DriverError: NVRTC does not know a capability.
        OutputError: the folder cannot be written.
    """
    for capability in capabilities:
        for file in kernel_files():
            path = cubin_path(file, capability, folder)
            before = path.is_file() and path.stat().st_mtime_ns
            data = cubin(file, capability, folder, any_nvrtc=False)
            if not path.is_file():
                raise _not_kept(path)
            yield MadeCubin(path, len(data), path.stat().st_mtime_ns != before)


def _not_kept(path: Path) -> OutputError:
    return OutputError(
        "The cubins cannot be kept",
        got=f"no file {path.name} in {path.parent}",
        expected="a folder that can be written",
        hint="Choose another folder, or set ECG_TRT_HOME to one.",
    )

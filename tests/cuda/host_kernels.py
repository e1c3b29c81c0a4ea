"""The kernels' own source, compiled for the CPU."""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from ecg_trt.cuda.compile import SOURCES, kernel_files, kernels_of

_FLAGS = ["-x", "c++", "-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", "-shared", "-fPIC"]
_KEPT: list[tempfile.TemporaryDirectory[str]] = []


@functools.cache
def _compiled() -> Path | None:
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        return None
    folder = tempfile.TemporaryDirectory(prefix="ecg-trt-host-")
    _KEPT.append(folder)  # removed when the interpreter ends
    source, library = Path(folder.name) / "kernels.cpp", Path(folder.name) / "kernels.so"
    lines = ['#include "host.h"']
    for file in kernel_files():
        lines += [f'#include "{file}.cu"', *(f"HOST_KERNEL({name})" for name in kernels_of(file))]
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = [compiler, *_FLAGS, f"-I{SOURCES}", str(source), "-o", str(library)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return library


def host_kernels() -> ctypes.CDLL:
    """The library, made once a session; a test that needs it is skipped where there is no C++ compiler."""
    library = _compiled()
    if library is None:
        pytest.skip("no C++ compiler (g++ or clang++) to compile the kernels for the CPU")
    return ctypes.CDLL(str(library))

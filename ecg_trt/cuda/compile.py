"""Compilation of CUDA C++ to cubins by NVRTC, cached on disk. Neither a GPU nor a driver is needed."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import tempfile
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ecg_trt.cuda.driver import missing_package
from ecg_trt.errors import BackendUnavailableError, DriverError, install_hint
from ecg_trt.paths import cache_dir

_log = logging.getLogger(__name__)
SOURCES = Path(__file__).with_name("kernels")
CAPABILITIES = ((7, 5), (8, 0), (8, 6), (8, 7), (8, 9), (9, 0), (12, 0))
_OPTIONS = ("--std=c++17",)
_KERNEL = re.compile(r'extern "C" __global__ void (\w+)\(')
_VARIANT = re.compile(r"^[A-Z]+\((\w+), \w+\)$", re.MULTILINE)


def kernel_files() -> tuple[str, ...]:
    """List the names of the kernel files, without ``.cu``."""
    return tuple(sorted(path.stem for path in SOURCES.glob("*.cu")))


@cache
def kernels_of(file: str) -> tuple[str, ...]:
    """List the names of the kernels in a file: written out, or made by its macro for each interpolation."""
    source = (SOURCES / f"{file}.cu").read_text(encoding="utf-8")
    plain = [name for name in _KERNEL.findall(source) if name != "name"]
    return (*plain, *_VARIANT.findall(source))


def target_of(capability: tuple[int, int]) -> tuple[int, int]:
    """Choose the capability whose cubins run on a GPU: the highest known one of its generation, else its own."""
    major, minor = capability
    return max((c for c in CAPABILITIES if c[0] == major and c[1] <= minor), default=(major, minor))


def cubin_folder() -> Path:
    """Find the folder of the cubins, in `cache_dir()`."""
    return cache_dir() / "cubins"


def cubin_path(file: str, capability: tuple[int, int], folder: Path | None = None) -> Path:
    """Name the file of a cubin, existing or not; the name changes with the source and with NVRTC's major version."""
    digest = hashlib.sha256(" ".join(_OPTIONS).encode())
    for path in (*sorted(SOURCES.glob("*.cuh")), SOURCES / f"{file}.cu"):
        digest.update(path.read_bytes())
    name = _cubin_name(file, capability, str(nvrtc_major() or 0), digest.hexdigest()[:16])
    return (folder or cubin_folder()) / name


def _cubin_name(file: str, capability: tuple[int, int], major: str, digest: str) -> str:
    return f"{file}.sm_{capability[0]}{capability[1]}.nvrtc{major}.{digest}.cubin"


@cache
def nvrtc_major() -> int | None:
    """Find the major version of NVRTC, None if its bindings are not installed; NVRTC itself is not loaded.

    The major version of cuda-bindings is that of the NVRTC that they load. Cubins of a later major version than the
    driver's cannot be loaded, so those of several versions are kept side by side.
    """
    try:
        return int(version("cuda-bindings").split(".")[0])
    except PackageNotFoundError:
        return None


def _cubin_of_another_nvrtc(path: Path) -> bytes:
    """Read a cubin of the same source that another version of NVRTC made, the oldest first; empty if there is none.

    A machine without NVRTC runs cubins that were compiled elsewhere; every driver loads those of an older version.
    """
    start, _, digest, _ = path.name.rsplit(".", 3)
    others = [other for other in path.parent.glob(f"{start}.nvrtc*.{digest}.cubin") if other != path]
    majors = {int(other.name.rsplit(".", 3)[1].removeprefix("nvrtc")): other for other in others}
    return next(filter(None, (_read_cubin(majors[major]) for major in sorted(majors))), b"")


def _read_cubin(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError:
        return b""
    return data if data.startswith(b"\x7fELF") else b""


def cubin(
    file: str, capability: tuple[int, int], folder: Path | None = None, *, any_nvrtc: bool = True
) -> bytes:  # fmt: skip
    """Load the compiled kernels of a file from disk, else compile them and cache them where the folder is writable.

    Args:
        file: one of `kernel_files`.
        capability: compute capability, (major, minor).
        folder: in place of `cubin_folder()`.
        any_nvrtc: take a cubin of another version of NVRTC where none can be compiled here.

    Raises:
        BackendUnavailableError: it has to be compiled, and NVRTC is not installed.
        DriverError: NVRTC does not know this capability, or rejects the source.
    """
    path = cubin_path(file, capability, folder)
    kept = _read_cubin(path)
    if kept:
        return kept
    try:
        made = compile_file(file, capability)
    except (BackendUnavailableError, DriverError):
        other = _cubin_of_another_nvrtc(path)
        if not (any_nvrtc and other):
            raise
        return other
    try:
        _keep(path, made)
    except OSError as error:
        _log.info("compiled kernels are not kept: %s", error)
    return made


def _keep(path: Path, data: bytes) -> None:
    """Write a file that appears whole or not at all, even if several processes write it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, scratch = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(data)
        os.replace(scratch, path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise


def compile_file(file: str, capability: tuple[int, int]) -> bytes:
    """Compile a kernel file; raises as `cubin` does."""
    try:
        from cuda.core import Program, ProgramOptions
    except ImportError as error:
        raise missing_package("cuda-core", "cuda", error) from error
    major, minor = capability
    try:
        options = ProgramOptions(std="c++17", arch=f"sm_{major}{minor}", include_path=str(SOURCES), name=f"{file}.cu")
        program = Program((SOURCES / f"{file}.cu").read_text(encoding="utf-8"), "c++", options)
    except Exception as error:
        raise _rejected(file, capability, error) from error
    try:
        result: Any = program.compile("cubin")
        return bytes(result.code)
    except Exception as error:  # Errors of NVRTC, cuda-core and loader share no base class.
        raise _rejected(file, capability, error) from error
    finally:
        program.close()


def _rejected(file: str, capability: tuple[int, int], error: Exception) -> DriverError:
    major, minor = capability
    return DriverError(
        f"The kernels of {file}.cu cannot be compiled for sm_{major}{minor}",
        got=" ".join(str(error).split())[:500] or type(error).__name__,
        expected="NVRTC of CUDA 12.8 or later, and a capability that it knows",
        hint=install_hint("cuda", upgrade=True),
    )

"""Atomic writing: files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ecg_trt.errors import OutputError

_SCRATCH = ".ecg-trt-"  # Begin of the names of scratch folders.
_HINTS = {
    errno.EACCES: "Choose another folder with -o, or give yourself the right to write there.",
    errno.EPERM: "Choose another folder with -o, or give yourself the right to write there.",
    errno.EROFS: "This file system is read-only: choose another folder with -o.",
    errno.ENOSPC: "Make room on the disk, or choose a folder on another one with -o.",
    errno.EDQUOT: "Your quota is used up: make room, or choose a folder on another disk with -o.",
    errno.ENOENT: "Make the folder first.",
    errno.ENOTDIR: "A part of the path is a file: choose another folder.",
    errno.EISDIR: "A folder of that name is in the way: remove it, or choose another name.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
}


@contextmanager
def atomic_folder(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    """Provide a scratch folder within `folder`, whose files move there together at the end.

    The scratch folder lies on the same file system, so that each move is one rename. Formats of several files
    whose headers mention each other's names need it; `atomic_path` serves the rest.

    Args:
        folder: where the files shall go.
        names: the files that the body is going to write, in the order in which they shall appear.

    Yields:
        The scratch folder, removed at the end whatever happens.

    Raises:
        OutputError: the files could not be written; nothing of them is left.
    """
    try:
        for name in names:
            if (folder / name).is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=folder))
    except OSError as error:
        raise output_error(folder / names[0], error) from error
    try:
        yield scratch
        for name in names:
            os.replace(scratch / name, folder / name)
    except OSError as error:
        raise output_error(folder / names[0], error) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Provide a temporary path beside `path`, renamed to it at the end and removed on failure.

    Args:
        path: where the file shall appear. An older file is replaced.

    Yields:
        The path to write to; it has the name and the suffix of `path`.

    Raises:
        OutputError: no permission, no space, no such folder; an older file is left as it was.
    """
    with atomic_folder(path.parent, [path.name]) as scratch:
        yield scratch / path.name


def remove_scratch(folder: Path) -> None:
    """Remove scratch folders that a killed process left in a folder; none may be writing there."""
    for scratch in folder.glob(f"{_SCRATCH}*"):
        shutil.rmtree(scratch, ignore_errors=True)


def make_folder(folder: Path) -> None:
    """Make a folder with its parents and check that files can be written there.

    Raises:
        OutputError: they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        if isinstance(error, FileExistsError):
            error = NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        raise output_error(folder, error) from error


def output_error(path: Path, error: OSError) -> OutputError:
    """Turn the system's error for `path` into an `OutputError` with a hint."""
    return OutputError(
        f"{path} could not be written",
        got=(error.strerror or str(error) or type(error).__name__).lower(),
        expected="a folder that can be written to, with room on the disk",
        hint=_HINTS.get(error.errno or 0, "Check the path and the disk."),
    )

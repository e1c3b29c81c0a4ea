"""BLAS on one thread while a photo is read: its matrices are small, and more threads cost more than they save.

OpenBLAS wakes its threads for a QR of a few thousand rows, and waits for them spinning. Where other processes are busy,
a thread that gets no core holds up all others: on two busy cores a photo took 0.9 s of the host's time with two threads
of BLAS and 0.2 s with one.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

_PACKAGES = ("numpy", "scipy")  # each of which brings an OpenBLAS of its own, if it comes from PyPI
_FOLDERS = ("../{}.libs", ".dylibs")  # of a package's libraries, on Linux and Windows, and on macOS
_SYMBOLS = [f"{before}openblas_{{}}_num_threads{after}" for before in ("scipy_", "") for after in ("64_", "")]

_Threads: TypeAlias = "tuple[Callable[[], int], Callable[[int], None]]"
_lock = threading.Lock()
_inside: list[list[int]] = []  # for each who is inside, the threads to go back to; the first one's count


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keep BLAS to one thread in the with block, in all threads of the process; nothing happens for other BLASes.

    Several threads may be inside at a time. The last to leave gives BLAS back the threads that it had.
    """
    with _lock:
        _inside.append([get() for get, _ in _libraries()])
        for _, use in _libraries():
            use(1)
    try:
        yield
    finally:
        with _lock:
            before = _inside[0]
            _inside.pop()
            if not _inside:
                for (_, use), count in zip(_libraries(), before, strict=True):
                    use(count)


@cache
def _libraries() -> tuple[_Threads, ...]:
    """How many threads each OpenBLAS uses, and how that is changed."""
    found = []
    for package in _PACKAGES:
        spec = find_spec(package)
        home = Path(spec.origin).parent if spec is not None and spec.origin else Path(package)
        for path in (p for folder in _FOLDERS for p in sorted((home / folder.format(package)).glob("*openblas*"))):
            threads = _threads_of(path)
            if threads is not None:
                found.append(threads)
    return tuple(found)


def _threads_of(path: Path) -> _Threads | None:
    """The two functions of a library; None where they go by other names."""
    try:
        library = ctypes.CDLL(str(path.resolve()))
    except OSError:
        return None
    for symbol in _SYMBOLS:
        get, use = (getattr(library, symbol.format(verb), None) for verb in ("get", "set"))
        if get is not None and use is not None:
            get.restype, use.argtypes, use.restype = ctypes.c_int, [ctypes.c_int], None
            return get, use
    return None

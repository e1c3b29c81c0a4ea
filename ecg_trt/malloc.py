"""Return of freed memory to the system.

glibc's `free` keeps blocks of up to 32 MB for later: once one of a size has been freed, its like no longer go back to
the system. Photos, pages and networks' buffers come in ever other sizes, and what is kept of them falls to pieces.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import cache


def release_free_memory() -> None:
    """Give freed memory back to the system, in some milliseconds; nothing is done where malloc is not glibc's."""
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@cache
def _malloc_trim() -> Callable[[int], object] | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):  # This is another C library, such as musl.
        return None

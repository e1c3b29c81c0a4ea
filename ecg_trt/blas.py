"""BLAS on one thread while a photo is read: its matrices are small, and more threads cost more than they save.

OpenBLAS wakes its threads for a QR of a few thousand rows, and waits for them spinning. Where other processes are busy,
a thread that gets no core holds up all others: on two busy cores a photo took 0.9 s of the host's time with two threads
of BLAS and 0.2 s with one.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any


def one_blas_thread() -> AbstractContextManager[Any]:
    """Keep BLAS to one thread in the with block.

    Where the threads of BLAS belong to the whole process, the first thread inside sets and resets them, and others
    change nothing (threadpoolctl sees to it).
    """
    limit: AbstractContextManager[Any] = _controller().limit(limits=1, user_api="blas")
    return limit


@cache
def _controller() -> Any:
    """Find the libraries of the process once: it takes some milliseconds."""
    import scipy.linalg  # noqa: F401 - brings an OpenBLAS of its own, which is found only when it is loaded
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()

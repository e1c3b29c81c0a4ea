"""Worker slots: a few things of one kind, each lent to one caller at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from threading import BoundedSemaphore
from typing import Generic, TypeVar

from ecg_trt.closeable import Closeable
from ecg_trt.errors import OptionError

_Slot = TypeVar("_Slot")
_Result = TypeVar("_Result")


class SlotQueue(Generic[_Slot]):
    """Queue of worker slots, each lent to one caller at a time."""

    def __init__(self, slots: Sequence[_Slot]) -> None:
        self._count = len(slots)
        self._free: SimpleQueue[_Slot] = SimpleQueue()
        for slot in slots:
            self._free.put(slot)

    def __len__(self) -> int:
        return self._count

    def lend(self, work: Callable[[_Slot], _Result]) -> _Result:
        """Wait for a free worker slot and do the work with it."""
        slot = self._free.get()
        try:
            return work(slot)
        finally:
            self._free.put(slot)


class SlotPool(Closeable, Generic[_Slot]):
    """Threads that do work in worker slots, as many as there are slots.

    Args:
        slots: closed by who opened them, after this.
        waiting: pieces of work that may wait for a slot; `submit` blocks while as many do.
        name: of the threads.

    Raises:
        OptionError: nothing may wait.
    """

    def __init__(self, slots: Sequence[_Slot], waiting: int, name: str) -> None:
        if waiting < 1:
            raise OptionError("The pool cannot be opened", got=f"waiting={waiting}", expected="1 or more",
                              hint="Leave waiting out to get the default.")  # fmt: skip
        self._slots = SlotQueue(slots)
        self._pending = BoundedSemaphore(waiting + len(slots))
        self._threads = ThreadPoolExecutor(len(slots), thread_name_prefix=name)

    def __len__(self) -> int:
        return len(self._slots)

    def submit(self, work: Callable[[_Slot], _Result]) -> Future[_Result]:
        """Do work in one of the slots, as soon as one is free.

        Returns:
            A future of what the work returns or raises.

        Raises:
            RuntimeError: the pool is closed.
        """
        self._pending.acquire()
        try:
            future = self._threads.submit(self._slots.lend, work)
        except RuntimeError:
            self._pending.release()
            raise
        future.add_done_callback(lambda _: self._pending.release())
        return future

    def close(self) -> None:
        """Cancel waiting work and finish what is in hand; more than once is fine."""
        self._threads.shutdown(wait=True, cancel_futures=True)

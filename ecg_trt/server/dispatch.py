"""Order of the jobs that wait for a process: corrections before uploads, as a person waits for them."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import count
from typing import Any, Protocol

from ecg_trt.server.problems import RequestError

_RETRY_AFTER_S = 10


class Pool(Protocol):
    """What `processes.ProcessPool` promises: jobs in, futures out."""

    def submit(self, job: Any) -> Future[Any]:
        """Do a job; it may block while too many wait."""
        ...


class Urgency(IntEnum):
    """Which jobs go first."""

    NOW = 0
    IN_TURN = 1


@dataclass(order=True)
class _Waiting:
    urgency: Urgency
    number: int
    job: Any = field(compare=False)
    started: Callable[[], None] = field(compare=False)
    done: asyncio.Future[Any] = field(compare=False)


class Dispatcher:
    """Queue in front of a pool: it hands on a job only when a process is free, and so may still choose the next.

    All methods are called in one event loop.

    Args:
        pool: that does the jobs.
        processes: jobs that it does at a time.
        most: jobs that may wait.
    """

    def __init__(self, pool: Pool, processes: int, most: int) -> None:
        self._pool, self._free, self._most = pool, processes, most
        self._heap: list[_Waiting] = []
        self._numbers = count()
        self._running: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """Number of jobs that wait."""
        return sum(not waiting.done.done() for waiting in self._heap)

    def check_room(self, jobs: int) -> None:
        """Check that so many jobs may be added in turn.

        Raises:
            RequestError: 503, too many wait already.
        """
        if self.waiting + jobs > self._most:
            raise RequestError(
                503, "The server is busy", got=f"{self.waiting} jobs that wait, and {jobs} more",
                expected=f"at most {self._most}", hint="Try again in a while.",
                headers={"Retry-After": str(_RETRY_AFTER_S)},
            )  # fmt: skip

    async def do(self, job: Any, urgency: Urgency, started: Callable[[], None] = lambda: None) -> Any:
        """Do a job when its turn comes.

        Args:
            job: what the pool's workers take.
            urgency: of several that wait, the most urgent goes first, and of these the one that came first.
            started: called when a process takes it.

        Returns:
            Its result. Raises what the pool's future raises.
        """
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._heap, _Waiting(urgency, next(self._numbers), job, started, done))
        self._hand_on()
        return await done

    async def close(self) -> None:
        """Cancel all that waits; what runs is left to the pool."""
        for waiting in self._heap:
            waiting.done.cancel()
        self._heap.clear()
        for task in self._running:
            task.cancel()

    def _hand_on(self) -> None:
        """Give the most urgent jobs to processes that are free; those that nobody waits for any longer are dropped."""
        while self._free and self._heap:
            waiting = heapq.heappop(self._heap)
            if waiting.done.done():
                continue
            self._free -= 1
            task = asyncio.get_running_loop().create_task(self._run(waiting))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _run(self, waiting: _Waiting) -> None:
        waiting.started()
        try:
            result = await asyncio.wrap_future(self._pool.submit(waiting.job))
        except Exception as error:
            if not waiting.done.done():
                waiting.done.set_exception(error)
        else:
            with contextlib.suppress(asyncio.InvalidStateError):
                waiting.done.set_result(result)
        finally:
            self._free += 1
            self._hand_on()

"""Worker processes: where native code crashes, or memory runs out, the job in hand is lost and no other."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from typing import Any, Generic, TypeVar

from ecg_trt.closeable import Closeable
from ecg_trt.errors import DeviceFaultError, OptionError, WorkerCrashedError, WorkerError, WorkerTimeoutError
from ecg_trt.slots import SlotPool

Job = TypeVar("Job")
Result = TypeVar("Result")

# A forked child would inherit the locks of threads that it does not have, and CUDA serves none.
_CONTEXT = multiprocessing.get_context("spawn")
# Where a process starts, multiprocessing polls all children; of two threads that poll one, only the first learns how
# it ended, and the other takes it for alive.
_POLLING = threading.Lock()
_LONGEST_END_S = 10.0  # In which an idle process must have closed its networks.


class ProcessPool(Closeable, Generic[Job, Result]):
    """Worker processes, each with its own open worker; a crash costs the job in hand alone.

    A process that dies, exceeds the time for a job or loses its GPU (`DeviceFaultError`) is replaced. All processes end
    with this one, even if it is killed.

    Args:
        open_worker: called once in each process; returns the function that does its jobs, which is closed at the end if
            it is a `Closeable`. It is pickled, as jobs and results are: a function of a module, or a `partial` of one.
        processes: how many.
        waiting: jobs that may wait for a process; `submit` blocks while as many do.
        timeout_s: longest time of a job in its process, None for no bound.
        threads: of OpenCV in each process; as `threads_each` shares them if None.

    Raises:
        OptionError: no process, or none may wait.
        WorkerCrashedError: a process died before it was open.
        Exception: whatever `open_worker` raises.

    Example:
        >>> with ProcessPool(partial(open_digitizer, options), 4, timeout_s=60) as pool:  # doctest: +SKIP
        ...     record = pool.submit("photo.jpg").result()

    Processes are spawned: a script that opens a pool does so below ``if __name__ == "__main__":``.
    """

    def __init__(
        self, open_worker: Callable[[], Callable[[Job], Result]], processes: int, *, waiting: int = 64,
        timeout_s: float | None = None, threads: int | None = None,
    ) -> None:  # fmt: skip
        if processes < 1:
            raise OptionError("The pool cannot be opened", got=f"processes={processes}", expected="1 or more",
                              hint="Leave some cores to each.")  # fmt: skip
        threads = threads or threads_each(processes)
        with ExitStack() as stack:
            workers = [
                stack.enter_context(_Worker(open_worker, threads, timeout_s)) for _ in range(processes)
            ]  # They open at the same time.
            for worker in workers:
                worker.wait_until_open()
            self._slots = stack.enter_context(SlotPool(workers, waiting, "ecg-trt-process"))
            self._stack = stack.pop_all()

    @property
    def processes(self) -> int:
        """Number of jobs that are done at a time."""
        return len(self._slots)

    def submit(self, job: Job) -> Future[Result]:
        """Do a job in one of the processes, as soon as one is free.

        Returns:
            A future of its result. It raises what the worker raises, with the traceback as the cause; a
            `WorkerCrashedError` if its process died, and a `WorkerTimeoutError` if it took too long.

        Raises:
            RuntimeError: the pool is closed.
        """
        return self._slots.submit(lambda worker: worker(job))

    def close(self) -> None:
        """Cancel waiting jobs, finish those in hand, and end the processes; more than once is fine."""
        self._stack.close()


def available_cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads_each(processes: int) -> int:
    """Share the cores among processes: the threads of each, such as `RuntimeOptions.threads`, at least one."""
    return max(available_cores() // processes, 1)


class WorkerTraceback(Exception):
    """Traceback of an error that was raised in a worker process, as text."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """Result of a job, or the error that it met with its traceback."""

    result: Any = None
    error: Exception | None = None
    trace: str = ""

    def get(self) -> Any:
        """Return the result, or raise the error."""
        if self.error is not None:
            raise self.error from WorkerTraceback(self.trace)
        return self.result


class _Worker(Closeable, Generic[Job, Result]):
    """One worker process and its successors, for one thread at a time.

    Args:
        open_worker: see `ProcessPool`.
        threads: of OpenCV in the process.
        timeout_s: longest time of a job.
    """

    def __init__(
        self, open_worker: Callable[[], Callable[[Job], Result]], threads: int, timeout_s: float | None
    ) -> None:
        self._arguments, self._timeout_s = (open_worker, threads), timeout_s
        self._is_open = False
        self._start()

    def wait_until_open(self) -> None:
        """Wait for the process to be open, if that is still to come.

        Raises:
            WorkerCrashedError: it died.
            Exception: whatever `open_worker` raises.
        """
        if self._is_open:
            return
        try:
            self._receive("open")
        except Exception:
            self._replace()
            raise
        self._is_open = True

    def __call__(self, job: Job) -> Result:
        """Do a job. Raises what `ProcessPool.submit` says."""
        if self._is_open and self._pipe.poll():  # No answer is due, so that this is the end of the process.
            self._replace()
        self.wait_until_open()
        try:
            return self._ask(job)
        except (WorkerError, DeviceFaultError):  # After a fault CUDA rejects all later work of the process.
            self._replace()
            raise

    def close(self) -> None:
        """Let the process close its worker and end; kill it if it does not."""
        self._pipe.close()
        if self._is_open:
            wait([self._process.sentinel], _LONGEST_END_S)
        self._end()

    def _start(self) -> None:
        self._pipe, theirs = _CONTEXT.Pipe()
        with theirs:  # Once it is theirs alone, the end of the process ends the pipe.
            self._process = _CONTEXT.Process(target=_serve, args=(theirs, *self._arguments), daemon=True)
            with _POLLING:
                self._process.start()

    def _end(self) -> int:
        """End the process if it still runs, and return its exit code."""
        with _POLLING:
            self._process.kill()
            self._process.join()
        self._pipe.close()
        self._is_open = False
        return self._process.exitcode or 0

    def _replace(self) -> None:
        self._end()
        self._start()

    def _ask(self, job: Job) -> Result:
        try:
            self._pipe.send(job)
        except OSError as error:
            raise self._crashed("take a job") from error
        if not self._pipe.poll(self._timeout_s):
            raise WorkerTimeoutError(
                "A worker process took too long and was ended",
                got=f"no result within {self._timeout_s:g} s",
                expected="one within that time",
                hint="Another process took its place; try the job alone, with more time.",
            )
        return self._receive("do a job")

    def _receive(self, what: str) -> Any:
        try:
            answer: _Answer = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise self._crashed(what) from error
        return answer.get()

    def _crashed(self, what: str) -> WorkerCrashedError:
        wait([self._process.sentinel])
        code = self._end()
        return WorkerCrashedError(
            f"A worker process died before it could {what}",
            got=f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}",
            expected="a process that goes on",
            hint="SIGKILL mostly means that memory ran out: use fewer processes. Otherwise try the job alone.",
        )


def _serve(pipe: Connection, open_worker: Callable[[], Callable[[Job], Result]], threads: int) -> None:
    """Do jobs, in a worker process, until the pipe is closed."""
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends its workers.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(threads)
    with suppress(BrokenPipeError), ExitStack() as stack:  # The parent may close the pipe before the worker is open.

        def opened() -> Callable[[Job], Result]:
            work = open_worker()
            return stack.enter_context(work) if isinstance(work, Closeable) else work

        try:
            work = opened()
        except Exception as error:
            pipe.send_bytes(_failure(error))
            return
        pipe.send(_Answer())
        while True:
            try:
                job = pipe.recv_bytes()
            except EOFError:
                return
            pipe.send_bytes(_answer(work, job))


def _answer(work: Callable[[Job], Result], job: bytes) -> bytes | memoryview:
    """Do a job, and pickle what comes of it."""
    try:
        return ForkingPickler.dumps(_Answer(work(pickle.loads(job))))
    except Exception as error:
        return _failure(error)


def _failure(error: Exception) -> bytes | memoryview:
    """Pickle an error; one of a kind that cannot be pickled becomes a RuntimeError."""
    trace = "".join(traceback.format_exception(error))
    try:
        answer = ForkingPickler.dumps(_Answer(error=error, trace=trace))
        pickle.loads(answer)
    except Exception:
        answer = ForkingPickler.dumps(_Answer(error=RuntimeError(f"{type(error).__name__}: {error}"), trace=trace))
    return answer


def _end_with_parent() -> None:
    """End this process as soon as its parent is gone, even in the midst of a job."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)

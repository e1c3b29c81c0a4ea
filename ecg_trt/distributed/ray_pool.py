"""Workers on a Ray cluster that take the place of an archive's processes (``ecg-trt run --ray``)."""

from __future__ import annotations

import socket
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ecg_trt.archive.archive import LONGEST_PAGE_S
from ecg_trt.archive.inputs import load_file
from ecg_trt.archive.worker import ArchiveOptions, PageJob, PageOutcome, PageWorker, failed
from ecg_trt.closeable import Closeable
from ecg_trt.distributed.ray import import_ray
from ecg_trt.errors import BackendUnavailableError, DeviceFaultError, WorkerCrashedError, WorkerError
from ecg_trt.processes import ProcessPool
from ecg_trt.slots import SlotPool

_LONGEST_CONNECT_S = 10.0


class ClusterPool(Closeable):
    """Open workers on a cluster, each of one core.

    Photos are sent to them from here. They write the files of each page to the archive's folder, which all machines
    must share. Ray replaces a worker that is lost, and its page is done again.

    Args:
        address: of the cluster: "auto" for that of this machine, "local" for a new one on this machine, or a host and
            port, such as "10.0.0.1:6379".
        folder: of the archive.
        options: of the archive; one thread for each worker, unless they say more.
        workers: how many; as many as the cluster has cores if None.

    Raises:
        BackendUnavailableError: Ray is not installed, or there is no such cluster.
        OptionError: no worker.
    """

    def __init__(self, address: str, folder: Path, options: ArchiveOptions, workers: int | None = None) -> None:
        self._ray = ray = import_ray()
        threads = options.runtime.threads or 1
        options = replace(options, runtime=replace(options.runtime, threads=threads))
        with ExitStack() as stack:
            try:
                _connect(address)
                ray.init(address, logging_level="error", log_to_driver=False)
            except (OSError, ValueError) as error:
                raise BackendUnavailableError(
                    "The cluster cannot be reached",
                    got=f"{address} ({error})",
                    expected="the address of a Ray cluster",
                    hint="Start one with `ray start --head`, and take the address that it shows.",
                ) from error
            stack.callback(ray.shutdown)
            remote = ray.remote(num_cpus=threads, max_restarts=-1, max_task_retries=-1)(JobWorker)
            count = workers or max(int(ray.cluster_resources().get("CPU", 1)) // threads, 1)
            actors = [remote.remote(folder.resolve(), options) for _ in range(count)]
            self._slots = stack.enter_context(SlotPool(actors, count, "ecg-trt-ray"))
            self._stack = stack.pop_all()

    @property
    def processes(self) -> int:
        """Number of jobs that are done at a time."""
        return len(self._slots)

    def submit(self, job: PageJob) -> Future[PageOutcome]:
        """Do a job in one of the workers, as soon as one is free.

        Returns:
            A future of its outcome; it raises a `WorkerCrashedError` if Ray cannot replace its worker.

        Raises:
            RuntimeError: the pool is closed.
        """
        # The workers may not have the files; on one that cannot be loaded they report.
        loaded = replace(job, photos=tuple(load_file(photo) or photo for photo in job.photos))

        def work(actor: Any) -> PageOutcome:
            try:
                outcome: PageOutcome = self._ray.get(actor.do.remote(loaded))
            except self._ray.exceptions.RayError as error:
                raise WorkerCrashedError(
                    "A worker of the cluster could not do a job",
                    got=f"{type(error).__name__}: {str(error).strip().splitlines()[-1]}",
                    expected="an outcome",
                    hint="Ray's dashboard and logs say more; all machines need this package in this version.",
                ) from error
            return replace(outcome, job=job)

        return self._slots.submit(work)

    def close(self) -> None:
        """Cancel waiting jobs, finish those in hand, and leave the cluster; more than once is fine."""
        self._stack.close()


class JobWorker:
    """Worker of a cluster: a job in, its outcome out. The networks are in a process of their own (`ProcessPool`).

    Args:
        folder: of the archive.
        options: of the archive.
    """

    def __init__(self, folder: Path, options: ArchiveOptions) -> None:
        self._digest = options.digest()
        self._pool: ProcessPool[PageJob, PageOutcome] = ProcessPool(
            partial(PageWorker, folder, options), 1, timeout_s=LONGEST_PAGE_S, threads=options.runtime.threads
        )

    def do(self, job: PageJob) -> PageOutcome:
        """Do a job; a crash or a lost GPU is its outcome."""
        try:
            return self._pool.submit(job).result()
        except (WorkerError, DeviceFaultError) as error:
            return failed(job, error, self._digest)


def _connect(address: str) -> None:
    """Connect to a host and port once, as Ray would go on trying for minutes.

    Raises:
        OSError: nobody answers.
        ValueError: the port is no number.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon:
        socket.create_connection((host, int(port)), _LONGEST_CONNECT_S).close()

"""An archive: photos in, the files and the result of each page out, and what an earlier run did left as it is."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from ecg_trt import errors
from ecg_trt.archive.inputs import ArchiveItem, load_file
from ecg_trt.archive.stems import Stems
from ecg_trt.archive.worker import ArchiveOptions, PageJob, PageOutcome, PageWorker, failed
from ecg_trt.closeable import Closeable
from ecg_trt.errors import DeviceFaultError, EcgTrtError, PageError, WorkerError
from ecg_trt.io.atomic import make_folder, remove_scratch
from ecg_trt.io.readers.photo import pages_of
from ecg_trt.io.writers import WRITERS
from ecg_trt.io.writers.batch_report import write_batch_report
from ecg_trt.processes import ProcessPool, threads_each
from ecg_trt.results import (
    RESULTS_CSV,
    RESULTS_PARQUET,
    PageResult,
    PageStatus,
    ResultsTable,
    read_results,
    skip_pages_without_ecg,
)

LONGEST_PAGE_S = 600.0  # A page in a process of its own that takes longer hangs.


class JobPool(Protocol):
    """Workers that do jobs, such as a `ProcessPool`."""

    @property
    def processes(self) -> int:
        """Number of jobs that are done at a time."""
        ...

    def submit(self, job: PageJob) -> Future[PageOutcome]:
        """Do a job, as soon as a worker is free; the future may raise a `WorkerError` or a `DeviceFaultError`."""
        ...


class Archive(Closeable):
    """Open archive, to whose folder the files of each page go.

    Args:
        folder: made if missing.
        options: how pages are read and written.
        jobs: number of processes; 1 for none but this one. Processes share the cores, or the GPU.
        has_table: keep ``results.csv`` in the folder (`results.ResultsTable`), and report on it if the options say so.
        resume: go on with the table that is there: pages of the same content, read with the same options, are known.
        pool: does the jobs in place of processes of its own; the caller closes it, after this.

    Attributes:
        note: what runs the networks, and why nothing better does; "" if nothing better was wanted, or with processes.

    Raises:
        BackendError: the networks cannot be loaded.
        InputError: a table of this name is of another kind.
        OptionError: a format has no such option.
        OutputError: nothing can be written to the folder, a format's package is missing, or a table is there and
            `resume` is False.

    Example:
        >>> items, others = find_items(["scans"], Path("records"), recursive=True)  # doctest: +SKIP
        ... with Archive(Path("records"), ArchiveOptions({"csv": {}}), jobs=4, resume=True) as archive:
        ...     for outcome in archive.digitize(items):
        ...         print(outcome.result)
    """

    def __init__(
        self, folder: Path, options: ArchiveOptions, *, jobs: int = 1, has_table: bool = True, resume: bool = False,
        pool: JobPool | None = None,
    ) -> None:  # fmt: skip
        make_folder(folder)
        options.check_formats(folder)
        self._folder, self._digest, self._resume, self.note = folder, options.digest(), resume, ""
        self._options = options
        with ExitStack() as stack:
            self._table = stack.enter_context(ResultsTable(folder, resume=resume)) if has_table else None
            self._earlier = self._table.earlier if self._table else []
            self._in_table = set(self._earlier)
            self._stems = Stems(
                [WRITERS[name] for name in dict.fromkeys((*options.formats, "json"))],
                reserved=(RESULTS_CSV, RESULTS_PARQUET) if has_table else (),
                owners={result.stem: (result.file, result.page) for result in self._earlier},
            )
            self._outcomes: Callable[[Iterable[PageJob]], Generator[PageOutcome, None, None]]
            if jobs == 1 and pool is None:
                worker = stack.enter_context(PageWorker(folder, options))
                runtime = worker.digitizer.runtime
                self.note = runtime.note and f"Networks run on {runtime.name}; not on {runtime.note}."
                self._outcomes = worker.outcomes
            else:
                pool = pool or stack.enter_context(_open_pool(folder, options, jobs))
                self._outcomes = partial(_in_processes, pool=pool, digest=self._digest)
            self._stack = stack.pop_all()

    def digitize(self, items: Sequence[ArchiveItem]) -> Generator[PageOutcome, None, None]:
        """Digitize files and groups of photos, one bad page harming no other, and keep the table.

        Yields:
            For each page its outcome, as it ends. Pages on which no ECG is found come when their file is done: they
            are skipped if it has one on another page.

        Raises:
            DeviceFaultError: the GPU has failed in this process, as the last outcome shows. One of several processes is
                replaced instead.
            BackendError: the networks cannot be loaded in a new process.
            OutputError: the table cannot be written.
        """
        if self._resume:
            for folder in {(self._folder / item.stem).parent for item in items}:
                remove_scratch(folder)
        known: deque[PageOutcome] = deque()
        open_items: dict[int, _OpenItem] = {}
        plan = self._plan(items)

        def unknown(first: PageJob) -> Iterator[PageJob]:
            yield first
            for entry in plan:
                if isinstance(entry, PageJob):
                    yield entry
                else:
                    known.append(entry)

        for entry in plan:
            if isinstance(entry, PageOutcome):  # Up to the first page that is not known, there is nothing to wait for.
                yield from self._kept(entry, open_items)
                continue
            with closing(self._outcomes(unknown(entry))) as outcomes:
                for outcome in outcomes:
                    yield from self._kept(outcome, open_items)
                    while known:
                        yield from self._kept(known.popleft(), open_items)
        while known:
            yield from self._kept(known.popleft(), open_items)

    def close(self) -> None:
        """Close the networks and the table, and write the report on it; more than once is fine."""
        self._stack.close()
        if self._table is not None and self._options.report:
            write_batch_report(read_results(self._folder), self._folder, names_files=not self._options.deidentify)

    def _plan(self, items: Sequence[ArchiveItem]) -> Iterator[PageJob | PageOutcome]:
        """List the jobs of all items, and the outcomes of those that an earlier run did."""
        known = _KnownPages(self._earlier, self._folder, self._digest, {item.name for item in items})
        for number, item in enumerate(items):
            for job in jobs_of(number, item):
                result = known.take(job)
                if result is None:
                    stem = self._stems.give(job.stem, (job.file, job.page or 1))
                    yield replace(job, stem=stem, is_renamed=stem != job.stem)
                    continue
                yield PageOutcome(replace(job, stem=result.stem), replace(result, file=job.file), is_known=True)

    def _kept(self, outcome: PageOutcome, open_items: dict[int, _OpenItem]) -> Iterator[PageOutcome]:
        """Keep the results of what has ended with a page."""
        item = open_items.setdefault(outcome.job.item, _OpenItem())
        for ended in item.add(outcome):
            if self._table is not None and ended.result not in self._in_table:
                self._table.append(ended.result)
            if ended.is_last:
                del open_items[outcome.job.item]
            yield ended


@dataclass
class _OpenItem:
    """A file or group some pages of which are still to come."""

    outcomes: list[PageOutcome] = field(default_factory=list)

    def add(self, outcome: PageOutcome) -> list[PageOutcome]:
        """Add a page, and return the outcomes of those of which nothing more is to be learnt."""
        self.outcomes.append(outcome)
        if len(self.outcomes) < outcome.job.pages:
            return [] if outcome.result.is_without_ecg else [outcome]
        results = skip_pages_without_ecg([page.result for page in self.outcomes])
        pages = [replace(page, result=result) for page, result in zip(self.outcomes, results, strict=True)]
        ended = [page for page in pages if page.job is outcome.job or page.result.is_without_ecg]
        ended[-1] = replace(ended[-1], is_last=True)
        return ended


class _KnownPages:
    """Results of an earlier run that still hold.

    A page is known by content, number and options. A result serves the file that it was made of, or one that was moved
    or renamed since: then the path in the result is none of this run.

    Args:
        results: of the earlier run.
        folder: of the archive.
        digest: of the options of this run.
        files: of this run.
    """

    def __init__(self, results: Sequence[PageResult], folder: Path, digest: str, files: set[str]) -> None:
        self._files = files
        self._results: dict[tuple[str, int], list[PageResult]] = {}
        for result in results:
            if result.options == digest and result.sha256 and _is_final(result, folder):
                self._results.setdefault((result.sha256, result.page), []).append(result)

    def take(self, job: PageJob) -> PageResult | None:
        """Take the result of a page, which then serves no other; None if there is none."""
        results = self._results.get((job.sha256, job.page or 1), [])
        own = next((result for result in results if result.file == job.file), None)
        moved = next((result for result in results if result.file not in self._files), None)
        found = own or moved
        if found is not None:
            results.remove(found)
        return found


def _is_final(result: PageResult, folder: Path) -> bool:
    """Exclude what another try may change: crashes, lost files, damaged copies, packages that were missing."""
    if result.status is PageStatus.OK:
        return (folder / f"{result.stem}.json").is_file()
    return issubclass(getattr(errors, result.error, EcgTrtError), PageError)


def jobs_of(number: int, item: ArchiveItem) -> Iterator[PageJob]:
    """List the jobs of an item, with the stems that they would like to have.

    Args:
        number: of the item in the archive.
        item: a file or a group of photos.
    """
    files = [load_file(photo) for photo in item.photos]
    digests = ["" if file is None else hashlib.sha256(file.data).hexdigest() for file in files]
    if len(item.photos) > 1:
        together = hashlib.sha256(",".join(digests).encode()).hexdigest()
        yield PageJob(item.photos, None, item.name, item.stem, number, sha256=together)
        return
    pages = [] if files[0] is None else list(pages_of(files[0]))
    if len(pages) < 2:
        yield PageJob(item.photos, None, item.name, item.stem, number, sha256=digests[0])
    else:
        for page in pages:
            stem = f"{item.stem}.p{page.page}"
            yield PageJob(item.photos, page.page, page.source, stem, number, len(pages), digests[0])


def _open_pool(folder: Path, options: ArchiveOptions, jobs: int) -> ProcessPool[PageJob, PageOutcome]:
    """Open processes that share the cores, unless the options say how many threads each has."""
    threads = options.runtime.threads or threads_each(max(jobs, 1))
    options = replace(options, runtime=replace(options.runtime, threads=threads))
    return ProcessPool(partial(PageWorker, folder, options), jobs, timeout_s=LONGEST_PAGE_S)


def _in_processes(jobs: Iterable[PageJob], *, pool: JobPool, digest: str) -> Generator[PageOutcome, None, None]:
    """Do jobs in a pool, and yield their outcomes as they end; as many wait as are in hand."""
    pending: dict[Future[PageOutcome], PageJob] = {}

    def ended() -> Iterator[PageOutcome]:
        for future in wait(pending, return_when=FIRST_COMPLETED).done:
            job = pending.pop(future)
            try:
                yield future.result()
            except (WorkerError, DeviceFaultError) as error:
                yield failed(job, error, digest)

    for job in jobs:
        pending[pool.submit(job)] = job
        if len(pending) >= 2 * pool.processes:
            yield from ended()
    while pending:
        yield from ended()

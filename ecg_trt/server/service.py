"""Life of a record: from an upload to its reading, its corrections, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from ecg_trt.config import ReadOptions
from ecg_trt.corrections import Corrections
from ecg_trt.errors import EcgTrtError
from ecg_trt.io.atomic import output_error
from ecg_trt.io.writers.analysis_files import JSON_SUFFIX
from ecg_trt.server.dispatch import Dispatcher, Urgency
from ecg_trt.server.exports import Export, check_formats, export
from ecg_trt.server.jobs import OVERLAY, AnalyzeJob, CorrectJob, JobResult, OverlayJob, ReadJob, analysis_file
from ecg_trt.server.problems import RequestError, unforeseen
from ecg_trt.server.record_store import RecordStore, State, StoredRecord
from ecg_trt.server.telemetry import Telemetry

_log = logging.getLogger(__name__)


class Service:
    """What the server does with records; all methods are called in one event loop.

    Args:
        store: of the records.
        dispatcher: of the jobs.
        telemetry: that counts them.
        max_pages: most pages that are read of one file.
    """

    def __init__(self, store: RecordStore, dispatcher: Dispatcher, telemetry: Telemetry, max_pages: int) -> None:
        self.store, self.dispatcher, self._telemetry = store, dispatcher, telemetry
        self._max_pages = max_pages

    async def add(self, files: Sequence[tuple[str, BinaryIO]], options: ReadOptions) -> list[StoredRecord]:
        """Take files, and have them read in turn.

        Args:
            files: name and open file of each.
            options: of their reading.

        Raises:
            RequestError: 503, there is no room for all of them; none is taken.
            OutputError: the disk is full; likewise.
        """
        self.dispatcher.check_room(len(files))
        self.store.make_room(len(files))
        records: list[StoredRecord] = []
        try:
            for name, _ in files:
                records.append(self.store.add(self.store.add_upload(name), options))
            for record, (_, file) in zip(records, files, strict=True):
                await asyncio.to_thread(_copy, file, record.upload.path)
        except BaseException as error:  # A client that leaves cancels it, too.
            for record in records:
                self.store.remove(record)
            if isinstance(error, OSError):
                raise output_error(self.store.folder, error) from error
            raise
        for record in records:
            self._start(record, Urgency.IN_TURN)
        return records

    async def wait(self, records: Sequence[StoredRecord], seconds: float) -> None:
        """Wait until records, and those of the other pages of their files, are settled; no longer than so many s."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._settled(records), seconds)

    async def read_again(self, record: StoredRecord, options: ReadOptions) -> None:
        """Read a record anew, with other options; its corrections are dropped.

        Raises:
            RequestError: 409, it is being read.
        """
        async with record.lock:
            self._check_settled(record)
            record.options, record.corrections = options, Corrections()
            record.state, record.error = State.WAITING, None
            record.settled.clear()
            self._start(record, Urgency.NOW)

    async def correct(self, record: StoredRecord, corrections: Corrections) -> None:
        """Apply corrections to a record; it stays as it was if they cannot be applied.

        A page that could not be read is read with them.

        Raises:
            RequestError: 409, it is being read, or it is no picture.
            EcgTrtError: they cannot be applied.
        """
        async with record.lock:
            self._check_settled(record)
            if record.photo_px is None:
                raise _not_read(record, "Send another picture.")
            start = time.perf_counter()
            result: JobResult = await self.dispatcher.do(CorrectJob(_read_job(record), corrections), Urgency.NOW)
            self._telemetry.observe("correct", time.perf_counter() - start)
            record.summary, record.corrections = result.summary, corrections
            record.revision += 1
            record.settle(State.DONE)

    async def overlay(self, record: StoredRecord) -> None:
        """Draw a record's overlay, unless there is one.

        Raises:
            RequestError: 409, the record is not done.
        """
        async with record.lock:
            self._check_done(record)
            if not (record.folder / OVERLAY).exists():
                await self.dispatcher.do(OverlayJob(_read_job(record), record.corrections), Urgency.NOW)

    async def analyze(self, record: StoredRecord) -> None:
        """Analyze a record, unless it has been since it was read or corrected.

        Raises:
            RequestError: 409, the record is not done.
            EcgTrtError: it cannot be analyzed.
        """
        async with record.lock:
            self._check_done(record)
            if not (record.folder / analysis_file(JSON_SUFFIX)).exists():
                start = time.perf_counter()
                await self.dispatcher.do(AnalyzeJob(record.folder), Urgency.NOW)
                self._telemetry.observe("analyze", time.perf_counter() - start)

    async def export(
        self, records: Sequence[StoredRecord], formats: Sequence[str], options: Mapping[str, str]
    ) -> Export:
        """Write records in some formats; see `exports.export`.

        Raises:
            RequestError: 409, a record is not done.
            EcgTrtError: see `exports.check_formats` and `exports.export`.
        """
        check_formats(formats, options)
        for record in records:
            self._check_done(record)
        sources = [(record.stem, record.folder) for record in records]
        return await asyncio.to_thread(export, sources, formats, options, self.store.folder)

    async def remove_expired(self, every_s: float = 15.0) -> None:
        """Remove expired records for ever."""
        while True:
            await asyncio.sleep(every_s)
            self.store.remove_expired()

    async def close(self) -> None:
        """Give up all that waits."""
        for record in self.store:
            if record.task is not None:
                record.task.cancel()
        await self.dispatcher.close()

    async def _settled(self, records: Sequence[StoredRecord]) -> None:
        for record in records:
            await record.settled.wait()
        for record in records:
            for other in tuple(record.upload.records):
                await other.settled.wait()

    def _start(self, record: StoredRecord, urgency: Urgency) -> None:
        record.task = asyncio.get_running_loop().create_task(self._read(record, urgency))

    async def _read(self, record: StoredRecord, urgency: Urgency) -> None:
        """Have a record read, and keep what comes of it."""
        start = time.perf_counter()

        def started() -> None:
            nonlocal start
            record.state, start = State.READING, time.perf_counter()

        try:
            result: JobResult = await self.dispatcher.do(_read_job(record), urgency, started)
        except EcgTrtError as error:
            result = JobResult(error=error)
        except Exception as error:
            _log.exception("a page could not be read")
            result = JobResult(error=unforeseen(error))
        if record.page is None:
            record.page, record.upload.pages = 1, result.pages
            self._add_pages(record)
        record.summary, record.photo_px = result.summary, result.photo_px
        record.revision += 1
        state = State.DONE if result.error is None else State.FAILED
        self._telemetry.settled(str(state))
        self._telemetry.observe("read", time.perf_counter() - start)
        record.settle(state, result.error)

    def _add_pages(self, record: StoredRecord) -> None:
        """Have the other pages of a file read, as many as there is room for."""
        pages = record.upload.pages
        for number in range(2, min(pages, self._max_pages) + 1):
            try:
                self.dispatcher.check_room(1)
                self.store.make_room(1)
            except RequestError as error:
                _log.info("%d pages of a file are not read: %s", pages + 1 - number, error)
                return
            self._start(self.store.add(record.upload, record.options, number), Urgency.IN_TURN)

    def _check_settled(self, record: StoredRecord) -> None:
        if not record.settled.is_set():
            raise RequestError(409, "The record is not read yet", got=f"the state {record.state}",
                               expected="done or failed", hint="Wait for it: ?wait=30.")  # fmt: skip

    def _check_done(self, record: StoredRecord) -> None:
        self._check_settled(record)
        if record.state is not State.DONE:
            raise _not_read(record, "Correct it by the corners of its page, or read it again with other options.")


def _not_read(record: StoredRecord, hint: str) -> RequestError:
    return RequestError(409, "The page was not read", got=f"the state {record.state}", expected="done", hint=hint)


def _copy(file: BinaryIO, path: Path) -> None:
    with path.open("wb") as target:
        shutil.copyfileobj(file, target)


def _read_job(record: StoredRecord) -> ReadJob:
    return ReadJob(record.upload.path, record.name, record.page, record.folder, record.options)

"""Records that the server keeps: their states, and their files below one temporary folder."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ecg_trt.closeable import Closeable
from ecg_trt.config import ReadOptions
from ecg_trt.corrections import Corrections
from ecg_trt.errors import EcgTrtError
from ecg_trt.server.problems import RequestError
from ecg_trt.str_enum import StrEnum

_ID_BYTES = 12


class State(StrEnum):
    """How far a record is."""

    WAITING = "waiting"
    READING = "reading"
    DONE = "done"
    FAILED = "failed"


@dataclass(slots=True, eq=False)
class StoredRecord:
    """One page of an upload, and what was read of it.

    Attributes:
        id: random; the only way to the record.
        upload: file that it came in.
        folder: of its own files.
        options: of its reading.
        page: number within the file, from 1; None as long as the file's pages are not counted.
        photo_px: (width, height) of the photo, None as long as it is not decoded.
        state: how far it is.
        error: why it failed.
        summary: of the record, as `io.writers.json.record_as_dict` makes it; None until it is done.
        corrections: that the summary rests on.
        revision: of its files; 0 until it is read, and one more after each correction.
        asked_at: when it was last asked for, s.
        settled: set while it is done or failed.
        lock: held while it is corrected.
        task: that has it read.
    """

    id: str
    upload: Upload
    folder: Path
    options: ReadOptions
    page: int | None
    asked_at: float
    photo_px: tuple[int, int] | None = None
    state: State = State.WAITING
    error: EcgTrtError | None = None
    summary: dict[str, Any] | None = None
    corrections: Corrections = field(default_factory=Corrections)
    revision: int = 0
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    task: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """Name that the client gave its file."""
        return self.upload.name

    @property
    def stem(self) -> str:
        """Name of its files in an export: the client's, if that can name a file, and the page."""
        plain = "".join(c if c.isascii() and (c.isalnum() or c == "-") else "_" for c in Path(self.name).stem)[:60]
        return (plain.strip("_") or "ecg") + (f"_p{self.page}" if len(self.upload.records) > 1 else "")

    def settle(self, state: State, error: EcgTrtError | None = None) -> None:
        """End its reading."""
        self.state, self.error = state, error
        self.settled.set()


@dataclass(slots=True, eq=False)
class Upload:
    """A file that a client sent.

    Attributes:
        name: that the client gave it; for people, never a path.
        folder: of its bytes.
        records: one a page.
        pages: number of its pages, also of those that are not read.
    """

    name: str
    folder: Path
    pages: int = 1
    records: list[StoredRecord] = field(default_factory=list)

    @property
    def path(self) -> Path:
        """Path of its bytes."""
        return self.folder / "upload"


class RecordStore(Closeable):
    """Records by their ids; a folder (0700) holds their files until it is closed.

    Args:
        most: records that are kept; the settled one that was asked for longest ago makes room.
        keep_s: time after which a record that nobody asks for is removed.
        clock: seconds, monotonic.
    """

    def __init__(self, most: int, keep_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._keep_s, self._clock = most, keep_s, clock
        self._records: dict[str, StoredRecord] = {}
        self.folder = Path(tempfile.mkdtemp(prefix="ecg-trt-serve-"))

    def close(self) -> None:
        """Remove every file; more than once is fine."""
        self._records.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[StoredRecord]:
        return iter(tuple(self._records.values()))

    def add_upload(self, name: str) -> Upload:
        """Make a place for a file."""
        folder = self.folder / secrets.token_urlsafe(_ID_BYTES)
        folder.mkdir(mode=0o700)
        return Upload(name, folder)

    def add(self, upload: Upload, options: ReadOptions, page: int | None = None) -> StoredRecord:
        """Add a record of a page."""
        identifier = secrets.token_urlsafe(_ID_BYTES)
        folder = upload.folder / identifier
        folder.mkdir(mode=0o700)
        record = StoredRecord(identifier, upload, folder, options, page, self._clock())
        upload.records.append(record)
        self._records[identifier] = record
        return record

    def get(self, identifier: str) -> StoredRecord:
        """Find a record, and note that it was asked for.

        Raises:
            RequestError: 404, there is none, or no longer.
        """
        record = self._records.get(identifier)
        if record is None:
            raise RequestError(404, "There is no such record", got="an unknown id",
                               expected="one of a record that was not deleted and has not expired",
                               hint="Send the picture again.")  # fmt: skip
        record.asked_at = self._clock()
        return record

    def remove(self, record: StoredRecord) -> None:
        """Forget a record, and remove its files; those of its upload go with the last of its records."""
        self._records.pop(record.id, None)
        record.settled.set()
        if record.task is not None:
            record.task.cancel()
        upload = record.upload
        upload.records.remove(record)
        shutil.rmtree(record.folder if upload.records else upload.folder, ignore_errors=True)

    def remove_expired(self) -> None:
        """Remove the records that nobody asked for in a long time; those in work are kept."""
        oldest = self._clock() - self._keep_s
        for record in self:
            if record.asked_at < oldest and record.settled.is_set():
                self.remove(record)

    def expires_s(self, record: StoredRecord) -> float:
        """Seconds after which a record is removed if nobody asks for it."""
        return max(0.0, record.asked_at + self._keep_s - self._clock())

    def make_room(self, records: int) -> None:
        """Make room for records; the settled ones that were asked for longest ago are removed.

        Raises:
            RequestError: 503, the store is full of records that are still to be read.
        """
        settled = sorted((r for r in self if r.settled.is_set()), key=lambda record: record.asked_at)
        excess = len(self) + records - self._most
        if excess > len(settled):
            raise RequestError(
                503, "The server is full", got=f"{len(self) - len(settled)} records that are still to be read",
                expected=f"room for {records} among {self._most}", hint="Try again in a while.",
                headers={"Retry-After": "30"},
            )  # fmt: skip
        for record in settled[: max(excess, 0)]:
            self.remove(record)

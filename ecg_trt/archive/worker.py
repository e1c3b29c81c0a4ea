"""From a page to its files: the work on an archive, in this process or in one of a pool."""

from __future__ import annotations

import hashlib
import json
import math
import time
import traceback
import warnings
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecg_trt import __version__
from ecg_trt.analysis import Analyzer
from ecg_trt.archive.inputs import PhotoFile, load_file
from ecg_trt.batch import digitize_many, read_many
from ecg_trt.closeable import Closeable
from ecg_trt.config import ReadOptions, RuntimeOptions
from ecg_trt.corrections import Corrections
from ecg_trt.errors import DeviceFaultError, EcgTrtError, OptionError, OutputError
from ecg_trt.io.atomic import make_folder
from ecg_trt.io.readers.base import EncodedPhoto
from ecg_trt.io.writers import WRITERS, check_options, find_writer, write_record
from ecg_trt.io.writers.analysis_files import draw_analysis, write_analysis
from ecg_trt.io.writers.deidentify import deidentified
from ecg_trt.io.writers.image import write_image
from ecg_trt.io.writers.notes import without_file_names
from ecg_trt.io.writers.overlay import OVERLAY_SUFFIX, overlay_of
from ecg_trt.io.writers.report import REPORT_SUFFIX, pictures_of, write_report
from ecg_trt.merging import name_of
from ecg_trt.record import EcgRecord
from ecg_trt.results import PageResult, PageStatus
from ecg_trt.weights import list_weights

if TYPE_CHECKING:
    from ecg_trt.reading import Reading


@dataclass(frozen=True, slots=True)
class ArchiveOptions:
    """Options of an archive: how its pages are read, and what is written of each.

    Attributes:
        formats: names of formats in `WRITERS`, each with its options; the JSON is always written.
        overlay: write the picture that shows what was read.
        report: write a page to read of each record and, beside the table of results, one of all.
        analyze: write the analysis of each record, and show it in its report.
        pictures: reports show photo and overlay; False where photos are merged, as no single picture shows that.
        deidentify: blank all but the rows in pictures, and drop the names of photos.
        corrections: of the one page of the archive, by a person.
        read: how pages are read.
        runtime: what runs the networks.
    """

    formats: Mapping[str, Mapping[str, str]]
    overlay: bool = False
    report: bool = False
    analyze: bool = False
    pictures: bool = True
    deidentify: bool = False
    corrections: Corrections | None = None
    read: ReadOptions = field(default_factory=ReadOptions)
    runtime: RuntimeOptions = field(default_factory=RuntimeOptions)

    @property
    def needs_readings(self) -> bool:
        """True if records alone do not do; a reading costs a download of the flat page."""
        return self.overlay or self.corrections is not None or (self.report and self.pictures)

    def check_formats(self, folder: Path) -> None:
        """Report what is wrong with a format before the first page.

        Raises:
            OptionError: a format has no such option, or no such value.
            OutputError: what a format needs is not installed.
        """
        for name, options in self.formats.items():
            check_options(find_writer(folder, name), options)

    def digest(self) -> str:
        """Hash all that decides what is written of a page: 16 hex digits. What runs the networks does not."""
        content = asdict(replace(self, runtime=RuntimeOptions(views=self.runtime.views), corrections=None))
        content["corrections"] = None if self.corrections is None else self.corrections.to_json()
        text = json.dumps([__version__, list_weights(), content], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class PageJob:
    """One record to be made, of a page or of several photos of one page.

    Attributes:
        photos: its file, or the files that are merged.
        page: number from 1 within its file, None if that has but one, or several files are merged.
        name: for messages: path and number of the page.
        stem: of its files, a path below the archive's folder.
        item: number of its file or group in the archive.
        pages: number of jobs of this item.
        sha256: of the content of the files, "" if that could not be read.
        is_renamed: True if another page has the name that its files would have.
    """

    photos: tuple[PhotoFile, ...]
    page: int | None
    name: str
    stem: str
    item: int
    pages: int = 1
    sha256: str = ""
    is_renamed: bool = False

    @property
    def file(self) -> str:
        """Path of its file, or of the first of several."""
        return name_of(self.photos[0])

    def source(self) -> Any:
        """Load the page for `digitize_many`, which loads several photos itself, and reports on what cannot be loaded.

        A page is named even if it is the only one: a file that has been given more of them meanwhile is still one job.
        """
        if len(self.photos) > 1:
            return list(self.photos)
        loaded = load_file(self.photos[0])
        return self.photos[0] if loaded is None else EncodedPhoto(loaded.data, self.name, self.page or 1)


@dataclass(frozen=True, slots=True)
class PageOutcome:
    """End of a job: its line of the table, and what a person at the command line reads beside.

    Attributes:
        job: what was to be done.
        result: line of the table.
        error: that it met, None for a record.
        trace: traceback of the error's cause, if nobody foresaw it.
        leads: number of leads with a sample.
        gain: of the record, as a user reads it.
        warnings: texts of the record's warnings.
        timings_ms: of its steps.
        backend: that ran the networks.
        paths: files that were written; the JSON, which stands beside every record, only where it is the one format.
        is_known: True if an earlier run did the job.
        is_last: True if nothing of its file or group is to come.
    """

    job: PageJob
    result: PageResult
    error: EcgTrtError | None = None
    trace: str = ""
    leads: int = 0
    gain: str = ""
    warnings: tuple[str, ...] = ()
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    backend: str = ""
    paths: tuple[Path, ...] = ()
    is_known: bool = False
    is_last: bool = False


class PageWorker(Closeable):
    """Open networks that digitize an archive's pages and write their files.

    Args:
        folder: of the archive.
        options: of the archive.

    Raises:
        BackendError: the networks cannot be loaded.
    """

    def __init__(self, folder: Path, options: ArchiveOptions) -> None:
        from PIL import Image

        from ecg_trt.digitizer import Digitizer

        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # Our own error is more helpful.
        self._folder, self._options, self._digest = folder, options, options.digest()
        with ExitStack() as stack:
            self.digitizer = stack.enter_context(Digitizer(options.runtime))
            self._analyzer = stack.enter_context(Analyzer(runtime_options=options.runtime)) if options.analyze else None
            self._stack = stack.pop_all()

    def __call__(self, job: PageJob) -> PageOutcome:
        """Do one job.

        Raises:
            DeviceFaultError: the GPU has failed; nothing more can be done on it in this process.
        """
        with closing(self.outcomes([job])) as outcomes:
            outcome = next(outcomes)
        if isinstance(outcome.error, DeviceFaultError):
            raise outcome.error
        return outcome

    def outcomes(self, jobs: Iterable[PageJob]) -> Generator[PageOutcome, None, None]:
        """Do jobs in their order; some are decoded while the ones before are digitized.

        Raises:
            DeviceFaultError: the GPU has failed, as the last outcome shows.
        """
        pending: deque[PageJob] = deque()

        def sources() -> Iterator[Any]:
            for job in jobs:
                if self._options.corrections is not None and job.pages > 1:
                    raise OptionError("The corrections cannot be applied", got=f"{job.pages} pages in {job.file}",
                                      expected="one page", hint="Save its page as a picture.")  # fmt: skip
                pending.append(job)
                yield job.source()

        read: Any = partial(read_many, corrections=self._options.corrections)
        many = read if self._options.needs_readings else digitize_many
        with closing(many(sources(), self._options.read, digitizer=self.digitizer)) as answers:
            start = time.perf_counter()
            for answer in answers:
                yield self._finish(pending.popleft(), answer, start)
                start = time.perf_counter()

    def close(self) -> None:
        """Close the networks; more than once is fine."""
        self._stack.close()

    def _finish(self, job: PageJob, answer: EcgRecord | Reading | EcgTrtError, start: float) -> PageOutcome:
        """Write the files of a page, and sum up what became of it."""
        try:
            if isinstance(answer, EcgTrtError):
                raise answer
            record, paths = _write(self._folder, job.stem, answer, self._options, self._analyzer)
        except EcgTrtError as error:
            return failed(job, error, self._digest, time.perf_counter() - start)
        result = result_of(job, self._digest, time.perf_counter() - start, record)
        return PageOutcome(
            job,
            result,
            leads=int(np.isfinite(record.signal_mv).any(1).sum()),
            gain=record.gain_text,
            warnings=tuple(warning.text for warning in record.warnings),
            timings_ms=dict(record.timings_ms),
            backend=record.backend,
            paths=tuple(paths),
        )


def failed(job: PageJob, error: EcgTrtError, digest: str, seconds: float = 0.0) -> PageOutcome:
    """Sum up a job that met an error."""
    result = replace(
        result_of(job, digest, seconds), status=PageStatus.FAILED, error=type(error).__name__, message=str(error)
    )
    cause = error.__cause__
    return PageOutcome(
        job, result, error=error, trace="" if cause is None else "".join(traceback.format_exception(cause))
    )


def result_of(job: PageJob, digest: str, seconds: float, record: EcgRecord | None = None) -> PageResult:
    """Make the line of the table, as far as it is known without or with a record.

    Args:
        job: that ended.
        digest: of the options.
        seconds: that it took.
        record: of the page.
    """
    result = PageResult(
        file=job.file,
        page=job.page or 1,
        status=PageStatus.OK,
        seconds=round(seconds, 3),
        stem=job.stem,
        sha256=job.sha256,
        options=digest,
    )
    if record is None:
        return result
    quality = record.mean_quality
    return replace(
        result,
        layout=record.layout,
        speed_mm_per_s=record.paper_speed_mm_per_s,
        gain_mm_per_mv=record.gain_mm_per_mv,
        chest_gain_mm_per_mv=record.chest_gain_mm_per_mv or record.gain_mm_per_mv,
        assumed=record.assumed,
        quality=round(quality, 4) if math.isfinite(quality) else None,
        warnings=tuple(str(warning.code.value) for warning in record.warnings),
    )


def _write(
    folder: Path, stem: str, answer: EcgRecord | Reading, options: ArchiveOptions, analyzer: Analyzer | None
) -> tuple[EcgRecord, list[Path]]:
    """Write all files of one page: the record in each requested format, the overlay and the report.

    The JSON comes last, so that it stands for a finished page.

    Returns:
        The record, and the files as in `PageOutcome.paths`.

    Raises:
        OutputError: they could not be written.
    """
    if options.deidentify:
        answer = without_file_names(answer) if isinstance(answer, EcgRecord) else deidentified(answer)
    reading = None if isinstance(answer, EcgRecord) else answer
    record = answer if isinstance(answer, EcgRecord) else answer.record
    try:
        if "/" in stem:
            make_folder((folder / stem).parent)
        paths = [_write_as(name, folder, stem, record, options) for name in options.formats if name != "json"]
        beside: list[Path] = []
        if options.overlay and reading is not None:
            beside.append(write_image(overlay_of(reading), folder / f"{stem}{OVERLAY_SUFFIX}"))
        analysis = None if analyzer is None else analyzer(record)
        drawn = [] if analysis is None else draw_analysis(analysis)
        if analysis is not None:
            beside += write_analysis(analysis, folder, stem, drawn)
        if options.report:
            files = [path.name for path in (*paths, *beside, _path_of("json", folder, stem))]
            pictures = None if reading is None else pictures_of(reading)
            beside.append(
                write_report(record, folder / f"{stem}{REPORT_SUFFIX}", pictures=pictures, files=files,
                             analysis=analysis, drawn=drawn)
            )  # fmt: skip
        last = _write_as("json", folder, stem, record, options)
    except EcgTrtError:
        raise
    except Exception as error:
        raise OutputError(
            f"{stem} could not be written: internal error",
            got=f"{type(error).__name__}: {error}",
            expected="files",
            hint="Please report it with the traceback (-v).",
        ) from error
    return record, [*(paths or [last]), *beside]


def _write_as(name: str, folder: Path, stem: str, record: EcgRecord, options: ArchiveOptions) -> Path:
    return write_record(record, _path_of(name, folder, stem), name, **options.formats.get(name, {}))


def _path_of(name: str, folder: Path, stem: str) -> Path:
    return folder / f"{stem}{WRITERS[name].suffixes[0]}"

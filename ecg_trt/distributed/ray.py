"""Archives on many machines: a Ray dataset of files in, a dataset of pages out."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from importlib import import_module
from os import PathLike, fspath
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ecg_trt.archive.archive import LONGEST_PAGE_S, jobs_of
from ecg_trt.archive.inputs import ArchiveItem
from ecg_trt.archive.worker import ArchiveOptions, PageJob, failed, result_of
from ecg_trt.batch import digitize_many
from ecg_trt.closeable import Closeable
from ecg_trt.config import ReadOptions, RuntimeOptions
from ecg_trt.digitizer import Digitizer
from ecg_trt.errors import (
    BackendError,
    BackendUnavailableError,
    DeviceFaultError,
    DeviceMemoryError,
    EcgTrtError,
    install_hint,
)
from ecg_trt.io.lazy import missing_module
from ecg_trt.io.readers.base import EncodedPhoto
from ecg_trt.io.writers import WRITERS, write_record
from ecg_trt.processes import ProcessPool
from ecg_trt.results import PageResult, arrow_schema, skip_pages_without_ecg

if TYPE_CHECKING:
    import pyarrow
    from ray.data import Dataset

    from ecg_trt.record import EcgRecord

_log = logging.getLogger(__name__)


def digitize(
    files: str | PathLike[str] | Sequence[str | PathLike[str]] | Dataset, options: ReadOptions | None = None, *,
    runtime_options: RuntimeOptions | None = None, formats: Sequence[str] | Mapping[str, Mapping[str, str]] = (),
    cpus_per_worker: int = 1, gpus_per_worker: float = 0, concurrency: int | tuple[int, int] | None = None,
    timeout_s: float | None = LONGEST_PAGE_S,
) -> Dataset:  # fmt: skip
    """Digitize files on a Ray cluster, a row a page; a bad file is a row with its error.

    Nothing is done until the dataset is used, as by its ``write_parquet``. Each worker keeps the networks open. Ray
    replaces a worker that is lost and hands its files to others, and every page is one row all the same. A photo on
    which native code crashes costs its own row alone.

    Args:
        files: paths or URIs of files and folders, in any store that ``ray.data.read_binary_files`` reads; or a dataset
            with the columns ``path`` and ``bytes``, or with ``path`` alone for files that every machine can open.
        options: how photos are read.
        runtime_options: what runs the networks; its threads are `cpus_per_worker` unless given.
        formats: names in `io.writers.WRITERS`, or a map of these to their options. The bytes of each file are a column
            under its suffix, such as ``csv`` or ``fhir.json``.
        cpus_per_worker: cores of a worker. Ray needs one beside them, to read and to write.
        gpus_per_worker: GPUs of a worker, such as 0.25 for four workers on each.
        concurrency: number of workers, or (least, most); if None, as many as the cluster has room for.
        timeout_s: longest time for a page, None for no bound.

    Returns:
        The dataset; docs/scale.md describes its columns. The pages of a file stand together.

    Raises:
        BackendUnavailableError: Ray is not installed.
        OptionError: there is no such format, or it has no such option.
        OutputError: what a format needs is not installed.
    """
    data = import_ray("ray.data")
    runtime = runtime_options or RuntimeOptions()
    archive_options = ArchiveOptions(
        dict(formats) if isinstance(formats, Mapping) else {name: {} for name in formats},
        read=options or ReadOptions(),
        runtime=replace(runtime, threads=runtime.threads or cpus_per_worker),
    )
    archive_options.check_formats(Path())
    least, most = concurrency if isinstance(concurrency, tuple) else (concurrency or 1, concurrency)
    dataset = _as_dataset(files, data)
    _warn_of_a_full_cluster(least * cpus_per_worker)
    return dataset.map_batches(
        RowWorker,
        fn_constructor_args=(archive_options, timeout_s),
        batch_size=None,  # A block at a time, of which the worker takes file after file: it is what Ray does again.
        batch_format="pyarrow",
        compute=data.ActorPoolStrategy(min_size=least, max_size=most),
        num_cpus=cpus_per_worker,
        num_gpus=gpus_per_worker,
    )


def _as_dataset(files: Any, data: Any) -> Any:
    """Open files by Ray's data library, unless they are a dataset."""
    if isinstance(files, data.Dataset):
        return files
    paths = [files] if isinstance(files, (str, PathLike)) else files
    return data.read_binary_files([fspath(path) for path in paths], include_paths=True)


def _warn_of_a_full_cluster(cores: int) -> None:
    """Warn if workers take all cores, so that Ray would wait for one to read and write until the cluster grows."""
    ray = import_ray()
    there = ray.cluster_resources().get("CPU", 0) if ray.is_initialized() else cores + 1
    if cores >= there:
        _log.warning("the workers take %d of %g cores; Ray needs one beside them, to read and to write", cores, there)


def import_ray(module: str = "ray") -> Any:
    """Import Ray or a part of it.

    Raises:
        BackendUnavailableError: it is not installed.
    """
    if missing_module(("ray",)) is not None:
        raise BackendUnavailableError(
            "There is no cluster to digitize on",
            got="no package ray",
            expected="the extra ray",
            hint=install_hint("ray"),
        )
    return import_module(module)


class RowWorker:
    """Worker of a dataset: the files of a block in, for each a table of its pages out.

    The networks are in a process of their own (`ProcessPool`): a crash there costs one page and no block.

    Args:
        options: how pages are read, and the files that become columns.
        timeout_s: longest time for a page.
    """

    def __init__(self, options: ArchiveOptions, timeout_s: float | None) -> None:
        self._options, self._digest, self._schema = options, options.digest(), page_schema(options.formats)
        self._pool: ProcessPool[PageJob, EcgRecord] = ProcessPool(
            partial(RecordReader, options), 1, timeout_s=timeout_s, threads=options.runtime.threads
        )

    def __call__(self, block: pyarrow.Table) -> Iterator[pyarrow.Table]:
        """Digitize the files of a block with the column ``path`` and, unless paths can be opened here, ``bytes``.

        Raises:
            BackendError: the networks cannot be run here, whatever the page is.
        """
        import pyarrow

        has_bytes = "bytes" in block.column_names
        for number, path in enumerate(block["path"].to_pylist()):
            photo = EncodedPhoto(block["bytes"][number].as_py(), path) if has_bytes else path
            item = ArchiveItem((photo,), Path(path).stem or "photo")
            pages = [self._page(job) for job in jobs_of(number, item)]
            results = skip_pages_without_ecg([result for result, _ in pages])
            rows = [
                {**asdict(result), "status": result.status.value, **columns}
                for result, (_, columns) in zip(results, pages, strict=True)
            ]
            yield pyarrow.Table.from_pylist(rows, self._schema)

    def _page(self, job: PageJob) -> tuple[PageResult, dict[str, Any]]:
        """Digitize a page, and give its result and the further columns of its row."""
        start = time.perf_counter()
        columns: dict[str, Any]
        try:
            record = self._pool.submit(job).result()
            columns = record_columns(record) | _files_of(record, job.stem, self._options.formats)
            result = result_of(job, self._digest, time.perf_counter() - start, record)
        except EcgTrtError as error:
            if isinstance(error, BackendError) and not isinstance(error, (DeviceFaultError, DeviceMemoryError)):
                raise
            columns = {"hint": error.hint}
            result = failed(job, error, self._digest, time.perf_counter() - start).result
        return result, columns


class RecordReader(Closeable):
    """Open networks that read pages, in a process of their own.

    Args:
        options: how pages are read.
    """

    def __init__(self, options: ArchiveOptions) -> None:
        self._digitizer = Digitizer(options.runtime, options=options.read)

    def __call__(self, job: PageJob) -> EcgRecord:
        """Read a page.

        Raises:
            EcgTrtError: it has no record; an error that nobody foresaw is one, too.
        """
        with closing(digitize_many([job.source()], digitizer=self._digitizer)) as answers:
            answer = next(answers)
        if isinstance(answer, EcgTrtError):
            raise answer
        return answer

    def close(self) -> None:
        """Close the networks."""
        self._digitizer.close()


def page_schema(formats: Iterable[str] = ()) -> pyarrow.Schema:
    """List the dataset's columns with their types: those of `results.PageResult`, then what a record has beside.

    Args:
        formats: whose files are columns.
    """
    import pyarrow as pa

    text, number, numbers, texts = pa.string(), pa.float64(), pa.list_(pa.float32()), pa.list_(pa.string())
    of_record = {
        "hint": text, "fs": number, "lead_names": texts, "lead_quality": numbers, "lead_snr_db": numbers,
        "signal_mv": pa.list_(numbers), "backend": text,
    }  # fmt: skip
    of_files = {suffix[1:]: pa.large_binary() for name in formats for suffix in WRITERS[name].suffixes}
    return pa.schema([*arrow_schema(), *of_record.items(), *of_files.items()])


def record_columns(record: EcgRecord) -> dict[str, Any]:
    """Take from a record what its row has beside the result; NaN is what is missing."""
    return {
        "hint": "",
        "fs": record.fs,
        "lead_names": record.lead_names,
        "lead_quality": record.quality,
        "lead_snr_db": record.snr_db,
        "signal_mv": list(record.signal_mv),
        "backend": record.backend,
    }


def _files_of(record: EcgRecord, stem: str, formats: Mapping[str, Mapping[str, str]]) -> dict[str, bytes]:
    """Write a record in each format, and map the suffixes of the files, without their dot, to their content.

    Raises:
        OutputError: it could not be written.
    """
    found = {}
    with TemporaryDirectory(prefix="ecg-trt-") as folder:
        for name, options in formats.items():
            writer = WRITERS[name]
            write_record(record, Path(folder, stem + writer.suffixes[0]), name, **options)
            for suffix in writer.suffixes:
                found[suffix[1:]] = Path(folder, writer.stem_on_disk(stem) + suffix).read_bytes()
    return found

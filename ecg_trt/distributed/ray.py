"""Archives on many machines: a Ray dataset of files in, a dataset of pages out."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from os import PathLike, fspath
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

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
    NoEcgFoundError,
    install_hint,
)
from ecg_trt.io.lazy import missing_module
from ecg_trt.io.readers.base import EncodedPhoto
from ecg_trt.io.readers.photo import pages_of
from ecg_trt.io.writers import WRITERS, check_options, find_writer, write_record
from ecg_trt.processes import ProcessPool

if TYPE_CHECKING:
    import pyarrow
    from ray.data import Dataset

    from ecg_trt.record import EcgRecord

Formats = Sequence[str] | Mapping[str, Mapping[str, object]]


def digitize(
    files: str | PathLike[str] | Sequence[str | PathLike[str]] | Dataset, options: ReadOptions | None = None, *,
    runtime_options: RuntimeOptions | None = None, formats: Formats = (), cpus_per_worker: int = 1,
    gpus_per_worker: float = 0, concurrency: int | tuple[int, int] | None = None, timeout_s: float | None = 600,
) -> Dataset:  # fmt: skip
    """Digitize files on a Ray cluster, a row a page; a bad file is a row with its error.

    Nothing is done until the dataset is used, as by its ``write_parquet``. Networks are open in as many workers as there
    are; a worker that is lost is replaced by Ray and its files are read again, each page of which gives one row all the
    same. A photo on which native code crashes costs its own row alone.

    Args:
        files: paths or URIs of files and folders, in any store that ``ray.data.read_binary_files`` reads; or a dataset
            with the columns ``path`` and ``bytes``, or ``path`` alone for files that every machine can open.
        options: how photos are read.
        runtime_options: what runs the networks; their threads are `cpus_per_worker` unless given.
        formats: names in `io.writers.WRITERS`, or a map of these to their options; the bytes of each file are a column
            that has its suffix as name, such as ``csv`` or ``fhir.json``.
        cpus_per_worker: cores of a worker.
        gpus_per_worker: GPUs of a worker, such as 0.25 for four on each.
        concurrency: number of workers, or (least, most); as many as the cluster has room for if None.
        timeout_s: longest time for a page, whose error it is; None for no bound.

    Returns:
        The dataset, whose columns docs/scale.md describes; pages stand together with their file.

    Raises:
        BackendUnavailableError: Ray is not installed.
        OptionError: there is no such format, or it has no such option.
        OutputError: what a format needs is not installed.
    """
    data = _ray_data()
    wanted = dict(formats) if isinstance(formats, Mapping) else {name: {} for name in formats}
    for name, format_options in wanted.items():
        check_options(find_writer(Path(), name), format_options)
    if not isinstance(files, data.Dataset):
        paths = [files] if isinstance(files, (str, PathLike)) else files
        files = data.read_binary_files([fspath(path) for path in paths], include_paths=True)
    least, most = concurrency if isinstance(concurrency, tuple) else (concurrency or 1, concurrency)
    runtime_options = runtime_options or RuntimeOptions()
    if runtime_options.threads == 0:
        runtime_options = replace(runtime_options, threads=cpus_per_worker)
    return files.map_batches(
        PageWorker,
        fn_constructor_args=(options or ReadOptions(), runtime_options, wanted, cpus_per_worker, timeout_s),
        batch_size=None,  # What Ray does again, a block, is what it hands over; its files are taken one by one.
        batch_format="pyarrow",
        compute=data.ActorPoolStrategy(min_size=least, max_size=most),
        num_cpus=cpus_per_worker,
        num_gpus=gpus_per_worker,
    )


class PageWorker:
    """Worker of a Ray cluster: the files of a block in, a table of pages for each out.

    The networks are in a process of its own (`ProcessPool`), so that a crash there costs one page and no block.

    Args:
        options: how photos are read.
        runtime_options: what runs the networks.
        formats: to their options.
        cpus: cores of this worker.
        timeout_s: longest time for a page.
    """

    def __init__(
        self, options: ReadOptions, runtime_options: RuntimeOptions, formats: Mapping[str, Mapping[str, object]],
        cpus: int, timeout_s: float | None,
    ) -> None:  # fmt: skip
        self._formats = formats
        self._schema = page_schema(formats)
        open_reader = partial(_PageReader, options, runtime_options, cpus)
        self._pool: ProcessPool[Any, EcgRecord] = ProcessPool(open_reader, 1, timeout_s=timeout_s)

    def __call__(self, block: pyarrow.Table) -> Iterator[pyarrow.Table]:
        """Digitize the files of a block, which has the column ``path``, and ``bytes`` unless paths can be opened."""
        import pyarrow

        has_bytes = "bytes" in block.column_names
        for number, path in enumerate(block["path"].to_pylist()):
            source = EncodedPhoto(block["bytes"][number].as_py(), path) if has_bytes else path
            rows = [self._row(path, page) for page in pages_of(source)]
            if any(row["status"] == "ok" for row in rows):
                for row in rows:
                    if row["error"] == NoEcgFoundError.__name__:
                        row["status"] = "skipped"
            yield pyarrow.Table.from_pylist(rows, self._schema)

    def _row(self, path: str, page: str | EncodedPhoto) -> dict[str, Any]:
        """Digitize a page and make its row.

        Raises:
            BackendError: the networks cannot be run here, whatever the page is.
        """
        number = page.page if isinstance(page, EncodedPhoto) else None
        stem = Path(path).stem + ("" if number is None else f".p{number}")
        start = time.perf_counter()
        try:
            record = self._pool.submit(page).result()
            row = _columns_of(record) | files_of(record, stem, self._formats)
        except EcgTrtError as error:
            if isinstance(error, BackendError) and not isinstance(error, (DeviceFaultError, DeviceMemoryError)):
                raise
            row = {"status": "failed", "error": type(error).__name__, "message": str(error), "hint": error.hint}
        return {"file": path, "page": number or 1, "seconds": time.perf_counter() - start, **row}


class _PageReader(Closeable):
    """Digitizer of pages in the worker's own process."""

    def __init__(self, options: ReadOptions, runtime_options: RuntimeOptions, cpus: int) -> None:
        import cv2

        cv2.setNumThreads(cpus)
        self._digitizer = Digitizer(runtime_options, options=options)

    def __call__(self, page: str | EncodedPhoto) -> EcgRecord:
        """Digitize a page. Raises its error; one that nobody foresaw is an `EcgTrtError`, too."""
        result = next(digitize_many([page], digitizer=self._digitizer))
        if isinstance(result, EcgTrtError):
            raise result
        return result

    def close(self) -> None:
        """Close the networks."""
        self._digitizer.close()


def page_schema(formats: Iterable[str] = ()) -> pyarrow.Schema:
    """Columns of the dataset, and their types.

    Args:
        formats: whose files are columns.
    """
    import pyarrow as pa

    text, number, numbers, texts = pa.string(), pa.float64(), pa.list_(pa.float32()), pa.list_(pa.string())
    columns = {
        "file": text, "page": pa.int32(), "status": text, "error": text, "message": text, "hint": text,
        "layout": text, "speed_mm_per_s": number, "gain_mm_per_mv": number, "chest_gain_mm_per_mv": number,
        "assumed": texts, "quality": number, "warnings": texts, "seconds": number, "lead_names": texts,
        "lead_quality": numbers, "lead_snr_db": numbers, "fs": number, "signal_mv": pa.list_(numbers), "backend": text,
    }  # fmt: skip
    suffixes = (suffix for name in formats for suffix in WRITERS[name].suffixes)
    return pa.schema({**columns, **{suffix[1:]: pa.large_binary() for suffix in suffixes}})


def _columns_of(record: EcgRecord) -> dict[str, Any]:
    """Take from a record what its row holds; in its lists, NaN is what is missing."""
    return {
        "status": "ok", "error": "", "message": "", "hint": "",
        "layout": record.layout, "speed_mm_per_s": record.paper_speed_mm_per_s, "gain_mm_per_mv": record.gain_mm_per_mv,
        "chest_gain_mm_per_mv": record.chest_gain_mm_per_mv, "assumed": record.assumed,
        "quality": record.mean_quality, "warnings": [str(warning.code) for warning in record.warnings],
        "lead_names": record.lead_names, "lead_quality": record.quality,
        "lead_snr_db": record.snr_db, "fs": record.fs, "signal_mv": list(record.signal_mv),
        "backend": record.backend,
    }  # fmt: skip


def files_of(record: EcgRecord, stem: str, formats: Mapping[str, Mapping[str, object]]) -> dict[str, bytes]:
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


def _ray_data() -> Any:
    """Import Ray's data library.

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
    return import_module("ray.data")

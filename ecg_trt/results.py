"""Table of an archive's results: a line a page, appended as the page ends."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

from ecg_trt.closeable import Closeable
from ecg_trt.errors import InputError, NoEcgFoundError, OutputError
from ecg_trt.io.atomic import atomic_path, output_error
from ecg_trt.io.lazy import missing_module
from ecg_trt.str_enum import StrEnum

if TYPE_CHECKING:
    import pyarrow

RESULTS_CSV, RESULTS_PARQUET = "results.csv", "results.parquet"


class PageStatus(StrEnum):
    """State of a page in the table."""

    OK = "ok"
    SKIPPED = "skipped"
    """No ECG was found on it, but on another page of its file."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class PageResult:
    """Result of one page, or of several photos of one page that were merged; a line of the table.

    Attributes:
        file: path as it was given or found; of several photos, that of the first.
        page: number from 1 within the file.
        status: of the page.
        error: class of its error (`errors.py` has the tree), "" if it met none.
        message: of the error.
        layout: such as "3x4+1", "" without a record, as for all that follow up to `warnings`.
        speed_mm_per_s: paper speed.
        gain_mm_per_mv: gain, that of the limb leads where the chest leads have another.
        chest_gain_mm_per_mv: gain of all but the limb leads, also if it is the same.
        assumed: scales that were neither read nor given: "speed", "gain".
        quality: mean quality of the leads that are printed, 0 .. 1.
        warnings: codes of the warnings (`types.WarningCode`), in their order.
        seconds: time from the page's turn to its files; 0 if that is not known.
        stem: path of its files below the archive's folder, without suffix; unique in the table.
        sha256: of the content of its file or files, "" if that could not be read.
        options: digest of all that decides what is written: options, networks, version of the package.
    """

    file: str
    page: int
    status: PageStatus
    error: str = ""
    message: str = ""
    layout: str = ""
    speed_mm_per_s: float | None = None
    gain_mm_per_mv: float | None = None
    chest_gain_mm_per_mv: float | None = None
    assumed: tuple[str, ...] = ()
    quality: float | None = None
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    stem: str = ""
    sha256: str = ""
    options: str = ""

    @property
    def is_without_ecg(self) -> bool:
        """True if no ECG was found on it: the other pages of its file decide what that makes of it."""
        return self.error == NoEcgFoundError.__name__


def skip_pages_without_ecg(results: Sequence[PageResult]) -> list[PageResult]:
    """Take the pages of one file on which no ECG was found for skipped if another page has one, else for failed.

    Args:
        results: of all pages of the file.

    Returns:
        A result a page, in the order given.
    """
    has_ecg = any(result.status is PageStatus.OK for result in results)
    status = PageStatus.SKIPPED if has_ecg else PageStatus.FAILED
    return [replace(r, status=status) if r.is_without_ecg else r for r in results]


class ResultsTable(Closeable):
    """Open ``results.csv``, which grows a line a page; closing it writes ``results.parquet``, where pyarrow is there.

    A page that is read once more gets another line with its stem: the last one counts, and those before are removed
    when the table is next closed or opened.

    Args:
        folder: of the archive.
        resume: go on with the table that is there.

    Attributes:
        earlier: results of an earlier run.

    Raises:
        InputError: what is there is no such table.
        OutputError: there is a table with results, but `resume` is False, or it cannot be written.
    """

    def __init__(self, folder: Path, *, resume: bool = False) -> None:
        self._path = folder / RESULTS_CSV
        self.earlier: list[PageResult] = []
        if self._path.exists():
            self.earlier = read_results(self._path)
        if self.earlier and not resume:
            raise OutputError(
                "This folder has the table of an earlier run", got=str(self._path), expected="a folder without",
                hint="Go on with it by --resume, name another folder with -o, or remove the file to begin anew.",
            )  # fmt: skip
        try:
            _write_csv(self.earlier, self._path)
            self._file = _open(self._path, "a")
        except OSError as error:
            raise output_error(self._path, error) from error

    def append(self, result: PageResult) -> None:
        """Add a line, which reaches the file at once.

        Raises:
            OutputError: it could not be written.
        """
        try:
            self._file.write(_csv_text([result]))
            self._file.flush()
        except OSError as error:
            raise output_error(self._path, error) from error

    def close(self) -> None:
        """Close the table and write it as Parquet, too; more than once is fine.

        Raises:
            OutputError: it could not be written.
        """
        if self._file.closed:
            return
        try:
            self._file.close()
        except OSError as error:  # The disk is still too full for a line.
            raise output_error(self._path, error) from error
        results = read_results(self._path)
        _write_csv(results, self._path)
        if missing_module(("pyarrow",)) is None:
            _write_parquet(results, self._path.with_name(RESULTS_PARQUET))


def read_results(path: str | Path) -> list[PageResult]:
    """Read an archive's ``results.csv``; a last line that is not whole, as a killed run may leave one, is dropped.

    Args:
        path: the file, or its folder.

    Returns:
        A result a page: of several lines with one stem the last.

    Raises:
        InputError: there is no such file, or it is no such table.
    """
    path = Path(path)
    path = path / RESULTS_CSV if path.is_dir() else path
    try:
        text = path.read_text("utf-8", errors="replace")
        rows = list(csv.reader(text[: text.rfind("\n") + 1].splitlines()))
    except (OSError, csv.Error) as error:
        raise _no_table(path, str(error)) from error
    if not rows or tuple(rows[0]) != _NAMES:
        raise _no_table(path, "other columns")
    found: dict[str, PageResult] = {}
    for number, row in enumerate(rows[1:], 2):
        try:
            result = _parsed(row)
        except ValueError as error:
            raise _no_table(path, f"{error} in line {number}") from error
        found[result.stem] = result
    return list(found.values())


_NAMES = tuple(field.name for field in fields(PageResult))


def _number(text: str) -> float | None:
    return float(text) if text else None


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(";")) if text else ()


_PARSERS: dict[str, Callable[[str], Any]] = {
    "page": int,
    "status": PageStatus,
    "speed_mm_per_s": _number,
    "gain_mm_per_mv": _number,
    "chest_gain_mm_per_mv": _number,
    "assumed": _words,
    "quality": _number,
    "warnings": _words,
    "seconds": float,
}


def _parsed(row: Sequence[str]) -> PageResult:
    """Read a line; a ValueError if it is none."""
    return PageResult(*(_PARSERS.get(name, str)(cell) for name, cell in zip(_NAMES, row, strict=True)))


def _cell(value: object) -> str:
    """Write a value in one line, so that a line that ends is whole."""
    if isinstance(value, tuple):
        return ";".join(value)
    if isinstance(value, str):
        return " ".join(str(value).splitlines())
    return "" if value is None else f"{value:g}"


def _csv_text(results: Iterable[PageResult]) -> str:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\n").writerows([map(_cell, astuple(result)) for result in results])
    return buffer.getvalue()


def _open(path: Path, mode: str) -> TextIO:
    """Open a table as UTF-8, which a file's name need not be."""
    return cast(TextIO, path.open(mode, newline="", encoding="utf-8", errors="backslashreplace"))


def _write_csv(results: Sequence[PageResult], path: Path) -> None:
    with atomic_path(path) as temporary, _open(temporary, "w") as file:
        file.write(",".join(_NAMES) + "\n" + _csv_text(results))


def arrow_schema() -> pyarrow.Schema:
    """List the columns of a `PageResult` with their types, as Parquet and Arrow have them."""
    import pyarrow

    text, number, words = pyarrow.string(), pyarrow.float64(), pyarrow.list_(pyarrow.string())
    kinds = {_number: number, float: number, _words: words, int: pyarrow.int32()}
    return pyarrow.schema([(name, kinds.get(_PARSERS.get(name, str), text)) for name in _NAMES])


def _write_parquet(results: Sequence[PageResult], path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    rows = [{name: getattr(result, name) for name in _NAMES} | {"status": str(result.status)} for result in results]
    with atomic_path(path) as temporary:
        parquet.write_table(pyarrow.Table.from_pylist(rows, arrow_schema()), temporary)


def _no_table(path: Path, got: str) -> InputError:
    return InputError(
        f"{path} is no table of an archive's results",
        got=got,
        expected=f"the columns {', '.join(_NAMES[:4])}, ..",
        hint="Only the table of this version is read: to begin anew, remove it or name another folder.",
    )

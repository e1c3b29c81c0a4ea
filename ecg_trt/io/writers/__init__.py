"""Formats that a record can be written in.

A new format is one file in this folder and one entry in `WRITERS`; the command line, `EcgRecord.save` and the tests
follow. Plots and overlays are pictures, made elsewhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ecg_trt.errors import OptionError, OutputError, install_hint
from ecg_trt.io.lazy import lazily, missing_module
from ecg_trt.io.writers.base import Writer

if TYPE_CHECKING:
    from ecg_trt.record import EcgRecord

_ENTRIES = (
    Writer("csv", (".csv",), "time_s and a column a lead, mV", lazily("writers.csv", "write_csv")),
    Writer("json", (".json",), "everything but the samples", lazily("writers.json", "write_json")),
    Writer(
        "wfdb",
        (".hea", ".dat"),
        "WFDB of PhysioNet, 16 bit, mV",
        lazily("writers.wfdb", "write_wfdb"),
        stem_on_disk=lazily("writers.wfdb", "stem_on_disk"),
    ),
)
WRITERS: dict[str, Writer] = {writer.name: writer for writer in _ENTRIES}


def find_writer(path: Path, name: str | None = None) -> Writer:
    """Find the writer of a format.

    Args:
        path: its suffix decides where no format is named.
        name: of the format, a key of `WRITERS`.

    Raises:
        OptionError: there is no format of this name.
        OutputError: no format has this suffix, or what the format needs is not installed.
    """
    if name is not None and name not in WRITERS:
        raise OptionError(
            "Unknown format", got=repr(name), expected=f"one of {', '.join(WRITERS)}", hint="Choose one of these."
        )
    suffix = path.suffix.lower()
    writer = WRITERS[name] if name else next((w for w in WRITERS.values() if suffix in w.suffixes), None)
    if writer is None:
        known = (known for writer in WRITERS.values() for known in writer.suffixes)
        raise OutputError(
            f"{path} cannot be written",
            got=f"the suffix {path.suffix!r}",
            expected=f"one of {', '.join(known)}",
            hint="Choose another name, or name the format.",
        )
    missing = missing_module(writer.modules)
    if missing is not None:
        raise OutputError(
            f"{path} cannot be written",
            got=f"no package {missing}",
            expected=f"the extra {writer.extra}",
            hint=install_hint(writer.extra),
        )
    return writer


def write_record(record: EcgRecord, path: str | Path, format: str | None = None, **options: object) -> Path:
    """Write a record in any format.

    Args:
        record: what to write.
        path: the file, replaced if it is there.
        format: a key of `WRITERS`; by the path's suffix if None.
        options: of the format, see `Writer.options`.

    Returns:
        The path of the file that is opened to read the record.

    Raises:
        OptionError: there is no such format, or it has no such option.
        OutputError: it could not be written.
    """
    path = Path(path)
    writer = find_writer(path, format)
    unknown = [option for option in options if option not in writer.options]
    if unknown:
        raise OptionError(
            f"The format {writer.name} has no such option",
            got=", ".join(unknown),
            expected=f"one of {', '.join(writer.options)}" if writer.options else "none",
            hint="Leave it out.",
        )
    return writer.write(record, path, **options)

"""Formats that a record can be written in.

A new format is one file in this folder and one entry in `WRITERS`; the command line, `EcgRecord.save` and the tests
follow. Plots and overlays are pictures, made elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ecg_trt.errors import OptionError, OutputError, install_hint
from ecg_trt.io.lazy import lazily, missing_module
from ecg_trt.io.writers.base import Writer

if TYPE_CHECKING:
    from ecg_trt.record import EcgRecord

_ARRAY_OPTIONS = {
    "array": "Leads x samples @ rate, such as 12x5000@500 or II,V1x500@100; as the record has them if left out.",
    "missing": "What stands where nothing is printed or seen: nan, zero, or repeat (of what the lead shows).",
}
_ENTRIES = (
    Writer("csv", (".csv",), "time_s and a column a lead, mV", lazily("writers.csv", "write_csv")),
    Writer("json", (".json",), "everything but the samples", lazily("writers.json", "write_json")),
    Writer(
        "wfdb",
        (".hea", ".dat"),
        "WFDB of PhysioNet, 16 bit, mV",
        lazily("writers.wfdb", "write_wfdb"),
        {"starts": "Times at which signals begin: page (all together), or own (each where its lead does)."},
        stem_on_disk=lazily("writers.wfdb", "stem_on_disk"),
        check_options=lazily("writers.wfdb", "check_starts"),
    ),
    Writer(
        "edf",
        (".edf",),
        "EDF+ with annotations, 16 bit, mV",
        lazily("writers.edf", "write_edf"),
        modules=("edfio",),
        extra="edf",
    ),
    Writer(
        "dicom",
        (".dcm",),
        "DICOM ECG waveform, 16 bit, uV",
        lazily("writers.dicom", "write_dicom"),
        modules=("pydicom",),
        extra="dicom",
    ),
    Writer("aecg", (".aecg.xml",), "HL7 annotated ECG, uV", lazily("writers.aecg", "write_aecg")),
    Writer("fhir", (".fhir.json",), "FHIR R4 Observation, uV", lazily("writers.fhir", "write_fhir")),
    Writer(
        "parquet",
        (".parquet",),
        "time_s and a column a lead, mV, with the JSON in its metadata",
        lazily("writers.parquet", "write_parquet"),
        modules=("pyarrow",),
        extra="parquet",
    ),
    Writer(
        "npz",
        (".npz",),
        "NumPy: signal_mv, lead_names, fs, and the JSON",
        lazily("writers.array", "write_npz"),
        _ARRAY_OPTIONS,
        check_options=lazily("writers.array", "array_spec"),
    ),
    Writer(
        "npy",
        (".npy",),
        "NumPy: (leads, samples) float32 mV alone",
        lazily("writers.array", "write_npy"),
        _ARRAY_OPTIONS,
        check_options=lazily("writers.array", "array_spec"),
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
    writer = WRITERS[name] if name else _writer_of(path.name)
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


def _writer_of(name: str) -> Writer | None:
    """Find the writer of a file's name; r.fhir.json is FHIR, r.json is not."""
    fitting = ((len(s), writer) for writer in WRITERS.values() for s in writer.suffixes if name.lower().endswith(s))
    return max(fitting, key=lambda found: found[0], default=(0, None))[1]


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
    check_options(writer, options)
    return writer.write(record, path, **options)


def share_options(formats: Sequence[str], given: Mapping[str, str]) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Give each format those of the options that it takes.

    Args:
        formats: keys of `WRITERS`.
        given: options by name.

    Returns:
        The options of each format, and the names of those that none of them takes.
    """
    shared = {name: {key: given[key] for key in WRITERS[name].options if key in given} for name in formats}
    return shared, [key for key in given if not any(key in options for options in shared.values())]


def check_options(writer: Writer, options: Mapping[str, object]) -> None:
    """Check options of a format before there is a record.

    Raises:
        OptionError: the format has no such option, or an option no such value.
    """
    unknown = [option for option in options if option not in writer.options]
    if unknown:
        raise OptionError(
            f"The format {writer.name} has no such option",
            got=", ".join(unknown),
            expected=f"one of {', '.join(writer.options)}" if writer.options else "none",
            hint="Leave it out.",
        )
    writer.check_options(**options)

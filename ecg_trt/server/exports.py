"""Files for the client: records in any format of `WRITERS`, alone or in an archive."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from ecg_trt.errors import OptionError
from ecg_trt.io.writers import WRITERS, check_options, find_writer, share_options
from ecg_trt.server.jobs import load_record

ZIP_MEDIA = "application/zip"
_MEDIA = {".csv": "text/csv", ".json": "application/json", ".xml": "application/xml", ".dcm": "application/dicom"}


class Export(NamedTuple):
    """A file for the client: its bytes, name and media type."""

    content: bytes
    name: str
    media: str


def check_formats(formats: Sequence[str], options: Mapping[str, str]) -> None:
    """Check formats and their options before anything is written.

    Raises:
        OptionError: no format is named, there is no such format, or none of them takes an option.
        OutputError: what a format needs is not installed.
    """
    if not formats:
        raise OptionError("No format is chosen", got="none", expected=f"one or more of {', '.join(WRITERS)}",
                          hint="Name one as format=csv.")  # fmt: skip
    writers = [find_writer(Path("record"), name) for name in formats]
    shared, unused = share_options(formats, options)
    for writer in writers:
        check_options(writer, shared[writer.name])
    if unused:
        check_options(WRITERS[formats[0]], dict.fromkeys(unused))


def export(
    records: Sequence[tuple[str, Path]], formats: Sequence[str], options: Mapping[str, str], scratch: Path
) -> Export:
    """Write records.

    Args:
        records: stem of the files, and folder of each record.
        formats: keys of `WRITERS`.
        options: of the formats.
        scratch: folder for what is written on the way.

    Returns:
        The file, or an archive if there are several.

    Raises:
        OutputError: a record cannot be written in a format.
    """
    shared, _ = share_options(formats, options)
    with TemporaryDirectory(dir=scratch) as folder:
        for stem, source in records:
            record, free = load_record(source), _free_stem(Path(folder), stem)
            for name, chosen in shared.items():
                writer = WRITERS[name]
                writer.write(record, Path(folder) / (free + writer.suffixes[0]), **chosen)
        files = sorted(Path(folder).iterdir())
        if len(files) == 1:
            media = _MEDIA.get(files[0].suffix, "application/octet-stream")
            return Export(files[0].read_bytes(), files[0].name, media)
        name = f"{records[0][0]}.zip" if len(records) == 1 else "ecg_records.zip"
        return Export(_archive(files), name, ZIP_MEDIA)


def _free_stem(folder: Path, stem: str) -> str:
    """Number a stem if files of its name are there, as several photos may have one name."""
    number, free = 1, stem
    taken = {file.name.split(".")[0].casefold() for file in folder.iterdir()}
    while free.casefold() in taken:
        number += 1
        free = f"{stem}-{number}"
    return free


def _archive(files: Sequence[Path]) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, file.name)
    return buffer.getvalue()

"""Parts of every writer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


def unchanged(stem: str) -> str:
    """Take a file's stem as it is."""
    return stem


def unchecked(**options: object) -> None:
    """Accept any options."""


@dataclass(frozen=True, slots=True)
class Writer:
    """One format that a record can be written in.

    Attributes:
        name: as `--format` and `EcgRecord.save` take it.
        suffixes: of its files, in lower case, with the dot; `write` takes a path with the first.
        summary: what the files hold, a line of help.
        write: called with (record, path, **options); returns the path of the file that is opened to read the record.
            A file that is there is replaced, and never half written. Raises `OutputError`.
        options: keyword of `write` to a line of help. On the command line the values are strings.
        modules: top-level modules that it imports and that the package does not depend on.
        extra: the package's extra that installs these.
        stem_on_disk: the name that a file's stem gets, where the format allows only some characters.
        check_options: called with the options alone, before there is a record; raises `OptionError`.
    """

    name: str
    suffixes: tuple[str, ...]
    summary: str
    write: Callable[..., Path]
    options: Mapping[str, str] = field(default_factory=dict)
    modules: tuple[str, ...] = ()
    extra: str = ""
    stem_on_disk: Callable[[str], str] = unchanged
    check_options: Callable[..., object] = unchecked

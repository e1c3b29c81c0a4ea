"""Photos of an archive: files, those in folders, and groups of several photos of one page."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from ecg_trt.errors import EcgTrtError, OptionError, PhotoNotFoundError
from ecg_trt.io import readers
from ecg_trt.io.readers.base import HEAD_BYTES, EncodedPhoto
from ecg_trt.io.readers.photo import load_photo
from ecg_trt.merging import name_of

PhotoFile: TypeAlias = "str | EncodedPhoto"


@dataclass(frozen=True, slots=True)
class ArchiveItem:
    """A file, each of whose pages gives a record, or several photos of one page, which give one.

    Attributes:
        photos: paths, or files in memory.
        stem: of its files, a path below the archive's folder with / between folders.
    """

    photos: tuple[PhotoFile, ...]
    stem: str

    @property
    def name(self) -> str:
        """Path, or what the file in memory is called; of several photos, that of the first."""
        return name_of(self.photos[0])


def find_items(
    paths: Sequence[PhotoFile], folder: Path, *, recursive: bool = False
) -> tuple[list[ArchiveItem], list[str]]:
    """Find the photos to be digitized, in an order that depends on names alone.

    Args:
        paths: files, each taken as it is, and folders. Of a folder every file is taken that a reader knows by its
            suffix or its first bytes; hidden ones and `folder` are left out.
        folder: where the results go.
        recursive: search the folders below each folder, too. Their structure becomes that of the stems.

    Returns:
        An item a file, and the paths of all files in the folders that no reader knows.

    Raises:
        OptionError: `folder` is a folder of photos itself.
        PhotoNotFoundError: there is no photo in the folders.
    """
    items: list[ArchiveItem] = []
    others: list[str] = []
    for path in paths:
        if isinstance(path, EncodedPhoto) or not is_folder(path):
            items.append(ArchiveItem((path,), Path(name_of(path)).stem or "photo"))
            continue
        if Path(path).resolve() == folder.resolve():
            raise OptionError("The results cannot go to the folder of the photos", got=str(folder),
                              expected="another folder, as pictures among the results would be taken for photos",
                              hint="Name another one, such as -o records.")  # fmt: skip
        for file in _walk(Path(path), folder.resolve(), recursive, others):
            if _is_photo(file):
                stem = file.relative_to(path).with_suffix("").as_posix()
                items.append(ArchiveItem((str(file),), stem))
            else:
                others.append(str(file))
    if not items:
        raise PhotoNotFoundError(
            "There is nothing to digitize",
            got=f"{len(others)} other files in {', '.join(map(str, paths))}",
            expected=f"a file of {readers.format_names(' or ')}",
            hint="Give --recursive to search the folders below, or name the file itself.",
        )
    return items, others


def load_file(photo: PhotoFile) -> EncodedPhoto | None:
    """Load a file; None if that fails, on which whoever digitizes it will report."""
    try:
        return photo if isinstance(photo, EncodedPhoto) else load_photo(photo)
    except EcgTrtError:
        return None


def is_folder(path: str) -> bool:
    """Distinguish a folder from a file, and from a path that is none."""
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):  # It is too long, or holds a NUL byte.
        return False


def merge_items(items: Sequence[ArchiveItem]) -> ArchiveItem:
    """Take all photos for those of one page; its files are named after the first."""
    return replace(items[0], photos=tuple(photo for item in items for photo in item.photos))


def merge_items_by(items: Sequence[ArchiveItem], pattern: str) -> list[ArchiveItem]:
    """Group photos of one page by their paths.

    Args:
        items: files.
        pattern: regular expression that is searched in each path, with / between folders. Photos in which its first
            group, or all of it where it has none, matches the same text belong together; a photo that is alone in this,
            or in which it does not match, stays as it is.

    Returns:
        The items, each group at the place and under the name of its first photo.

    Raises:
        OptionError: this is no regular expression.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise OptionError(
            "The pattern cannot be used",
            got=f"{pattern!r} ({error})",
            expected="a regular expression",
            hint=r"Try one such as '(.+)_\d+\.jpg', which takes a_1.jpg and a_2.jpg together.",
        ) from error
    groups: dict[str | int, list[ArchiveItem]] = {}
    for number, item in enumerate(items):
        match = expression.search(Path(item.name).as_posix())
        text = match and match[1 if expression.groups else 0]
        groups.setdefault(number if text is None else text, []).append(item)
    return [merge_items(group) for group in groups.values()]


def _walk(folder: Path, results: Path, recursive: bool, others: list[str]) -> Iterator[Path]:
    """List a folder's files, then those of the folders below; a folder that cannot be read joins the `others`."""

    def left_out(error: OSError) -> None:
        others.append(f"{error.filename} ({(error.strerror or 'unreadable').lower()})")

    for parent, folders, files in os.walk(folder, onerror=left_out):
        shown = sorted(name for name in folders if not name.startswith("."))
        folders[:] = [name for name in shown if recursive and Path(parent, name).resolve() != results]
        yield from (Path(parent, name) for name in sorted(files) if not name.startswith("."))


def _is_photo(path: Path) -> bool:
    if not path.is_file():
        return False
    if any(path.suffix.lower() in reader.suffixes for reader in readers.READERS):
        return True
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return False
    return any(reader.sniff(head) for reader in readers.READERS)

"""Names of the files that a batch writes."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from ecg_trt.io.writers.base import Writer


class Stems:
    """Stems of a batch's files, one for each page, so that no file overwrites another.

    Args:
        writers: of the formats that are written; some allow only some characters in a name.
    """

    def __init__(self, writers: Sequence[Writer]) -> None:
        self._writers = writers
        self._taken: set[str] = set()

    def give(self, photo: str, page: int | None) -> tuple[str, str]:
        """Give a page its stem.

        Args:
            photo: path of its file.
            page: number within the file, None if that has but one.

        Returns:
            The stem, and the one that it would have had, were that not another's: ``photo``, or ``photo.p2``.
        """
        wanted = (Path(photo).stem or "photo") + (f".p{page}" if page is not None else "")
        stem, number = wanted, 1
        while not self._taken.isdisjoint(self._keys(stem)):
            number += 1
            stem = f"{wanted}-{number}"
        self._taken |= self._keys(stem)
        return stem, wanted

    def _keys(self, stem: str) -> set[str]:
        """Name the files, equally if they would meet on disk: some file systems do not tell a from A."""
        files = (writer.stem_on_disk(stem) + suffix for writer in self._writers for suffix in writer.suffixes)
        return {unicodedata.normalize("NFC", name).casefold() for name in (f"{stem}.overlay.png", *files)}

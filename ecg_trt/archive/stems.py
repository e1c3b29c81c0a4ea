"""Names of the files that an archive writes."""

from __future__ import annotations

import unicodedata
from collections.abc import Hashable, Iterable, Mapping, Sequence

from ecg_trt.io.writers.analysis_files import SUFFIXES as ANALYSIS_SUFFIXES
from ecg_trt.io.writers.base import Writer
from ecg_trt.io.writers.overlay import OVERLAY_SUFFIX

_TAKEN = object()  # Owner of a name that is given no second time.


class Stems:
    """Stems of an archive's files, one for each page, so that no file overwrites that of another page.

    Args:
        writers: of the formats that are written; some allow only some characters in a name.
        reserved: names of files that are no page's.
        owners: stems of an earlier run, each with its page; a page that comes again gets its stem again.
    """

    def __init__(
        self,
        writers: Sequence[Writer],
        *,
        reserved: Iterable[str] = (),
        owners: Mapping[str, Hashable] | None = None,
    ) -> None:
        self._writers = writers
        self._owners: dict[str, object] = {_normal(name): _TAKEN for name in reserved}
        for stem, owner in (owners or {}).items():
            self._owners.update(dict.fromkeys(self._keys(stem), owner))

    def give(self, wanted: str, owner: Hashable) -> str:
        """Give a page its stem: the wanted one or, if that is another's, one with a number behind it.

        Args:
            wanted: path below the archive's folder, with / between folders and without a suffix.
            owner: the page.
        """
        stem, number = wanted, 1
        while any(self._owners.get(key, owner) != owner for key in self._keys(stem)):
            number += 1
            stem = f"{wanted}-{number}"
        self._owners.update(dict.fromkeys(self._keys(stem), _TAKEN))
        return stem

    def _keys(self, stem: str) -> set[str]:
        """Name the files, equally if they would meet on disk."""
        folder, slash, name = stem.rpartition("/")
        files = (writer.stem_on_disk(name) + suffix for writer in self._writers for suffix in writer.suffixes)
        further = (name + suffix for suffix in (OVERLAY_SUFFIX, *ANALYSIS_SUFFIXES))
        return {_normal(folder + slash + file) for file in (*further, *files)}


def _normal(name: str) -> str:
    """Write names equally that some file systems do not distinguish: a and A, composed and decomposed letters."""
    return unicodedata.normalize("NFC", name).casefold()

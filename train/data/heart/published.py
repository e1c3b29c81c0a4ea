"""Reader of the public data set of simulated hearts (Lawrence Livermore National Laboratory, doi 10.6075/J0SN094N).

The data set holds pairs of files whose names differ in their beginning alone: ``pECGData*.npy``, potentials (500, 10)
in mV at the electrodes RA, LA, LL, RL, V1 to V6, and ``VmData*.npy``, transmembrane potentials (500, 75) in mV, both at
1 kHz. Each folder is taken to hold one anatomy; folders whose names end in ``_geo_1``, ``_heart2`` and the like, and
one that lacks the ending, are anatomies of one study.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecg_trt.errors import OptionError
from ecg_trt.types import Array
from train.data.heart.electrodes import ELECTRODES
from train.data.heart.points import recording_points
from train.data.heart.simulator import SAMPLES, Beat

_ECG, _CELLS = "pECGData", "VmData"
_ANATOMY = re.compile(r"[_-](?:geo|heart|anatomy)[_-]?\d+$", re.IGNORECASE)
_HELD_OUT_SHARE = 0.2  # of the anatomies of each study


@dataclass(frozen=True, slots=True)
class Pair:
    """Files of one beat.

    Attributes:
        ecg: potentials at the electrodes.
        cells: transmembrane potentials.
        anatomy: folder that they lie in, such as "hearts_geo_3".
    """

    ecg: Path
    cells: Path
    anatomy: str

    @property
    def study(self) -> str:
        """Folder without the number of the anatomy."""
        return _ANATOMY.sub("", self.anatomy)


def find_pairs(folder: Path) -> list[Pair]:
    """Pair the files below a folder by their names, sorted.

    Raises:
        OptionError: there is none, or one lacks the other.
    """
    pairs = []
    for ecg in sorted(folder.rglob(f"{_ECG}*.npy")):
        cells = ecg.with_name(_CELLS + ecg.name.removeprefix(_ECG))
        if not cells.exists():
            raise _bad(f"{ecg.relative_to(folder)} alone", f"{cells.name} beside it")
        pairs.append(Pair(ecg, cells, ecg.parent.relative_to(folder).as_posix()))
    if not pairs:
        raise _bad(f"no {_ECG}*.npy in {folder}", f"pairs of {_ECG}*.npy and {_CELLS}*.npy")
    return pairs


def read_pair(pair: Pair) -> Beat:
    """Read a beat; a point is activated when its potential is first above 0 mV, and at the end if it never is.

    Raises:
        OptionError: other shapes than the data set's, or values that are not finite.
    """
    ecg = _read(pair.ecg, len(ELECTRODES))
    cells = _read(pair.cells, len(recording_points()))
    above = cells > 0
    activation = np.where(above.any(axis=1), above.argmax(axis=1), SAMPLES).astype(np.float64)
    return Beat(ecg, activation, cells)


def _read(path: Path, columns: int) -> Array:
    """Read (500, columns) as (columns, 500) float32."""
    values = np.load(path, allow_pickle=False)
    if values.shape != (SAMPLES, columns) or not np.isfinite(values).all():
        raise _bad(f"{path.name} of shape {values.shape}", f"({SAMPLES}, {columns}), all finite")
    return np.ascontiguousarray(values.T, np.float32)


@dataclass(frozen=True, slots=True)
class PublishedBeats:
    """Beats of the public data set.

    Attributes:
        pairs: files of the beats, of training or of validation.
    """

    pairs: tuple[Pair, ...]

    @staticmethod
    def is_at(folder: Path) -> bool:
        """Check for files of the data set below a folder."""
        return next(folder.rglob(f"{_ECG}*.npy"), None) is not None

    @staticmethod
    def open(folder: Path, *, held_out: bool) -> PublishedBeats:
        """Open the data set: no anatomy is both in training and in validation.

        Of each study of several anatomies the last fifth is kept for validation, at least one.

        Raises:
            OptionError: files that do not pair, or no study of several anatomies.
        """
        pairs = find_pairs(folder)
        kept: set[str] = set()
        for study in {pair.study for pair in pairs}:
            hearts = sorted({pair.anatomy for pair in pairs if pair.study == study})
            if len(hearts) > 1:
                kept.update(hearts[-max(1, round(_HELD_OUT_SHARE * len(hearts))) :])
        if not kept:
            raise _bad("one anatomy in each study", "two in one at least, to keep one for validation")
        return PublishedBeats(tuple(pair for pair in pairs if (pair.anatomy in kept) == held_out))

    def beats(self, rng: np.random.Generator, count: int) -> list[Beat]:
        """Draw beats of any heart."""
        return [read_pair(self.pairs[k]) for k in rng.integers(len(self.pairs), size=count)]


def _bad(got: str, expected: str) -> OptionError:
    return OptionError("The data set of hearts cannot be read", got=got, expected=expected,
                       hint="Unpack the files of doi 10.6075/J0SN094N as they are, one folder a study.")  # fmt: skip

"""The MIT-BIH Arrhythmia Database, its splits, and beats cut from it as the public table has them.

Moody and Mark, The impact of the MIT-BIH Arrhythmia Database, IEEE Eng. in Med. and Biol. 20(3), 2001; ODC-By 1.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecg_trt.analysis.heartbeat import CLASSES
from ecg_trt.errors import OptionError
from ecg_trt.types import Array

# Records of de Chazal's split between patients (IEEE Trans. Biomed. Eng. 51(7), 2004): those that are learnt from, and
# those that are tested. The four with paced beats are in neither, as ANSI/AAMI EC57 recommends.
DS1 = (101, 106, 108, 109, 112, 114, 115, 116, 118, 119, 122, 124, 201, 203, 205, 207, 208, 209, 215, 220, 223, 230)
DS2 = (100, 103, 105, 111, 113, 117, 121, 123, 200, 202, 210, 212, 213, 214, 219, 221, 222, 228, 231, 232, 233, 234)
PACED = (102, 104, 107, 217)
# Annotations of beats by the class that ANSI/AAMI EC57 puts them in.
_SYMBOLS = {"N": "NLRej", "S": "AaJS", "V": "VE", "F": "F", "Q": "/fQ"}
_CLASS_OF = {symbol: CLASSES.index(name) for name, symbols in _SYMBOLS.items() for symbol in symbols}

TABLE_FS, TABLE_SAMPLES = 125, 187
_TABLE_CHUNK_S, _TABLE_PERIODS = 10.0, 1.2  # a beat is cut at 1.2 of the median RR interval of its 10 s
_TABLE_FILES = ("mitbih_train.csv", "mitbih_test.csv", "ptbdb_normal.csv", "ptbdb_abnormal.csv")
_TEST_SHARE = 0.2  # of the beats, where they are split at random


@dataclass(frozen=True, slots=True)
class Recording:
    """One annotated record.

    Attributes:
        number: of the record, 100 to 234.
        signal_mv: (leads, n) float32 mV, MLII first where the record has it.
        fs: sampling rate, Hz.
        peaks: (k,) samples of the beats.
        classes: (k,) indices into `CLASSES`.
    """

    number: int
    signal_mv: Array
    fs: float
    peaks: Array
    classes: Array


@dataclass(frozen=True, slots=True)
class BeatTable:
    """Beats of 187 samples at 125 Hz from the R peak on, scaled to 0..1 and filled up with 0.

    Attributes:
        beats: (n, 187) float32.
        classes: (n,) indices into `CLASSES`; of the PTB files, 0 normal and 1 not.
    """

    beats: Array
    classes: Array


def read_recordings(folder: Path, numbers: Sequence[int]) -> list[Recording]:
    """Read annotated records.

    Raises:
        OptionError: the folder lacks one of them.
    """
    missing = [number for number in numbers if not (folder / f"{number}.atr").is_file()]
    if missing:
        raise OptionError(
            "The beats cannot be read", got=f"{folder} without {missing[0]}.atr", expected="the records of MIT-BIH",
            hint="Download https://physionet.org/content/mitdb/1.0.0/ and set data.signals to its folder.",
        )  # fmt: skip
    return [_read(folder / str(number)) for number in numbers]


def _read(path: Path) -> Recording:
    import wfdb

    record, notes = wfdb.rdrecord(str(path)), wfdb.rdann(str(path), "atr")
    is_beat = np.array([symbol in _CLASS_OF for symbol in notes.symbol])
    classes = np.array([_CLASS_OF.get(symbol, -1) for symbol in notes.symbol])[is_beat]
    order = sorted(range(record.n_sig), key=lambda k: record.sig_name[k] != "MLII")
    signal = record.p_signal.T[order].astype(np.float32)
    return Recording(int(path.name), signal, float(record.fs), notes.sample[is_beat], classes)


def cut_table(recording: Recording) -> BeatTable:
    """Cut the beats of a record's first lead by the recipe of Kachuee, Fazeli and Sarrafzadeh (arXiv:1805.00794).

    The annotated R peaks stand in for those that the recipe detects.
    """
    from scipy.signal import resample_poly

    signal = resample_poly(recording.signal_mv[0].astype(np.float64), TABLE_FS, round(recording.fs))
    seconds = recording.peaks / recording.fs
    beats = np.zeros((len(seconds), TABLE_SAMPLES), np.float32)
    for k, start in enumerate(np.round(seconds * TABLE_FS).astype(int)):
        near = np.diff(seconds[np.abs(seconds - seconds[k]) <= _TABLE_CHUNK_S / 2])
        period = float(np.median(near)) if len(near) else 1.0
        beat = signal[start : start + min(TABLE_SAMPLES, round(_TABLE_PERIODS * period * TABLE_FS))]
        low, high = beat.min(), beat.max()
        beats[k, : len(beat)] = (beat - low) / max(high - low, 1e-6)
    return BeatTable(beats, recording.classes)


def read_table(*paths: Path) -> BeatTable:
    """Read files of the public table at Kaggle: 187 samples and the class in each row, without a head.

    Raises:
        OptionError: a file has rows of another length.
    """
    rows = np.concatenate([np.loadtxt(path, np.float32, delimiter=",", ndmin=2) for path in paths])
    if rows.shape[1] != TABLE_SAMPLES + 1:
        raise OptionError(
            "The beats cannot be read", got=f"rows of {rows.shape[1]} numbers in {paths[0]}",
            expected=f"{TABLE_SAMPLES} samples and a class", hint=f"Pass {', '.join(_TABLE_FILES)} as they come.",
        )  # fmt: skip
    return BeatTable(rows[:, :-1], rows[:, -1].astype(int))


def open_table(folder: Path, *, held_out: bool) -> BeatTable:
    """Open one side of a split of beats at random: the public files where the folder has them, else cut from records.

    Both sides hold beats of the same patients, so that figures on the held-out side say nothing about a new patient.
    """
    train, test = (folder / name for name in _TABLE_FILES[:2])
    if train.is_file() and test.is_file():
        return read_table(test if held_out else train)
    parts = [cut_table(recording) for recording in read_recordings(folder, sorted((*DS1, *DS2, *PACED)))]
    beats, classes = (np.concatenate([getattr(part, name) for part in parts]) for name in ("beats", "classes"))
    is_test = _stratified(classes)
    chosen = is_test if held_out else ~is_test
    return BeatTable(beats[chosen], classes[chosen])


def _stratified(classes: Array) -> Array:
    """Choose a fifth of each class at random, always the same: (n,) bool."""
    rng, is_test = np.random.default_rng(0), np.zeros(len(classes), bool)
    for k in np.unique(classes):
        members = rng.permutation(np.flatnonzero(classes == k))
        is_test[members[: round(_TEST_SHARE * len(members))]] = True
    return is_test

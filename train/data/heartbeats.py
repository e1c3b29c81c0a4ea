"""Heartbeats as the network sees them, drawn from annotated records as paper shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ecg_trt.analysis.heartbeat import CLASSES, beat_inputs
from ecg_trt.types import Array
from train.config import Data
from train.data.mitdb import DS1, DS2, BeatTable, Recording, open_table, read_recordings
from train.data.samples import Sample
from train.losses import Maps

_SHARES = (0.60, 0.17, 0.16, 0.06, 0.01)  # of `CLASSES` among the beats that excerpts are drawn around
_EXCERPT_S = (8.0, 30.0)
_ABNORMAL_BESIDE, _NORMAL_BESIDE = 3, 2  # further beats of an excerpt that are shown at most
_COLUMN_S, _COLUMN_SHARE = 2.5, 0.4  # of excerpts, the lead is printed in one column alone
_BANDWIDTH_S = (0.001, 0.008)  # standard deviation of the Gaussian that stands for the pen: 130 to 17 Hz
_OTHER_LEAD_SHARE, _AXIS_RAD = 0.2, 0.25  # excerpts with any mixture of two leads; standard deviation in the others
_GAIN, _SPEED, _PEAK_S = 0.3, 0.04, 0.006  # standard deviations: of ln(gain), ln(paper speed), and of R peaks
_DRIFT_MV, _DRIFT_HZ = 0.04, (0.05, 0.6)  # median amplitude of the baseline's wander, and its band
_NOISE_MV, _ROW_MV = 0.024, (0.01, 0.04)  # median deviation of the trace; distance of pixel rows
_TABLE_ROWS = 64  # drawn at a time
_ECHO_NOISE, _ECHO_SHIFT = 0.03, 2  # of the beat's height, and samples, greatest


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Some seconds of one lead.

    Attributes:
        signal_mv: (n,) mV, NaN where the lead is not printed.
        fs: sampling rate, Hz.
        peaks: (k,) samples of the R peaks, rising.
        classes: (k,) indices into `CLASSES`.
    """

    signal_mv: Array
    fs: float
    peaks: Array
    classes: Array


class BeatSource:
    """Draws beats of annotated records, each class with a share of its own.

    Args:
        recordings: to draw from.
    """

    def __init__(self, recordings: Sequence[Recording]) -> None:
        self.recordings = recordings
        beats = [(k, beat, c) for k, r in enumerate(recordings) for beat, c in enumerate(r.classes)]
        table = np.array(beats)
        self._of_class = [table[table[:, 2] == c, :2] for c in range(len(CLASSES))]
        shares = np.where([len(members) > 0 for members in self._of_class], _SHARES, 0.0)
        self._shares = shares / shares.sum()

    def draw(self, rng: np.random.Generator) -> tuple[Recording, int]:
        """Choose a record and one of its beats."""
        members = self._of_class[rng.choice(len(CLASSES), p=self._shares)]
        which, beat = members[rng.integers(len(members))]
        return self.recordings[which], int(beat)


def open_recordings(data: Data, held_out: bool) -> BeatSource:
    """Open the records of DS1, or those of DS2, which are watched and never learnt from."""
    return BeatSource(read_recordings(Path(data.signals), DS2 if held_out else DS1))


def open_rows(data: Data, held_out: bool) -> BeatTable:
    """Open one side of the split at random."""
    return open_table(Path(data.signals), held_out=held_out)


def heartbeat_samples(rng: np.random.Generator, source: BeatSource, kind: str | None = None) -> list[Sample]:
    """Draw an excerpt around one beat; give this and a few others, the beat in place of a picture."""
    del kind  # Pages are of many kinds, excerpts of one.
    recording, beat = source.draw(rng)
    length = min(round(rng.uniform(*_EXCERPT_S) * recording.fs), recording.signal_mv.shape[1])
    start = recording.peaks[beat] - round(rng.uniform(0.05, 0.95) * length)
    start = int(np.clip(start, 0, recording.signal_mv.shape[1] - length))
    inside = np.flatnonzero((recording.peaks >= start) & (recording.peaks < start + length))
    signal = _mixed(rng, recording.signal_mv[:, start : start + length])
    excerpt = Excerpt(signal, recording.fs, recording.peaks[inside] - start, recording.classes[inside])
    first = beat - int(inside[0])
    excerpt = as_printed(rng, excerpt, first)
    others = [k for k in rng.permutation(len(inside)) if k != first]
    abnormal = [k for k in others if excerpt.classes[k]][:_ABNORMAL_BESIDE]
    normal = [k for k in others if not excerpt.classes[k]][:_NORMAL_BESIDE]
    chosen = np.array([first, *abnormal, *normal])
    inputs, is_shown = beat_inputs(excerpt.signal_mv, excerpt.fs, excerpt.peaks, chosen)
    return [{"image": inputs[k], "class": excerpt.classes[chosen[k]]} for k in np.flatnonzero(is_shown)]


def _mixed(rng: np.random.Generator, leads: Array) -> Array:
    """Turn the heart's axis a little: mix the two leads of a record."""
    is_any = rng.random() < _OTHER_LEAD_SHARE
    angle = rng.uniform(0, np.pi / 2) if is_any else rng.normal(0, _AXIS_RAD)
    return np.asarray(np.cos(angle) * leads[0] + np.sin(angle) * leads[-1], np.float64)


def as_printed(rng: np.random.Generator, excerpt: Excerpt, beat: int) -> Excerpt:
    """Draw what paper, a pen and a digitizer do to an excerpt.

    The bandwidth, the gain, the baseline, the trace's noise, its pixel rows, the paper speed and the R peaks change; in
    a part of the excerpts only one column of the page, around the given beat, shows the lead.
    """
    from scipy.ndimage import gaussian_filter1d

    fs, n = excerpt.fs, len(excerpt.signal_mv)
    blur = np.exp(rng.uniform(*np.log(_BANDWIDTH_S))) * fs
    signal = gaussian_filter1d(excerpt.signal_mv, blur, mode="nearest") * np.exp(rng.normal(0, _GAIN))
    seconds, drift = np.arange(n) / fs, _DRIFT_MV * np.exp(rng.normal(0, 0.8))
    for hz in rng.uniform(*_DRIFT_HZ, 2):
        signal += drift * np.sin(2 * np.pi * (hz * seconds + rng.random()))
    noise = gaussian_filter1d(rng.standard_normal(n), rng.uniform(0.5, 4))
    signal += _NOISE_MV * np.exp(rng.normal(0, 0.7)) * noise
    row = rng.uniform(*_ROW_MV)
    signal = np.round(signal / row) * row
    if rng.random() < _COLUMN_SHARE:
        left = excerpt.peaks[beat] / fs - rng.uniform(0.1, 0.9) * _COLUMN_S
        signal[(seconds < left) | (seconds > left + _COLUMN_S)] = np.nan
    moved = excerpt.peaks + rng.normal(0, _PEAK_S * fs, len(excerpt.peaks))
    return Excerpt(signal, fs * np.exp(rng.normal(0, _SPEED)), np.sort(moved.clip(0, n - 1)), excerpt.classes)


def table_samples(rng: np.random.Generator, source: BeatTable, kind: str | None = None) -> list[Sample]:
    """Draw rows of a table of beats."""
    del kind
    rows = rng.integers(len(source.beats), size=_TABLE_ROWS)
    return [{"image": source.beats[k][None], "class": source.classes[k]} for k in rows]


def vary(beats: Tensor, truth: Maps) -> tuple[Tensor, Maps]:
    """Add noise to beats (N, C, L) that are shown again, and move all of a batch by one lag in time."""
    size = torch.rand(len(beats), 1, 1, device=beats.device) * _ECHO_NOISE
    lag = int(torch.randint(-_ECHO_SHIFT, _ECHO_SHIFT + 1, ()))
    return beats.roll(lag, 2) + torch.randn_like(beats) * size, truth

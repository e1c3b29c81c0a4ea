"""Median beat of each lead, on one clock for all leads.

Beats are laid over each other by the shift at which all leads that show them agree best with their median beats. A
rhythm strip, which shows every beat, ties leads together that are printed one after the other.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from ecg_trt.analysis.beats import bridged
from ecg_trt.types import Array

STEP_S = 0.002  # Between two samples of a median beat.
_BEFORE_S, _AFTER_S = 0.45, 0.75  # Around a beat.
_LEVEL_S, _LEVEL_HALF_S = 0.09, 0.015  # Before a beat, where its level is taken, and half the length of that window.
_ALIGN_S = 0.12  # Half the window in which beats are laid over each other.
_SHAPE_S = (-0.12, 0.32)  # Window in which shapes are compared.
_MOST_SHIFT_S, _MOST_MOVED_S = 0.03, 0.095  # In one step, and in all: beats stay in their order.
_ROUNDS, _ANCHOR_ROUNDS = 6, 4
_ANCHOR = 0.8  # Beats of a lead that ties the others together, as a share of those of the lead that shows most.
_ALIKE = 0.85  # Least correlation of beats of one shape.
_PREMATURE = 0.85  # Interval before a beat as a share of the one behind it, below which it comes too early.
_LEAST_BEATS = 2  # Of a lead with a median beat.
_MOST_SEEDS = 300  # Beats that all others are compared with; a page has fewer, a record of hours thousands.


@dataclass(frozen=True, slots=True)
class MedianBeats:
    """Median beats of the leads, of the shape that most beats have.

    Attributes:
        time_s: (m,) s from the R peak: the greatest length of the vector of all leads.
        mv: (leads, m) mV against the level before QRS, NaN where fewer than 2 beats are seen.
        error_mv: (leads, m) standard error of `mv`, from how beats differ.
        leads: names of the rows.
        beats: of each lead the indices of the beats that it rests on.
        r_s: (beats,) s on the record's clock, the R peak of every beat, also of those of other shapes.
        is_typical: (beats,) bool, False for beats of another shape.
        group: (beats,) number of the group within which beats are laid over each other: leads that are printed one
            after the other, without a rhythm strip, share no beat, and their beats are only as near as detected.
    """

    time_s: Array
    mv: Array
    error_mv: Array
    leads: tuple[str, ...]
    beats: tuple[tuple[int, ...], ...]
    r_s: Array
    is_typical: Array
    group: Array

    def of_leads(self, kept: Array) -> MedianBeats:
        """Copy with some of the leads, (leads,) bool."""
        rows = np.flatnonzero(kept).tolist()
        return MedianBeats(
            self.time_s, self.mv[rows], self.error_mv[rows], tuple(self.leads[k] for k in rows),
            tuple(self.beats[k] for k in rows), self.r_s, self.is_typical, self.group,
        )  # fmt: skip

    def beats_of(self, leads: Collection[str]) -> tuple[int, ...]:
        """List the beats that the median beats of some leads rest on."""
        rows = zip(self.leads, self.beats, strict=True)
        return tuple(sorted({beat for lead, beats in rows if lead in leads for beat in beats}))


def median_beats(signal_mv: Array, fs: float, leads: tuple[str, ...], sample: Array) -> MedianBeats:
    """Make the median beat of each lead.

    Args:
        signal_mv: (leads, n) mV, NaN where nothing is printed, or seen.
        fs: samples a second.
        leads: names of the rows.
        sample: (beats,) of the beats, ascending.
    """
    at_s = sample / fs
    time = np.arange(-round(_BEFORE_S / STEP_S), round(_AFTER_S / STEP_S) + 1) * STEP_S
    if not len(sample):
        nothing = np.full((len(leads), len(time)), np.nan)
        none = np.zeros(0)
        return MedianBeats(
            time, nothing, nothing, leads, tuple(() for _ in leads), none, none.astype(bool), none.astype(np.int64)
        )
    level = [_without_level(row, fs, at_s) for row in signal_mv]
    typical = _most_alike(_cropped(level, fs, at_s, time), time, at_s)
    for k in range(_ROUNDS):
        beats = _cropped(level, fs, at_s, time)
        median = _median(beats[:, typical])
        rows = _anchors(beats, time) if k < _ANCHOR_ROUNDS else slice(None)
        moved = at_s + _shifts(beats[rows], median[rows], time)
        at_s = np.clip(moved, sample / fs - _MOST_MOVED_S, sample / fs + _MOST_MOVED_S)
        typical = _alike(beats, median, time, typical)
    beats = _cropped(level, fs, at_s, time)
    median = _median(beats[:, typical])
    peak_s = _peak_s(median, time)
    count = np.isfinite(beats[:, typical]).sum(1)
    whole = _whole(beats, time)
    return MedianBeats(
        time - peak_s, median, _spread(beats[:, typical], median) / np.sqrt(np.maximum(count, 1)), leads,
        tuple(tuple(np.flatnonzero(row).tolist()) for row in whole & typical), at_s + peak_s, typical, _groups(whole),
    )  # fmt: skip


def _whole(beats: Array, time: Array) -> Array:
    """Mask the beats (leads, beats) whose QRS a lead shows, of beats (leads, beats, m)."""
    return np.asarray(np.isfinite(beats[:, :, np.abs(time) < _ALIGN_S]).all(2))


def _anchors(beats: Array, time: Array) -> Array:
    """Mask the leads that show most beats, of beats (leads, beats, m): rhythm strips, or all of one length."""
    count = _whole(beats, time).sum(1)
    return np.asarray(count >= _ANCHOR * count.max(initial=0))


def _groups(whole: Array) -> Array:
    """Number the groups of beats (beats,) that leads tie together: each shares a lead with another of its group.

    Args:
        whole: (leads, beats) bool, beats that a lead shows.
    """
    group = np.arange(whole.shape[1])
    for _ in range(whole.shape[0] + 1):
        for row in whole:
            if row.any():
                group[np.isin(group, group[row])] = group[row].min()
    return np.unique(group, return_inverse=True)[1]


def _without_level(row: Array, fs: float, at_s: Array) -> Array:
    """Subtract from a lead (n,) the line through its levels before each beat."""
    t = np.arange(len(row)) / fs
    knots, levels = [], []
    for middle in at_s - _LEVEL_S:
        a, b = (max(0, round((middle + side) * fs)) for side in (-_LEVEL_HALF_S, _LEVEL_HALF_S))
        seen = row[a : b + 1][np.isfinite(row[a : b + 1])]
        if len(seen):
            knots.append(middle)
            levels.append(float(np.median(seen)))
    return row - np.interp(t, knots, levels) if knots else np.full(len(row), np.nan)


def _cropped(rows: list[Array], fs: float, at_s: Array, time: Array) -> Array:
    """Take the beats (leads, beats, m) out of the leads, each (n,); NaN where nothing is seen."""
    places = (at_s[:, None] + time) * fs
    out = np.full((len(rows), *places.shape), np.nan)
    for cropped, row in zip(out, rows, strict=True):
        seen = np.isfinite(row)
        if not seen.any():
            continue
        near = np.clip(np.floor(places).astype(int), 0, len(row) - 1)
        shown = seen[near] & seen[np.minimum(near + 1, len(row) - 1)] & (places >= 0) & (places <= len(row) - 1)
        cropped[shown] = np.interp(places[shown], np.arange(len(row)), bridged(row))
    return out


def _median(beats: Array) -> Array:
    """Median (leads, m) over beats (leads, beats, m); NaN where there are fewer than 2."""
    count = np.isfinite(beats).sum(1)
    if beats.shape[1] < _LEAST_BEATS:
        return np.full(count.shape, np.nan)
    ordered = np.sort(np.where(np.isfinite(beats), beats, np.inf), axis=1)
    pick = [np.take_along_axis(ordered, np.maximum(k, 0)[:, None], 1)[:, 0] for k in ((count - 1) // 2, count // 2)]
    pick = [np.where(count >= _LEAST_BEATS, values, np.nan) for values in pick]
    return np.asarray((pick[0] + pick[1]) / 2)


def _spread(beats: Array, median: Array) -> Array:
    """Standard deviation (leads, m) of beats (leads, beats, m) about their median; NaN where there are fewer than 2."""
    count = np.isfinite(beats).sum(1)
    squares = np.nansum((beats - median[:, None]) ** 2, axis=1)
    return np.where(count >= _LEAST_BEATS, np.sqrt(squares / np.maximum(count - 1, 1)), np.nan)


def _shifts(beats: Array, median: Array, time: Array) -> Array:
    """Shift (beats,) s that brings each beat nearest to the median beats: one step of Gauss and Newton on all leads."""
    window = np.abs(time) < _ALIGN_S
    slope = np.gradient(median, STEP_S, axis=1)[:, None, window]
    away = beats[:, :, window] - median[:, None, window]
    known = np.isfinite(away) & np.isfinite(slope)
    power = np.where(known, slope**2, 0.0).sum((0, 2))
    lead = np.where(known, away * slope, 0.0).sum((0, 2))
    return np.clip(-lead / np.maximum(power, 1e-12), -_MOST_SHIFT_S, _MOST_SHIFT_S)


def _peak_s(median: Array, time: Array) -> float:
    """Time of the R peak of the median beats, s; 0, where beats were detected, if there is no median beat."""
    window = np.abs(time) < _ALIGN_S
    size = np.nansum(median[:, window] ** 2, axis=0)
    return float(time[window][size.argmax()]) if size.any() else 0.0


def _correlation(a: Array, b: Array) -> Array:
    """Correlation of beats (.., leads, m) over all leads at once, about zero; NaN where they share too few samples."""
    both = np.isfinite(a) & np.isfinite(b)
    a, b = np.where(both, a, 0.0), np.where(both, b, 0.0)
    size = np.sqrt((a**2).sum((-2, -1)) * (b**2).sum((-2, -1)))
    shared = both.sum((-2, -1))
    return np.where(shared >= both.shape[-1] // 2, (a * b).sum((-2, -1)) / np.maximum(size, 1e-12), np.nan)


def _shape_window(time: Array) -> Array:
    return (time >= _SHAPE_S[0]) & (time <= _SHAPE_S[1])


def _alike(beats: Array, median: Array, time: Array, typical: Array) -> Array:
    """Mask the beats that look like the median beats; those that cannot be compared stay what they were."""
    window = _shape_window(time)
    found = _correlation(np.moveaxis(beats[:, :, window], 1, 0), median[:, window])
    alike = np.where(np.isfinite(found), found >= _ALIKE, typical)
    return alike if alike.any() else typical


def _most_alike(beats: Array, time: Array, at_s: Array) -> Array:
    """Mask the beats of the shape that is found most often, of beats (leads, beats, m).

    A group of beats of one shape grows from the beat that resembles most others, out of `_MOST_SEEDS` at most. Where
    columns share no lead, their beats cannot be compared, and each column has such a group. Of two shapes that are as
    frequent, that of beats which do not come too early is taken.
    """
    shapes = np.moveaxis(beats[:, :, _shape_window(time)], 1, 0)
    seeds = np.unique(np.linspace(0, len(shapes) - 1, min(len(shapes), _MOST_SEEDS)).round().astype(int))
    similar = np.stack([_correlation(shapes, shapes[seed]) for seed in seeds])
    comparable, alike = np.isfinite(similar), similar >= _ALIKE
    interval = np.diff(at_s)
    early = np.zeros(len(at_s), bool)
    early[1:-1] = interval[:-1] < _PREMATURE * interval[1:]
    votes = alike.sum(1) / np.maximum(comparable.sum(1), 1) - 0.25 * early[seeds]
    typical, left = np.zeros(len(at_s), bool), np.ones(len(at_s), bool)
    while left[seeds].any():
        row = int(np.where(left[seeds], votes, -np.inf).argmax())
        typical |= alike[row] & left
        left &= ~comparable[row]
        left[seeds[row]] = False
    return typical

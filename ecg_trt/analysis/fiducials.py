"""Onsets and ends of P, QRS and T on the median beats of all leads.

QRS begins and ends where the vector of all leads begins and ceases to move fast (spatial velocity, as of the Common
Standards for quantitative ECG, Willems et al., Br Heart J 57:385, 1987). P and T are measured on the component that
carries most of their energy over the leads; they begin, or end, where their flank has become flat: its slope has fallen
to a share of the steepest (Laguna, Jane and Caminal, Comput Biomed Res 27:45, 1994).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ecg_trt.analysis.beats import bridged
from ecg_trt.analysis.median_beat import STEP_S, MedianBeats
from ecg_trt.str_enum import StrEnum
from ecg_trt.types import Array


class Wave(StrEnum):
    """Waves of a beat."""

    P = "P"
    QRS = "QRS"
    T = "T"


@dataclass(frozen=True, slots=True)
class WaveSpan:
    """Onset and end of a wave.

    Attributes:
        onset_s: s from the R peak, NaN if it is not clear.
        end_s: likewise.
        leads: that show all of it.
    """

    onset_s: float
    end_s: float
    leads: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Delineator:
    """Settings, chosen on ECGs of known waves (`benchmarks/intervals.py --fit`), other than those of its figures.

    Attributes:
        fast_s: standard deviation of the Gaussian whose derivative measures the velocity of QRS, s.
        slow_s: likewise, for slopes of P and T.
        least: velocity at which QRS begins and ends, as a share of its greatest.
        above_rest: likewise, in units of the velocity at rest.
        still_s: for so long the velocity stays below it, s.
        onset_bias_s: by which QRS is seen to begin early, as it is smoothed, s.
        end_bias_s: by which it is seen to end late, s.
        p_bias_s: by which P is seen to begin early, and to end late, s.
        t_bias_s: by which T is seen to begin early, and to end late, s.
        extremum: height of a wave beside another, as a share of the higher one.
        half: share of a wave's height to which it has fallen before a flank may end.
        flat: slope at the foot of a flank, as a share of its steepest.
        p_errors: height of P in standard errors of the median beat, at least.
        t_errors: likewise, of T.
        least_mv: height of a wave, length of the vector of all leads over the root of their number, at least.
    """

    fast_s: float = 0.004
    slow_s: float = 0.008
    least: float = 0.04
    above_rest: float = 2.0
    still_s: float = 0.010
    onset_bias_s: float = 0.0038
    end_bias_s: float = 0.0062
    p_bias_s: tuple[float, float] = (0.0122, 0.0116)
    t_bias_s: tuple[float, float] = (0.0150, 0.0100)
    extremum: float = 0.5
    half: float = 0.5
    flat: float = 0.1
    p_errors: float = 5.0
    t_errors: float = 5.0
    least_mv: float = 0.012


_DELINEATOR = _Delineator()
_QRS_S = 0.14  # QRS lies within this distance of the R peak.
_STRONG = 0.3  # Velocity that only QRS has, as a share of its greatest.
_LEVEL_S = (0.014, 0.002)  # Before QRS, where the level of the beat is taken.
_P_S, _T_S = 0.32, 0.62  # Longest distance of P's onset from that of QRS, and of T's peak from the R peak.
_T_TO_QRS_S = 0.12  # From the end of T to the next QRS at least.
_PEAK_TO_QRS_S = 0.22  # From the peak of T to the next QRS at least.
_QRS_TO_P_S, _QRS_TO_T_S = 0.008, 0.04  # Between QRS and its neighbours at least.
_QRS_SURROUNDINGS_S, _BESIDE_S = 0.2, 0.06  # Stretch that a lead must show, around R and beside a window.
_LEAST_WINDOW_S = 0.08
_FLANK_S = 0.16  # Longest flank of a wave.


def delineate(median: MedianBeats, rr_s: float) -> Mapping[Wave, WaveSpan]:
    """Find the waves of the median beats, each on the leads that show all of its surroundings.

    Args:
        median: the median beats.
        rr_s: interval between two beats, s.

    Returns:
        The waves that are seen. A P wave is only searched for where the end of T is clear, which else may pass for one.
    """
    qrs = _qrs(median)
    if qrs is None:
        return {}
    onset, end = qrs.onset_s, qrs.end_s
    level = (median.time_s >= onset - _LEVEL_S[0]) & (median.time_s <= onset - _LEVEL_S[1])
    median = replace(median, mv=median.mv - median.mv[:, level].mean(1, keepdims=True))
    early, late = _DELINEATOR.onset_bias_s, _DELINEATOR.end_bias_s
    spans = {Wave.QRS: replace(qrs, onset_s=onset + early, end_s=end - late)}
    t_window = (end + _QRS_TO_T_S, min(_T_S, rr_s + onset - _PEAK_TO_QRS_S))
    t_wave = _wave(median, t_window, _DELINEATOR.t_errors)
    if t_wave is None:
        return spans
    early, late = _DELINEATOR.t_bias_s
    spans[Wave.T] = replace(t_wave, onset_s=t_wave.onset_s + early, end_s=t_wave.end_s - late)
    if not spans[Wave.T].end_s < rr_s + onset - _T_TO_QRS_S:  # P begins before, and T cannot be parted from it.
        spans[Wave.T] = replace(spans[Wave.T], end_s=float("nan"))
        return spans
    p_window = (max(onset - _P_S, spans[Wave.T].end_s - rr_s), onset - _QRS_TO_P_S)
    p_wave = _wave(median, p_window, _DELINEATOR.p_errors)
    if p_wave is not None:
        early, late = _DELINEATOR.p_bias_s
        spans[Wave.P] = replace(p_wave, onset_s=p_wave.onset_s + early, end_s=p_wave.end_s - late)
    return spans


def _shown(median: MedianBeats, window_s: tuple[float, float]) -> MedianBeats:
    """Choose the leads that show all of a window."""
    inside = (median.time_s >= window_s[0]) & (median.time_s <= window_s[1])
    return median.of_leads(np.asarray(np.isfinite(median.mv[:, inside]).all(1) & inside.any()))


def _qrs(median: MedianBeats) -> WaveSpan | None:
    """Find QRS; None where no lead shows it, or where it ends beyond what the leads show."""
    from scipy.ndimage import gaussian_filter1d

    shown = _shown(median, (-_QRS_SURROUNDINGS_S, _QRS_SURROUNDINGS_S))
    if not shown.leads:
        return None
    time, mv = shown.time_s, np.stack([bridged(row) for row in shown.mv])
    slope = gaussian_filter1d(mv, _DELINEATOR.fast_s / STEP_S, order=1, axis=1) / STEP_S
    velocity = np.sqrt((slope**2).mean(0))
    near = np.abs(time) < _QRS_S
    greatest = velocity[near].max()
    rest = np.median(velocity[time < -_QRS_S])
    least = min(max(_DELINEATOR.least * greatest, _DELINEATOR.above_rest * rest), _STRONG * greatest)
    strong = np.flatnonzero(near & (velocity >= _STRONG * greatest))
    first, last = _edge(velocity[strong[0] :: -1], least), _edge(velocity[strong[-1] :], least)
    if first is None or last is None:
        return None
    onset, end = time[strong[0]] - first * STEP_S, time[strong[-1]] + last * STEP_S
    is_seen = onset > -_QRS_SURROUNDINGS_S and end < _QRS_SURROUNDINGS_S
    return WaveSpan(float(onset), float(end), shown.leads) if is_seen else None


def _edge(velocity: Array, least: float) -> float | None:
    """Find the sample, not rounded, from which a velocity (n,) stays below a value; None where it does not."""
    still = round(_DELINEATOR.still_s / STEP_S)
    low = np.convolve(velocity < least, np.ones(still), "valid") >= still
    found = np.flatnonzero(low)
    if not found.size or found[0] == 0:
        return None
    k = int(found[0])
    return k - float((least - velocity[k]) / (velocity[k - 1] - velocity[k]))


def _wave(median: MedianBeats, window_s: tuple[float, float], errors: float) -> WaveSpan | None:
    """Find the last wave of a window.

    Args:
        median: median beats, 0 before QRS.
        window_s: start and end of where its peak may be, s.
        errors: its least height, in standard errors.

    Returns:
        Onset and end, NaN where they are not clear; None where no wave is seen.
    """
    from scipy.ndimage import gaussian_filter1d

    shown = _shown(median, (window_s[0] - _BESIDE_S, window_s[1] + _BESIDE_S))
    time = shown.time_s
    inside = np.flatnonzero((time >= window_s[0]) & (time <= window_s[1]))
    if not shown.leads or len(inside) < _LEAST_WINDOW_S / STEP_S:
        return None
    mv = np.stack([bridged(row) for row in shown.mv])
    centred = mv[:, inside] - np.median(mv[:, inside], axis=1, keepdims=True)
    weight = np.linalg.svd(centred, full_matrices=False)[0][:, 0]
    sigma = _DELINEATOR.slow_s / STEP_S
    curve, slope = (gaussian_filter1d(weight @ mv, sigma, order=order) for order in (0, 1))
    noise = np.sqrt(np.median(weight**2 @ shown.error_mv[:, inside] ** 2))
    peak = _last_extremum(curve[inside])
    if peak is None or abs(curve[inside[peak]]) < max(errors * noise, _DELINEATOR.least_mv * np.sqrt(len(mv))):
        return None
    k, sign = inside[peak], np.sign(curve[inside[peak]])
    reach = round(_FLANK_S / STEP_S)
    before = _foot(sign * curve[max(0, k - reach) : k + 1][::-1], sign * slope[max(0, k - reach) : k + 1][::-1])
    behind = _foot(sign * curve[k : k + reach], -sign * slope[k : k + reach])
    return WaveSpan(float(time[k] - before * STEP_S), float(time[k] + behind * STEP_S), shown.leads)


def _last_extremum(height: Array) -> int | None:
    """Find the last extremum of a curve (n,) within it that is not small beside the greatest; None if there is none."""
    size = np.abs(height)
    inner = size[1:-1]
    is_extremum = (inner >= size[:-2]) & (inner > size[2:])
    if not is_extremum.any():
        return None
    least = _DELINEATOR.extremum * inner[is_extremum].max()
    return int(np.flatnonzero(is_extremum & (inner >= least))[-1]) + 1


def _foot(curve: Array, fall: Array) -> float:
    """Find where a flank has become flat, in samples from the peak; NaN where it does not.

    Args:
        curve: (n,) from the peak outwards, positive at the peak.
        fall: (n,) by which it falls from each sample to the next.
    """
    deep = np.flatnonzero((fall <= 0) & (curve < _DELINEATOR.half * curve[0]))
    flank = fall[: deep[0]] if deep.size else fall
    if not flank.size:
        return float("nan")
    steepest = int(flank.argmax())
    least = _DELINEATOR.flat * fall[steepest]
    flat = np.flatnonzero(fall[steepest:] < least)
    if not flat.size or fall[steepest] <= 0:
        return float("nan")
    k = steepest + int(flat[0])
    return k - float((least - fall[k]) / (fall[k - 1] - fall[k]))

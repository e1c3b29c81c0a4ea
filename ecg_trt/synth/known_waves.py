"""ECGs whose waves begin and end at known times, to measure intervals against.

Every beat has the same waves: half sines that begin and end steeply enough for a person to say where, low-passed
afterwards as by a device. Half of the T waves fall as a raised cosine; they end where the tangent at their steepest
slope meets the baseline, as T waves are read by hand (Lepeschkin and Surawicz, Circulation 6:378, 1952).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecg_trt.synth.electrodes import record
from ecg_trt.synth.signals import lead_field, twelve_leads
from ecg_trt.types import Array

_TANGENT_SHARE = 0.5 + 1 / np.pi  # Of a raised cosine's fall, where the tangent at its steepest slope is at zero.


@dataclass(frozen=True, slots=True)
class _Wave:
    """Half a sine that rises and falls; times are in s from the onset of QRS.

    Attributes:
        start_s: where it begins.
        peak_s: where it is highest.
        end_s: where it ends.
        dipole: (3,) at its peak.
        falls_slowly: it falls as a raised cosine, whose tangent is at zero at `end_s`.
    """

    start_s: float
    peak_s: float
    end_s: float
    dipole: Array
    falls_slowly: bool = False

    def at(self, t: Array) -> Array:
        """Height (n,) at times (n,) s, 1 at the peak."""
        rise = np.clip((t - self.start_s) / (self.peak_s - self.start_s), 0, 1)
        fall = np.clip((t - self.peak_s) / (self.end_s - self.peak_s), 0, None)
        if self.falls_slowly:
            falling = (1 + np.cos(np.pi * np.minimum(fall * _TANGENT_SHARE, 1))) / 2
        else:
            falling = np.cos(np.pi / 2 * np.minimum(fall, 1))
        return np.asarray(np.where(t < self.peak_s, np.sin(np.pi / 2 * rise), falling))


@dataclass(frozen=True, slots=True)
class KnownEcg:
    """A simulated ECG with the times of its waves.

    Attributes:
        signal_mv: (12, n) float32 mV, in the order of `layout.LEADS`.
        fs: samples a second.
        qrs_on_s: (beats,) s, onset of QRS of each beat in the record.
        p_s: onset and end of P against the onset of QRS, s; NaN where there is no P wave.
        qrs_s: duration of QRS, s.
        t_s: onset and end of T against the onset of QRS, s.
        axis_deg: frontal axis of the net area of QRS, degrees.
    """

    signal_mv: Array
    fs: float
    qrs_on_s: Array
    p_s: tuple[float, float]
    qrs_s: float
    t_s: tuple[float, float]
    axis_deg: float


def draw_known_ecg(
    rng: np.random.Generator,
    *,
    fs: float = 500.0,
    seconds: float = 10.0,
    rate: float | None = None,
    noise: float | None = None,
    has_p: bool = True,
) -> KnownEcg:
    """Draw an ECG of a regular rhythm with random intervals, shapes, axis and noise.

    Args:
        rng: source of all randomness.
        fs: samples a second.
        seconds: length.
        rate: beats a minute; drawn when None.
        noise: factor on the noise of `synth.electrodes.record`, 0 for none; drawn when None.
        has_p: leave P waves out if False.
    """
    rate = float(rng.uniform(48, 105)) if rate is None else rate
    interval = 60 / rate
    qrs_s = float(rng.uniform(0.07, 0.12) if rng.random() < 0.75 else rng.uniform(0.12, 0.16))
    pr_s, p_length = float(rng.uniform(0.12, 0.21)), float(rng.uniform(0.08, 0.115))
    qt_s = float(rng.uniform(0.37, 0.45) * interval ** (1 / 3))
    qrs, t_wave = _qrs(rng, qrs_s), _t_wave(rng, qrs_s, qt_s)
    waves = [*qrs, t_wave]
    if has_p:
        waves += _p_wave(rng, pr_s, p_length)
    if rng.random() < 0.3:  # ST is raised or lowered, and falls away under T.
        waves.append(_Wave(qrs_s - 0.02, qrs_s + 0.02, t_wave.peak_s, 0.15 * rng.normal(0, 1, 3)))
    steps = interval * (1 + rng.normal(0, 0.02, int(seconds / interval) + 3))
    onsets = np.cumsum(steps) - rng.uniform(1, 2) * interval
    t = np.arange(round(fs * seconds)) / fs
    field = lead_field(rng)
    leads = np.zeros((8, t.size))
    for onset in onsets:
        for wave in waves:
            leads += np.outer(field @ wave.dipole, wave.at(t - onset))
    level = float(rng.lognormal(-0.4, 0.8)) if noise is None else noise
    one, two = field[:2] @ np.sum([(wave.end_s - wave.start_s) * wave.dipole for wave in qrs], axis=0)
    return KnownEcg(
        twelve_leads(record(rng, leads, level, fs, t)),
        fs,
        onsets[(onsets > 0) & (onsets < seconds)],
        (-pr_s, p_length - pr_s) if has_p else (np.nan, np.nan),
        qrs_s,
        (t_wave.start_s, qt_s),
        float(np.degrees(np.arctan2((2 * two - one) / np.sqrt(3), one))),
    )


def _qrs(rng: np.random.Generator, length: float) -> list[_Wave]:
    """Draw the septum's, the free walls' and the base's part of QRS."""
    turn = 0.65 + rng.normal(0, 0.6)
    main = rng.uniform(0.9, 1.4) * np.array([np.cos(turn), np.sin(turn), rng.normal(0.25, 0.25)])
    septal = np.array([-0.18 * rng.uniform(0.3, 1.6), 0.06 * rng.normal(0.5, 1), -0.35 * rng.uniform(0.3, 1.3)])
    basal = np.array([-0.25 * rng.uniform(0.3, 1.5), -0.2 * rng.normal(0.5, 0.8), 0.55 * rng.uniform(0.3, 1.4)])
    first, last = length * rng.uniform(0.3, 0.42), length * rng.uniform(0.58, 0.7)
    return [
        _Wave(0.0, first / 2, first, septal),
        _Wave(length * 0.15, length * rng.uniform(0.4, 0.5), length * 0.8, main),
        _Wave(last, (last + length) / 2, length, basal),
    ]


def _t_wave(rng: np.random.Generator, qrs_s: float, qt_s: float) -> _Wave:
    """Draw the T wave."""
    turn = 0.65 + rng.normal(0, 0.5)
    dipole = rng.uniform(0.18, 0.45) * np.array([np.cos(turn), np.sin(turn), rng.normal(-0.3, 0.3)])
    start = qrs_s + rng.uniform(0.3, 0.5) * (qt_s - qrs_s)
    peak = start + rng.uniform(0.5, 0.62) * (qt_s - start)
    return _Wave(start, peak, qt_s, dipole, falls_slowly=bool(rng.random() < 0.5))


def _p_wave(rng: np.random.Generator, pr_s: float, length: float) -> list[_Wave]:
    """Draw the right and the left atrium's part of P."""
    size = rng.uniform(0.07, 0.17)
    right = size * np.array([0.5, 0.9, -0.45]) + rng.normal(0, 0.012, 3)
    left = size * np.array([0.75, 0.6, 0.5]) + rng.normal(0, 0.012, 3)
    split, on = rng.uniform(0.3, 0.4) * length, -pr_s
    return [_Wave(on, on + length * 0.35, on + length * 0.7, right), _Wave(on + split, on + length * 0.65, on + length, left)]

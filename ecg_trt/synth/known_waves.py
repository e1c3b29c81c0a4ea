"""ECGs whose waves begin and end at known times, to measure intervals against.

Every beat has the same waves: sines, raised to a power, that rise and fall softly, and are low-passed as by a device.
A wave begins and ends where it passes 10 uV, a tenth of a millimetre on paper, in the lead that shows it best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecg_trt.synth.electrodes import record
from ecg_trt.synth.signals import lead_field, twelve_leads
from ecg_trt.types import Array

_VISIBLE_MV = 0.01
_FINE_S = 0.0005  # Between times at which waves are searched for their beginning and end.


@dataclass(frozen=True, slots=True)
class _Wave:
    """Sine, raised to a power, that rises and falls; times are in s from the start of QRS.

    Attributes:
        start_s: where it begins.
        peak_s: where it is highest.
        end_s: where it ends.
        dipole: (3,) at its peak.
        power: of the sine; the higher, the softer it begins and ends.
    """

    start_s: float
    peak_s: float
    end_s: float
    dipole: Array
    power: float

    def at(self, t: Array) -> Array:
        """Height (n,) at times (n,) s, 1 at the peak."""
        rise = np.clip((t - self.start_s) / (self.peak_s - self.start_s), 0, 1)
        fall = np.clip((self.end_s - t) / (self.end_s - self.peak_s), 0, 1)
        return np.asarray(np.sin(np.pi / 2 * np.minimum(rise, fall)) ** self.power)


@dataclass(frozen=True, slots=True)
class KnownEcg:
    """A simulated ECG with the times of its waves.

    Attributes:
        signal_mv: (12, n) float32 mV, in the order of `layout.LEADS`.
        fs: samples a second.
        start_s: (beats,) s, of each beat in the record.
        p_s: onset and end of P, s from the start of a beat; NaN where there is no P wave.
        qrs_s: likewise, of QRS.
        t_s: likewise, of T.
        axis_deg: frontal axis of the net area of QRS, degrees.
    """

    signal_mv: Array
    fs: float
    start_s: Array
    p_s: tuple[float, float]
    qrs_s: tuple[float, float]
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
    qrs_s = float(rng.uniform(0.08, 0.12) if rng.random() < 0.75 else rng.uniform(0.12, 0.17))
    pr_s, p_length = float(rng.uniform(0.12, 0.21)), float(rng.uniform(0.085, 0.12))
    qt_s = float(rng.uniform(0.37, 0.46) * interval ** (1 / 3))
    qrs, t_wave = _qrs(rng, qrs_s), _t_wave(rng, qrs_s, qt_s)
    p_waves = _p_wave(rng, pr_s, p_length) if has_p else []
    waves = [*qrs, t_wave, *p_waves]
    if rng.random() < 0.3:  # ST is raised or lowered, and falls away under T.
        waves.append(_Wave(qrs_s - 0.02, qrs_s + 0.02, t_wave.peak_s, 0.15 * rng.normal(0, 1, 3), 1.0))
    steps = interval * (1 + rng.normal(0, 0.02, int(seconds / interval) + 3))
    starts = np.cumsum(steps) - rng.uniform(1, 2) * interval
    t = np.arange(round(fs * seconds)) / fs
    field = lead_field(rng)
    leads = sum((_leads(waves, field, t - start) for start in starts), np.zeros((8, t.size)))
    level = float(rng.lognormal(-0.4, 0.8)) if noise is None else noise
    one, two = _leads(qrs, field, np.arange(0, qrs_s, _FINE_S))[:2].sum(1)
    return KnownEcg(
        twelve_leads(record(rng, leads, level, fs, t)),
        fs,
        starts[(starts > 0) & (starts < seconds)],
        _visible(p_waves, field),
        _visible(qrs, field),
        _visible([t_wave], field),
        float(np.degrees(np.arctan2((2 * two - one) / np.sqrt(3), one))),
    )


def _leads(waves: Sequence[_Wave], field: Array, t: Array) -> Array:
    """Sum waves in the leads, (8, n) mV at times (n,) s from the start of QRS."""
    return sum((np.outer(field @ wave.dipole, wave.at(t)) for wave in waves), np.zeros((8, t.size)))


def _visible(waves: Sequence[_Wave], field: Array) -> tuple[float, float]:
    """Find the onset and the end of waves, s from the start of QRS; NaN where there are none."""
    if not waves:
        return float("nan"), float("nan")
    t = np.arange(min(wave.start_s for wave in waves), max(wave.end_s for wave in waves), _FINE_S)
    seen = t[np.abs(twelve_leads(_leads(waves, field, t))).max(0) > _VISIBLE_MV]
    return float(seen[0]), float(seen[-1])


def _qrs(rng: np.random.Generator, length: float) -> list[_Wave]:
    """Draw the septum's, the free walls' and the base's part of QRS."""
    turn, power = 0.65 + rng.normal(0, 0.6), rng.uniform(1.3, 2.0)
    main = rng.uniform(0.9, 1.4) * np.array([np.cos(turn), np.sin(turn), rng.normal(0.25, 0.25)])
    septal = np.array([-0.18 * rng.uniform(0.3, 1.6), 0.06 * rng.normal(0.5, 1), -0.35 * rng.uniform(0.3, 1.3)])
    basal = np.array([-0.25 * rng.uniform(0.3, 1.5), -0.2 * rng.normal(0.5, 0.8), 0.55 * rng.uniform(0.3, 1.4)])
    first, last = length * rng.uniform(0.35, 0.5), length * rng.uniform(0.45, 0.6)
    return [
        _Wave(0.0, first * rng.uniform(0.5, 0.6), first, septal, power),
        _Wave(length * 0.15, length * rng.uniform(0.38, 0.5), length * 0.8, main, power),
        _Wave(last, last + rng.uniform(0.3, 0.5) * (length - last), length, basal, power),
    ]


def _t_wave(rng: np.random.Generator, qrs_s: float, qt_s: float) -> _Wave:
    """Draw the T wave."""
    turn = 0.65 + rng.normal(0, 0.5)
    dipole = rng.uniform(0.18, 0.45) * np.array([np.cos(turn), np.sin(turn), rng.normal(-0.3, 0.3)])
    start = qrs_s + rng.uniform(0.1, 0.3) * (qt_s - qrs_s)
    return _Wave(start, start + rng.uniform(0.5, 0.62) * (qt_s - start), qt_s, dipole, rng.uniform(1.3, 2.2))


def _p_wave(rng: np.random.Generator, pr_s: float, length: float) -> list[_Wave]:
    """Draw the right and the left atrium's part of P."""
    size, power = rng.uniform(0.07, 0.17), rng.uniform(1.3, 2.0)
    right = size * np.array([0.5, 0.9, -0.45]) + rng.normal(0, 0.012, 3)
    left = size * np.array([0.75, 0.6, 0.5]) + rng.normal(0, 0.012, 3)
    split, on = rng.uniform(0.3, 0.4) * length, -pr_s
    return [
        _Wave(on, on + length * 0.35, on + length * 0.7, right, power),
        _Wave(on + split, on + length * 0.65, on + length, left, power),
    ]

"""Signals of recordings that are no ECG: pressures, fetal heart rates, sleep, chromatograms, prices, voltages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ecg_trt.synth.decoys import smooth_noise
from ecg_trt.types import Array

# One beat of each pressure: (share of the beat, share of the pulse pressure).
_PRESSURES: dict[str, tuple[tuple[float, float], ...]] = {
    "ART": ((0.0, 0.0), (0.04, 0.1), (0.09, 0.62), (0.14, 0.95), (0.17, 1.0), (0.21, 0.97), (0.28, 0.78), (0.34, 0.57),
            (0.37, 0.44), (0.385, 0.43), (0.42, 0.52), (0.46, 0.51), (0.55, 0.38), (0.7, 0.2), (0.85, 0.08)),
    "PA": ((0.0, 0.0), (0.05, 0.2), (0.12, 0.8), (0.18, 1.0), (0.26, 0.92), (0.35, 0.65), (0.41, 0.46), (0.44, 0.52),
           (0.55, 0.32), (0.75, 0.12)),
    "LV": ((0.0, 0.0), (0.03, 0.08), (0.08, 0.06), (0.13, 0.75), (0.18, 0.94), (0.25, 1.0), (0.33, 0.97), (0.39, 0.8),
           (0.45, 0.2), (0.49, 0.0), (0.55, -0.04), (0.7, 0.02)),
    "CVP": ((0.0, 0.35), (0.06, 0.75), (0.1, 1.0), (0.15, 0.7), (0.2, 0.5), (0.23, 0.66), (0.28, 0.4), (0.38, 0.0),
            (0.48, 0.3), (0.58, 0.72), (0.64, 0.6), (0.73, 0.1), (0.85, 0.22)),
}  # fmt: skip


def pressure(rng: np.random.Generator, kind: str, t: Array, beats_s: Array, low: float, high: float) -> Array:
    """Simulate a pressure inside a vessel.

    Args:
        rng: source of randomness.
        kind: "ART" (artery, with its dicrotic notch), "PA" (pulmonary artery), "LV" (left ventricle) or "CVP" (vein,
            with its a, c and v waves).
        t: (n,) s.
        beats_s: (k,) start of each beat, s, from before the first of `t` to behind the last.
        low: mean diastolic pressure, mmHg.
        high: mean systolic pressure, mmHg.

    Returns:
        (n,) mmHg.
    """
    at, value = np.array(_PRESSURES[kind]).T
    table = np.interp(np.linspace(0, 1, 256, endpoint=False), at, value, period=1)
    bell = np.exp(-0.5 * ((np.arange(256) - 128) / rng.uniform(2, 4)) ** 2)
    table = np.fft.irfft(np.fft.rfft(table) * np.fft.rfft(np.roll(bell / bell.sum(), -128)), 256)
    table = (table - table.min()) / np.ptp(table)
    beat = np.clip(np.searchsorted(beats_s, t, "right") - 1, 0, len(beats_s) - 2)
    length = np.diff(beats_s)
    phase = (t - beats_s[beat]) / length[beat]
    breath = 2 * np.pi * t * rng.uniform(0.18, 0.32) + rng.uniform(0, 6)
    depth = rng.uniform(0.15, 0.5) if kind == "CVP" else rng.uniform(0.02, 0.14)
    filling = 1 + 0.6 * (length / length.mean() - 1) + rng.normal(0, 0.015, len(length))
    wave = np.interp(phase, np.arange(257) / 256, np.append(table, table[0]))
    wave = wave * filling[beat] * (1 + 0.6 * depth * np.sin(breath - 1))
    return np.asarray(
        low + (high - low) * (wave + depth * np.sin(breath)) + 0.004 * high * smooth_noise(rng, len(t), 2)
    )


def beat_times(rng: np.random.Generator, rate: float, seconds: float) -> Array:
    """Draw the starts of beats by lot, (k,) s, mostly regular, from 2 s before 0 to 2 s behind the end."""
    n = int((seconds + 4) * rate / 60 * 1.3) + 3
    length = 60 / rate * (1 + rng.choice([0.02, 0.02, 0.18]) * np.clip(rng.normal(0, 1, n), -2, 2))
    if rng.random() < 0.25:  # extrasystoles and the pauses behind them
        early = np.flatnonzero(rng.random(n - 1) < 0.08)
        length[early] *= 0.65
        length[early + 1] *= 1.35
    return np.asarray(np.cumsum(length) - length[0] - 2)


def contractions(rng: np.random.Generator, minutes: Array) -> tuple[Array, Array]:
    """Simulate the strength of labour, (n,) 0..100, and the peaks of the contractions, (k,) min."""
    every = rng.uniform(2, 6)
    peaks = np.arange(rng.uniform(-3, 2), minutes[-1] + 3, every)
    peaks = peaks + rng.normal(0, 0.15 * every, len(peaks))
    wave = rng.uniform(5, 20) + 0.9 * smooth_noise(rng, len(minutes), 4) + 2 * smooth_noise(rng, len(minutes), 200)
    for peak in peaks:
        since = minutes - peak
        wave += rng.uniform(15, 75) * np.exp(
            -0.5 * (since / np.where(since < 0, 0.3, 0.42) / rng.uniform(0.8, 1.3)) ** 2
        )
    return np.clip(wave, 0, 100), peaks


def fetal_rate(rng: np.random.Generator, minutes: Array, peaks: Array) -> Array:
    """Simulate the heart rate of a fetus, (n,) bpm; NaN where it is lost."""
    n = len(minutes)
    per_min = 1 / (minutes[1] - minutes[0])
    rate = rng.uniform(115, 160) + 2 * smooth_noise(rng, n, 1.5 * per_min)
    rate += rng.uniform(1.5, 5) * smooth_noise(rng, n, per_min / rng.uniform(18, 30)) + 0.7 * rng.normal(0, 1, n)
    for at in rng.uniform(0, minutes[-1], rng.poisson(minutes[-1] / rng.uniform(2.5, 8))):  # accelerations
        rate += rng.uniform(12, 30) * np.exp(-(np.abs((minutes - at) / rng.uniform(0.2, 0.45)) ** 2.6))
    kind = rng.choice(["none", "early", "late", "variable"], p=[0.45, 0.15, 0.2, 0.2])
    for peak in peaks if kind != "none" else ():
        since = minutes - peak - {"early": 0.0, "late": 0.5, "variable": rng.normal(0, 0.3)}[str(kind)]
        steep = 6.0 if kind == "variable" else 2.0
        rate -= rng.uniform(10, 25 if steep < 3 else 60) * np.exp(-(np.abs(since / rng.uniform(0.3, 0.6)) ** steep))
    for _ in range(rng.poisson(minutes[-1] / 4)):  # no contact
        start = rng.uniform(0, minutes[-1])
        rate[(minutes > start) & (minutes < start + rng.exponential(0.12))] = np.nan
    return np.asarray(np.clip(rate, 52, 208))


def brain_wave(rng: np.random.Generator, t: Array, stage: str, shared: Array) -> Array:
    """Simulate one EEG channel, (n,) uV.

    Args:
        rng: source of randomness.
        t: (n,) s, evenly spaced.
        stage: "W" (alpha rhythm), "N2" (spindles and K complexes), "N3" (slow waves) or "R" (low and mixed).
        shared: (n,) what the channels have in common: see `brain_events`.
    """
    fs = 1 / (t[1] - t[0])
    low = smooth_noise(rng, len(t), 0.05 * fs) * 7 + smooth_noise(rng, len(t), 0.2 * fs) * 6
    fast = smooth_noise(rng, len(t), 0.012 * fs) * 3
    if stage == "W":
        swell = np.clip(0.6 + 0.5 * smooth_noise(rng, len(t), 0.7 * fs), 0, 2)
        low = 0.5 * low + swell * 18 * np.sin(2 * np.pi * (9.8 * t + 0.15 * smooth_noise(rng, len(t), 0.3 * fs)))
    return np.asarray(low + fast + shared * rng.uniform(0.5, 1.1))


def brain_events(rng: np.random.Generator, t: Array, stage: str) -> Array:
    """Simulate the waves that all EEG channels show: spindles, K complexes, slow waves, (n,) uV."""
    wave, fs = np.zeros(len(t)), 1 / (t[1] - t[0])
    if stage == "N3":
        wave += 45 * smooth_noise(rng, len(t), 0.17 * fs)
    if stage == "N2":
        for at in rng.uniform(t[0], t[-1], rng.integers(2, 7)):
            swell = np.exp(-0.5 * ((t - at) / rng.uniform(0.2, 0.4)) ** 2)
            wave += rng.uniform(15, 30) * swell * np.sin(2 * np.pi * rng.uniform(12, 14.5) * t)
        for at in rng.uniform(t[0], t[-1], rng.integers(1, 4)):
            since = t - at
            wave += 85 * (0.7 * np.exp(-0.5 * ((since - 0.45) / 0.16) ** 2) - np.exp(-0.5 * (since / 0.1) ** 2))
    return wave


def eye_movement(rng: np.random.Generator, t: Array, stage: str) -> Array:
    """Simulate the movement of both eyes, (n,) uV: quick in wakefulness and REM, slow else."""
    if stage not in ("W", "R"):
        return np.asarray(8 * smooth_noise(rng, len(t), 1.5 / (t[1] - t[0])))
    jumps = np.zeros(len(t))
    jumps[rng.integers(0, len(t), rng.integers(6, 22))] = rng.choice([-1, 1], 1) * rng.uniform(40, 130)
    jumps *= rng.choice([-1, 1], len(t))
    out, level, fade = np.zeros(len(t)), 0.0, np.exp(-(t[1] - t[0]) / 0.35)
    for k, jump in enumerate(jumps):
        level = level * fade + jump
        out[k] = level
    return np.convolve(out, np.full(7, 1 / 7), "same")


def breathing(rng: np.random.Generator, t: Array, *, pauses: bool) -> tuple[Array, Array]:
    """Simulate airflow, (n,) about -1..1, and its depth, (n,) 0..1; pauses are apneas."""
    fs = 1 / (t[1] - t[0])
    depth = np.clip(1 + 0.12 * smooth_noise(rng, len(t), 4 * fs), 0.3, 1.5)
    if pauses:
        every = rng.uniform(25, 45)
        depth = depth * np.clip(0.7 + 1.4 * np.sin(2 * np.pi * t / every + rng.uniform(0, 6)), 0.04, 1.3)
    turn = 2 * np.pi * (rng.uniform(0.2, 0.3) * t + 0.1 * smooth_noise(rng, len(t), 3 * fs))
    return np.asarray(depth * (np.sin(turn) + 0.2 * np.sin(2 * turn + 0.5))), depth


def chromatogram(rng: np.random.Generator, minutes: Array) -> tuple[Array, list[tuple[float, float]]]:
    """Simulate a detector's response, (n,), with the retention time (min) and height of each peak.

    Peaks are Gaussians with an exponential tail, wider the later; the first is the solvent's or the dead volume's.
    """
    end = float(minutes[-1])
    count = int(rng.integers(4, 30))
    times = np.sort(np.append(rng.uniform(0.1, 0.97, count), rng.uniform(0.04, 0.08))) * end
    heights = rng.lognormal(0, 1.1, len(times))
    heights[0] = heights.max() * rng.choice([0.15, 1.5])
    step = minutes[1] - minutes[0]
    wave, found = np.zeros(len(minutes)), []
    sharp = rng.uniform(0.0015, 0.005)
    for time, height in zip(times, heights, strict=True):
        wide = end * sharp * (1 + rng.uniform(0, 2.5) * time / end)
        tail = wide * rng.uniform(0.3, 1.5)
        kernel = np.exp(-np.arange(int(8 * tail / step) + 1) * step / tail)
        peak = np.convolve(np.exp(-0.5 * ((minutes - time) / wide) ** 2), kernel / kernel.sum())[: len(minutes)]
        wave += height * peak / max(float(peak.max()), 1e-9)
        found.append((float(minutes[peak.argmax()]), float(height)))
    drift = rng.choice([0.0, rng.uniform(0.02, 0.3)]) * (minutes / end) ** 2 * np.median(heights)
    noise = 0.006 * smooth_noise(rng, len(minutes), 1.5) + 0.02 * smooth_noise(rng, len(minutes), len(minutes) / 15)
    return np.asarray((wave + drift) / heights.max() + noise), found


def prices(rng: np.random.Generator, n: int) -> Array:
    """Simulate a share's price, (n,): a random walk of varying pace with a jump now and then."""
    pace = np.exp(0.5 * smooth_noise(rng, n, max(2.0, n / 12)))
    step = pace * rng.standard_t(4, n) + rng.uniform(-0.08, 0.12)
    return np.asarray(np.cumsum(step + (rng.random(n) < 0.006) * rng.normal(0, 12, n)))


def oscillation(rng: np.random.Generator, turns: Array) -> Array:
    """Draw by lot a periodic wave, (n,) in -1..1, over the number of turns."""
    kind = rng.choice(["sine", "sum", "beat", "rectified", "triangle", "saw", "damped"])
    wave = np.sin(2 * np.pi * turns)
    if kind == "sum":
        wave = wave + rng.uniform(0.2, 0.7) * np.sin(4 * np.pi * turns + 1) + 0.3 * np.sin(6 * np.pi * turns)
    elif kind == "beat":
        wave = wave * np.sin(2 * np.pi * turns / rng.uniform(6, 20))
    elif kind == "rectified":
        wave = np.abs(wave) * 2 - 1
    elif kind == "triangle":
        wave = 4 * np.abs(turns % 1 - 0.5) - 1
    elif kind == "saw":
        wave = 2 * (turns % 1) - 1
    elif kind == "damped":
        every = float(rng.integers(3, 9))
        wave = wave * np.exp(-3 * (turns % every) / every)
    return np.asarray(wave / np.abs(wave).max())


def weather(rng: np.random.Generator, hours: Array) -> Array:
    """Simulate the pressure of the air, (n,) hPa: fronts, the tides of the day and a pen's friction."""
    n = len(hours)
    per_hour = 1 / (hours[1] - hours[0])
    wave = rng.uniform(1003, 1022) + rng.uniform(4, 12) * smooth_noise(rng, n, 22 * per_hour)
    for at in rng.uniform(0, hours[-1], rng.integers(0, 3)):  # a front: a slow fall, a quick rise
        since = hours - at
        wave -= rng.uniform(4, 14) * np.exp(-np.abs(since) / np.where(since < 0, 14, 6))
    wave += 0.7 * np.sin(4 * np.pi * hours / 24 + 1) + 0.15 * smooth_noise(rng, n, 0.5 * per_hour)
    return np.asarray(np.clip(wave, 962, 1045))


def voltage(rng: np.random.Generator, turns: Array, kinds: Sequence[str]) -> Array:
    """Draw by lot a voltage as oscilloscopes show it, (n,) in about -1..1, over the number of turns."""
    kind = str(rng.choice(list(kinds)))
    phase = turns % 1
    if kind == "sine":
        wave = np.sin(2 * np.pi * turns)
    elif kind == "square":
        duty = rng.choice([0.5, rng.uniform(0.15, 0.85)])
        wave = np.where(phase < duty, 1.0, -1.0)
        since = np.where(phase < duty, phase, phase - duty)
        ring = rng.choice([0.0, rng.uniform(0.1, 0.5)])
        wave = wave * (1 + ring * np.exp(-since * 30) * np.cos(2 * np.pi * 22 * since))
    elif kind == "pulse":
        wave = 1.9 * np.exp(-0.5 * ((phase - 0.4) / rng.uniform(0.008, 0.04)) ** 2) - 0.6
        wave -= rng.uniform(0, 0.7) * np.exp(-0.5 * ((phase - 0.52) / 0.04) ** 2)
    elif kind == "charge":
        wave = np.where(phase < 0.5, 1 - 2 * np.exp(-phase * 9), 2 * np.exp(-(phase - 0.5) * 9) - 1)
    elif kind == "burst":
        wave = np.exp(-phase * rng.uniform(3, 8)) * np.sin(2 * np.pi * phase * rng.integers(8, 20))
    elif kind == "mains":
        wave = np.sin(2 * np.pi * turns) * (np.abs((2 * turns) % 1 - rng.uniform(0.1, 0.4)) > 0.02)
    else:
        wave = oscillation(rng, turns)
    return np.asarray(wave + rng.uniform(0.004, 0.03) * rng.normal(0, 1, len(turns)))

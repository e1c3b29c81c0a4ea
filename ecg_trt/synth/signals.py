"""A simulator of twelve-lead ECGs.

Atrial and ventricular events are placed in time by a rhythm; each event adds Gaussian waves, in the spirit of
McSharry, Clifford, Tarassenko and Smith (IEEE Trans Biomed Eng 50:289, 2003), but with three components: the
waves move a dipole, and leads I, II, V1 .. V6 look at it through lead vectors scattered about Dower's (Dower,
Machado, Osborne, Clin Cardiol 3:87, 1980; Frank's axes x to the left, y to the feet, z to the back). The
other limb leads follow from Einthoven's and Goldberger's laws, after all noise, as they do in a device.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecg_trt.synth.electrodes import record
from ecg_trt.types import Array

_SHARES = {
    "sinus": 0.26, "bradycardia": 0.04, "tachycardia": 0.07, "svt": 0.03,
    "fibrillation": 0.09, "flutter": 0.04, "pac": 0.05, "pvc": 0.05,
    "bigeminy": 0.02, "lbbb": 0.04, "rbbb": 0.05, "paced": 0.03,
    "first_degree": 0.03, "wenckebach": 0.015, "two_to_one": 0.01, "complete_block": 0.015,
    "st_elevation": 0.05, "st_depression": 0.03, "t_inverted": 0.02, "t_peaked": 0.015,
    "low_voltage": 0.02, "lvh": 0.025,
}  # fmt: skip
RHYTHMS = tuple(_SHARES)
_RATES = {
    "bradycardia": (30, 55), "tachycardia": (100, 150), "svt": (150, 220), "fibrillation": (55, 165),
    "complete_block": (30, 48), "two_to_one": (70, 110), "bigeminy": (60, 95), "paced": (55, 90),
}  # fmt: skip

_Row = tuple[float, float, float, Array]  # centre, left and right width (s), dipole

_LEAD_VECTORS = np.array([
    (0.632, -0.235, 0.059), (0.235, 1.066, -0.132),  # I, II
    (-0.515, 0.157, -0.917), (0.044, 0.164, -1.387), (0.882, 0.098, -1.277),  # V1, V2, V3
    (1.213, 0.127, -0.601), (1.125, 0.127, -0.086), (0.831, 0.076, 0.230),  # V4, V5, V6
])  # fmt: skip
_NEARNESS = np.array([1.5, 1.0, 1.4, 1.55, 1.5, 1.4, 1.3, 1.25])[:, None]  # brings heights to those of recorded leads
_TERRITORIES = {  # shares in I, II, V1 .. V6
    "inferior": (-0.4, 0.8, -0.1, -0.3, -0.2, 0.0, 0.1, 0.2),
    "anterior": (0.1, 0.0, 0.5, 1.0, 1.0, 0.7, 0.3, 0.1),
    "lateral": (0.6, 0.1, -0.2, -0.2, 0.0, 0.4, 0.9, 0.9),
    "posterior": (0.0, 0.1, -0.6, -0.9, -0.7, -0.3, 0.0, 0.2),
    "diffuse": (0.5, 0.7, -0.1, 0.4, 0.6, 0.7, 0.7, 0.6),
}


@dataclass(frozen=True, slots=True)
class _Waves:
    """K Gaussian waves about an event: centre, left and right width (K,) in s, amplitude (K, 8) in mV."""

    centre: Array
    left: Array
    right: Array
    amplitude: Array


@dataclass(frozen=True, slots=True)
class _Events:
    """Beats of the heart: times in s of the atria's beats, and (time, kind) of the ventricles'."""

    atrial: Array
    ventricular: tuple[tuple[float, str], ...]
    atria: str = "beat"


def simulate(rng: np.random.Generator, *, fs: float = 500.0, seconds: float = 10.0) -> Array:
    """Draw a record of a rhythm drawn at random.

    Args:
        rng: source of all randomness.
        fs: samples a second.
        seconds: length.

    Returns:
        (12, fs * seconds) float32, mV, in the order of `layout.LEADS`.
    """
    return simulate_named(rng, str(rng.choice(RHYTHMS, p=list(_SHARES.values()))), fs=fs, seconds=seconds)


def simulate_named(
    rng: np.random.Generator,
    rhythm: str,
    *,
    fs: float = 500.0,
    seconds: float = 10.0,
    rate: float | None = None,
    noise: float | None = None,
) -> Array:
    """Draw a record of one of `RHYTHMS`.

    Args:
        rng: source of all randomness.
        rhythm: one of `RHYTHMS`.
        fs: samples a second.
        seconds: length.
        rate: beats a minute; drawn when None.
        noise: factor on all noise, 0 for none; drawn when None.

    Returns:
        (12, fs * seconds) float32, mV, in the order of `layout.LEADS`.

    Raises:
        ValueError: an unknown rhythm.
    """
    if rhythm not in RHYTHMS:
        raise ValueError(f"unknown rhythm {rhythm!r}; expected one of {', '.join(RHYTHMS)}")
    if rate is None:
        rate = float(rng.uniform(*_RATES.get(rhythm, (50, 105))))
    n = round(fs * seconds)
    t = np.arange(n) / fs
    events = _draw_events(rng, rhythm, rate, seconds)
    field = lead_field(rng)
    leads = _beats(rng, rhythm, events, field, t)
    if events.atria == "fibrillation":
        leads += _f_waves(rng, field, t)
    elif events.atria == "flutter":
        leads += _saw(rng, events, field, t)
    level = (0.0 if rng.random() < 0.15 else float(rng.lognormal(-0.4, 0.8))) if noise is None else noise
    leads *= min(1.0, 3.5 / np.abs(leads).max())  # where an early beat sits on a T wave
    leads = record(rng, leads, level, fs, t)
    if rhythm == "paced" and rng.random() < 0.8:
        leads += _spikes(rng, events, t, fs)
    return twelve_leads(leads)


def lead_field(rng: np.random.Generator) -> Array:
    """Draw lead vectors (8, 3) of I, II, V1 .. V6, scattered about Dower's: mV of a lead for a dipole of unit size."""
    return np.asarray(_LEAD_VECTORS * _NEARNESS * rng.normal(1, 0.12, (8, 1)) + rng.normal(0, 0.1, (8, 3)))


def twelve_leads(eight: Array) -> Array:
    """Derive all leads (12, n) float32 from I, II, V1 .. V6 (8, n), by Einthoven's and Goldberger's laws."""
    one, two = eight[0], eight[1]
    limb = (one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2)
    return np.concatenate([np.stack(limb), eight[2:]]).astype(np.float32)


def _sinus_times(rng: np.random.Generator, rate: float, seconds: float, jitter: float = 0.012) -> Array:
    """Draw beats from before the record to after it, with respiratory arrhythmia."""
    interval = 60 / rate
    count = int((seconds + 3) / interval) + 3
    start = -1.5 - rng.uniform(0, interval)
    swing, breath = rng.uniform(0, 0.07) * min(1.0, interval), rng.uniform(0.15, 0.35)
    phase = 2 * np.pi * breath * interval * np.arange(count) + rng.uniform(0, 2 * np.pi)
    step = interval * (1 + swing * np.sin(phase) + rng.normal(0, jitter, count))
    return np.asarray(start + np.cumsum(step))


def _draw_events(rng: np.random.Generator, rhythm: str, rate: float, seconds: float) -> _Events:
    """Draw the times of the beats."""
    if rhythm == "fibrillation":
        mean = 60 / rate
        steps = np.clip(rng.gamma(22, mean / 22, int((seconds + 3) / mean * 1.6) + 8), 0.26, 2.4)
        times = -1.5 + np.cumsum(steps)
        return _Events(np.empty(0), tuple((float(s), "normal") for s in times), "fibrillation")
    if rhythm == "flutter":
        atrial = _sinus_times(rng, float(rng.uniform(240, 330)), seconds, 0.002)
        ratio = int(rng.choice([2, 3, 4], p=[0.45, 0.15, 0.4]))
        return _Events(atrial, tuple((float(s) + 0.13, "normal") for s in atrial[::ratio]), "flutter")
    sinus = _sinus_times(rng, rate, seconds)
    pr = float(rng.uniform(0.22, 0.36) if rhythm == "first_degree" else rng.uniform(0.11, 0.2))
    if rhythm == "svt":
        return _Events(np.empty(0), tuple((float(s), "normal") for s in sinus), "none")
    if rhythm == "complete_block":
        wide = "pvc" if rng.random() < 0.5 else "normal"
        return _Events(_sinus_times(rng, float(rng.uniform(65, 110)), seconds), tuple((float(s), wide) for s in sinus))
    if rhythm == "two_to_one":
        return _Events(sinus, tuple((float(s) + pr, "normal") for s in sinus[::2]))
    if rhythm == "wenckebach":
        cycle = int(rng.integers(3, 6))
        beats = [
            (float(s) + 0.14 + 0.06 * (k % cycle), "normal") for k, s in enumerate(sinus) if k % cycle != cycle - 1
        ]
        return _Events(sinus, tuple(beats))
    if rhythm in ("pac", "pvc", "bigeminy"):
        return _ectopics(rng, rhythm, sinus, pr)
    if rhythm == "paced":
        atria = sinus if rng.random() < 0.6 else np.empty(0)
        return _Events(atria, tuple((float(s) + pr, "paced") for s in sinus), "beat" if atria.size else "none")
    kind = rhythm if rhythm in ("lbbb", "rbbb") else "normal"
    return _Events(sinus, tuple((float(s) + pr, kind) for s in sinus))


def _ectopics(rng: np.random.Generator, rhythm: str, sinus: Array, pr: float) -> _Events:
    """Draw early beats; a ventricular one hides its P wave and is followed by a full pause."""
    atrial, beats = [], []
    skip = rng.integers(2) if rhythm == "bigeminy" else 2
    share = rng.uniform(0.08, 0.35)
    for k, s in enumerate(sinus):
        early = k % 2 == skip if rhythm == "bigeminy" else rng.random() < share
        interval = sinus[k] - sinus[k - 1] if k else 0.8
        if not early:
            atrial.append(s)
            beats.append((float(s) + pr, "normal"))
        elif rhythm == "pac":
            s = s - interval * rng.uniform(0.15, 0.4)
            atrial.append(s)
            beats.append((float(s) + pr, "normal"))
        else:
            beats.append((float(s + pr - interval * rng.uniform(0.15, 0.42)), "pvc"))
    return _Events(np.array(atrial), tuple(sorted(beats)))


def _conducted(rng: np.random.Generator, rhythm: str, field: Array) -> _Waves:
    """Draw QRS and T of a normally conducted beat, or with a bundle branch block."""
    turn = rng.normal(0, 0.35)  # electrical axis, rad from some 40 degrees
    cos, sin = np.cos(0.65 + turn), np.sin(0.65 + turn)
    width = rng.uniform(0.8, 1.35)
    back = rng.normal(0.25, 0.25)
    septal = np.array([-0.18 * rng.uniform(0, 1.6), -0.06 * rng.normal(0.5, 1), -0.35 * rng.uniform(0.2, 1.3)])
    main = rng.uniform(0.9, 1.45) * np.array([cos, sin, back])
    basal = np.array([-0.25 * rng.uniform(0, 1.5), -0.2 * rng.normal(0.5, 0.8), 0.55 * rng.uniform(0.2, 1.4)])
    if rhythm == "lbbb":
        left = np.array([cos, sin * 0.4, 0.9 * rng.uniform(0.7, 1.4)])
        rows = [
            (-0.03, 0.016, 0.022, left * 0.7),
            (0.012, 0.02, 0.022, left * 0.35),
            (0.05, 0.022, 0.024, left * 0.8),
        ]
    elif rhythm == "rbbb":
        late = np.array([-0.6, 0.1, -0.75]) * rng.uniform(0.5, 1.1)
        rows = [(-0.03, 0.008, 0.009, septal), (0.0, 0.012, 0.013, main), (0.034, 0.011, 0.012, basal * 0.7),
                (0.075, 0.018, 0.024, late)]  # fmt: skip
    else:
        rows = [(-0.024 * width, 0.008 * width, 0.008 * width, septal),
                (0.0, 0.011 * width, 0.011 * width, main),
                (0.026 * width, 0.010 * width, 0.011 * width, basal)]  # fmt: skip
        if rng.random() < 0.15:  # a notch or slur
            rows.append((rng.uniform(0.01, 0.05), 0.006, 0.008, rng.normal(0, 0.2, 3)))
    against = rhythm in ("lbbb", "rbbb")
    wave = rng.uniform(0.15, 0.42) * np.array([cos, sin, -0.55 + 0.35 * rng.normal()])
    if against:
        wave = -0.3 * np.sum([r[3] for r in rows[1:]], axis=0) * rng.uniform(0.6, 1.2)
    return _finish_waves(rng, rows, wave, float(rng.uniform(0.7, 1.3)), field)


def _broad(rng: np.random.Generator, kind: str, field: Array) -> _Waves:
    """Draw a beat that begins in the ventricles: broad, with T against QRS."""
    if kind == "paced":  # from the right ventricle's apex: left, upwards, back
        axis = np.array([0.7, -rng.uniform(0.2, 1.0), rng.uniform(0.3, 0.9)])
    else:
        axis = rng.normal(0, 1, 3)
        axis /= np.linalg.norm(axis)
    axis = axis * rng.uniform(0.9, 1.7)
    side = rng.normal(0, 0.35, 3)
    rows = [
        (-0.02, 0.024, 0.03, axis),
        (0.045, 0.024, 0.03, 0.5 * axis + side),
        (0.085, 0.02, 0.03, side * 0.6),
    ]
    return _finish_waves(rng, rows, -0.4 * axis * rng.uniform(0.6, 1.3), 1.15, field)


def _finish_waves(rng: np.random.Generator, rows: list[_Row], t_wave: Array, stretch: float, field: Array) -> _Waves:
    """Add the T wave (last row; its centre is set beat by beat) and projects."""
    rows = [*rows, (0.0, 0.07 * stretch, 0.042 * stretch, t_wave)]
    centre, left, right = (np.array([row[k] for row in rows]) for k in range(3))
    amplitude = np.stack([row[3] for row in rows]) @ field.T
    amplitude = amplitude * rng.normal(1, 0.12, amplitude.shape)
    return _Waves(centre, left, right, amplitude)


def _alter(rng: np.random.Generator, rhythm: str, waves: _Waves) -> _Waves:
    """Alter ST, T and voltage by the rhythm's pathology."""
    amplitude = waves.amplitude.copy()
    names = list(_TERRITORIES)
    where = np.array(_TERRITORIES[names[int(rng.integers(len(names)))]]) * rng.normal(1, 0.15, 8)
    shift = np.zeros(8)
    if rhythm == "st_elevation":
        shift = where * rng.uniform(0.12, 0.45)
    elif rhythm == "st_depression":
        shift = -np.abs(where) * rng.uniform(0.08, 0.28)
    elif rng.random() < 0.3:
        shift = where * rng.normal(0, 0.05)
    if rhythm == "t_inverted":
        amplitude[-1] -= 2.0 * amplitude[-1] * np.clip(np.abs(where) * 1.6, 0, 1)
    elif rhythm == "t_peaked":
        amplitude[-1] *= rng.uniform(1.8, 3.0)
    elif rng.random() < 0.1:
        amplitude[-1] *= rng.uniform(0.05, 0.5)
    voltage = {"low_voltage": rng.uniform(0.25, 0.45), "lvh": rng.uniform(1.4, 2.0)}.get(
        rhythm, rng.lognormal(-0.02, 0.3)
    )
    amplitude *= voltage
    if rhythm == "lvh":
        amplitude[-1, [0, 6, 7]] = -np.abs(amplitude[-1, [0, 6, 7]]) * rng.uniform(0, 1)  # strain
    amplitude *= min(1.0, 3.3 / np.abs(amplitude[:-1]).max(), 1.3 / np.abs(amplitude[-1]).max())
    narrow = rng.uniform(0.5, 0.7) if rhythm == "t_peaked" else 1.0
    left, right = waves.left.copy(), waves.right.copy()
    left[-1], right[-1] = left[-1] * narrow, right[-1] * narrow
    end = waves.centre[-2] + 2.2 * waves.right[-2]
    return _Waves(np.insert(waves.centre, -1, end + 0.05),
                  np.insert(left, -1, 0.028), np.insert(right, -1, 0.075),
                  np.insert(amplitude, -1, shift, axis=0))  # fmt: skip


def _p_wave(rng: np.random.Generator, field: Array) -> _Waves:
    """Draw the P wave: right, then left atrium."""
    size, spread = rng.uniform(0.05, 0.16), rng.uniform(0.8, 1.3)
    parts = np.array([(0.5, 0.9, -0.45), (0.75, 0.6, 0.5)]) * size + rng.normal(0, 0.01, (2, 3))
    widths = np.array([0.017, 0.02]) * spread
    return _Waves(np.array([0.03, 0.062]) * spread, widths, widths, parts @ field.T)


def _add(
    leads: Array, t: Array, at: float, waves: _Waves, reach: tuple[float, float], centre: Array, scale: float
) -> None:
    """Add one event's waves to (8, n) in place."""
    first, last = np.searchsorted(t, (at - reach[0], at + reach[1]))
    if first == last:
        return
    away = t[first:last] - at - centre[:, None]
    shape = np.exp(-0.5 * (away / np.where(away < 0, waves.left[:, None], waves.right[:, None])) ** 2)
    leads[:, first:last] += scale * (waves.amplitude.T @ shape)


def _beats(rng: np.random.Generator, rhythm: str, events: _Events, field: Array, t: Array) -> Array:
    """Sum the waves of all beats, (8, n) mV."""
    leads = np.zeros((8, t.size))
    ground = rhythm if rhythm in ("lbbb", "rbbb") else "normal"
    if ground == "normal" and rhythm in ("fibrillation", "pvc", "flutter") and rng.random() < 0.15:
        ground = str(rng.choice(["lbbb", "rbbb"]))
    kinds = {"normal": _alter(rng, rhythm, _conducted(rng, ground, field))}
    kinds[ground] = kinds["normal"]
    for kind in ("pvc", "paced"):
        kinds[kind] = _alter(rng, "sinus", _broad(rng, kind, field))
    breath, phase, depth = rng.uniform(0.15, 0.35), rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.08)
    qt = rng.uniform(0.27, 0.33)
    before = events.ventricular[0][0] - 0.8
    for at, kind in events.ventricular:
        waves = kinds[kind]
        pace = np.sqrt(np.clip(at - before, 0.27, 1.4))  # Bazett: QT goes with the root of the last interval
        before = at
        squeeze = min(1.0, 0.45 + 0.62 * float(pace)) if float(pace) < 0.8 else 1.0
        centre = waves.centre.copy()
        centre[-1] = qt * pace + 0.5 * waves.centre[-3]
        centre[-2] = waves.centre[-2] * squeeze
        narrow = np.ones(centre.size)
        narrow[-2:] = np.clip(pace, 0.5, 1.15)
        beat = _Waves(centre, waves.left * narrow, waves.right * narrow, waves.amplitude)
        scale = 1 + depth * np.sin(2 * np.pi * breath * at + phase) + rng.normal(0, 0.012)
        _add(leads, t, at, beat, (0.2, 0.85), centre, scale)
    if events.atria == "beat":
        p_wave = _p_wave(rng, field)
        for at in events.atrial:
            _add(leads, t, float(at), p_wave, (0.1, 0.25), p_wave.centre, 1.0)
    return leads


def _f_waves(rng: np.random.Generator, field: Array, t: Array) -> Array:
    """Draw waves of fibrillating atria, (8, n) mV, independent of the beats."""
    total = np.zeros((8, t.size))
    for _ in range(3):
        drift = rng.uniform(0.3, 1.5) * np.sin(2 * np.pi * rng.uniform(0.1, 0.6) * t + rng.uniform(0, 6))
        wave = np.sin(2 * np.pi * rng.uniform(4.5, 9) * t + drift + rng.uniform(0, 6))
        swell = 1 + 0.5 * np.sin(2 * np.pi * rng.uniform(0.1, 0.5) * t + rng.uniform(0, 6))
        total += np.outer(field @ (rng.normal(0, 1, 3) * (0.5, 0.8, 0.9)), wave * swell)
    return np.asarray(rng.uniform(0.01, 0.07) * total)


def _saw(rng: np.random.Generator, events: _Events, field: Array, t: Array) -> Array:
    """Draw (8, n) flutter waves between the atria's beats, mV: slowly down, quickly up."""
    phase = np.interp(t, events.atrial, np.arange(events.atrial.size)) % 1
    rise = rng.uniform(0.2, 0.35)
    wave = np.where(phase < 1 - rise, 0.5 - phase / (1 - rise), (phase - 1) / rise + 0.5)
    way = np.array([0.1, rng.uniform(0.8, 1.2), -0.35]) + rng.normal(0, 0.1, 3)
    return np.outer(field @ way * rng.uniform(0.1, 0.3), wave)


def _spikes(rng: np.random.Generator, events: _Events, t: Array, fs: float) -> Array:
    """Draw (8, n) pacing spikes of about 2 ms, mV, after the device's filter, which devices draw back in."""
    out = np.zeros((8, t.size))
    height = rng.uniform(0.2, 1.6) * rng.normal(0, 1, 8).clip(-1.3, 1.3)
    before = rng.uniform(0.055, 0.075)
    width = max(1, round(0.002 * fs))
    for at, kind in events.ventricular:
        first = round((at - before) * fs)
        if kind == "paced" and 0 <= first < t.size:
            out[:, first : first + width] = height[:, None]
    return out

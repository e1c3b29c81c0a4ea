"""From the skin to the record: muscle, mains, wander, loose electrodes and the device's filter."""

from __future__ import annotations

import numpy as np

from ecg_trt.types import Array

_TENSE_SHARE = 0.15  # Of records, with strong muscle noise.


def record(rng: np.random.Generator, leads: Array, level: float, fs: float, t: Array) -> Array:
    """Add muscle, mains, wander and loose electrodes, then the low pass that devices have."""
    n = t.size
    f = np.fft.rfftfreq(n, 1 / fs)
    cut = float(rng.choice([35.0, 40.0, 100.0, 150.0], p=[0.2, 0.35, 0.25, 0.2]))
    low_pass = 1 / np.sqrt(1 + (f / cut) ** 6)
    spectrum = np.fft.rfft(leads, axis=1) * low_pass
    if level > 0:
        spread = level * rng.lognormal(0, 0.5, (8, 1))
        white = rng.standard_normal((8, f.size)) + 1j * rng.standard_normal((8, f.size))
        tense = rng.uniform(3, 15) if rng.random() < _TENSE_SHARE else 1.0
        in_band = (f > 15) & (f < 180)
        muscle = tense * 0.012 * rng.lognormal(-1.2, 1.0) * in_band / np.sqrt(np.sum(in_band) + 1)
        slow = 1 / (1 + (f / 0.25) ** 3) * (f > 0)
        wander = 0.05 * rng.lognormal(-0.3, 0.8) * slow / np.sqrt(np.sum(slow**2))
        spectrum += spread * white * (muscle * low_pass + wander) * n / 2
    out = np.fft.irfft(spectrum, n, axis=1)
    if level > 0 and rng.random() < 0.3:
        mains, phase = rng.choice([50.0, 60.0]), rng.uniform(0, 2 * np.pi, (8, 1))
        out += level * rng.uniform(0.002, 0.03) * rng.uniform(0.2, 1, (8, 1)) * np.sin(2 * np.pi * mains * t + phase)
    if level > 0 and rng.random() < 0.12:
        _loosen(rng, out, t)
    return np.asarray(out)


def _loosen(rng: np.random.Generator, leads: Array, t: Array) -> None:
    """Add jumps that fade, as of an electrode that was touched; a limb electrode moves both I and II."""
    for _ in range(int(rng.integers(1, 4))):
        lead = int(rng.integers(1, 8))
        at, fade = rng.uniform(0, t[-1]), rng.uniform(0.08, 0.7)
        jump = rng.normal(0, 0.35) * np.where(t >= at, np.exp(-np.maximum(t - at, 0) / fade), 0)
        leads[lead] += jump
        if lead == 1:
            leads[0] += jump * rng.choice([0.0, 1.0])

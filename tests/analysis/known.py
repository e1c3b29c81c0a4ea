"""Records of ECGs whose waves are known."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ecg_trt.layout import LEADS
from ecg_trt.record import EcgRecord
from ecg_trt.synth.known_waves import KnownEcg, draw_known_ecg
from ecg_trt.types import Array


def known(seed: int, **fixed) -> KnownEcg:
    return draw_known_ecg(np.random.default_rng(seed), **fixed)


def record_of(signal_mv: Array, fs: float = 500.0, **changes) -> EcgRecord:
    fields = {
        "signal_mv": signal_mv, "fs": fs, "lead_names": LEADS[: len(signal_mv)], "layout": "12x1",
        "paper_speed_mm_per_s": 25.0, "gain_mm_per_mv": 10.0, "quality": np.ones(len(signal_mv), np.float32),
        "snr_db": np.full(len(signal_mv), np.inf, np.float32),
    }  # fmt: skip
    return EcgRecord(**{**fields, **changes})


def bumps(at_s: ArrayLike, height: ArrayLike = 1.0, sd_s: ArrayLike = 0.012, seconds: float = 10.0) -> Array:
    """A lead (n,) mV at 500 Hz of Gaussian waves; heights and standard deviations are those of all, or of each."""
    at, high, sd = np.broadcast_arrays(at_s, height, sd_s)
    t = np.arange(round(seconds * 500))[:, None] / 500
    return np.asarray((high * np.exp(-0.5 * ((t - at) / sd) ** 2)).sum(1))


def printed(signal_mv: Array, *, rhythm: int | None = 1) -> Array:
    """Blank what a 3x4 page does not show of twelve leads, with a rhythm strip of one row or without."""
    out, n = np.full_like(signal_mv, np.nan), signal_mv.shape[1] // 4
    for row in range(12):
        column = slice(row // 3 * n, (row // 3 + 1) * n)
        out[row, column] = signal_mv[row, column]
    if rhythm is not None:
        out[rhythm] = signal_mv[rhythm]
    return out

"""Beats of one heart: transmembrane potentials at the recording points, and the ECG."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numba import njit  # type: ignore[import-not-found]
from scipy.ndimage import gaussian_filter1d
from scipy.sparse import csr_array

from ecg_trt.types import Array
from train.data.heart.action_potential import potentials, repolarisation, upstroke
from train.data.heart.activation import draw_activation
from train.data.heart.electrodes import ELECTRODES, Torso, lead_field
from train.data.heart.heart import Heart
from train.data.heart.mesh import heart_mesh
from train.data.heart.points import point_weights

SAMPLES = 500  # at 1 kHz
# Barycentric, of the four points of second order in a tetrahedron, and of its middle.
_INNER, _OUTER, _QUARTER = np.float32(0.5854102), np.float32(0.1381966), np.float32(0.25)
# A front takes some 6 ms to cross a tetrahedron; spread over less, it would jump from one to the next. The
# deviation takes off what is faster than 75 Hz, as print does.
_FRONT_MS = 2.0
_MARGIN = 256  # ms before and after the record that the convolutions need
_BINS = SAMPLES + 4 * _MARGIN


@dataclass(frozen=True, slots=True)
class Beat:
    """One simulated beat at 1 kHz.

    Attributes:
        electrodes: (10, 500) potentials at `ELECTRODES`, mV.
        activation: (75,) of the recording points, ms from the beginning of the record.
        potentials: (75, 500) transmembrane, mV.
    """

    electrodes: Array
    activation: Array
    potentials: Array


class Simulator:
    """Beats of one heart in one chest.

    Args:
        heart: with its waves.
        torso: where the electrodes are.
    """

    def __init__(self, heart: Heart, torso: Torso) -> None:
        self.heart = heart
        self.field = lead_field(heart.anatomy, torso)
        times = np.arange(-_MARGIN, _MARGIN + 1.0)
        # Waves are counted in bins of 1 ms, so that a step is what the potential gains in one.
        self._rise, self._fall = (
            np.fft.rfft(gaussian_filter1d(np.diff(part(times - 0.5)), _FRONT_MS), _BINS)[:, None]
            for part in (upstroke, repolarisation)
        )

    def beat(self, activation_ms: Array, duration_ms: Array) -> Beat:
        """Record a beat.

        Args:
            activation_ms: (n,) of the nodes.
            duration_ms: (n,) of their action potentials.
        """
        weights = _point_matrix()
        activation, duration = (weights @ values.astype(np.float32) for values in (activation_ms, duration_ms))
        cells = potentials(activation, duration, np.arange(SAMPLES, dtype=np.float32))
        return Beat(self.electrodes(activation_ms, duration_ms), activation, cells)

    def electrodes(self, activation_ms: Array, duration_ms: Array) -> Array:
        """Potentials at the electrodes, (10, 500) mV."""
        counted = np.zeros((2, SAMPLES + 2 * _MARGIN, len(ELECTRODES)), np.float32)
        start, end = (times.astype(np.float32) + _MARGIN for times in (activation_ms, activation_ms + duration_ms))
        _count(start, end, heart_mesh().tets, self.field, counted)
        # Of the repolarisation the middle of a tetrahedron is enough: it takes long against the way across.
        spectrum = np.fft.rfft(counted, _BINS, axis=1)
        whole = np.fft.irfft(spectrum[0] * self._rise + spectrum[1] * self._fall, _BINS, axis=0)
        return np.asarray(whole[2 * _MARGIN : 2 * _MARGIN + SAMPLES].T, np.float32)

    def draw(self, rng: np.random.Generator) -> Beat:
        """Draw a beat by lot."""
        return self.beat(*draw_activation(self.heart, rng))


@lru_cache(maxsize=1)
def _point_matrix() -> Array:
    return csr_array(point_weights(), dtype=np.float32)


@njit(cache=True, fastmath=True)  # type: ignore[untyped-decorator]
def _count(start: Array, end: Array, tets: Array, field: Array, counted: Array) -> None:
    """Add up each tetrahedron's steps of potential in the bins in which fronts pass it, (2, bins, 10).

    A front of activation passes the four points of a quadrature, one of repolarisation the middle.
    """
    electrodes = counted.shape[2]
    rise, fall = np.zeros(electrodes, np.float32), np.zeros(electrodes, np.float32)
    for k in range(len(tets)):
        a, b, c, d = tets[k]
        # Against the first corner: the gradients sum to zero, and single precision would not notice.
        s1, s2, s3 = start[b] - start[a], start[c] - start[a], start[d] - start[a]
        e1, e2, e3 = end[b] - end[a], end[c] - end[a], end[d] - end[a]
        for e in range(electrodes):
            f1, f2, f3 = field[k, 1, e], field[k, 2, e], field[k, 3, e]
            rise[e] = -_QUARTER * (s1 * f1 + s2 * f2 + s3 * f3)
            fall[e] = -(e1 * f1 + e2 * f2 + e3 * f3)
        total = start[a] + start[b] + start[c] + start[d]
        for corner in (a, b, c, d):
            _add(counted[0], _OUTER * total + (_INNER - _OUTER) * start[corner], rise)
        _add(counted[1], _QUARTER * (end[a] + end[b] + end[c] + end[d]), fall)


@njit(cache=True, fastmath=True)  # type: ignore[untyped-decorator]
def _add(counted: Array, place: float, step: Array) -> None:
    """Share a step between the two bins around a time."""
    left = int(place)
    if 0 <= left < len(counted) - 1:
        late = np.float32(place - left)
        early = np.float32(1.0) - late
        for e in range(len(step)):
            counted[left, e] += early * step[e]
            counted[left + 1, e] += late * step[e]

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
_QUADRATURE = (0.5854102, 0.1381966)  # barycentric, of the four points of second order
# A front takes some 6 ms to cross a tetrahedron; spread over less, it would be seen to jump from one to the next. The
# deviation takes off what is faster than 75 Hz, as print does.
_FRONT_MS = 2.0
_MARGIN = 256  # ms before and after the record that the convolutions need


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
            np.fft.rfft(gaussian_filter1d(np.diff(part(times - 0.5)), _FRONT_MS), SAMPLES + 4 * _MARGIN)
            for part in (upstroke, repolarisation)
        )

    def beat(self, activation_ms: Array, duration_ms: Array) -> Beat:
        """Record a beat.

        Args:
            activation_ms: (n,) of the nodes.
            duration_ms: (n,) of their action potentials.
        """
        weights = _point_matrix()
        activation, duration = weights @ activation_ms, weights @ duration_ms
        cells = potentials(activation, duration, np.arange(float(SAMPLES)))
        return Beat(self.electrodes(activation_ms, duration_ms), activation, cells)

    def electrodes(self, activation_ms: Array, duration_ms: Array) -> Array:
        """Potentials at the electrodes, (10, 500) mV."""
        tets, field = heart_mesh().tets, self.field
        bins = SAMPLES + 2 * _MARGIN
        total = np.zeros((len(ELECTRODES), SAMPLES // 2 + 2 * _MARGIN + 1), complex)
        for times, spectrum in ((activation_ms, self._rise), (activation_ms + duration_ms, self._fall)):
            counted = np.zeros((len(ELECTRODES), bins), np.float32)
            _count(times.astype(np.float32) + _MARGIN, tets, field, counted)
            total = total + np.fft.rfft(counted, SAMPLES + 4 * _MARGIN) * spectrum
        whole = np.fft.irfft(total, SAMPLES + 4 * _MARGIN)
        return np.asarray(whole[:, 2 * _MARGIN : 2 * _MARGIN + SAMPLES], np.float32)

    def draw(self, rng: np.random.Generator) -> Beat:
        """Draw a beat by lot."""
        return self.beat(*draw_activation(self.heart, rng))


@lru_cache(maxsize=1)
def _point_matrix() -> Array:
    return csr_array(point_weights())


@njit(cache=True)  # type: ignore[untyped-decorator]
def _count(times: Array, tets: Array, field: Array, counted: Array) -> None:
    """Add each tetrahedron's step of potential to the bins (10, bins) in which the front passes its four points."""
    inner, outer = _QUADRATURE
    electrodes, bins = counted.shape
    step = np.zeros(electrodes, np.float32)
    for k in range(len(tets)):
        t0, t1, t2, t3 = times[tets[k, 0]], times[tets[k, 1]], times[tets[k, 2]], times[tets[k, 3]]
        total = t0 + t1 + t2 + t3
        for e in range(electrodes):
            # Against the first corner: the gradients sum to zero, and single precision would not notice.
            step[e] = -0.25 * ((t1 - t0) * field[k, 1, e] + (t2 - t0) * field[k, 2, e] + (t3 - t0) * field[k, 3, e])
        for corner in range(4):
            place = outer * total + (inner - outer) * times[tets[k, corner]]
            left = int(place)
            share = np.float32(place - left)
            if 0 <= left < bins - 1:
                for e in range(electrodes):
                    counted[e, left] += (1 - share) * step[e]
                    counted[e, left + 1] += share * step[e]

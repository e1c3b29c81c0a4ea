"""Action potentials of ventricular cells: an upstroke and a repolarisation, shifted by lot and added up.

The shape follows the epicardial cell of ten Tusscher and Panfilov (Am. J. Physiol. Heart Circ. Physiol. 291, 2006):
-85.5 mV at rest, a spike to about +35 mV, a plateau that falls slowly from +18 mV, and a steep end. As both parts are
fixed in shape, the ECG of a heart is the sum of two convolutions.
"""

from __future__ import annotations

import numpy as np

from ecg_trt.types import Array

REST_MV = -85.5
MEAN_DURATION_MS = 302.0  # from activation to 90 % repolarisation
_PLATEAU_MV, _SPIKE_MV, _SPIKE_MS = 104.0, 18.0, 8.0  # above rest; above the plateau; decay of the spike
_UPSTROKE_MS = 0.25  # of the logistic rise
_STEEP = (0.75, -17.0, 8.0)  # share of the repolarisation, its middle before 90 %, its width; ms
_SLOW = (0.25, -90.0, 30.0)


def upstroke(ms: Array) -> Array:
    """Rise above the rest, mV, at times after the activation; the potential passes 0 mV at 0 ms."""
    top = _PLATEAU_MV + _SPIKE_MV * np.exp(-np.maximum(ms, 0.0) / _SPIKE_MS)
    level = -REST_MV / (_PLATEAU_MV + _SPIKE_MV)
    return np.asarray(top * _logistic(ms / _UPSTROKE_MS + np.log(level / (1 - level))))


def repolarisation(ms: Array) -> Array:
    """Fall from the plateau, mV, at times after 90 % of it; negative."""
    steep, slow = (share * _logistic((ms - middle) / width) for share, middle, width in (_STEEP, _SLOW))
    return -_PLATEAU_MV * (steep + slow)


def potentials(activation_ms: Array, duration_ms: Array, times_ms: Array) -> Array:
    """Transmembrane potentials (n, times) in mV of cells (n,) that are activated once."""
    after = times_ms - activation_ms[:, None]
    return np.asarray(REST_MV + upstroke(after) + repolarisation(after - duration_ms[:, None]))


def _logistic(x: Array) -> Array:
    return 0.5 * (1 + np.tanh(x / 2))

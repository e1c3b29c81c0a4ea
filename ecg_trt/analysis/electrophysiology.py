"""Activation and transmembrane potentials of the heart, from the twelve leads of one beat.

The networks learnt from simulated hearts (`train/data/heart`), and answer for 75 points of a heart of mean shape.
Research use only: an ECG does not determine the activation of a heart. Different activations can give one ECG, small
and early parts of the wall hardly show in it, and the shape and place of the heart are not known; the answer is one
that is likely among the simulated hearts, and it is an answer even where the patient's heart is unlike them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ecg_trt.backends.base import Backend
from ecg_trt.errors import OptionError
from ecg_trt.layout import LEADS
from ecg_trt.networks import NETWORKS
from ecg_trt.types import Array

POINTS_FILE = Path(__file__).with_name("heart_points.csv")
SURFACE_FILE = Path(__file__).with_name("heart_surface.npz")
SAMPLES = NETWORKS["activation"].shapes["leads"][2]
FS = 1000.0  # of the networks' input and of the potentials, Hz
BEFORE_QRS_MS = 20.0  # The half second that the networks see begins so long before the onset of the QRS complex.
ACTIVATION_MS = 100.0  # unit of the network's activation times
REST_MV, POTENTIAL_RANGE_MV = -85.506, 135.506  # The network's potentials are 0 at rest and 1 at 50 mV.
LEAST_LEADS = 8  # The networks learnt from beats that lack up to five, and were tested on beats that lack three.


@dataclass(frozen=True, slots=True)
class HeartGeometry:
    """The heart that maps are shown on: one of mean size, and nobody's.

    Its frame, mm: x from the right ventricle to the left one, y from anterior to inferior, z from the apex to the base;
    right-handed.

    Attributes:
        names: of the 75 points; `docs/electrophysiology.md` explains them.
        places_mm: (75, 3) of the points.
        vertices_mm: (v, 3) of the surface.
        faces: (f, 3) triangles of the surface, counter-clockwise seen from outside the wall.
    """

    names: tuple[str, ...]
    places_mm: Array
    vertices_mm: Array
    faces: Array


@lru_cache(maxsize=1)
def heart_geometry() -> HeartGeometry:
    """Load the heart that maps are shown on."""
    rows = [line.split(",") for line in POINTS_FILE.read_text(encoding="utf-8").splitlines()[1:]]
    with np.load(SURFACE_FILE) as stored:
        vertices, faces = stored["vertices_mm"].astype(np.float64), stored["faces"].astype(np.int64)
    return HeartGeometry(tuple(row[0] for row in rows), np.array([row[1:] for row in rows], float), vertices, faces)


@dataclass(frozen=True, slots=True)
class HeartMap:
    """Activation and potentials of the heart in one beat. Research use only, not a diagnosis.

    Attributes:
        geometry: names and places of the points.
        activation_ms: (75,) float64, ms after the onset of the QRS complex.
        potentials_mv: (75, 500) float32 transmembrane mV at 1 kHz; sample k is k - 20 ms after that onset. None where
            their network was not run.
        leads: names of those that it rests on.
    """

    geometry: HeartGeometry
    activation_ms: Array
    potentials_mv: Array | None
    leads: tuple[str, ...]

    @property
    def fs(self) -> float:
        """Samples a second of the potentials."""
        return FS

    @property
    def times_ms(self) -> Array:
        """Times (500,) of the potentials, ms after the onset of the QRS complex."""
        return np.arange(SAMPLES) * 1000 / FS - BEFORE_QRS_MS

    def require_potentials(self) -> Array:
        """Give the potentials (75, 500), mV.

        Raises:
            OptionError: the map has none.
        """
        if self.potentials_mv is None:
            raise OptionError("The map has no potentials", got="activation alone", expected="a map with both",
                              hint="Ask for the potentials, or give HeartMapper their network.")  # fmt: skip
        return self.potentials_mv

    def potentials_at(self, ms: float) -> Array:
        """Give the (75,) potentials, mV, at a time after the onset of the QRS complex.

        Raises:
            OptionError: a time outside -20 to 479 ms, or the map has no potentials.
        """
        times = self.times_ms
        if not times[0] <= ms <= times[-1]:
            raise OptionError("There are no potentials at this time", got=f"{ms:g} ms",
                              expected=f"{times[0]:g} to {times[-1]:g} ms after the onset of the QRS complex",
                              hint="Choose a time within the beat.")  # fmt: skip
        return np.asarray(self.require_potentials()[:, np.abs(times - ms).argmin()])


class HeartMapper:
    """Maps of the heart from beats.

    Args:
        activation: runs the network ``activation``.
        potentials: runs the network ``potentials``; without it maps have no potentials.
    """

    def __init__(self, activation: Backend, potentials: Backend | None = None) -> None:
        self.activation, self.potentials = activation, potentials

    def __call__(self, beat_mv: Array, fs: float, qrs_onset_s: float) -> HeartMap:
        """Map one beat, best the median beat.

        Args:
            beat_mv: (12, n) mV in the order of `LEADS`; NaN where a lead is not printed, or not seen.
            fs: samples a second.
            qrs_onset_s: time of the QRS onset, s after the first sample.

        Raises:
            OptionError: other shapes, fewer than eight leads, or a beat that does not reach from 20 ms before the onset
                to 480 ms after.
            BackendError: a network failed.
        """
        return self.map_window(beat_window(beat_mv, fs, qrs_onset_s))

    def map_window(self, window: Array) -> HeartMap:
        """Map the beat in a window (12, 500) mV, as `beat_window` cuts it.

        Raises:
            OptionError: fewer than eight leads show it.
            BackendError: a network failed.
        """
        is_seen: Array = np.asarray(np.isfinite(window).all(axis=1))
        if is_seen.sum() < LEAST_LEADS:
            raise OptionError("The heart cannot be mapped", got=f"{is_seen.sum()} leads that show the beat",
                              expected=f"{LEAST_LEADS} at least", hint="Take a page with more leads.")  # fmt: skip
        return HeartMap(
            heart_geometry(), self.activation_ms(window), self._potentials_mv(window),
            tuple(name for name, seen in zip(LEADS, is_seen, strict=True) if seen),
        )  # fmt: skip

    def activation_ms(self, window: Array) -> Array:
        """Give the activation times (75,) ms after the onset of the QRS complex.

        Args:
            window: (12, 500) mV as `beat_window` cuts it; NaN for a lead that is left out.

        Raises:
            BackendError: the network failed.
        """
        times = np.asarray(self.activation.infer(_feed(window))["activation"][0], np.float64)
        return ACTIVATION_MS * times - BEFORE_QRS_MS

    def _potentials_mv(self, window: Array) -> Array | None:
        if self.potentials is None:
            return None
        cells = np.asarray(self.potentials.infer(_feed(window))["potentials"][0], np.float32)
        return REST_MV + POTENTIAL_RANGE_MV * cells


def _feed(window: Array) -> dict[str, Array]:
    """Make the networks' input of a window (12, 500) mV; leads that are left out are 0."""
    return {"leads": np.nan_to_num(window).astype(np.float32)[None]}


def beat_window(beat_mv: Array, fs: float, qrs_onset_s: float) -> Array:
    """Cut the half second that the networks see, (12, 500) mV at 1 kHz against the level before the QRS complex.

    Args:
        beat_mv: (12, n) mV; a lead with a gap in the window is NaN throughout.
        fs: samples a second.
        qrs_onset_s: time of the QRS onset, s after the first sample.

    Raises:
        OptionError: another shape, or a beat that does not reach as far.
    """
    from scipy.interpolate import CubicSpline

    beat = np.asarray(beat_mv, np.float64)
    times_s = qrs_onset_s + (np.arange(SAMPLES) * 1000 / FS - BEFORE_QRS_MS) / 1000
    own_s = np.arange(beat.shape[-1]) / fs
    if beat.ndim != 2 or len(beat) != len(LEADS):
        raise _unusable(f"an array {np.shape(beat_mv)}", f"({len(LEADS)}, n)")
    if not (own_s[0] - 1 / fs < times_s[0] and times_s[-1] < own_s[-1] + 1 / fs):
        raise _unusable(f"{own_s[-1]:.2f} s with the QRS onset at {qrs_onset_s:.2f} s",
                        "a beat from 0.02 s before the onset to 0.48 s after")  # fmt: skip
    window = np.full((len(beat), SAMPLES), np.nan)
    inside = (own_s > times_s[0] - 1 / fs) & (own_s < times_s[-1] + 1 / fs)
    for row, lead in zip(window, beat, strict=True):
        if np.isfinite(lead[inside]).all():
            row[:] = CubicSpline(own_s[inside], lead[inside])(times_s)
    return window - window[:, : round(BEFORE_QRS_MS * FS / 1000)].mean(axis=1, keepdims=True)


def _unusable(got: str, expected: str) -> OptionError:
    return OptionError("The beat cannot be mapped", got=got, expected=expected,
                       hint="Take a median beat and the onset that was found in it.")  # fmt: skip

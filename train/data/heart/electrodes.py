"""Ten electrodes around the heart, the potentials there in an infinite medium, and the twelve leads.

Body frame, mm: x to the left, y to the back, z to the head; right-handed, its origin in the middle of the heart. Limbs
carry the potential of the trunk where they begin, and a trunk that ends reflects its currents: in a medium without an
end the limb electrodes stand nearer than in a body, so that limb leads are to chest leads as in an ECG.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from ecg_trt.types import Array
from train.data.heart.anatomy import Anatomy
from train.data.heart.mesh import heart_mesh

ELECTRODES = ("RA", "LA", "LL", "RL", "V1", "V2", "V3", "V4", "V5", "V6")
_PLACES_MM = np.array([
    (-90.0, -10.0, 85.0), (90.0, -10.0, 85.0), (50.0, -10.0, -125.0), (-60.0, -10.0, -125.0),
    (-50.0, -78.0, 10.0), (0.0, -84.0, 10.0), (32.0, -84.0, -10.0), (65.0, -76.0, -30.0), (103.0, -38.0, -30.0),
    (122.0, 18.0, -30.0),
])  # fmt: skip
_UP = (-0.60, 0.58, 0.55)  # from the apex to the base, in the body frame
_LEFTWARD = (0.70, 0.70, -0.10)  # from the right ventricle to the left one, nearly
# Conductivities of the cells along and across fibres over that of the body. Along and across are in the ratio of 0.17
# to 0.019 S/m (Niederer et al., Phil. Trans. R. Soc. A 369, 2011); by their scale, sinus beats have 1 to 2 mV in V2.
ALONG, ACROSS = 1.3, 0.145
_LEADS = np.zeros((12, len(ELECTRODES)))
_LEADS[:6, :3] = [(-1, 1, 0), (-1, 0, 1), (0, -1, 1), (1, -0.5, -0.5), (-0.5, 1, -0.5), (-0.5, -0.5, 1)]
_LEADS[6:, :3], _LEADS[6:, 4:] = -1 / 3, np.eye(6)


def twelve_leads(electrodes: Array) -> Array:
    """Leads I, II, III, aVR, aVL, aVF, V1 .. V6 of potentials at the electrodes: (10, ...) to (12, ...).

    Bipolar limb leads are Einthoven's, augmented ones Goldberger's, chest leads are against Wilson's terminal.
    """
    return np.tensordot(_LEADS, electrodes, axes=1)


@dataclass(frozen=True, slots=True)
class Torso:
    """Where the electrodes are about the heart.

    Attributes:
        places: (10, 3) of the electrodes, mm in the heart frame, from the middle of the heart.
    """

    places: Array

    @staticmethod
    def draw(rng: np.random.Generator, *, turn_deg: float = 5.0, shift_mm: float = 4.0, size: float = 0.03) -> Torso:
        """Draw how the heart lies in the chest, and place the electrodes.

        Args:
            rng: source of randomness; each parameter below is a standard deviation.
            turn_deg: of the heart about each axis.
            shift_mm: of the heart and, each by itself, of the electrodes.
            size: of the logarithm of the chest's size.
        """
        places = _PLACES_MM * np.exp(rng.normal(0, size)) + rng.normal(0, shift_mm, 3)
        places = places + rng.normal(0, shift_mm, places.shape)
        turn = Rotation.from_rotvec(rng.normal(0, turn_deg, 3), degrees=True).as_matrix()
        return Torso(places @ _heart_axes().T @ turn)


def _heart_axes() -> Array:
    """(3, 3) axes of the heart frame, one a row, in the body frame."""
    up = np.array(_UP) / np.linalg.norm(_UP)
    left = np.array(_LEFTWARD) - np.dot(_LEFTWARD, up) * up
    left /= np.linalg.norm(left)
    return np.stack([left, np.cross(up, left), up])


def lead_field(anatomy: Anatomy, torso: Torso) -> Array:
    """Potential at each electrode for one mV at one corner of one tetrahedron: (m, 4, 10).

    In an infinite medium the current density J = -G grad V of the heart makes the potential J . grad(1/r) / 4 pi,
    integrated over the heart (Plonsey and Barr, Bioelectricity, 2007, chapter 8).
    """
    centres = anatomy.points[heart_mesh().tets].mean(axis=1)
    way = torso.places + anatomy.points.mean(axis=0) - centres[:, None]
    pull = way / np.linalg.norm(way, axis=-1, keepdims=True) ** 3
    across = ACROSS * anatomy.gradients
    along = (ALONG - ACROSS) * np.einsum("mki,mi->mk", anatomy.gradients, anatomy.fibres)
    current = -(across + along[..., None] * anatomy.fibres[:, None]) * anatomy.volumes[:, None, None]
    return (np.matmul(current, np.swapaxes(pull, 1, 2)) / (4 * np.pi)).astype(np.float32)

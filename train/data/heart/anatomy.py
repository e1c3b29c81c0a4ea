"""Biventricular anatomies: shapes drawn by lot, nodes and fibres.

Heart frame, mm: x from the right ventricle to the left one, y from anterior to inferior, z from the apex to the base;
right-handed, its origin on the axis of the left ventricle at the height where it is widest. The left ventricle lies
between ellipsoids that the base cuts off; the right ventricle is an elliptic arc over the septum. Fibres follow rules
(Bayer et al., A novel rule-based algorithm for assigning myocardial fiber orientation to computational heart models,
Ann. Biomed. Eng. 40, 2012): a helix whose angle falls linearly from one wall to the other.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from ecg_trt.types import Array
from train.data.heart.mesh import LAYERS, LOWEST_RV_ROW, OTHER_COLUMNS, ROWS, SEPTAL_COLUMNS, heart_mesh

HELIX_DEG = 60.0  # at the endocardium; its negative at the epicardium
ALONG_M_PER_S, ACROSS_M_PER_S = 0.65, 0.30  # conduction velocity along and across fibres; mm/ms alike
_SEPTUM_DEG = 120.0  # of the circle, between the insertions of the right ventricle
_WARPS, _WARP_MM, _WARP_LENGTH_MM = 5, 1.5, (80.0, 160.0)  # sine waves; amplitude's deviation; wavelengths


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a heart.

    Attributes:
        lv_radius_mm: of the left cavity where it is widest.
        lv_length_mm: of the left cavity from there to the apex.
        base_mm: height of the base above there.
        lv_wall_mm: thickness of the left wall.
        apex_wall_mm: thickness at the apex.
        rv_depth_mm: of the right cavity, from the septum to the free wall at the base.
        rv_wall_mm: thickness of the right free wall.
        rv_turn_deg: by which the right ventricle is turned from the side to below.
        ovality: ratio of the radius along x to that along y.
    """

    lv_radius_mm: float = 23.0
    lv_length_mm: float = 52.0
    base_mm: float = 20.0
    lv_wall_mm: float = 9.5
    apex_wall_mm: float = 6.0
    rv_depth_mm: float = 32.0
    rv_wall_mm: float = 4.0
    rv_turn_deg: float = 25.0
    ovality: float = 1.0

    @staticmethod
    def draw(rng: np.random.Generator) -> Shape:
        """Draw the sizes by lot around the mean heart's."""
        mean = Shape()
        scale = np.exp(rng.normal(0, 0.06))
        drawn = {f.name: getattr(mean, f.name) * scale * np.exp(rng.normal(0, 0.08)) for f in fields(Shape)}
        return Shape(
            **{**drawn, "rv_turn_deg": rng.normal(mean.rv_turn_deg, 5.0), "ovality": np.exp(rng.normal(0, 0.05))}
        )


@dataclass(frozen=True, slots=True)
class Anatomy:
    """A heart at rest.

    Attributes:
        points: (n, 3) nodes of `heart_mesh`, mm in the heart frame.
        fibres: (m, 3) unit vectors of the tetrahedra.
        gradients: (m, 4, 3) of the corners' linear shape functions, 1/mm.
        volumes: (m,) mm3.
    """

    points: Array
    fibres: Array
    gradients: Array
    volumes: Array

    @staticmethod
    def of(points: Array) -> Anatomy:
        """Derive fibres, gradients and volumes from the nodes (n, 3)."""
        mesh = heart_mesh()
        corners = points[mesh.tets]
        edges = corners[:, 1:] - corners[:, :1]
        inverse = np.linalg.inv(edges)
        others = np.swapaxes(inverse, 1, 2)
        gradients = np.concatenate([-others.sum(axis=1, keepdims=True), others], axis=1)
        return Anatomy(points, _fibres(gradients), gradients, np.abs(np.linalg.det(edges)) / 6)

    def metric(self) -> Array:
        """(m, 3, 3) of the eikonal equation, ms2/mm2."""
        along = np.einsum("mi,mj->mij", self.fibres, self.fibres)
        return along / ALONG_M_PER_S**2 + (np.eye(3) - along) / ACROSS_M_PER_S**2


def mean_anatomy() -> Anatomy:
    """Build the heart of mean sizes, which is not warped: the one that maps are shown on."""
    return Anatomy.of(_nodes(Shape()))


def draw_anatomy(rng: np.random.Generator) -> Anatomy:
    """Draw sizes by lot, and bend the heart smoothly by a few sine waves."""
    points = _nodes(Shape.draw(rng))
    for _ in range(_WARPS):
        direction = rng.normal(size=3)
        wave = 2 * np.pi / rng.uniform(*_WARP_LENGTH_MM) * direction / np.linalg.norm(direction)
        points = points + rng.normal(0, _WARP_MM, 3) * np.sin(points @ wave + rng.uniform(0, 2 * np.pi))[:, None]
    return Anatomy.of(points)


def column_degrees() -> Array:
    """Give the angle of each column around the left ventricle: 0 is lateral, -90 anterior, falling from -120."""
    first = -180 + _SEPTUM_DEG / 2
    septal = np.linspace(first, first - _SEPTUM_DEG, SEPTAL_COLUMNS + 1)
    return np.concatenate([septal, np.linspace(septal[-1], first - 360, OTHER_COLUMNS + 1)[1:-1]])


def _nodes(shape: Shape) -> Array:
    """(n, 3) nodes of a heart that is not warped, mm."""
    mesh, points = heart_mesh(), np.zeros((heart_mesh().nodes, 3))
    angle = np.radians(column_degrees())
    depth = np.linspace(0, 1, LAYERS)[:, None, None]
    radius, length = shape.lv_radius_mm + depth * shape.lv_wall_mm, shape.lv_length_mm + depth * shape.apex_wall_mm
    polar = np.arccos(-shape.base_mm / length) * np.linspace(0, 1, ROWS)[None, :, None]
    ring = radius * np.sin(polar)
    lv = np.stack(np.broadcast_arrays(
        ring * np.cos(angle) * shape.ovality, ring * np.sin(angle), -length * np.cos(polar)
    ), axis=-1)  # fmt: skip
    points[mesh.lv.ravel()] = lv.reshape(-1, 3)
    points[mesh.rv_inner.ravel()] = _rv_wall(shape, lv[-1, LOWEST_RV_ROW:, : SEPTAL_COLUMNS + 1]).reshape(-1, 3)
    return points


def _rv_wall(shape: Shape, septum: Array) -> Array:
    """Nodes of the right free wall over the septum (rows, columns, 3), its borders left out: (2, rows, columns, 3)."""
    rows, columns = septum.shape[:2]
    turn = np.radians(shape.rv_turn_deg)
    outward = np.array([-np.cos(turn), np.sin(turn), 0.0])
    middle = (septum[:, :1] + septum[:, -1:]) / 2
    half = septum[:, :1] - middle
    bulge = np.linalg.norm(septum[:, columns // 2, None] - middle, axis=-1, keepdims=True)
    width = np.linalg.norm(half, axis=-1, keepdims=True)
    place = np.pi * np.linspace(0, 1, columns)[None, :, None]

    def arc(wider_mm: float) -> Array:
        deep = bulge + shape.rv_depth_mm + wider_mm
        return np.asarray(middle + np.cos(place) * half * (1 + wider_mm / width) + np.sin(place) * deep * outward)

    share = np.sin(np.pi / 2 * np.linspace(0, 1, rows))[:, None, None] ** 0.7
    endo = septum + share * (arc(0.0) - septum)
    return np.stack([endo, endo + arc(shape.rv_wall_mm) - arc(0.0)])[:, 1:, 1:-1]


def _fibres(gradients: Array) -> Array:
    """(m, 3) unit vectors along the fibres."""
    mesh = heart_mesh()
    out = _unit(np.einsum("mk,mki->mi", mesh.depth, gradients))
    up = np.einsum("mk,mki->mi", mesh.height, gradients)
    up = _unit(up - (up * out).sum(axis=1, keepdims=True) * out)
    around = np.cross(up, out)
    angle = np.radians(HELIX_DEG * (1 - 2 * mesh.depth.mean(axis=1)))[:, None]
    return np.cos(angle) * around + np.sin(angle) * up


def _unit(vectors: Array) -> Array:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)

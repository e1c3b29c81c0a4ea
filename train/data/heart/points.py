"""The 75 recording points: names and places as the public data set has them, on nodes of our mesh.

AHA01 to AHA17 lie on the endocardium of the left ventricle, in the middle of the segments of the American Heart
Association. RV01 to RV03, RV06 to RV08, RV11 and RV12 lie on the endocardium of the right free wall (basal, mid and
apical, from the anterior to the inferior border), RV04, RV05, RV09, RV10 and RV13 on the right side of the septum,
opposite AHA03, AHA02, AHA09, AHA08 and AHA14. EPI_ is the epicardium behind a point of a free wall, MID_ the mean of
both, SEPTM_ the mean of two points that face each other across the septum.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ecg_trt.types import Array
from train.data.heart.anatomy import column_degrees
from train.data.heart.mesh import LOWEST_RV_ROW, SEPTAL_COLUMNS, heart_mesh

_BASAL, _MID, _APICAL = 20, 14, 8  # rows of the mesh
_RING_DEG = (-90, -150, 150, 90, 30, -30)  # of AHA01 to AHA06 and of AHA07 to AHA12; 0 is lateral, -90 anterior
_APICAL_DEG = (-90, 180, 90, 0)  # of AHA13 to AHA16
_THREE, _TWO = (0.2, 0.5, 0.8), (0.33, 0.67)  # places along the right free wall, from its anterior border
_FACING = (("AHA02", "RV05"), ("AHA03", "RV04"), ("AHA08", "RV10"), ("AHA09", "RV09"), ("AHA14", "RV13"))
_SEPTAL = {name for pair in _FACING for name in pair}


@dataclass(frozen=True, slots=True)
class RecordingPoint:
    """A named place in the walls.

    Attributes:
        name: such as "AHA01", "RV03", "EPI_AHA01", "MID_RV02" or "SEPTM_AHA02_RV05".
        nodes: of the mesh; the place is their mean.
    """

    name: str
    nodes: tuple[int, ...]


@lru_cache(maxsize=1)
def recording_points() -> tuple[RecordingPoint, ...]:
    """List the points, in the order of the public data set."""
    endo, epi = _left_points()
    for names, row, places in (
        (("RV01", "RV02", "RV03"), _BASAL, _THREE),
        (("RV06", "RV07", "RV08"), _MID, _THREE),
        (("RV11", "RV12"), _APICAL, _TWO),
    ):
        for name, place in zip(names, places, strict=True):
            column = round(place * SEPTAL_COLUMNS)
            endo[name], epi[name] = (int(wall[row - LOWEST_RV_ROW, column]) for wall in heart_mesh().rv)
    inner = {**endo, **{right: epi[left] for left, right in _FACING}}
    free = [name for name in sorted(inner) if name not in _SEPTAL]
    return (
        *(RecordingPoint(name, (inner[name],)) for name in sorted(inner)),
        *(RecordingPoint(f"EPI_{name}", (epi[name],)) for name in free),
        *(RecordingPoint(f"MID_{name}", (endo[name], epi[name])) for name in free),
        *(RecordingPoint(f"SEPTM_{left}_{right}", (inner[left], inner[right])) for left, right in _FACING),
    )


def _left_points() -> tuple[dict[str, int], dict[str, int]]:
    """Nodes of AHA01 to AHA17 on the endocardium, and those across the wall."""
    lv, degrees = heart_mesh().lv, column_degrees()
    places = [(row, degree) for row in (_BASAL, _MID) for degree in _RING_DEG]
    places += [(_APICAL, degree) for degree in _APICAL_DEG] + [(0, 0)]
    columns = [int(np.argmin(np.abs((degrees - degree + 180) % 360 - 180))) for _, degree in places]
    walls: list[dict[str, int]] = [
        {
            f"AHA{k:02d}": int(wall[row, column])
            for k, ((row, _), column) in enumerate(zip(places, columns, strict=True), 1)
        }
        for wall in (lv[0], lv[-1])
    ]
    return walls[0], walls[1]


def point_weights() -> Array:
    """(75, n) of the nodes, each row summing to 1."""
    weights = np.zeros((len(recording_points()), heart_mesh().nodes))
    for row, point in zip(weights, recording_points(), strict=True):
        row[list(point.nodes)] = 1 / len(point.nodes)
    return weights

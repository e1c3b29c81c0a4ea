"""Detection of sheets of paper in a photo by brightness, colour and straight edges."""

from __future__ import annotations

from itertools import product

import cv2
import numpy as np

from ecg_trt.ops.base import ImageOps
from ecg_trt.stages.scaling import ALIGN_INPUT_PX, BESIDE_GREY
from ecg_trt.types import Array, Photo

_SHARES = np.linspace(0.12, 0.88, 9)  # Thresholds, as shares of a picture's range from the darkest to the lightest.
_LEAST_SPREAD = 6  # Least levels in that range; with fewer, nothing stands out.
_SMOOTH_PX, _GAP_PX, _SPECK_PX = 2.0, 5, 9  # Sigma of the blur, and gaps and specks that are closed or removed.
_LEAST_AREA, _MOST_AREA = 0.04, 0.9  # Shares of the picture that a sheet covers.
_LEAST_FILLED = 0.85  # Least ratio between the areas of an outline, its hull and its quadrilateral.
_STRAIGHTER = 4  # Exponent of that ratio in the score, which grows with the square root of the area.
_RIM_PX, _RIM_PENALTY = 3, 0.2  # Penalty on each corner at the picture's rim: it rather belongs to the table.
_SAME = 0.7  # Overlap at which two quadrilaterals are one sheet.
_ROUNDINGS = (0.01, 0.02, 0.03, 0.05, 0.08)  # Tolerances of an outline's polygon, tried until four corners are left.


def sheets_of(photo: Photo, ops: ImageOps, most: int) -> list[Array]:
    """Find sheets of paper in a photo by their edges.

    Args:
        photo: the photo.
        ops: pixel work.
        most: how many are wanted.

    Returns:
        Up to `most` of (4, 2) photo px, corners in order around it, the likeliest first.
    """
    scale = ALIGN_INPUT_PX / max(photo.image.shape[:2])
    hw = (round(photo.image.shape[0] * scale), round(photo.image.shape[1] * scale))
    small = ops.warp_homography(photo.image, np.diag([scale, scale, 1.0]), hw, fill=BESIDE_GREY)
    return [sheet / scale for sheet in find_sheets(ops.download(small)[0], most)]


def find_sheets(picture: Array, most: int) -> list[Array]:
    """Find patches that may be sheets of paper: they differ from their surroundings and have four straight sides.

    Args:
        picture: (H, W, 3) uint8 RGB, some hundred pixels wide.
        most: how many are wanted.

    Returns:
        Up to `most` of (4, 2) px, corners in order around it, the likeliest first.
    """
    size = picture.shape[0] * picture.shape[1]
    found: list[tuple[float, Array]] = []
    for patch in _patches(picture):
        for outline in cv2.findContours(patch, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]:
            area = cv2.contourArea(outline)
            if _LEAST_AREA * size < area < _MOST_AREA * size:
                hull = cv2.convexHull(outline)
                quad = _quadrilateral(hull)
                areas = area, cv2.contourArea(quad), cv2.contourArea(hull)
                filled = min(areas) / max(areas)
                at_rim = (np.minimum(quad, picture.shape[1::-1] - quad) <= _RIM_PX).any(1).sum()
                if filled > _LEAST_FILLED:
                    found.append((filled**_STRAIGHTER * np.sqrt(area / size) * (1 - _RIM_PENALTY * at_rim), quad))
    sheets: list[Array] = []
    for _, quad in sorted(found, key=lambda f: -f[0]):
        if len(sheets) < most and all(_overlap(quad, other) < _SAME for other in sheets):
            sheets.append(quad)
    return sheets


def _patches(picture: Array) -> list[Array]:
    """Threshold lightness and both colour axes at several levels: masks (H, W) uint8 of patches on either side."""
    lab = cv2.cvtColor(cv2.medianBlur(picture, 5), cv2.COLOR_RGB2LAB)
    patches = []
    for plane in cv2.split(cv2.GaussianBlur(lab, (0, 0), _SMOOTH_PX)):
        low, high = np.percentile(plane, (2, 98))
        if high - low < _LEAST_SPREAD:
            continue
        for share, is_above in product(_SHARES, (True, False)):
            patch = ((plane > low + share * (high - low)) == is_above).astype(np.uint8)
            patch = cv2.morphologyEx(patch, cv2.MORPH_CLOSE, np.ones((_GAP_PX, _GAP_PX)))
            patches.append(cv2.morphologyEx(patch, cv2.MORPH_OPEN, np.ones((_SPECK_PX, _SPECK_PX))))
    return patches


def _quadrilateral(hull: Array) -> Array:
    """Corners (4, 2) float32 of a hull if it has four, else of the least rectangle around it."""
    length = cv2.arcLength(hull, True)
    for rounding in _ROUNDINGS:
        corners = cv2.approxPolyDP(hull, rounding * length, True)
        if len(corners) == 4:
            return np.asarray(corners[:, 0], np.float32)
    return np.asarray(cv2.boxPoints(cv2.minAreaRect(hull)), np.float32)


def _overlap(a: Array, b: Array) -> float:
    """Area that two quadrilaterals share, of the area that they cover together."""
    shared = cv2.intersectConvexConvex(a, b)[0]
    return float(shared / (cv2.contourArea(a) + cv2.contourArea(b) - shared))

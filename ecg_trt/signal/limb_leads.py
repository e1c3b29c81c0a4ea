"""Consistency of the limb leads: by Einthoven's and Goldberger's laws, six leads have two degrees of freedom."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np

from ecg_trt.errors import OptionError
from ecg_trt.layout import LEADS
from ecg_trt.types import Array

# From (I, II): III = II - I, aVR = -(I + II) / 2, aVL = I - II / 2, aVF = II - I / 2.
LIMB_FROM_DIPOLE = np.array([[1, 0], [0, 1], [-1, 1], [-0.5, -0.5], [1, -0.5], [-0.5, 1]], np.float64)
LIMB = 6  # Number of limb leads, which stand first in `LEADS`.
_LEAST_SAMPLES = 100  # Samples that leads must share for a residual to be measured.
_SHARED = 0.5  # Least share of samples of a lead that takes part.
# Least residual of a sample that is not the lead's own: mV, and as a multiple of the median.
_INCONSISTENT_MV, _INCONSISTENT_RATIO = 0.15, 6.0


def limb_residual(signal: Array) -> float:
    """Einthoven residual of leads I, II and III where the page prints them together.

    Args:
        signal: (12, n) mV in the order of `LEADS`, NaN = not printed; not yet blended, or it is zero by construction.

    Returns:
        RMS of I + III - II over the RMS of the three, each less its mean; NaN where fewer than 100 samples are shared.
    """
    limb = np.asarray(signal[:3], np.float64)
    limb = limb[:, np.isfinite(limb).all(0)]
    if limb.shape[1] < _LEAST_SAMPLES:
        return float("nan")
    limb = limb - limb.mean(1, keepdims=True)
    return float(np.sqrt(np.mean((limb[0] + limb[2] - limb[1]) ** 2) / max(float(np.mean(limb**2)), 1e-12)))


def einthoven_residual(limb: Array) -> float:
    """Residual energy of the limb leads beyond Einthoven's and Goldberger's laws, as a share of their energy.

    Args:
        limb: (6, n) mV or mm in the order of `LEADS`, as they are printed together, NaN = not printed.

    Returns:
        NaN where fewer than three leads share 100 samples.
    """
    seen = np.isfinite(limb)
    leads = np.flatnonzero(seen.mean(1) > _SHARED)
    x = np.asarray(limb[leads], np.float64)[:, seen[leads].all(0)]
    if len(leads) < 3 or x.shape[1] < _LEAST_SAMPLES:
        return float("nan")
    x = x - x.mean(1, keepdims=True)
    unexplained = _off_model_of(tuple(leads.tolist())) @ x
    return float(np.sum(unexplained**2) / max(np.sum(x**2), 1e-12))


def inconsistent_borders(limb: Array, reach: int) -> Array:
    """Mask samples at the ends of printed limb leads that belong to a neighbour, a pulse or a separator.

    The sums I - II + III and aVR + aVL + aVF are zero by Einthoven's and Goldberger's laws. The masked samples are
    those from an end on where a sum is far from zero.

    Args:
        limb: (6, n) mV in the order of `LEADS`, as they are printed together, NaN = not printed.
        reach: samples at each end that are looked at.

    Returns:
        (6, n) bool.
    """
    out = np.zeros(limb.shape, bool)
    for rows, signs in ((slice(0, 3), (1, -1, 1)), (slice(3, 6), (1, 1, 1))):
        off = np.array(signs) @ limb[rows]
        printed = np.flatnonzero(np.isfinite(off))
        if len(printed) < max(_LEAST_SAMPLES, 4 * reach):
            continue
        off = off - np.nanmedian(off)
        wrong = np.abs(off) > max(_INCONSISTENT_MV, _INCONSISTENT_RATIO * float(np.nanmedian(np.abs(off))))
        for end in (printed[:reach], printed[: -reach - 1 : -1]):
            right = np.flatnonzero(~wrong[end])
            out[rows, end[: right[0] if len(right) else reach]] = True
    return out


def blend_limb_leads(signal: Array, weight: Array, *, gross_mv: float = 0.25) -> Array:
    """Project limb leads that are printed together onto the dipole model, each moving as little as its weight demands.

    At every sample the finite limb leads F, if there are three or more, are projected onto the span of the
    dipole model D_F in the metric of the weights: x' = D_F (D_F' W D_F)^-1 D_F' W x, which equals x - W^-1 A'
    (A W^-1 A')^-1 A x with A the null space of D_F'. A lead's constant offset is arbitrary, so the median
    correction over each block (a stretch in which the same leads are finite) is left out, and no lead gets a
    step. A block in which any lead would move by more than `gross_mv` RMS stays as it is: a lead has a gross error,
    and blending would spread it.

    Args:
        signal: (12, n) mV in the order of `LEADS`, NaN = not printed.
        weight: (12,) trust in each lead, above zero; leads of weight zero or NaN take no part.
        gross_mv: limit of a block's RMS correction, mV.

    Returns:
        (12, n), same dtype as the signal (float64 for integers).

    Raises:
        OptionError: shapes other than (12, n) and (12,).
    """
    x = np.asarray(signal)
    trust = np.asarray(weight, np.float64)
    if x.ndim != 2 or x.shape[0] != len(LEADS) or trust.shape != (len(LEADS),):
        raise OptionError(
            "Limb leads cannot be blended",
            got=f"signal {x.shape} and weights {trust.shape}",
            expected="(12, n) and (12,)",
            hint="Pass twelve leads in the order I II III aVR aVL aVF V1..V6.",
        )
    out = x.astype(x.dtype if np.issubdtype(x.dtype, np.floating) else np.float64)
    limb = x[:LIMB].astype(np.float64)
    takes_part = np.isfinite(limb) & (trust[:LIMB] > 0)[:, None]
    pattern = (1 << np.arange(LIMB)) @ takes_part.astype(np.int64)
    edges = np.concatenate([[0], np.flatnonzero(np.diff(pattern)) + 1, [x.shape[1]]])
    for start, end in pairwise(edges):
        if start == end:
            continue
        leads = np.flatnonzero(takes_part[:, start])
        if leads.size < 3:
            continue
        correction = _off_model(leads, trust[leads]) @ limb[leads, start:end]
        correction -= np.median(correction, axis=1, keepdims=True)
        if np.sqrt(np.mean(correction**2, axis=1)).max() <= gross_mv:
            out[leads, start:end] = limb[leads, start:end] - correction
    return out


@cache
def _off_model_of(leads: tuple[int, ...]) -> Array:
    """Projector `_off_model` of leads of equal weight."""
    return _off_model(np.array(leads), np.ones(len(leads)))


def _off_model(leads: Array, trust: Array) -> Array:
    """Projector (F, F) onto the part of the leads that the dipole model cannot explain."""
    model = LIMB_FROM_DIPOLE[leads]
    weighted = model.T * (trust / trust.max())
    return np.asarray(np.eye(len(leads)) - model @ np.linalg.solve(weighted @ model, weighted))

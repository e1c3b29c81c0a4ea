"""Consistency of the limb leads: by Einthoven's and Goldberger's laws, six leads have two degrees of freedom."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np

from ecg_trt.errors import OptionError
from ecg_trt.layout import LEADS
from ecg_trt.types import Array, LimbLeadCheck

# From (I, II): III = II - I, aVR = -(I + II) / 2, aVL = I - II / 2, aVF = II - I / 2.
LIMB_FROM_DIPOLE = np.array([[1, 0], [0, 1], [-1, 1], [-0.5, -0.5], [1, -0.5], [-0.5, 1]], np.float64)
LIMB = 6  # Number of limb leads, which stand first in `LEADS`.
_LEAST_SAMPLES = 100  # Samples that leads must share for a residual to be measured.
_SHARED = 0.5  # Least share of samples of a lead that takes part.
# Errors of reading: as a share of the leads' size, and at least in mV; residual of leads of different times.
_READ_ERROR, _NOISE_MV, _OTHER_TIME = 0.25, 0.02, 0.8
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


def blend_limb_leads(
    signal: Array, in_columns: Array, trust: Array, fs: float, *, blends: bool = True
) -> tuple[Array, tuple[LimbLeadCheck, ...]]:
    """Make the limb leads consistent that are printed together, where they show one time and were read rightly.

    In each block, a stretch in which the same leads are printed, the leads F are projected onto the span of the dipole
    model D_F in the metric of the weights: x' = D_F (D_F' W D_F)^-1 D_F' W x, which equals x - W^-1 A' (A W^-1 A')^-1 A
    x with A the null space of D_F'. A lead's error grows with its waves, so that its weight is its trust over its mean
    square. A lead's constant offset is arbitrary, so the median correction over a block is left out, and no lead gets
    a step.

    A rhythm strip may show another time than the columns, and a lead may be read wrongly or carry a wrong name: the
    most leads are taken that contradict each other less than leads of different times would (see `_consistency`),
    those of the columns before others. Where no three do, all stay as they are.

    Args:
        signal: (12, n) mV in the order of `LEADS`, NaN = not printed.
        in_columns: (12, n), likewise, without the rhythm strips.
        trust: (12,) in each lead; leads of trust zero or NaN take no part.
        fs: Hz.
        blends: whether the leads are changed, or only checked.

    Returns:
        (12, n), same dtype as the signal (float64 for integers), and the check of each block.

    Raises:
        OptionError: shapes other than (12, n), (12, n) and (12,).
    """
    x, columns, sure = np.asarray(signal), np.asarray(in_columns), np.nan_to_num(np.asarray(trust, np.float64))
    if x.ndim != 2 or x.shape[0] != len(LEADS) or columns.shape != x.shape or sure.shape != (len(LEADS),):
        raise OptionError(
            "Limb leads cannot be blended",
            got=f"signals {x.shape} and {columns.shape}, trust {sure.shape}",
            expected="(12, n) twice, and (12,)",
            hint="Pass twelve leads in the order I II III aVR aVL aVF V1..V6.",
        )
    out = x.astype(x.dtype if np.issubdtype(x.dtype, np.floating) else np.float64)
    printed = np.isfinite(x[:LIMB]) & (sure[:LIMB] > 0)[:, None]
    beside = printed & (x[:LIMB] == columns[:LIMB])
    pattern = (1 << np.arange(2 * LIMB)) @ np.concatenate([printed, beside]).astype(np.int64)
    edges = np.concatenate([[0], np.flatnonzero(np.diff(pattern)) + 1, [x.shape[1]]])
    checks = []
    for start, end in pairwise(edges):
        all_leads, together = (tuple(np.flatnonzero(mask[:, start]).tolist()) for mask in (printed, beside))
        if len(all_leads) < 3 or end - start < _LEAST_SAMPLES:
            continue
        limb = x[:LIMB, start:end].astype(np.float64)
        leads, residual = _consistent_leads(limb, all_leads, together)
        names = tuple(LEADS[k] for k in leads or all_leads)
        checks.append(LimbLeadCheck(float(start / fs), float(end / fs), names, residual, blends and bool(leads)))
        if leads and blends:
            chosen = list(leads)
            weight = sure[chosen] / (limb[chosen].var(1) + _NOISE_MV**2)
            correction = _off_model(np.array(chosen), weight) @ limb[chosen]
            correction -= np.median(correction, axis=1, keepdims=True)
            out[chosen, start:end] = limb[chosen] - correction
    return out, tuple(checks)


def _consistent_leads(
    limb: Array, all_leads: tuple[int, ...], together: tuple[int, ...]
) -> tuple[tuple[int, ...], float]:
    """Choose the leads of a block (6, n) that are of one time; none, and the residual of all, where no three are."""
    candidates = [all_leads, together]
    if len(together) > 3:
        candidates += [tuple(k for k in together if k != left_out) for left_out in together]
    rated = [(leads, *_consistency(limb, leads)) for leads in dict.fromkeys(candidates) if len(leads) >= 3]
    right = [(leads, residual) for leads, residual, log_odds in rated if log_odds > 0]
    if not right:
        return (), rated[0][1]
    return max(right, key=lambda one: (len(one[0]), -one[1]))


def _consistency(limb: Array, leads: tuple[int, ...]) -> tuple[float, float]:
    """Compute the residual of some leads of a block, and the log-odds that they are of one time.

    The residual is the RMS of what the dipole model cannot explain, over that of leads that have nothing to do with
    each other, which leave F - 2 of their F dimensions unexplained. It is taken to be normally distributed, a sample
    at a time: by errors of reading if the leads are of one time, by their own size if they are not.
    """
    x = limb[list(leads)]
    x = x - x.mean(1, keepdims=True)
    power = max(float(np.mean(x**2)), 1e-12)
    unexplained = float(np.mean((_off_model_of(leads) @ x) ** 2)) * len(leads) / (len(leads) - 2) / power
    read, other = _READ_ERROR**2 + _NOISE_MV**2 / power, _OTHER_TIME**2
    log_odds = 0.5 * (np.log(other / read) + unexplained * (1 / other - 1 / read))
    return float(np.sqrt(unexplained)), float(log_odds)


@cache
def _off_model_of(leads: tuple[int, ...]) -> Array:
    """Projector `_off_model` of leads of equal weight."""
    return _off_model(np.array(leads), np.ones(len(leads)))


def _off_model(leads: Array, trust: Array) -> Array:
    """Projector (F, F) onto the part of the leads that the dipole model cannot explain."""
    model = LIMB_FROM_DIPOLE[leads]
    weighted = model.T * (trust / trust.max())
    return np.asarray(np.eye(len(leads)) - model @ np.linalg.solve(weighted @ model, weighted))

"""Limb leads are made consistent where they are of one time, and left as printed where they are not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecg_trt.errors import OptionError
from ecg_trt.layout import LEADS
from ecg_trt.signal.limb_leads import LIMB_FROM_DIPOLE, blend_limb_leads, limb_residual
from ecg_trt.types import Array


def _blended(x: Array, trust: Array) -> Array:
    return blend_limb_leads(x, x, trust, 500.0)[0]


def limb_record(n: int = 2500) -> np.ndarray:
    t = np.arange(n) / 500
    dipole = np.stack([np.sin(7 * t), np.cos(11 * t) + 0.3 * np.sin(50 * t)])
    return np.vstack([LIMB_FROM_DIPOLE @ dipole, np.ones((6, n))])


@given(st.integers(0, 1000), st.sets(st.integers(0, 5), min_size=0, max_size=6))
@settings(max_examples=30, deadline=None)
def test_consistent_leads_stay(seed: int, printed: set[int]) -> None:
    rng, x = np.random.default_rng(seed), limb_record()
    x[:6] += rng.normal(0, 2, (6, 1))  # offsets are arbitrary
    x[[k for k in range(6) if k not in printed], 500:1500] = np.nan
    out = _blended(x, rng.uniform(0.1, 1, 12))
    assert np.allclose(out, x, atol=1e-9, equal_nan=True)


def test_blending_is_the_weighted_projection() -> None:
    rng, x = np.random.default_rng(3), limb_record()
    trust = rng.uniform(0.2, 1, 12)
    noisy = x.copy()
    noisy[:6] += rng.normal(0, 0.05, (6, 2500))
    out = _blended(noisy, trust)
    assert np.linalg.norm(out - x) < 0.75 * np.linalg.norm(noisy - x)
    # The closed form with the null space of the model, up to the constants that are left alone.
    law = np.linalg.svd(LIMB_FROM_DIPOLE.T)[2][2:]
    inverse = np.diag((noisy[:6].var(1) + 0.02**2) / trust[:6])
    step = inverse @ law.T @ np.linalg.pinv(law @ inverse @ law.T) @ law @ noisy[:6]
    assert np.allclose(out[:6], noisy[:6] - step + np.median(step, axis=1, keepdims=True))
    broken = law @ out[:6]
    assert np.ptp(broken, axis=1).max() < 1e-9
    assert np.array_equal(out[6:], noisy[6:])


def test_three_leads_follow_einthoven_and_two_are_left() -> None:
    rng, x = np.random.default_rng(4), limb_record().astype(np.float32)
    x[:6] += rng.normal(0, 0.02, (6, 2500)).astype(np.float32)
    x[3:6] = np.nan
    x[2, 1250:] = np.nan
    out = _blended(x, np.ones(12))
    assert out.dtype == np.float32
    assert np.ptp((out[0] + out[2] - out[1])[:1250]) < 1e-5
    assert np.array_equal(out[:, 1250:], x[:, 1250:], equal_nan=True)


def test_a_misread_lead_is_not_spread() -> None:
    rng, x = np.random.default_rng(5), limb_record()
    x[:6] += rng.normal(0, 0.02, (6, 2500))
    x[2] = np.roll(x[2], 300)
    out, (check,) = blend_limb_leads(x, x, np.ones(12), 500.0)
    assert np.array_equal(out[2], x[2])
    assert check.leads == ("I", "II", "aVR", "aVL", "aVF") and check.is_blended and check.residual < 0.1
    assert (check.start_s, check.end_s) == (0.0, 5.0)
    assert np.ptp(out[0] - out[1] / 2 - out[4]) < 1e-9  # aVL = I - II / 2


def test_three_leads_that_contradict_each_other_stay_as_printed() -> None:
    x = limb_record()
    x[3:6] = np.nan
    x[1] = np.roll(x[1], 450)
    out, (check,) = blend_limb_leads(x, x, np.ones(12), 500.0)
    assert np.array_equal(out, x, equal_nan=True)
    assert check.leads == ("I", "II", "III") and not check.is_blended and check.residual > 0.5


def test_small_leads_are_judged_by_their_own_size() -> None:
    x = 0.05 * limb_record()
    x[3:6] = np.nan
    x[1] = np.roll(x[1], 450)
    out, (check,) = blend_limb_leads(x, x, np.ones(12), 500.0)
    assert np.array_equal(out, x, equal_nan=True) and not check.is_blended


def test_a_rhythm_strip_of_another_time_is_left_out() -> None:
    x = limb_record()
    x[[0, 2]] = np.nan  # aVR, aVL and aVF in a column, over II of another time
    columns = x.copy()
    columns[1] = np.nan
    x[1] = np.roll(x[1], 700)
    rng = np.random.default_rng(6)
    noise = rng.normal(0, 0.02, (3, 2500))
    x[3:6] += noise
    columns[3:6] += noise
    out, (check,) = blend_limb_leads(x, columns, np.ones(12), 500.0)
    assert check.leads == ("aVR", "aVL", "aVF") and check.is_blended
    assert np.array_equal(out[1], x[1])
    assert np.ptp(out[3] + out[4] + out[5]) < 1e-9


def test_blending_can_be_left_out() -> None:
    rng, x = np.random.default_rng(7), limb_record()
    x[:6] += rng.normal(0, 0.05, (6, 2500))
    out, (check,) = blend_limb_leads(x, x, np.ones(12), 500.0, blends=False)
    assert np.array_equal(out, x)
    assert check.leads == LEADS[:6] and not check.is_blended and 0.01 < check.residual < 0.2


def test_shapes_are_checked() -> None:
    x = limb_record()
    with pytest.raises(OptionError, match="12, n"):
        blend_limb_leads(x[:5], x[:5], np.ones(12), 500.0)


def test_limb_residual() -> None:
    x = limb_record()
    assert limb_residual(x) < 1e-9
    x[2] = -x[2]
    assert limb_residual(x) > 0.5
    x[0] = np.nan
    assert np.isnan(limb_residual(x))

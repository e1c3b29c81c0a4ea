from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecg_trt.errors import OptionError, PageError
from ecg_trt.geometry.homography import apply_homography, fit_homography, jacobian, letterbox


def tilted(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    angle, scale = rng.uniform(-np.pi, np.pi), rng.uniform(0.05, 20)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * scale
    h = np.eye(3)
    h[:2, :2], h[:2, 2] = turn @ (np.eye(2) + rng.uniform(-0.2, 0.2, (2, 2))), rng.uniform(-500, 500, 2)
    h[2, :2] = rng.uniform(-2e-3, 2e-3, 2)
    return h


def test_translation_and_division() -> None:
    h = np.array([[2.0, 0, 1], [0, 4, 2], [0, 0, 2]])
    assert np.allclose(apply_homography(h, np.array([[1, 1], [0, 0]])), [[1.5, 3], [0.5, 1]])
    assert not np.isfinite(apply_homography(np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0.0]]), np.array([[0, 1.0]]))).all()


@pytest.mark.parametrize(("src", "dst"), [((300, 400), (600, 800)), ((1000, 500), (256, 256)), ((7, 9), (31, 20))])
def test_letterbox_keeps_corners_and_centre(src: tuple[int, int], dst: tuple[int, int]) -> None:
    h = letterbox(src, dst)
    corners = apply_homography(h, np.array([[-0.5, -0.5], [src[1] - 0.5, src[0] - 0.5]]))
    size = corners[1] - corners[0]
    assert np.allclose(size / size[0], [1, src[0] / src[1]])
    assert np.isclose(max(size[0] / dst[1], size[1] / dst[0]), 1)
    assert np.allclose(corners.mean(0), [dst[1] / 2 - 0.5, dst[0] / 2 - 0.5])


def test_letterbox_refuses_nothing() -> None:
    with pytest.raises(OptionError):
        letterbox((0, 3), (4, 4))


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_jacobian_is_the_difference_quotient(seed: int) -> None:
    h, eps = tilted(seed), 1e-4
    xy = np.random.default_rng(seed).uniform(0, 100, (3, 4, 2))
    quotient = [(apply_homography(h, xy + eps * e) - apply_homography(h, xy - eps * e)) / (2 * eps) for e in np.eye(2)]
    assert np.allclose(jacobian(h, xy), np.stack(quotient, -1), rtol=1e-5, atol=1e-6)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_fit_survives_outliers(seed: int) -> None:
    rng, h = np.random.default_rng(seed), tilted(seed)
    src = rng.uniform(0, 100, (60, 2))
    dst = apply_homography(h, src)
    size = float(np.ptp(dst, axis=0).max())
    bad = rng.random(60) < 0.4
    dst[bad] += rng.choice([-1, 1], (bad.sum(), 2)) * rng.uniform(0.05, 0.5, (bad.sum(), 2)) * size
    fit = fit_homography(src, dst, threshold=0.005 * size)
    assert np.array_equal(fit.inlier, ~bad)
    assert fit.residual[~bad].max() < 1e-7 * size
    assert np.allclose(apply_homography(fit.dst_from_src, src[~bad]), dst[~bad], atol=1e-6 * size)
    again = fit_homography(src, dst, threshold=0.005 * size)
    assert np.array_equal(fit.dst_from_src, again.dst_from_src)


def test_four_points_are_exact_and_nan_is_no_inlier() -> None:
    h = tilted(3)
    src = np.array([[0, 0], [100, 0], [100, 80], [0, 80], [np.nan, 1]])
    fit = fit_homography(src, apply_homography(h, src), threshold=1.0)
    assert fit.inlier.tolist() == [True] * 4 + [False]
    assert np.isinf(fit.residual[4])
    assert np.allclose(fit.dst_from_src, h / h[2, 2], atol=1e-6)


def test_least_squares_beats_the_sample_and_heeds_weights() -> None:
    rng = np.random.default_rng(1)
    src = rng.uniform(0, 100, (400, 2))
    dst = src * 3 + rng.normal(0, 0.5, src.shape)
    fit = fit_homography(src, dst, threshold=3.0)
    assert np.linalg.norm(apply_homography(fit.dst_from_src, src) - src * 3, axis=1).max() < 0.3
    shifted = np.vstack([src * 3, src * 3 + [1.0, 0]])
    weights = np.repeat([1.0, 3.0], 400)
    fit = fit_homography(np.vstack([src, src]), shifted, threshold=3.0, weights=weights)
    assert np.allclose(apply_homography(fit.dst_from_src, np.array([[50, 50]])), [[150.75, 150]], atol=1e-3)


@pytest.mark.parametrize(
    "src",
    [
        np.zeros((3, 2)),
        np.zeros((9, 2)),
        np.column_stack([np.arange(9), 2 * np.arange(9)]),
        np.full((9, 2), np.nan),
    ],
)
def test_degenerate_points_are_refused(src: np.ndarray) -> None:
    with pytest.raises(PageError, match="plane"):
        fit_homography(src, src, threshold=1.0)


def test_bad_arguments_are_refused() -> None:
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]])
    for arguments in ({"threshold": 0.0}, {"threshold": 1.0, "weights": np.ones(3)}):
        with pytest.raises(OptionError):
            fit_homography(square, square, **arguments)  # type: ignore[arg-type]
    with pytest.raises(OptionError):
        fit_homography(square, square[:3], threshold=1.0)

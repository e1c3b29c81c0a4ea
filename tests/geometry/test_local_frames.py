from __future__ import annotations

import numpy as np
import pytest

from ecg_trt.errors import OptionError
from ecg_trt.geometry.energy import GridEnergy, add_bending
from ecg_trt.geometry.homography import apply_homography, jacobian
from ecg_trt.geometry.local_frames import integrate_frames

ROWS, COLS, PITCH = 30, 22, 16.0


def grid() -> np.ndarray:
    return np.stack(np.meshgrid(np.arange(COLS), np.arange(ROWS)), -1) * PITCH + 7.5


def centred(page: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.where(mask[..., None], page - np.median(page[mask], axis=0), np.nan)


def test_affine_is_exact_on_a_ragged_mask() -> None:
    xy, rng = grid(), np.random.default_rng(0)
    mask = rng.random((ROWS, COLS)) < 0.8
    matrix = np.array([[0.1, 0.02], [-0.03, 0.12]])
    jac = np.where(mask[..., None, None], matrix, np.nan)
    expected = centred(xy @ matrix.T, mask)
    for places in (xy, xy.reshape(-1, 2), xy[mask]):
        page = integrate_frames(places, mask, jac, np.ones(mask.shape))
        assert np.allclose(page, expected, atol=1e-6, equal_nan=True)


def test_homography_within_the_rules_error_and_weights() -> None:
    xy = grid()
    h = np.array([[0.1, 0.01, 3], [-0.02, 0.12, 1], [1e-4, -2e-4, 1]])
    jac, mask, weight = jacobian(h, xy), np.ones((ROWS, COLS), bool), np.ones((ROWS, COLS))
    page = integrate_frames(xy, mask, jac, weight)
    assert np.abs(page - centred(apply_homography(h, xy), mask)).max() < 0.02
    jac[10, 10] *= 5
    weight[10, 10] = 0
    spoiled = integrate_frames(xy, mask, jac, weight)
    away = np.ones_like(mask)
    away[10, 10] = False
    assert np.abs((spoiled - page)[away]).max() < 0.02


def test_islands_share_one_frame() -> None:
    xy, mask = grid(), np.ones((ROWS, COLS), bool)
    mask[:, 8:11] = False
    page = integrate_frames(xy, mask, np.broadcast_to(np.eye(2) * 0.1, (ROWS, COLS, 2, 2)), np.ones(mask.shape))
    assert np.allclose(page, centred(xy * 0.1, mask), atol=1e-5, equal_nan=True)


def test_bad_frames_are_refused() -> None:
    mask = np.ones((3, 4), bool)
    jac = np.zeros((3, 4, 2, 2))
    with pytest.raises(OptionError):
        integrate_frames(np.zeros((3, 4, 2)), mask, jac[:2], np.ones((3, 4)))
    with pytest.raises(OptionError):
        integrate_frames(np.zeros((3, 4, 2)), mask & False, jac, np.ones((3, 4)))
    with pytest.raises(OptionError):
        integrate_frames(np.zeros((5, 2)), mask, jac, np.ones((3, 4)))


@pytest.mark.parametrize("shape", [(7, 5), (5, 7), (1, 6), (6, 1), (2, 2)])
def test_energy_equals_dense_least_squares(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(2)
    target, weight = rng.normal(size=(*shape, 2)), rng.uniform(0.1, 2, shape)
    energy = GridEnergy(*shape, reach=2)
    add_bending(energy, 0.7)
    energy.add([(0, 0)], [1.0], weight, target)
    u = energy.minimise()

    rows, sides = [], []
    at = np.arange(np.prod(shape)).reshape(shape)

    def equation(cells: list[int], coefs: list[float], w: float, t: np.ndarray) -> None:
        line = np.zeros(at.size)
        line[cells] = coefs
        rows.append(line * np.sqrt(w))
        sides.append(t * np.sqrt(w))

    for r in range(shape[0]):
        for c in range(shape[1]):
            equation([at[r, c]], [1.0], weight[r, c], target[r, c])
            if c + 2 < shape[1]:
                equation([at[r, c], at[r, c + 1], at[r, c + 2]], [1, -2, 1], 0.7, np.zeros(2))
            if r + 2 < shape[0]:
                equation([at[r, c], at[r + 1, c], at[r + 2, c]], [1, -2, 1], 0.7, np.zeros(2))
            if r + 1 < shape[0] and c + 1 < shape[1]:
                cells = [at[r, c], at[r, c + 1], at[r + 1, c], at[r + 1, c + 1]]
                equation(cells, [1, -1, -1, 1], 1.4, np.zeros(2))
    expected = np.linalg.lstsq(np.array(rows), np.array(sides), rcond=None)[0]
    assert np.allclose(u.reshape(-1, 2), expected)

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ecg_trt.geometry.homography import apply_homography, turn_about
from ecg_trt.geometry.lines import line_angle


def _ruled(angle_deg: float, step: int = 15) -> np.ndarray:
    sheet = np.full((700, 700), 230, np.uint8)
    sheet[::step], sheet[:, ::step] = 120, 120
    turn = cv2.getRotationMatrix2D((349.5, 349.5), -angle_deg, 1.0)  # OpenCV counts the other way
    return cv2.warpAffine(sheet, turn, (700, 700), flags=cv2.INTER_AREA, borderValue=230)[150:550, 150:550]


@pytest.mark.parametrize("angle", [-30.0, -8.0, -0.5, 0.0, 3.0, 20.0, 40.0])
def test_ruling_is_measured(angle: float) -> None:
    found, coherence = line_angle(_ruled(angle))
    assert np.rad2deg(found) == pytest.approx(angle, abs=0.4)
    assert coherence > 0.3


def test_noise_has_no_ruling() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (400, 400), np.uint8)
    assert line_angle(noise)[1] < 0.1
    assert line_angle(np.full((50, 50), 200, np.uint8))[1] < 0.1


def test_turn_about_keeps_its_centre_and_turns_x_towards_y() -> None:
    turn = turn_about(np.deg2rad(90), (3.0, 4.0))
    np.testing.assert_allclose(apply_homography(turn, np.array([[3.0, 4.0], [5.0, 4.0]])), [[3, 4], [3, 6]], atol=1e-12)

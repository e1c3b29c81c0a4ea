"""The photo at a size for pictures."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest

from ecg_trt.ops.base import ImageOps
from ecg_trt.ops.cuda_ops import CudaOps
from ecg_trt.ops.cv2_ops import Cv2Ops
from ecg_trt.ops.photo_view import VIEW_PX, view_of
from ecg_trt.types import Array
from tests.conftest import picture


def centre_of(image: Array) -> Array:
    """Centre (x, y) of what is bright."""
    y, x = np.nonzero(image[..., 0] > 127)
    return np.array([x.mean(), y.mean()])


@pytest.mark.parametrize("hw", [(1500, 3000), (4000, 1000)])
def test_a_large_photo_is_reduced(hw: tuple[int, int]) -> None:
    image = np.zeros((*hw, 3), np.uint8)
    image[300:420, 600:780] = 255
    view = view_of(Cv2Ops(), image)
    assert max(view.image.shape) == VIEW_PX == round(view.scale * max(hw))
    np.testing.assert_allclose(centre_of(view.image), view.points(centre_of(image)), atol=0.3)


def test_a_small_photo_stays_as_it_is() -> None:
    image = picture()
    view = view_of(Cv2Ops(), image)
    assert view.scale == 1.0
    assert np.array_equal(view.image, image)
    assert np.array_equal(view.points(np.array([3.0, 4.0])), [3.0, 4.0])


def test_the_gpu_s_view_is_the_cpu_s(gpu: CudaOps) -> None:
    image = picture(2000, 1500)
    expected, got = view_of(Cv2Ops(), image), view_of(cast(ImageOps, gpu), image)
    assert got.scale == expected.scale
    assert np.abs(got.image.astype(int) - expected.image).max() <= 1

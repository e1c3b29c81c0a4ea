from __future__ import annotations

import numpy as np
import pytest

from ecg_trt.geometry.grid import dense_map, grid_taps
from ecg_trt.ops.reduction import reduction_of_grid, reduction_of_map
from tests.ops.parity import bent_nodes


@pytest.mark.parametrize("pitch", [20.0, 61.0, 170.0])
@pytest.mark.parametrize("hw", [(60, 80), (200, 333), (1, 9), (1, 1)])
def test_the_lattice_tells_the_step_of_its_map(pitch: float, hw: tuple[int, int]) -> None:
    nodes, photo_hw = bent_nodes(6, 8, pitch, 0.05), (int(4 * pitch), int(9 * pitch))
    frame = (5.0, (2.0, 1.0), (max(hw[1] / 30, 0.7), max(hw[0] / 20, 0.7)), hw)
    places = dense_map(nodes, *frame)
    seen = np.all((places >= -0.5) & (places <= np.array(photo_hw[::-1]) - 0.5), axis=-1)
    assert reduction_of_grid(grid_taps(nodes, *frame), photo_hw) == reduction_of_map(places, seen)

"""Options are checked at the door."""

from __future__ import annotations

import pytest

from ecg_trt.config import ReadOptions, RuntimeOptions
from ecg_trt.errors import OptionError
from ecg_trt.layout import LAYOUTS


def test_defaults():
    options = ReadOptions()
    assert {options.layout, options.speed, options.gain, RuntimeOptions().backend} == {"auto"}
    assert options.fs == 500.0


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout):
    assert ReadOptions(layout=layout).layout == layout


def test_numbers_may_come_as_text():
    options = ReadOptions(speed="50", gain=5, fs="250")  # type: ignore[arg-type]
    assert (options.speed, options.gain, options.fs) == (50.0, 5.0, 250.0)
    assert isinstance(options.speed, float)


@pytest.mark.parametrize(
    "wrong",
    [
        {"layout": "5x3"},
        {"layout": None},
        {"layout": ["3x4"]},
        {"speed": 30},
        {"speed": "fast"},
        {"speed": None},
        {"gain": 0},
        {"gain": float("nan")},
        {"fs": 49.9},
        {"fs": 2000.1},
        {"fs": float("inf")},
        {"fs": "x"},
        {"min_px_per_mm": 0},
        {"min_quality": -0.1},
        {"min_quality": float("nan")},
        {"min_pixels": 0},
        {"min_pixels": 10, "max_pixels": 9},
    ],
)
def test_what_is_wrong_is_named(wrong):
    with pytest.raises(OptionError) as caught:
        ReadOptions(**wrong)
    assert next(iter(wrong)) in str(caught.value)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("wrong", [{"backend": "cuda"}, {"views": 3}, {"threads": -1}, {"threads": "all"}])
def test_what_cannot_run_is_named(wrong):
    with pytest.raises(OptionError) as caught:
        RuntimeOptions(**wrong)
    assert next(iter(wrong)) in str(caught.value)

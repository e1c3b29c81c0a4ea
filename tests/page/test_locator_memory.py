"""Rejected views of a page keep no photo alive."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

from ecg_trt.config import ReadOptions
from ecg_trt.errors import NoEcgFoundError
from ecg_trt.page.locator import PageLocator
from ecg_trt.step_timer import StepTimer
from ecg_trt.types import Photo


def reject():
    raise NoEcgFoundError("No ECG", got="nothing", expected="paper", hint="Show it.")


@pytest.mark.parametrize("is_found", [True, False])
def test_rejected_views_make_no_cycle(monkeypatch, is_found):
    candidate = SimpleNamespace(is_confident=True, score=1.0, grid=None)
    views = [reject, reject, *[lambda: candidate] * is_found]
    monkeypatch.setattr("ecg_trt.page.locator.px_per_mm_of", lambda _grid: 5.0)
    monkeypatch.setattr(PageLocator, "_located", lambda _self, _photo, found: found)
    monkeypatch.setattr(PageLocator, "_views", lambda *_: iter(views))
    monkeypatch.setattr(PageLocator, "locate", lambda _self, _photo, alignment, *_: alignment)
    locator, photo = PageLocator.__new__(PageLocator), Photo(np.zeros((4, 4, 3), np.uint8))
    image = weakref.ref(photo.image)
    gc.disable()
    try:
        if is_found:
            assert locator(photo, ReadOptions(), StepTimer()) is candidate  # type: ignore[comparison-overlap]
        else:
            with pytest.raises(NoEcgFoundError) as caught:
                locator(photo, ReadOptions(), StepTimer())
            del caught
        del photo
        assert image() is None
    finally:
        gc.enable()

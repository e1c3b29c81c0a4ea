"""Offsets that are known up to a whole number of small boxes."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_trt.geometry.unwrap import unwrapped
from ecg_trt.types import Array

ROWS, COLS, KNOWN = 12, 30, 14


def _drift(step: float) -> Array:
    """Offsets (ROWS, COLS) mm that grow beyond the measured columns, faster and faster."""
    beyond = np.maximum(np.arange(COLS) - KNOWN, 0)
    return np.asarray(np.tile(step * beyond + 0.008 * beyond**2, (ROWS, 1)) + 0.02 * np.arange(ROWS)[:, None])


def _seen(offset: Array) -> Array:
    return np.asarray(offset - np.round(offset))


def _measured() -> Array:
    return np.broadcast_to(np.arange(COLS) < KNOWN, (ROWS, COLS))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("step", [0.0, 0.05, 0.2])
def test_a_drift_is_followed_beyond_the_measured_nodes(step: float, sign: int) -> None:
    true = sign * _drift(step)
    assert np.abs(true).max() > 1.5
    prominence = np.full(true.shape, 9.0)
    prominence[np.random.default_rng(1).random(true.shape) < 0.2] = 0.0
    found = unwrapped(_seen(true), prominence, _measured())
    seen = prominence > 0
    assert found[seen] == pytest.approx(true[seen], abs=1e-9)


def test_measured_nodes_and_what_no_line_leads_to_stay() -> None:
    true = _drift(0.3)
    offset, faint = _seen(true), np.full(true.shape, 0.5)
    assert (unwrapped(offset, faint, _measured()) == offset).all(), "no line is seen"
    clear = np.full(true.shape, 9.0)
    assert (unwrapped(offset, clear, np.zeros(true.shape, bool)) == offset).all(), "nothing to begin from"
    assert (unwrapped(offset, clear, np.ones(true.shape, bool)) == offset).all()

"""Marks of tests that several files set."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def slow_but(quick: Collection[Any], values: Iterable[Any]) -> list[Any]:
    """Values to parametrize with; all but the quick ones are marked slow, so that .ci/run alone runs them."""
    return [value if value in quick else pytest.param(value, marks=pytest.mark.slow) for value in values]

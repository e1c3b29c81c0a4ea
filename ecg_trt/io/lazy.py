"""Functions that are imported when they are first called."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any


def lazily(module: str, function: str) -> Callable[..., Any]:
    """Stand in for a function, so that a registry costs nothing to import.

    Args:
        module: below `ecg_trt.io`, such as "writers.csv".
        function: its name there.
    """

    def call(*args: Any, **kwargs: Any) -> Any:
        return getattr(import_module(f"ecg_trt.io.{module}"), function)(*args, **kwargs)

    return call


def missing_module(modules: tuple[str, ...]) -> str | None:
    """Name the first of these top-level modules that is not installed, None if all are."""
    return next((module for module in modules if find_spec(module) is None), None)

"""Fixtures of the tests of training."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Compute on one thread: beside other busy processes, PyTorch's threads wait for one another and take minutes."""
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def timm() -> Iterator[ModuleType]:
    """timm, which imports torchvision.

    Where torchvision's compiled operators do not load (its wheel from PyPI beside a CPU build of PyTorch), those whose
    names it asks for are declared: the encoders use none of them.
    """
    torch = pytest.importorskip("torch")
    declared = torch.library.Library("torchvision", "FRAGMENT")
    for _ in range(20):
        try:
            importlib.import_module("torchvision")
            yield importlib.import_module("timm")
            return
        except ModuleNotFoundError as error:
            pytest.skip(f"timm cannot be imported: {error}")
        except RuntimeError as error:
            missing = re.search(r"operator torchvision::(\w+) does not exist", str(error))
            if missing is None:
                raise
            declared.define(f"{missing[1]}() -> ()")
            for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
                del sys.modules[name]
    raise AssertionError("torchvision asks for ever more operators")

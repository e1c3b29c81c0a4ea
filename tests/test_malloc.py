"""Memory of photos of many sizes goes back to the system."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from ecg_trt import malloc
from ecg_trt.malloc import release_free_memory

MIB = 1 << 20


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(not sys.platform.startswith("linux") or malloc._malloc_trim() is None, reason="needs glibc")
def test_freed_memory_goes_back():
    np.ones(31 * MIB, np.uint8)  # from here on, blocks of this size come from the heap
    before = resident()
    blocks = [np.ones(8 * MIB, np.uint8) for _ in range(20)]
    last = np.ones(MIB, np.uint8)  # holds the end of the heap, behind which alone `free` gives back
    del blocks
    release_free_memory()
    assert resident() - before < 20 * MIB
    assert last.all()


def test_elsewhere_nothing_happens(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    malloc._malloc_trim.cache_clear()
    release_free_memory()
    assert malloc._malloc_trim() is None
    malloc._malloc_trim.cache_clear()

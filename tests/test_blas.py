"""BLAS keeps to one thread while somebody asks for that, and gets its own back."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from ecg_trt import blas
from ecg_trt.blas import one_blas_thread


class Library:
    """An OpenBLAS that only counts."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def get(self) -> int:
        return self.threads

    def use(self, threads: int) -> None:
        self.threads = threads


@pytest.fixture
def libraries(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Library, Library]]:
    pair = Library(16), Library(4)
    monkeypatch.setattr(blas, "_libraries", lambda: tuple((one.get, one.use) for one in pair))
    yield pair
    assert [one.threads for one in pair] == [16, 4]


def test_one_thread_inside(libraries: tuple[Library, Library]) -> None:
    with one_blas_thread():
        assert [one.threads for one in libraries] == [1, 1]


def test_an_error_gives_them_back(libraries: tuple[Library, Library]) -> None:
    with pytest.raises(ValueError, match="some"), one_blas_thread():
        raise ValueError("some")


def test_the_last_to_leave_gives_them_back(libraries: tuple[Library, Library]) -> None:
    entered, leave = threading.Event(), threading.Event()

    def stay() -> None:
        with one_blas_thread():
            entered.set()
            leave.wait()

    other = threading.Thread(target=stay)
    with one_blas_thread():
        other.start()
        entered.wait()
    assert [one.threads for one in libraries] == [1, 1], "the other is still inside"
    leave.set()
    other.join()


def test_libraries_of_this_machine() -> None:
    """Whatever numpy was built with, it computes inside, and has its threads afterwards."""
    before = [get() for get, _ in blas._libraries()]
    with one_blas_thread():
        assert [get() for get, _ in blas._libraries()] == [1] * len(before)
        np.testing.assert_allclose(np.ones((300, 300)) @ np.ones((300, 300)), 300.0)
    assert [get() for get, _ in blas._libraries()] == before

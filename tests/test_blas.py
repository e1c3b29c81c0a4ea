"""BLAS keeps to one thread while somebody asks for that, and gets its own back."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import scipy.linalg
from threadpoolctl import threadpool_info, threadpool_limits

from ecg_trt.blas import one_blas_thread


def threads() -> set[int]:
    """Of every BLAS of the process."""
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def two_threads() -> object:
    scipy.linalg.qr(np.eye(3))
    with threadpool_limits(2, user_api="blas"):
        assert threads() == {2}
        yield
        assert threads() == {2}


def test_one_thread_inside() -> None:
    with one_blas_thread():
        assert threads() == {1}
        np.testing.assert_allclose(np.ones((300, 300)) @ np.ones((300, 300)), 300.0)


def test_an_error_gives_them_back() -> None:
    with pytest.raises(ValueError, match="some"), one_blas_thread():
        raise ValueError("some")


def test_a_second_thread_changes_nothing_for_the_first() -> None:
    def pass_through() -> None:
        with one_blas_thread():
            pass

    with one_blas_thread():
        other = threading.Thread(target=pass_through)
        other.start()
        other.join()
        assert threads() == {1}

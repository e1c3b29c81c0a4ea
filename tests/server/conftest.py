"""A server whose worker has no networks, and its client."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from fastapi.testclient import TestClient

from ecg_trt.server.app import create_app
from ecg_trt.server.jobs import Job, JobResult
from ecg_trt.server.record_store import RecordStore
from ecg_trt.server.settings import ServerOptions
from tests.server.fake_worker import work

ADDRESS = "http://127.0.0.1:8000"


class FakePool:
    """Does jobs in one thread, as long as its gate is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.jobs: list[Job] = []
        self._threads = ThreadPoolExecutor(1)

    def submit(self, job: Job) -> Future[JobResult]:
        def gated() -> JobResult:
            assert self.gate.wait(20)
            self.jobs.append(job)
            return work(job)

        return self._threads.submit(gated)

    def close(self) -> None:
        self.gate.set()
        self._threads.shutdown(wait=True)


@pytest.fixture
def pool() -> Iterator[FakePool]:
    pool = FakePool()
    yield pool
    pool.close()


@pytest.fixture
def serve(pool: FakePool) -> Iterator[Callable[..., TestClient]]:
    """Opens servers with some options, and gives a client for each."""
    with ExitStack() as stack:

        def opened(**options: Any) -> TestClient:
            limits = ServerOptions(**options)
            store = stack.enter_context(RecordStore(limits.max_records, limits.keep_s))
            app = create_app(limits, pool, store)
            return stack.enter_context(TestClient(app, base_url=ADDRESS))

        yield opened
        pool.gate.set()


@pytest.fixture
def client(serve: Callable[..., TestClient]) -> TestClient:
    return serve()

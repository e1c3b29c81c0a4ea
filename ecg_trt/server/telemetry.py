"""Counters of the server, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class Telemetry:
    """Counters of one server.

    Args:
        waiting: gives the number of jobs that wait.
        records: gives the number of records that are kept.
    """

    def __init__(self, waiting: Callable[[], int], records: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "ecg_trt_requests", "Requests that were answered.", ["method", "status"], registry=self._registry
        )
        self._settled = Counter("ecg_trt_pages", "Pages that were read, or failed.", ["state"], registry=self._registry)
        self._seconds = Histogram(
            "ecg_trt_job_seconds", "Seconds of a job.", ["job"], buckets=_SECONDS, registry=self._registry
        )
        for name, text, value in (
            ("ecg_trt_jobs_waiting", "Jobs that wait for a process.", waiting),
            ("ecg_trt_records", "Records that are kept.", records),
        ):
            Gauge(name, text, registry=self._registry).set_function(value)

    def answered(self, method: str, status: int) -> None:
        """Count a request."""
        self._requests.labels(method, str(status)).inc()

    def settled(self, state: str) -> None:
        """Count a page."""
        self._settled.labels(state).inc()

    def observe(self, job: str, seconds: float) -> None:
        """Count a job, and its time."""
        self._seconds.labels(job).observe(seconds)

    def text(self) -> bytes:
        """Write all counters in the text format of Prometheus."""
        return generate_latest(self._registry)

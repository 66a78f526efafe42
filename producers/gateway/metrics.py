"""A gateway's figures for Prometheus. Of several workers each writes files, and whoever is asked adds them up."""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Where the workers' files are; prometheus-client reads it when it is imported."""
SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_METHODS = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS"})


class Metrics:
    """The figures of one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "tidemill_gateway_requests",
            "Requests that were answered.",
            ["route", "method", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "tidemill_gateway_request_seconds",
            "From a request's headers to the end of its answer, seconds.",
            ["route"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self.requests_now = Gauge(
            "tidemill_gateway_requests_now",
            "Requests that aren't answered yet.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self.lasting = Gauge(
            "tidemill_gateway_streams_now",
            "Event streams and requests that wait for a job; they are among the requests.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self.job_looks = Counter(
            "tidemill_gateway_job_looks",
            "How often the table of jobs was asked, each time for all jobs that are followed.",
            registry=self._registry,
        )
        self.waiting_bytes = Gauge(
            "tidemill_gateway_waiting_bytes",
            "Bytes of bodies and of events that wait for Kafka.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self._events = Counter(
            "tidemill_gateway_events",
            "Events by what became of them: accepted, or not acknowledged in time.",
            ["type", "outcome"],
            registry=self._registry,
        )

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request.

        Args:
            route: Its route as it is declared, so that the number of series is bounded.
            method: Its method.
            status: Of the answer.
            seconds: How long it took.
        """
        self._requests.labels(route, method if method in _METHODS else "other", str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def events(self, event_type: str, outcome: str, count: int = 1) -> None:
        """Count events of a type that has a contract."""
        self._events.labels(event_type, outcome).inc(count)

    def text(self) -> bytes:
        """All figures in Prometheus's text format."""
        if FOLDER_VARIABLE in os.environ:
            together = CollectorRegistry()
            multiprocess.MultiProcessCollector(together)  # type: ignore[no-untyped-call]
            return generate_latest(together)
        return generate_latest(self._registry)

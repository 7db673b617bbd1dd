"""The numbers of one process, in a registry of their own."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from kyma_proxy.observe.endings import PLUGIN, WORDS, Ending

KNOWN_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

# From a refusal in memory to the longest clone; a clone takes 10 to 60 seconds.
_SECONDS_BUCKETS: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300)


class Metrics:
    """Counts requests. Labels are bounded: a client cannot make new ones by inventing methods or paths."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "kyma_requests_total", "Requests by answer.", ["method", "route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "kyma_request_seconds",
            "From the end of a request's head to the end of its answer.",
            ["route"],
            buckets=_SECONDS_BUCKETS,
            registry=self.registry,
        )
        self._in_flight = Gauge(
            "kyma_requests_in_flight", "Requests being answered.", registry=self.registry, multiprocess_mode="livesum"
        )
        self._ended = Counter(
            "kyma_requests_ended_total",
            "Requests by how they ended, and by whom or what (docs/reasons.md).",
            ["reason", "by"],
            registry=self.registry,
        )
        for reason, words in WORDS.items():
            for by in words:
                if by != PLUGIN and (by or len(words) == 1):
                    self._ended.labels(reason.value, by)

    def request_started(self) -> None:
        """A request's head is complete."""
        self._in_flight.inc()

    def request_ended(self, method: str, route: str, status: int | None, ending: Ending, seconds: float) -> None:
        """A started request came to its end; `status` is None where nothing was answered.

        `route` must come from the configuration (a guarded path or a route's pattern), never from the client.
        """
        self._in_flight.dec()
        self.count_answer(method, route, status, ending)
        self._seconds.labels(route).observe(seconds)

    def count_answer(self, method: str, route: str, status: int | None, ending: Ending) -> None:
        """Count an answer to what never became a request (malformed HTTP, a head that was too slow)."""
        label = method if method in KNOWN_METHODS else "other"
        self._requests.labels(label, route, "none" if status is None else str(status)).inc()
        self._ended.labels(ending.reason.value, ending.by).inc()

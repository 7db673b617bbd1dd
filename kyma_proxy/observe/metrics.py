"""The numbers of one process, in a registry of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from kyma_proxy import __version__
from kyma_proxy.observe.endings import PLUGIN, WORDS, Ending

KNOWN_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

# From a refusal in memory to the longest clone; a clone takes 10 to 60 seconds.
_SECONDS_BUCKETS: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300)


_FAST_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
"""For what is ours alone, and for first bytes: from a forwarded error to a clone."""


@dataclass(frozen=True, slots=True)
class Phases:
    """Where a request's time went, in seconds; None for what it did not come to.

    `first_byte` is from the end of its head to the first byte of its answer, `upstream` from asking the upstream to the
    head of that one's answer, `queued` what it stood in line.
    """

    first_byte: float | None = None
    upstream: float | None = None
    queued: float | None = None

    @property
    def overhead(self) -> float | None:
        """Our own part of the time to the first byte, of a request that an upstream answered."""
        if self.first_byte is None or self.upstream is None:
            return None
        return max(0.0, self.first_byte - self.upstream - (self.queued or 0.0))


class _OfRoute:
    """The histograms of one route, looked up once."""

    __slots__ = ("first_byte", "overhead", "seconds")

    def __init__(self, metrics: Metrics, route: str) -> None:
        self.seconds = metrics._seconds.labels(route)
        self.first_byte = metrics._first_byte.labels(route)
        self.overhead = metrics._overhead.labels(route)


class Metrics:
    """Counts requests. Labels are bounded: a client cannot make new ones by inventing methods or paths."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._requests = Counter(
            "kyma_requests_total", "Requests by answer.", ["method", "route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "kyma_request_seconds",
            "From the end of a request's head to the end of its answer.",
            ["route"],
            buckets=_SECONDS_BUCKETS,
            registry=registry,
        )
        self._first_byte = Histogram(
            "kyma_request_first_byte_seconds",
            "From the end of a request's head to the first byte of its answer.",
            ["route"],
            buckets=_FAST_BUCKETS,
            registry=registry,
        )
        self._overhead = Histogram(
            "kyma_overhead_seconds",
            "The gateway's own part of the time to the first byte, without the upstream's and without waiting.",
            ["route"],
            buckets=_FAST_BUCKETS,
            registry=registry,
        )
        self._upstream = Histogram(
            "kyma_upstream_first_byte_seconds",
            "From asking an upstream to the head of its answer.",
            ["upstream"],
            buckets=_FAST_BUCKETS,
            registry=registry,
        )
        self._queued = Histogram(
            "kyma_queue_seconds", "What requests stood in line.", buckets=_FAST_BUCKETS, registry=registry
        )
        self._bytes = Counter(
            "kyma_request_bytes_total", "Bytes of bodies, from clients and to them.", ["direction"], registry=registry
        )
        self._in_flight = Gauge(
            "kyma_requests_in_flight", "Requests being answered.", registry=registry, multiprocess_mode="livesum"
        )
        self._connections = Gauge(
            "kyma_connections", "Open connections of clients.", registry=registry, multiprocess_mode="livesum"
        )
        self._ended = Counter(
            "kyma_requests_ended_total",
            "Requests by how they ended, and by whom or what (docs/reasons.md).",
            ["reason", "by"],
            registry=registry,
        )
        build = Gauge(
            "kyma_build_info", "Which gateway this is.", ["version"], registry=registry, multiprocess_mode="max"
        )
        build.labels(__version__).set(1)
        for reason, words in WORDS.items():
            for by in words:
                if by != PLUGIN and (by or len(words) == 1):
                    self._ended.labels(reason.value, by)
        # Looking a labelled metric up costs as much as counting; the labels are few.
        self._by_answer: dict[tuple[str, str, int | None], Counter] = {}
        self._by_ending: dict[Ending, Counter] = {}
        self._by_route: dict[str, _OfRoute] = {}
        self._by_upstream: dict[str, Histogram] = {}
        self._bytes_in, self._bytes_out = self._bytes.labels("in"), self._bytes.labels("out")

    def connected(self) -> None:
        """A client connected."""
        self._connections.inc()

    def disconnected(self) -> None:
        """A client's connection has ended."""
        self._connections.dec()

    def request_started(self) -> None:
        """A request's head is complete."""
        self._in_flight.inc()

    def request_ended(self, method: str, route: str, status: int | None, ending: Ending, seconds: float) -> None:
        """A started request came to its end; `status` is None where nothing was answered.

        `route` must come from the configuration (a guarded path or a route's pattern), never from the client.
        """
        self._in_flight.dec()
        self.count_answer(method, route, status, ending)
        self._of_route(route).seconds.observe(seconds)

    def request_took(self, route: str, upstream: str | None, phases: Phases) -> None:
        """Where the time of an ended request went; `upstream` is the one that was asked."""
        of_route = self._of_route(route)
        if phases.first_byte is not None:
            of_route.first_byte.observe(phases.first_byte)
        if phases.queued is not None:
            self._queued.observe(phases.queued)
        if upstream is not None and phases.upstream is not None:
            by_upstream = self._by_upstream.get(upstream)
            if by_upstream is None:
                by_upstream = self._by_upstream[upstream] = self._upstream.labels(upstream)
            by_upstream.observe(phases.upstream)
        overhead = phases.overhead
        if overhead is not None:
            of_route.overhead.observe(overhead)

    def count_bytes(self, bytes_in: int, bytes_out: int) -> None:
        """Bytes of a request's body and of its answer's."""
        if bytes_in:
            self._bytes_in.inc(bytes_in)
        if bytes_out:
            self._bytes_out.inc(bytes_out)

    def count_answer(self, method: str, route: str, status: int | None, ending: Ending) -> None:
        """Count an answer to what never became a request (malformed HTTP, a head that was too slow)."""
        answer = (method if method in KNOWN_METHODS else "other", route, status)
        answered = self._by_answer.get(answer)
        if answered is None:
            answered = self._requests.labels(answer[0], route, "none" if status is None else str(status))
            self._by_answer[answer] = answered
        answered.inc()
        ended = self._by_ending.get(ending)
        if ended is None:
            ended = self._by_ending[ending] = self._ended.labels(ending.reason.value, ending.by)
        ended.inc()

    def _of_route(self, route: str) -> _OfRoute:
        of_route = self._by_route.get(route)
        if of_route is None:
            of_route = self._by_route[route] = _OfRoute(self, route)
        return of_route

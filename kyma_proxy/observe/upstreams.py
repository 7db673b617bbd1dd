"""The numbers of upstreams: what fails, which breakers are open, and the connections to them."""

from __future__ import annotations

from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_STATES: Final = {"closed": 0, "half_open": 1, "open": 2}
_CONNECT_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_log = structlog.get_logger("kyma_proxy.upstreams")


class UpstreamMetrics:
    """Counts failures of exchanges by upstream and base URL, and connections; tells of breakers, in the log too."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._failures = Counter(
            "kyma_upstream_failures_total",
            "Exchanges with an upstream that failed, by its host and by what went wrong.",
            ["upstream", "host", "kind"],
            registry=registry,
        )
        self._state = Gauge(
            "kyma_upstream_breaker_state",
            "0 closed, 1 half-open, 2 open: nothing is sent there.",
            ["upstream", "host"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._opened = Counter(
            "kyma_upstream_breaker_opened_total",
            "Times that a breaker opened.",
            ["upstream", "host"],
            registry=registry,
        )
        self._connections = Gauge(
            "kyma_upstream_connections",
            "Connections to an upstream, in use or kept alive.",
            ["upstream"],
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._connecting = Histogram(
            "kyma_upstream_connect_seconds",
            "What making a new connection to an upstream took, names and TLS included.",
            ["upstream"],
            buckets=_CONNECT_BUCKETS,
            registry=registry,
        )

    def failed(self, upstream: str, door: str, kind: str) -> None:
        """An exchange failed."""
        self._failures.labels(upstream, door, kind).inc()

    def connected(self, upstream: str, seconds: float) -> None:
        """A new connection was made within so long."""
        self._connecting.labels(upstream).observe(seconds)

    def opened(self, upstream: str) -> None:
        """A connection is there; `closed` follows once."""
        self._connections.labels(upstream).inc()

    def closed(self, upstream: str) -> None:
        """A connection has ended."""
        self._connections.labels(upstream).dec()

    def known(self, upstream: str, door: str) -> None:
        """There is such a breaker, and it is closed."""
        self._state.labels(upstream, door).set(0)
        self._opened.labels(upstream, door)

    def breaker(self, upstream: str, door: str, state: str) -> None:
        """A breaker changed."""
        self._state.labels(upstream, door).set(_STATES[state])
        if state == "open":
            self._opened.labels(upstream, door).inc()
            _log.error("breaker_opened", upstream=upstream, host=door)
        elif state == "half_open":
            _log.info("breaker_probes", upstream=upstream, host=door)
        else:
            _log.info("breaker_closed", upstream=upstream, host=door)

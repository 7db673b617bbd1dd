"""The numbers of upstreams: what fails, and which breakers are open."""

from __future__ import annotations

from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

_STATES: Final = {"closed": 0, "half_open": 1, "open": 2}
_log = structlog.get_logger("kyma_proxy.upstreams")


class UpstreamMetrics:
    """Counts failures of exchanges by upstream and base URL, and tells of its breakers, in the log too."""

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

    def failed(self, upstream: str, door: str, kind: str) -> None:
        """An exchange failed."""
        self._failures.labels(upstream, door, kind).inc()

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

"""The numbers of what is kept: the caches in front of the database, and the connections to it."""

from __future__ import annotations

from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge


class Cache(Protocol):
    """What counts how often it was asked and knew."""

    hits: int
    misses: int


class Pool(Protocol):
    """A pool of connections."""

    @property
    def open(self) -> int:
        """How many there are."""

    @property
    def idle(self) -> int:
        """How many of them nobody uses."""


class StorageMetrics:
    """Looked at now and then: what is asked often only counts in plain numbers meanwhile."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._asked = Counter(
            "kyma_cache_total", "Questions to a cache, by outcome.", ["cache", "outcome"], registry=registry
        )
        self._connections = Gauge(
            "kyma_database_connections",
            "Connections to the database.",
            ["state"],
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._seen: dict[str, tuple[int, int]] = {}

    def measured(self, pool: Pool, **caches: Cache) -> None:
        """Take over what was counted since the last time."""
        self._connections.labels("busy").set(pool.open - pool.idle)
        self._connections.labels("idle").set(pool.idle)
        for name, cache in caches.items():
            hits, misses = self._seen.get(name, (0, 0))
            self._asked.labels(name, "hit").inc(cache.hits - hits)
            self._asked.labels(name, "miss").inc(cache.misses - misses)
            self._seen[name] = (cache.hits, cache.misses)

"""The numbers of caches and connections."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from kyma_proxy.observe.storage import StorageMetrics


@dataclass
class Counting:
    """A cache, or a pool."""

    hits: int = 0
    misses: int = 0
    open: int = 5
    idle: int = 3


def test_what_was_counted_is_taken_over_once() -> None:
    registry = CollectorRegistry()
    metrics = StorageMetrics(registry)
    keys = Counting(hits=10, misses=2)
    metrics.measured(Counting(), keys=keys)
    metrics.measured(Counting(), keys=keys)
    keys.hits += 5
    metrics.measured(Counting(), keys=keys)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    assert value("kyma_cache_total", cache="keys", outcome="hit") == 15
    assert value("kyma_cache_total", cache="keys", outcome="miss") == 2
    assert value("kyma_database_connections", state="busy") == 2
    assert value("kyma_database_connections", state="idle") == 3

"""The numbers of upstreams."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from kyma_proxy.observe.upstreams import UpstreamMetrics


def test_failures_and_breakers_are_told_by_upstream_and_host(capsys: pytest.CaptureFixture[str]) -> None:
    registry = CollectorRegistry()
    metrics = UpstreamMetrics(registry)
    where = {"upstream": "origin", "host": "a.test:443"}
    metrics.known("origin", "a.test:443")
    assert registry.get_sample_value("kyma_upstream_breaker_state", where) == 0
    assert registry.get_sample_value("kyma_upstream_breaker_opened_total", where) == 0
    metrics.failed("origin", "a.test:443", "refused")
    assert registry.get_sample_value("kyma_upstream_failures_total", {**where, "kind": "refused"}) == 1
    for state, number in (("open", 2), ("half_open", 1), ("closed", 0)):
        metrics.breaker("origin", "a.test:443", state)
        assert registry.get_sample_value("kyma_upstream_breaker_state", where) == number
    assert registry.get_sample_value("kyma_upstream_breaker_opened_total", where) == 1


def test_connections_are_counted_while_they_are_there() -> None:
    registry = CollectorRegistry()
    metrics = UpstreamMetrics(registry)
    for _ in range(2):
        metrics.opened("origin")
    metrics.connected("origin", 0.02)
    metrics.closed("origin")
    where = {"upstream": "origin"}
    assert registry.get_sample_value("kyma_upstream_connections", where) == 1
    assert registry.get_sample_value("kyma_upstream_connect_seconds_count", where) == 1
    assert registry.get_sample_value("kyma_upstream_connect_seconds_sum", where) == 0.02

"""Counters of plugins."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from kyma_proxy.observe.plugin_metrics import PluginMetrics


def test_a_counter_counts_by_its_labels_and_goes_on_when_made_again() -> None:
    registry = CollectorRegistry()
    metrics = PluginMetrics(registry)
    metrics.counter("things_total", "Things.", ["kind"]).add(kind="a")
    metrics.counter("things_total", "Things.", ["kind"]).add(2.5, kind="a")
    assert registry.get_sample_value("things_total", {"kind": "a"}) == 3.5


def test_a_counter_without_labels() -> None:
    registry = CollectorRegistry()
    PluginMetrics(registry).counter("plain_total", "Plain.").add(3)
    assert registry.get_sample_value("plain_total") == 3


def test_other_labels_are_a_fault() -> None:
    counter = PluginMetrics(CollectorRegistry()).counter("x_total", "X.", ["kind"])
    with pytest.raises(ValueError, match="label"):
        counter.add(sort="a")

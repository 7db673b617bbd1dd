"""Counters for plugins, on the gateway's own `/metrics`."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter


class Count:
    """One counter of a plugin."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter

    def add(self, amount: float = 1, **labels: str) -> None:
        """Count; every label that the counter was made with is given. Raises ValueError for others, or below zero."""
        (self._counter.labels(**labels) if labels else self._counter).inc(amount)


class PluginMetrics:
    """Makes counters. The same name again is the same counter: a plugin that is started anew goes on counting."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._counters: dict[str, Counter] = {}

    def counter(self, name: str, description: str, labels: Sequence[str] = ()) -> Count:
        """A counter called `name`, which ends in `_total`; keep the number of values of each label small."""
        if name not in self._counters:
            self._counters[name] = Counter(name, description, labels, registry=self._registry)
        return Count(self._counters[name])

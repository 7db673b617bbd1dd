"""The workers' numbers, summed: each keeps its own in mapped files, which outlive it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Where a worker's numbers go; prometheus_client looks at it when it is imported."""


class WorkerNumbers(Collector):
    """What all workers counted, the dead ones too; without those that the supervisor keeps itself."""

    def __init__(self, folder: Path, own: CollectorRegistry) -> None:
        self._folder = folder
        self._own = own

    def collect(self) -> Iterable[Metric]:
        """The metrics, as prometheus_client asks for them."""
        kept_here = {metric.name for metric in self._own.collect()}
        collected = MultiProcessCollector(CollectorRegistry(), path=str(self._folder))  # type: ignore[no-untyped-call]
        for metric in collected.collect():  # type: ignore[no-untyped-call]
            if metric.name not in kept_here:
                yield metric

    def describe(self) -> Iterable[Metric]:
        """Nothing: what there is shows when it is asked for."""
        return ()

    def forget(self, pid: int) -> None:
        """A worker has ended: what it was busy with is over, what it counted stays."""
        mark_process_dead(pid, path=str(self._folder))  # type: ignore[no-untyped-call]


def shown(own: CollectorRegistry, workers: WorkerNumbers) -> CollectorRegistry:
    """What the admin listener shows: the supervisor's own metrics, then the workers'."""
    registry = CollectorRegistry()
    registry.register(_Collected(own))
    registry.register(workers)
    return registry


class _Collected(Collector):
    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        return self._registry.collect()

    def describe(self) -> Iterable[Metric]:
        """Nothing: what there is shows when it is asked for."""
        return ()

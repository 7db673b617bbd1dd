"""The workers' numbers, summed: each keeps its own in mapped files, which outlive it."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

TRIES: Final = 20
TRY_AGAIN_SECONDS: Final = 0.01
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
        return [metric for metric in self._read() if metric.name not in kept_here]

    def _read(self) -> list[Metric]:
        """All files; a worker that is just starting may have made one that is not yet filled, so it is tried again."""
        for left in reversed(range(TRIES)):
            collected = MultiProcessCollector(CollectorRegistry(), path=str(self._folder))  # type: ignore[no-untyped-call]
            try:
                return list(collected.collect())  # type: ignore[no-untyped-call]
            except (ValueError, LookupError, OSError, struct.error):
                if not left:
                    raise
                time.sleep(TRY_AGAIN_SECONDS)
        raise AssertionError("the last try returns or raises")

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

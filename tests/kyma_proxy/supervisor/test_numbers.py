"""The workers' numbers are summed, and those of the dead stay."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, generate_latest

from kyma_proxy.supervisor.numbers import VARIABLE, WorkerNumbers, shown

COUNT = """
from kyma_proxy.observe.metrics import Metrics
from kyma_proxy.observe.endings import COMPLETED
import os
metrics = Metrics()
for _ in range(3):
    metrics.request_started()
metrics.request_ended("GET", "/v1/audio/**", 200, COMPLETED, 0.01)
print(os.getpid())
"""


async def counted(folder: Path) -> int:
    """The process id of a process that has counted three requests, one of them ended, and is gone."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", COUNT),
        env={**os.environ, VARIABLE: str(folder)},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    return int(out)


async def test_what_was_counted_is_summed_and_what_was_under_way_is_forgotten(tmp_path: Path) -> None:
    own = CollectorRegistry()
    Counter("kyma_requests_ended_total", "Kept by the supervisor itself.", registry=own)
    numbers = WorkerNumbers(tmp_path, own)
    registry = shown(own, numbers)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    pids = [await counted(tmp_path) for _ in range(2)]
    labels = {"method": "GET", "route": "/v1/audio/**", "status": "200"}
    assert value("kyma_requests_total", **labels) == 2
    assert value("kyma_request_seconds_count", route="/v1/audio/**") == 2
    assert value("kyma_requests_in_flight") == 4
    for pid in pids:
        numbers.forget(pid)
    assert value("kyma_requests_total", **labels) == 2
    assert not value("kyma_requests_in_flight")
    assert generate_latest(registry).count(b"# TYPE kyma_requests_ended_total counter") == 1


async def test_a_file_that_a_worker_is_just_making_is_waited_for(tmp_path: Path) -> None:
    numbers = WorkerNumbers(tmp_path, CollectorRegistry())
    await counted(tmp_path)
    (whole,) = tmp_path.glob("counter_*.db")
    content = whole.read_bytes()
    whole.write_bytes(b"")
    threading.Timer(0.05, whole.write_bytes, (content,)).start()
    assert "kyma_requests" in {metric.name for metric in numbers.collect()}

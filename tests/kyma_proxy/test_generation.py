"""A configuration lives until nothing lives on it any more."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kyma_proxy.flow import Delivery
from kyma_proxy.generation import Generation
from kyma_proxy.observe.endings import COMPLETED
from kyma_proxy.pipeline.gateway import Gateway
from kyma_proxy.tasks import Tasks
from kyma_proxy.testing.flows import make_flow
from reload_kit import generation_of, load, story, write

DELIVERED = Delivery(200, COMPLETED, 1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    story.clear()
    return tmp_path / "gateway.yaml"


async def started(path: Path, tasks: Tasks) -> Generation:
    write(path, 1)
    generation = generation_of(load(path), tasks)
    await generation.start()
    return generation


async def test_it_answers_once_started(path: Path) -> None:
    generation = await started(path, Tasks())
    gateway = Gateway()
    gateway.swap(generation.snapshot)
    flow = make_flow("GET", "/v1/audio/version")
    assert (await gateway.handle(flow)).body == b"1"
    flow.end(DELIVERED)
    await generation.stop()
    await generation.stop()
    assert story == ["start 1", "stop 1"]


async def test_it_retires_behind_its_last_request_and_its_last_work(path: Path) -> None:
    tasks = Tasks()
    generation = await started(path, tasks)
    gateway = Gateway()
    gateway.swap(generation.snapshot)
    flows = [make_flow("GET", "/v1/audio/version") for _ in range(2)]
    for flow in flows:
        await gateway.handle(flow)
    work = asyncio.Event()
    generation._tasks.oblige(work.wait(), "work")
    retiring = asyncio.ensure_future(generation.retire())
    for flow in flows:
        await asyncio.sleep(0.01)
        assert story == ["start 1"]
        flow.end(DELIVERED)
    await asyncio.sleep(0.01)
    assert story == ["start 1"], "its work is not done"
    assert tasks.obligations == 1
    work.set()
    await asyncio.wait_for(retiring, 5)
    assert story == ["start 1", "stop 1"]


async def test_a_start_that_fails_releases_everything_and_names_the_plugin(path: Path) -> None:
    write(path, 2, starts=False)
    generation = generation_of(load(path), Tasks())
    with pytest.raises(OSError, match="licence") as caught:
        await generation.start()
    assert story == ["start 2", "stop 2"]
    problem = generation.failure(caught.value)
    assert (problem.line, problem.column) == (3, 10)
    assert problem.message == "plugin 'version' does not start: the licence has run out"
    with pytest.raises(RuntimeError):
        generation.snapshot  # noqa: B018

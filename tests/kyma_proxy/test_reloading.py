"""A reload is whole or does not happen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from kyma_proxy.flow import Delivery
from kyma_proxy.observe.endings import COMPLETED
from kyma_proxy.observe.reloads import ReloadMetrics
from kyma_proxy.pipeline.gateway import Gateway
from kyma_proxy.reloading import Reloads
from kyma_proxy.tasks import Tasks
from kyma_proxy.testing.flows import make_flow
from reload_kit import generation_of, load, story, write


class Stage:
    """A gateway over a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.gateway = Gateway()
        self.registry = CollectorRegistry()
        self.tasks = Tasks()
        self.reloads = Reloads(
            lambda: load(path),
            lambda settings: generation_of(settings, self.tasks),
            lambda generation: self.gateway.swap(generation.snapshot),
            ReloadMetrics(self.registry),
            self.tasks,
        )

    async def begin(self) -> None:
        write(self.path, 1)
        await self.reloads.begin(load(self.path))

    async def asked(self) -> str:
        """The number of the configuration that answers."""
        flow = make_flow("GET", "/v1/audio/version")
        reply = await self.gateway.handle(flow)
        flow.end(Delivery(200, COMPLETED, 1))
        return bytes(reply.body).decode()  # type: ignore[arg-type]

    def value(self, name: str) -> float | None:
        return self.registry.get_sample_value(name)


@pytest.fixture
async def stage(tmp_path: Path) -> Any:
    story.clear()
    made = Stage(tmp_path / "gateway.yaml")
    await made.begin()
    yield made
    await made.reloads.stop()
    await made.tasks.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_good_file_is_taken_over_and_the_one_before_is_stopped(stage: Stage) -> None:
    write(stage.path, 2)
    outcome = await stage.reloads.reload()
    assert outcome.accepted
    assert await stage.asked() == "2"
    await until(lambda: "stop 1" in story)
    assert story == ["start 1", "start 2", "stop 1"]
    assert stage.value("kyma_config_generations") == 1


@pytest.mark.parametrize(
    ("spoil", "line", "says"),
    [
        (lambda path: path.write_text("version: 1\nplugins: [{use: vershun}]\n"), 2, "did you mean"),
        (lambda path: path.write_text("version: 1\nplugins: [\n"), 3, "YAML"),
        (lambda path: write(path, 2, starts=False), 3, "does not start"),
        (lambda path: path.unlink(), 1, "cannot be read"),
    ],
)
async def test_any_problem_leaves_the_old_one_answering(stage: Stage, spoil: Any, line: int, says: str) -> None:
    spoil(stage.path)
    outcome = await stage.reloads.reload()
    assert not outcome.accepted
    assert outcome.problems[0].line == line
    assert says in outcome.problems[0].message
    assert await stage.asked() == "1"
    assert "stop 1" not in story
    assert stage.value("kyma_config_last_reload_successful") == 0
    write(stage.path, 3)
    assert (await stage.reloads.reload()).accepted
    assert await stage.asked() == "3"
    assert stage.value("kyma_config_last_reload_successful") == 1


async def test_a_request_ends_on_the_configuration_it_began_with(stage: Stage) -> None:
    flow = make_flow("GET", "/v1/audio/version")
    await stage.gateway.handle(flow)
    write(stage.path, 2)
    await stage.reloads.reload()
    await asyncio.sleep(0.02)
    assert "stop 1" not in story
    assert stage.value("kyma_config_generations") == 2
    flow.end(Delivery(200, COMPLETED, 1))
    await until(lambda: "stop 1" in story)


async def test_what_needs_a_restart_is_told_and_the_rest_counts(stage: Stage) -> None:
    write(stage.path, 2, more="server: {drain_seconds: 5}\n")
    outcome = await stage.reloads.reload()
    assert outcome.accepted
    assert [(each.line, each.message.split()[0]) for each in outcome.later] == [(5, "server.drain_seconds")]
    assert outcome.as_json()["after_restart"][0]["line"] == 5
    assert await stage.asked() == "2"


async def test_what_was_prepared_can_be_given_up(stage: Stage) -> None:
    write(stage.path, 2)
    assert (await stage.reloads.prepare()).accepted
    assert await stage.asked() == "1"
    await stage.reloads.abandon()
    assert story == ["start 1", "start 2", "stop 2"]
    assert await stage.asked() == "1"


async def test_many_at_once_come_one_after_the_other(stage: Stage) -> None:
    outcomes = await asyncio.gather(*(stage.reloads.reload() for _ in range(5)))
    assert all(outcome.accepted for outcome in outcomes)
    await until(lambda: stage.value("kyma_config_generations") == 1)
    assert (story.count("start 1"), story.count("stop 1")) == (6, 5)


async def test_stopping_stops_every_generation(stage: Stage) -> None:
    await stage.gateway.handle(make_flow("GET", "/v1/audio/version"))
    write(stage.path, 2)
    await stage.reloads.reload()
    write(stage.path, 3)
    await stage.reloads.prepare()
    await stage.reloads.stop()
    assert sorted(story) == ["start 1", "start 2", "start 3", "stop 1", "stop 2", "stop 3"]

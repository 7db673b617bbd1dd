"""The composition root: what was started is released, whatever fails."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from e2e_kit.world import database_url
from kyma_proxy.app import Application, run_until
from kyma_proxy.database.pool import DatabaseTarget
from kyma_proxy.flow import Flow, Reply
from kyma_proxy.plugin import Endpoint, Plugin, PluginConfig, Proceed
from kyma_proxy.settings import Settings, load_settings

CONFIG = """
version: 1
server: {{listen: "127.0.0.1:0", admin_listen: "127.0.0.1:0", drain_seconds: 5, ready_without_database: {ready}}}
database: {{url: "${{TEST_DATABASE_URL}}"}}
plugins: [{{use: told}}]
"""


class Told(Plugin[PluginConfig]):
    """Remembers what happened to it."""

    name = "told"
    config_model = PluginConfig
    endpoints = (Endpoint("/v1/audio/told", frozenset({"GET"})),)
    story: list[str] = []  # noqa: RUF012
    fails = False

    async def start(self) -> None:
        self.story.append("start")
        if self.fails:
            raise OSError("no licence")

    async def stop(self) -> None:
        self.story.append("stop")

    async def handle(self, flow: Flow, proceed: Proceed) -> Reply:
        return Reply.json(b"{}")


@pytest.fixture(autouse=True)
def forget() -> None:
    Told.story.clear()
    Told.fails = False


@pytest.fixture
def make_settings(tmp_path: Path, database_target: DatabaseTarget) -> Any:
    def make(url: str | None = None, *, ready_without_database: bool = False) -> Settings:
        path = tmp_path / "gateway.yaml"
        path.write_text(CONFIG.format(ready=str(ready_without_database).lower()))
        environ = {"TEST_DATABASE_URL": url or database_url(database_target)}
        return load_settings(path, plugins={"told": Told}, environ=environ)

    return make


async def status_of(url: str) -> int:
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        return answer.status


async def test_it_serves_until_told_to_stop_and_releases_its_plugins(make_settings: Any) -> None:
    application, stopped = Application(make_settings(), {"told": Told}), asyncio.Event()
    running = asyncio.get_running_loop().create_task(run_until(application, stopped))
    async with asyncio.timeout(10):
        while application.data.port == 0:
            await asyncio.sleep(0.01)
    assert await status_of(f"http://127.0.0.1:{application.data.port}/v1/audio/told") == 200
    stopped.set()
    await running
    assert Told.story == ["start", "stop"]
    with pytest.raises(aiohttp.ClientConnectionError):
        await status_of(f"http://127.0.0.1:{application.data.port}/v1/audio/told")


async def test_a_start_that_fails_releases_what_was_started_before(make_settings: Any) -> None:
    Told.fails = True
    application = Application(make_settings(), {"told": Told})
    with pytest.raises(OSError, match="no licence"):
        await application.start()
    assert Told.story == ["start", "stop"]
    with pytest.raises(RuntimeError):
        assert application.database


async def test_readiness_follows_the_database_and_the_drain(make_settings: Any) -> None:
    application = Application(make_settings(), {"told": Told})
    await application.start()
    readyz = f"http://127.0.0.1:{application.admin.port}/readyz"
    assert await status_of(readyz) == 200
    await application.database.stop()
    assert await status_of(readyz) == 503
    assert await status_of(f"http://127.0.0.1:{application.admin.port}/healthz") == 200
    await application.stop()


async def test_an_operator_may_choose_to_be_ready_without_the_database(make_settings: Any) -> None:
    application = Application(make_settings(ready_without_database=True), {"told": Told})
    await application.start()
    await application.database.stop()
    assert await status_of(f"http://127.0.0.1:{application.admin.port}/readyz") == 200
    await application.stop()

"""Reloading under load: no request fails, streams and mints end on the configuration they began with."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from e2e_kit.world import CONFIG, World, database_url
from kyma_proxy.accounts.accounts import open_account
from kyma_proxy.app import Application, Rehearsal
from kyma_proxy.database.pool import DatabaseTarget
from kyma_proxy.pipeline.loader import InstalledPlugins
from kyma_proxy.settings import load_settings
from kyma_proxy.simulators.minimax import Fault, MiniMaxSimulator
from kyma_proxy.simulators.origin import OriginSimulator
from kyma_proxy.simulators.sample import sample_recording

CLONE, T2A = "/v1/voice_clone", "/v1/t2a_v2"


class Reloadable(World):
    """A gateway that reads its configuration again from a file."""

    path: Path

    async def reload(self) -> None:
        outcome = await self.application.reload()
        assert outcome is not None
        assert outcome.accepted, outcome

    async def generations(self) -> float:
        return self.application.metrics.registry.get_sample_value("kyma_config_generations") or 0


@pytest.fixture
async def world(database_target: DatabaseTarget, tmp_path: Path) -> Any:
    async with MiniMaxSimulator() as minimax, OriginSimulator() as origin, aiohttp.ClientSession() as http:
        path = tmp_path / "gateway.yaml"
        path.write_text(
            CONFIG.format(
                **dict.fromkeys(("server", "clone", "ownership", "minimax_extra", "plugins"), ""),
                minimax=minimax.base_url,
                key=minimax.api_key,
                origin=origin.base_url,
            )
        )
        plugins = InstalledPlugins()

        def load() -> Any:
            environ = {"TEST_DATABASE_URL": database_url(database_target)}
            return load_settings(path, plugins=plugins, environ=environ)

        rehearsal = Rehearsal(handler_cancellation=False)
        application = Application(load(), plugins, load=load, rehearsal=rehearsal)
        await application.start()
        try:
            opened = await application.database.transact(
                lambda connection: open_account(connection, "test", 25_000_000, "test")
            )
            made = Reloadable(application, minimax, origin, http, opened.account_id, opened.api_key)
            made.path = path
            yield made
        finally:
            await application.stop()


def speech(world: World, *, stream: bool = False) -> Any:
    fields = {"model": "minimax-speech-turbo", "input": "Mind the gap.", "voice": "English_Graceful_Lady"}
    headers = {"Authorization": f"Bearer {world.api_key}"}
    return world.http.post(f"{world.base_url}/v1/audio/speech", json={**fields, "stream": stream}, headers=headers)


async def test_no_request_fails_while_the_configuration_is_reloaded_again_and_again(world: Reloadable) -> None:
    over = asyncio.Event()
    statuses: list[int] = []

    async def ask() -> None:
        while not over.is_set():
            async with speech(world, stream=len(statuses) % 2 == 0) as answer:
                assert await answer.read()
                statuses.append(answer.status)
            forwarded = await world.request("GET", "/v1/audio/voices", headers={"Authorization": "Bearer kyma-test"})
            statuses.append(forwarded.status)

    asking = [asyncio.ensure_future(ask()) for _ in range(8)]
    for _ in range(15):
        await asyncio.sleep(0.2)
        await world.reload()
    over.set()
    await asyncio.gather(*asking)
    assert len(statuses) > 100
    assert set(statuses) == {200}
    async with asyncio.timeout(5):
        while await world.generations() > 1:
            await asyncio.sleep(0.01)
    await world.require_exact_books()


async def test_a_stream_ends_where_it_began_and_the_next_request_goes_elsewhere(world: Reloadable) -> None:
    world.minimax.inject(Fault(path=T2A, chunk_stall_seconds=0.3, times=1))
    async with speech(world, stream=True) as answer, OriginSimulator() as elsewhere:
        assert answer.status == 200
        await answer.content.readany()
        world.path.write_text(world.path.read_text().replace(world.origin.base_url, elsewhere.base_url))
        await world.reload()
        assert await world.generations() == 2
        before = len(world.origin.calls)
        await world.request("GET", "/v1/audio/voices")
        assert len(world.origin.calls) == before
        assert [call.path for call in elsewhere.calls] == ["/v1/audio/voices"]
        rest = await answer.read()
        assert rest, "the stream went on"
    async with asyncio.timeout(5):
        while await world.generations() > 1:
            await asyncio.sleep(0.01)


async def test_a_mint_across_a_reload_is_made_and_paid_once(world: Reloadable) -> None:
    world.minimax.inject(Fault(path=CLONE, stall_seconds=0.6))
    cloning = asyncio.ensure_future(world.clone(sample_recording()))
    async with asyncio.timeout(10):
        while not any(call.path == CLONE for call in world.minimax.calls):
            await asyncio.sleep(0.01)
    # The provider of the new configuration is another one, or none at all.
    world.path.write_text(world.path.read_text().replace(world.minimax.base_url, "http://127.0.0.1:9"))
    await world.reload()
    answer = await cloning
    assert answer.status == 200, answer.body
    await world.require_exact_books()
    assert (await world.account()).balance_micros == 22_900_000
    refused = await world.clone(sample_recording())
    assert refused.status == 502
    assert (await world.account()).balance_micros == 22_900_000


async def test_a_refused_reload_leaves_everything_as_it_was(world: Reloadable) -> None:
    text = world.path.read_text()
    world.path.write_text(text.replace("voice_ownership", "voice_ownershp"))
    outcome = await world.application.reload()
    assert outcome is not None
    assert "did you mean" in outcome.problems[0].message
    async with speech(world) as answer:
        assert answer.status == 200
    async with world.http.get(f"{world.admin_url}/readyz") as answer:
        assert answer.status == 200

"""PostgreSQL goes away and comes back, or its standby takes over, while the gateway runs."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from e2e_kit.world import CLONE_PATH, CONFIG, Answer, World
from kyma_proxy.accounts.accounts import open_account
from kyma_proxy.accounts.keys import list_keys, revoke_key
from kyma_proxy.app import Application
from kyma_proxy.database.pool import Database
from kyma_proxy.database.target import DatabaseTarget
from kyma_proxy.pipeline.loader import InstalledPlugins
from kyma_proxy.settings import load_settings
from kyma_proxy.simulators.minimax import MiniMaxSimulator
from kyma_proxy.simulators.origin import OriginSimulator
from kyma_proxy.simulators.sample import sample_recording
from postgres_kit import Server, until

PRICE = 2_100_000
CREDIT = 1_000_000_000
CLIENTS = 6

# Each mint with what its voice, its hold and its charge came to.
_MINTS = """
SELECT v.name, v.voice_id, v.account_id, v.status, h.state AS hold,
       (SELECT sum(e.amount_micros) FROM entries e
        WHERE e.account_id = h.account_id AND e.hold_id = h.hold_id)::bigint AS charged
FROM voices v JOIN mints m USING (voice_id) JOIN holds h ON h.account_id = m.account_id AND h.hold_id = m.hold_id
"""
_LISTENERS = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND query ~ '^(LISTEN|SELECT 1$)'"


@asynccontextmanager
async def gateway_on(url: str, folder: Path) -> AsyncIterator[World]:
    """A gateway whose database has this URL, and an account with a thousand dollars."""
    async with AsyncExitStack() as stack:
        minimax = await stack.enter_async_context(MiniMaxSimulator())
        origin = await stack.enter_async_context(OriginSimulator())
        path = folder / "gateway.yaml"
        places = {"minimax": minimax.base_url, "key": minimax.api_key, "origin": origin.base_url}
        path.write_text(CONFIG.format(server="", clone="", ownership="", plugins="", minimax_extra="", **places))
        plugins = InstalledPlugins()
        settings = load_settings(path, plugins=plugins, environ={"TEST_DATABASE_URL": url})
        application = Application(settings, plugins)
        await application.start()
        stack.push_async_callback(application.stop)
        opened = await application.database.transact(lambda it: open_account(it, "Ada", CREDIT, "test"))
        session = await stack.enter_async_context(aiohttp.ClientSession(auto_decompress=False))
        yield World(application, minimax, origin, session, opened.account_id, opened.api_key)


def url_of_both(primary: Server, standby: Server, database: str) -> str:
    """Both hosts in the query of the URL, which asyncpg and libpq read like those before the path."""
    login = primary.target.connect_arguments()
    hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
    user, password = login["user"], quote(login["password"], safe="")
    return f"postgresql:///{database}?host={hosts}&user={user}&password={password}&target_session_attrs=read-write"


@dataclass
class Pair:
    """A primary with a synchronous standby, and a gateway that knows both."""

    primary: Server
    standby: Server
    database: str
    world: World

    async def fail_over(self) -> None:
        """The primary is gone from one moment to the next; somebody notices, and the standby takes over."""
        self.primary.kill()
        await asyncio.sleep(0.3)
        await self.standby.promote()


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    async with Server() as primary:
        database = (await primary.migrated()).label.rpartition("/")[2]
        standby = await primary.make_standby()
        async with gateway_on(url_of_both(primary, standby, database), tmp_path) as world:
            yield Pair(primary, standby, database, world)


@dataclass
class Stream:
    """Clients that clone one voice after the other, each under a name of its own, and what they were told."""

    world: World
    told: dict[str, Answer] = field(default_factory=dict)
    unanswered: set[str] = field(default_factory=set)
    last_one: asyncio.Event = field(default_factory=asyncio.Event)

    def named(self, *, served: bool) -> set[str]:
        """The names of those that were told 200, or of those that were told something else."""
        return {name for name, answer in self.told.items() if (answer.status == 200) is served}

    async def run_client(self, client: int) -> None:
        """Clone until `last_one` is set and one more was served."""
        for number in itertools.count():
            name = f"{client}-{number}"
            last = self.last_one.is_set()
            try:
                self.told[name] = await self.world.clone(sample_recording(), fields={"name": name})
            except aiohttp.ClientError:
                self.unanswered.add(name)
            if name not in self.named(served=True):
                await asyncio.sleep(0.05)
            elif last:
                return


async def _holds(condition: Callable[[], object]) -> None:
    async def ask() -> object:
        return condition()

    await until(ask)


async def _is_ready(world: World) -> bool:
    async with world.http.get(f"{world.admin_url}/readyz") as response:
        return response.status == 200


async def test_a_gateway_outlives_a_restart_of_its_database(tmp_path: Path) -> None:
    async with Server() as server:
        database = (await server.migrated()).label.rpartition("/")[2]
        async with gateway_on(server.url(database), tmp_path) as world:
            assert (await world.clone(sample_recording(), fields={"name": "before"})).status == 200
            await server.stop()
            calls = len(world.minimax.calls)
            during = await world.clone(sample_recording(), fields={"name": "during"})
            assert (during.status, during.code) == (503, "unavailable")
            assert during.headers["x-should-retry"] == "true"
            assert len(world.minimax.calls) == calls

            async def unready() -> bool:
                return not await _is_ready(world)

            await until(unready)
            await server.start()
            assert (await world.clone(sample_recording(), fields={"name": "after"})).status == 200
            assert await _is_ready(world)
            await world.require_exact_books()
            assert {voice.name for voice in await world.voices() if voice.status == "active"} == {"before", "after"}
            assert (await world.account()).balance_micros == CREDIT - 2 * PRICE


async def test_a_clone_waits_for_a_database_that_is_away_when_its_voice_has_been_made(tmp_path: Path) -> None:
    async with Server() as server:
        database = (await server.migrated()).label.rpartition("/")[2]
        async with gateway_on(server.url(database), tmp_path) as world:
            world.minimax.behaviour = world.minimax.behaviour.model_copy(update={"clone_seconds": 0.3})
            cloning = asyncio.create_task(world.clone(sample_recording()))
            await world.minimax.wait_for_call("/v1/voice_clone")
            server.kill()
            await asyncio.sleep(0.6)
            assert not cloning.done()
            await server.start()
            answer = await cloning
            assert answer.status == 200
            await world.require_exact_books()
            [voice] = await world.voices()
            assert (voice.voice_id, voice.status) == (answer.fields["voice_id"], "active")


async def test_what_clients_were_told_is_what_the_promoted_standby_has(pair: Pair) -> None:
    world, stream = pair.world, Stream(pair.world)
    world.minimax.behaviour = world.minimax.behaviour.model_copy(update={"clone_seconds": 0.05})
    clients = [asyncio.create_task(stream.run_client(client)) for client in range(CLIENTS)]
    async with asyncio.timeout(30):
        await _holds(lambda: len(stream.named(served=True)) >= CLIENTS and world.application.tasks.obligations >= 3)
        before = stream.named(served=True)
        await pair.fail_over()
        stream.last_one.set()
        await asyncio.gather(*clients)
    await world.require_exact_books()
    mints = {row["name"]: row for row in await pair.standby.run(_MINTS, database=pair.database)}
    assert len(stream.named(served=True) - before) >= CLIENTS
    _require_what_was_told(stream, mints)
    active = sum(row["status"] == "active" for row in mints.values())
    assert (await world.account()).balance_micros == CREDIT - active * PRICE
    assert {row["voice_id"] for row in mints.values() if row["status"] == "active"} <= set(world.minimax.voices)
    assert (await world.clone(sample_recording(), fields={"name": "afterwards"})).status == 200


def _require_what_was_told(stream: Stream, mints: dict[str, Any]) -> None:
    for name in stream.named(served=True):
        answer, mint = stream.told[name].fields, mints[name]
        assert (mint["voice_id"], mint["account_id"]) == (answer["voice_id"], stream.world.account_id)
        assert (mint["status"], mint["hold"], mint["charged"]) == ("active", "posted", PRICE), name
    for name in stream.named(served=False):
        answer = stream.told[name]
        assert (answer.status, answer.code) in ((503, "unavailable"), (500, "ownership_write_failed")), answer.body
        assert _is_undone(mints.get(name)), (name, answer.body)
    for name in stream.unanswered:
        assert _is_undone(mints.get(name)) or mints[name]["status"] == "active"


def _is_undone(mint: Any) -> bool:
    return mint is None or (mint["status"], mint["hold"], mint["charged"]) == ("failed", "voided", None)


async def test_a_revocation_at_the_promoted_standby_is_heard(pair: Pair) -> None:
    world = pair.world
    assert (await _knock(world)).status == 400
    await pair.fail_over()

    async def listens() -> Any:
        return await pair.standby.value(_LISTENERS, pair.database)

    await until(listens)

    async def is_let_in() -> bool:
        return (await _knock(world)).status == 400

    await until(is_let_in)
    elsewhere = Database(DatabaseTarget.from_url(pair.standby.url(pair.database)))
    await elsewhere.start()
    try:
        [key] = await elsewhere.transact(lambda connection: list_keys(connection, world.account_id))
        assert await elsewhere.transact(lambda connection: revoke_key(connection, key.key_id))
    finally:
        await elsewhere.stop()

    async def is_turned_away() -> bool:
        return (await _knock(world)).status == 401

    await until(is_turned_away, seconds=2)


def _knock(world: World) -> Awaitable[Answer]:
    """A clone without a form: 400 for whoever has a good key, 401 for everybody else."""
    return world.request("POST", CLONE_PATH, data=b"{}", headers={"Authorization": f"Bearer {world.api_key}"})

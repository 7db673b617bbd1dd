"""The whole gateway while its database is away: what was known goes on for a while, and nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from e2e_kit.world import SPEECH_PATH, Answer, World, database_url
from kyma_proxy.accounts.accounts import open_account
from kyma_proxy.accounts.keys import list_keys, revoke_key
from kyma_proxy.app import Application
from kyma_proxy.database.pool import Database
from kyma_proxy.pipeline.loader import InstalledPlugins
from kyma_proxy.settings import load_settings
from kyma_proxy.simulators.minimax import MiniMaxSimulator
from kyma_proxy.simulators.origin import OriginSimulator
from kyma_proxy.simulators.sample import sample_recording
from kyma_proxy.voices import registry
from kyma_proxy.voices.registry import VoiceHome

CONFIG = """
version: 1
server: {{listen: "127.0.0.1:0", admin_listen: "127.0.0.1:0", drain_seconds: 5}}
database: {{url: "${{TEST_DATABASE_URL}}", acquire_timeout_seconds: 2, outage_seconds: {outage_seconds}}}
upstreams:
  minimax:
    adapter: minimax
    base_url: "{minimax}"
    api_key: "{key}"
    models: {{minimax-speech-turbo: speech-02-turbo}}
  origin: {{adapter: forward, base_url: "{origin}"}}
plugins:
  - use: api_key_auth
  - {{use: voice_clone, config: {{upstream: minimax, price_usd: "2.10"}}}}
  - {{use: voice_ownership, config: {{{ownership}}}}}
routes:
  - {{path: /v1/audio/speech, methods: [POST], models: ["minimax-*"], upstream: minimax}}
  - {{path: "/v1/audio/**", upstream: origin}}
"""
SYSTEM, UNSEEN_SYSTEM = "English_Graceful_Lady", "English_magnetic_voiced_man"
THEIRS, UNLISTED = "Narrator (deep)", "kyma_00000000000000ff"
RECOVERY_SECONDS = 2.0


@dataclass
class Away:
    """A gateway whose way to the database is a relay, and another way that no outage touches."""

    world: World
    relay: Any
    books: Database
    own: str
    unseen: str
    eve_key: str

    async def speak(self, voice: str, api_key: str | None = None) -> Answer:
        body = {"model": "minimax-speech-turbo", "input": "Mind the gap.", "voice": voice}
        headers = {"Authorization": f"Bearer {api_key or self.world.api_key}", "Content-Type": "application/json"}
        return await self.world.request("POST", SPEECH_PATH, data=json.dumps(body), headers=headers)

    async def verdict(self, voice: str, api_key: str | None = None) -> tuple[int, str | None]:
        """The answer's status and code; what says "unavailable" says as well that it is worth another try."""
        answer = await self.speak(voice, api_key)
        if answer.status == 200:
            return 200, None
        assert (answer.headers["x-should-retry"] == "true") == (answer.code == "unavailable")
        return answer.status, answer.code

    async def until(
        self,
        wanted: tuple[int, str | None],
        voice: str,
        api_key: str | None = None,
        *,
        seconds: float = RECOVERY_SECONDS,
    ) -> None:
        """Fails unless the answer becomes this in time."""
        async with asyncio.timeout(seconds):
            while await self.verdict(voice, api_key) != wanted:
                await asyncio.sleep(0.02)

    async def revoke_voice(self, voice_id: str) -> None:
        await self.books.transact(lambda connection: registry.revoke(connection, voice_id))

    async def revoke_key(self) -> None:
        """Ada's first key."""
        (key,) = await self.books.transact(lambda connection: list_keys(connection, self.world.account_id))
        await self.books.transact(lambda connection: revoke_key(connection, key.key_id))


MakeAway = Callable[..., Awaitable[Away]]
UNAVAILABLE = (503, "unavailable")
FINE = (200, None)
FOREIGN = (403, "voice_not_owned")


@pytest.fixture
async def make_away(relay: Any, database: Database, tmp_path: Path) -> AsyncIterator[MakeAway]:
    """Start a gateway behind the relay: Ada has two voices, Eve has one, and Ada has asked for all but one."""
    async with AsyncExitStack() as stack:

        async def make(*, outage_seconds: float = 300, ownership: str = "") -> Away:
            minimax = await stack.enter_async_context(MiniMaxSimulator())
            origin = await stack.enter_async_context(OriginSimulator())
            path = tmp_path / "gateway.yaml"
            places = {"minimax": minimax.base_url, "key": minimax.api_key, "origin": origin.base_url}
            path.write_text(CONFIG.format(outage_seconds=outage_seconds, ownership=ownership, **places))
            plugins = InstalledPlugins()
            environ = {"TEST_DATABASE_URL": database_url(relay.target)}
            application = Application(load_settings(path, plugins=plugins, environ=environ), plugins)
            await application.start()
            stack.push_async_callback(application.stop)
            ada = await database.transact(lambda connection: open_account(connection, "Ada", 25_000_000, "test"))
            eve = await database.transact(lambda connection: open_account(connection, "Eve", 0, "test"))
            await adopt(database, THEIRS, eve.account_id)
            session = await stack.enter_async_context(aiohttp.ClientSession(auto_decompress=False))
            world = World(application, minimax, origin, session, ada.account_id, ada.api_key)
            own, unseen = [str((await world.clone(sample_recording())).fields["voice_id"]) for _ in range(2)]
            away = Away(world, relay, database, own, unseen, eve.api_key)
            verdicts = [await away.verdict(voice) for voice in (SYSTEM, own, THEIRS, UNLISTED)]
            assert verdicts == [FINE, FINE, FOREIGN, (404, "voice_not_found")]
            assert await away.verdict(own, eve.api_key) == FOREIGN
            return away

        yield make


async def adopt(database: Database, voice_id: str, account_id: str) -> None:
    """Put a voice on file; the news of it has been heard when this returns."""
    home = VoiceHome("minimax", "default")
    await database.transact(lambda connection: registry.adopt(connection, voice_id, account_id, None, home))
    await asyncio.sleep(0.1)


async def test_what_was_known_goes_on_and_nothing_else_does(make_away: MakeAway) -> None:
    away = await make_away()
    await away.relay.stop()

    for _ in range(3):
        assert [await away.verdict(voice) for voice in (SYSTEM, away.own)] == [FINE, FINE]
        for voice in (UNSEEN_SYSTEM, away.unseen, UNLISTED):
            assert await away.verdict(voice) == UNAVAILABLE
        assert await away.verdict(THEIRS) == FOREIGN
        assert await away.verdict(away.own, away.eve_key) == FOREIGN
        assert await away.verdict(SYSTEM, "ky-unknown") == UNAVAILABLE
    cloned = await away.world.clone(sample_recording())
    assert (cloned.status, cloned.code, cloned.headers["x-should-retry"]) == (503, "unavailable", "true")

    await away.relay.start()
    for voice in (SYSTEM, UNSEEN_SYSTEM, away.own, away.unseen):
        await away.until(FINE, voice)
    await away.until((401, "auth_error"), SYSTEM, "ky-unknown")
    assert (await away.world.clone(sample_recording())).status == 200
    await away.world.require_exact_books()


async def test_it_goes_on_for_a_bounded_time(make_away: MakeAway) -> None:
    away = await make_away(outage_seconds=1)
    await away.relay.stop()
    # Pings lag, so what is left of the second is not known; that it ends is.
    await asyncio.sleep(1.1)

    for voice in (SYSTEM, away.own, THEIRS, away.unseen):
        assert await away.verdict(voice) == UNAVAILABLE
    assert await away.verdict(away.own, away.eve_key) == UNAVAILABLE

    await away.relay.start()
    for voice in (SYSTEM, away.own, away.unseen):
        await away.until(FINE, voice)


@pytest.mark.parametrize("settings", [{"ownership": "when_database_is_down: refuse"}, {"outage_seconds": 0}])
async def test_it_can_be_refused_at_once(make_away: MakeAway, settings: dict[str, Any]) -> None:
    away = await make_away(**settings)
    await away.relay.stop()

    for voice in (SYSTEM, away.own, THEIRS, UNLISTED):
        assert await away.verdict(voice) == UNAVAILABLE

    await away.relay.start()
    for voice in (SYSTEM, away.own, away.unseen):
        await away.until(FINE, voice)


async def test_what_was_revoked_meanwhile_is_refused_afterwards_and_in_the_next_outage(make_away: MakeAway) -> None:
    away = await make_away()
    await away.relay.stop()
    assert await away.verdict(away.own) == FINE
    await away.revoke_voice(away.own)

    await away.relay.start()
    await away.until(FOREIGN, away.own)
    await away.until(FINE, SYSTEM)
    await away.relay.stop()
    assert await away.verdict(away.own) == UNAVAILABLE

    await away.relay.start()
    await away.until(FOREIGN, away.own)
    await away.relay.stop()
    await away.revoke_key()
    await away.relay.start()
    await away.until((401, "auth_error"), SYSTEM)
    await away.relay.stop()
    assert await away.verdict(SYSTEM) == UNAVAILABLE


async def test_lines_that_fell_silent_do_not_stop_what_is_known(make_away: MakeAway) -> None:
    away = await make_away()
    away.relay.fall_silent()
    await away.revoke_voice(away.own)
    # A request that meets a silent line waits for it to be found out, and is answered on a fresh one.
    await away.until(FOREIGN, away.own, seconds=10)
    assert await away.verdict(SYSTEM) == FINE

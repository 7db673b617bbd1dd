"""An account's own voices over real sockets: seen, renamed, deleted, kept alive, lost; and the origin's list."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from e2e_kit.world import SPEECH_PATH, Answer
from kyma_proxy.accounts.accounts import open_account
from kyma_proxy.simulators.sample import sample_recording
from kyma_proxy.voices.keepalive import KeepAlive, KeepAliveTerms

VOICES = "/v1/audio/voices"
WEEK = 168 * 3600


@pytest.fixture
async def world(make_world: Callable[..., Awaitable[Any]]) -> Any:
    return await make_world()


async def ask(world: Any, method: str, path: str, api_key: str | None = None, **arguments: Any) -> Answer:
    headers = {"Authorization": f"Bearer {api_key or world.api_key}"}
    return await world.request(method, path, headers=headers, **arguments)  # type: ignore[no-any-return]


async def direct_to_origin(world: Any, method: str, path: str) -> Answer:
    headers = {"Authorization": f"Bearer {world.api_key}"}
    async with world.http.request(method, world.origin.base_url + path, headers=headers) as response:
        return Answer(response.status, response.headers, await response.read())


async def speak(world: Any, voice_id: str) -> Answer:
    asked = {"model": "minimax-speech-hd", "input": "Hello.", "voice": voice_id}
    return await ask(world, "POST", SPEECH_PATH, data=json.dumps(asked))


async def stranger(world: Any) -> str:
    opened = await world.application.database.transact(lambda connection: open_account(connection, "Eve", 0, "test"))
    return str(opened.api_key)


async def minted(world: Any) -> str:
    answer = await world.clone(sample_recording(), fields={"name": "Ada"})
    assert answer.status == 200
    return str(answer.fields["voice_id"])


def later(world: Any, seconds: float) -> None:
    """The clock moves on at the provider."""
    world.minimax.advance(seconds)


async def move_books(world: Any, seconds: float) -> None:
    """The same clock, as the books see it."""
    await world.application.database.execute(
        "UPDATE voices SET expires_at = expires_at - make_interval(secs => $1),"
        " created_at = created_at - make_interval(secs => $1)",
        seconds,
    )


async def keep_alive(world: Any) -> Any:
    keeper = KeepAlive(world.application.database, world.application.voice_providers)
    return await keeper.run("minimax", KeepAliveTerms(24 * 3600, 60))


async def test_the_origins_list_is_byte_for_byte_the_origins(world: Any) -> None:
    await minted(world)
    through, direct = await ask(world, "GET", VOICES), await direct_to_origin(world, "GET", VOICES)
    assert through.status == 200
    assert through.body == direct.body


async def test_a_voice_from_its_mint_to_its_deletion(world: Any) -> None:
    clone = await world.clone(sample_recording(), fields={"name": "Ada"})
    voice_id = clone.fields["voice_id"]
    expires = datetime.fromisoformat(clone.headers["X-Kyma-Voice-Expires"])
    (listed,) = (await ask(world, "GET", f"{VOICES}?scope=mine")).fields["data"]
    assert (listed["voice_id"], listed["name"], listed["state"], listed["last_used_at"]) == (
        voice_id,
        "Ada",
        "active",
        None,
    )
    assert datetime.fromisoformat(listed["expires_at"]) == expires
    assert abs(expires - datetime.fromisoformat(listed["created_at"]) - timedelta(hours=168)) <= timedelta(seconds=1)
    assert (await ask(world, "PATCH", f"{VOICES}/{voice_id}", json={"name": "Bea"})).fields["name"] == "Bea"
    assert (await speak(world, voice_id)).status == 200
    used = (await ask(world, "GET", f"{VOICES}/{voice_id}")).fields
    assert used["last_used_at"] is not None
    assert used["expires_at"] is None
    assert (await ask(world, "DELETE", f"{VOICES}/{voice_id}")).fields == {"voice_id": voice_id, "deleted": True}
    assert (await ask(world, "GET", f"{VOICES}/{voice_id}")).code == "voice_not_found"
    assert (await ask(world, "GET", f"{VOICES}?scope=mine")).fields["data"] == []
    async with asyncio.timeout(2):
        while (await speak(world, voice_id)).code != "voice_not_owned":
            await asyncio.sleep(0.01)
    async with asyncio.timeout(10):
        while voice_id in world.minimax.voices:
            await asyncio.sleep(0.01)
    await world.require_exact_books()


async def test_somebody_elses_voice_is_not_there(world: Any) -> None:
    voice_id, eve = await minted(world), await stranger(world)
    for method in ("GET", "PATCH", "DELETE"):
        answer = await ask(world, method, f"{VOICES}/{voice_id}", eve, json={"name": "mine"})
        assert (answer.status, answer.code) == (404, "voice_not_found")
    assert (await ask(world, "GET", f"{VOICES}?scope=mine", eve)).fields["data"] == []
    assert (await speak(world, voice_id)).status == 200


async def test_what_is_not_on_file_and_who_has_no_key_meet_the_origin(world: Any) -> None:
    voice_id = await minted(world)
    for path in (f"{VOICES}/Rachel", f"{VOICES}/kyma_0000000000000000"):
        through = await ask(world, "DELETE", path)
        direct = await direct_to_origin(world, "DELETE", path)
        assert (through.status, through.body) == (direct.status, direct.body)
    for path in (f"{VOICES}/{voice_id}", f"{VOICES}?scope=mine"):
        through = await ask(world, "GET", path, "ky-not-a-key-of-this-gateway")
        assert voice_id not in through.body.decode()
    assert voice_id in world.minimax.voices


async def test_an_unused_voice_vanishes_and_that_is_said(world: Any) -> None:
    voice_id = await minted(world)
    later(world, WEEK + 1)
    answer = await speak(world, voice_id)
    assert (answer.status, answer.code) == (404, "voice_not_found")
    assert "not used in time" in answer.fields["error"]["message"]
    assert (await ask(world, "GET", f"{VOICES}/{voice_id}")).fields["state"] == "lost"


async def test_a_voice_that_was_kept_alive_outlives_its_week_at_the_cost_of_the_house(world: Any) -> None:
    voice_id = await minted(world)
    before = await world.account()
    assert sum((await keep_alive(world)).values()) == 0
    later(world, WEEK - 3600)
    await move_books(world, WEEK - 3600)
    assert (await keep_alive(world))["kept"] == 1
    later(world, 2 * WEEK)
    kept = (await ask(world, "GET", f"{VOICES}/{voice_id}")).fields
    assert kept["kept_alive_at"] is not None
    assert (kept["expires_at"], kept["last_used_at"]) == (None, None)
    assert await world.account() == before
    assert (await speak(world, voice_id)).status == 200
    await world.require_exact_books()


async def test_streamed_speech_is_a_use_too(world: Any) -> None:
    voice_id = await minted(world)
    asked = {"model": "minimax-speech-hd", "input": "Hello.", "voice_id": voice_id, "stream": True}
    assert (await ask(world, "POST", SPEECH_PATH, data=json.dumps(asked))).status == 200
    assert (await ask(world, "GET", f"{VOICES}/{voice_id}")).fields["last_used_at"] is not None


async def test_an_adopted_voice_is_spoken_with_listed_and_deleted_like_any_other(world: Any) -> None:
    voice_id = await minted(world)
    await world.application.database.execute("UPDATE voices SET kind = 'adopted', expires_at = NULL")
    assert (await speak(world, voice_id)).status == 200
    (listed,) = (await ask(world, "GET", f"{VOICES}?scope=mine")).fields["data"]
    assert (listed["kind"], listed["category"]) == ("adopted", "cloned")
    assert listed["last_used_at"] is not None
    assert (await ask(world, "DELETE", f"{VOICES}/{voice_id}")).status == 200
    async with asyncio.timeout(10):
        while voice_id in world.minimax.voices:
            await asyncio.sleep(0.01)

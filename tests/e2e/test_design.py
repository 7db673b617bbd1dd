"""Designed voices over real sockets, at a provider that takes our ids and at one that insists on its own."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from e2e_kit.world import DESIGN_PATH, SPEECH_PATH, Answer, database_url
from kyma_proxy.accounts.accounts import open_account
from kyma_proxy.app import Application
from kyma_proxy.database.target import DatabaseTarget
from kyma_proxy.pipeline.loader import InstalledPlugins
from kyma_proxy.settings import load_settings
from kyma_proxy.simulators.minimax import Behaviour, Fault
from kyma_proxy.simulators.sample import sample_recording
from kyma_proxy.voices import registry

DESIGN = "/v1/voice_design"
PRICE = 4_200_000
FUNDS = 25_000_000


@pytest.fixture(params=["asked", "own"])
async def world(request: pytest.FixtureRequest, make_world: Callable[..., Awaitable[Any]]) -> Any:
    world = await make_world()
    world.minimax.behaviour = Behaviour(design_ids=request.param)
    return world


async def speak(world: Any, voice_id: str, api_key: str | None = None, **fields: Any) -> Answer:
    headers = {"Authorization": f"Bearer {api_key or world.api_key}", "Content-Type": "application/json"}
    asked = {"model": "minimax-speech-hd", "input": "Hello.", "voice": voice_id} | fields
    return await world.request("POST", SPEECH_PATH, data=json.dumps(asked), headers=headers)  # type: ignore[no-any-return]


async def another_key(world: Any) -> str:
    opened = await world.application.database.transact(lambda connection: open_account(connection, "Eve", 0, "test"))
    return str(opened.api_key)


async def balance(world: Any) -> int:
    await world.require_exact_books()
    return int((await world.account()).balance_micros)


def made_at_provider(world: Any) -> str:
    (voice_id,) = [each for each, voice in world.minimax.voices.items() if voice.voice_type == "voice_generation"]
    return str(voice_id)


async def test_a_description_becomes_a_voice(world: Any) -> None:
    answer = await world.design(name="keeper")
    assert answer.status == 200
    assert re.fullmatch(r"kyma_[0-9a-f]{16}", answer.fields["voice_id"])
    assert {name: answer.fields[name] for name in answer.fields if name != "voice_id"} == {
        "name": "keeper",
        "model": "minimax-voice-design",
        "cost_usd": 4.2,
        "balance_usd": 20.8,
    }
    assert answer.headers["X-Kyma-Model"] == "minimax-voice-design"
    assert (answer.headers["X-Kyma-Cost-USD"], answer.headers["X-Kyma-Balance-USD"]) == ("4.20", "20.80")
    assert await balance(world) == FUNDS - PRICE
    own = world.minimax.behaviour.design_ids == "own"
    assert (made_at_provider(world) == answer.fields["voice_id"]) is not own


async def test_hints_become_words_and_the_alias_counts(world: Any) -> None:
    answer = await world.design(
        description=None, text="Cheerful.", gender="female", age_group="elderly", preview_text="Hi!", name=" "
    )
    assert (answer.status, answer.fields["name"]) == (200, None)
    (call,) = [call for call in world.minimax.calls if call.path == DESIGN]
    assert call.json["prompt"] == "The voice of an elderly woman. Cheerful."
    assert call.json["preview_text"] == "Hi!"


async def test_speaking_with_it_and_nobody_else_does(world: Any) -> None:
    voice_id = (await world.design()).fields["voice_id"]
    theirs = made_at_provider(world)
    assert (await speak(world, voice_id)).status == 200
    (spoken,) = [call for call in world.minimax.calls if call.path == "/v1/t2a_v2"]
    assert spoken.json["voice_setting"]["voice_id"] == theirs
    mixed = await speak(world, None, timbre_weights=[{"voice_id": voice_id, "weight": 1}])  # type: ignore[arg-type]
    assert mixed.status == 200
    assert [call for call in world.minimax.calls if call.path == "/v1/t2a_v2"][-1].json["timbre_weights"] == [
        {"voice_id": theirs, "weight": 1}
    ]
    eve = await another_key(world)
    for named in (voice_id, theirs):
        assert (await speak(world, named, eve)).code == "voice_not_owned"
        forwarded = await speak(world, named, eve, model="eleven-v3")
        assert (forwarded.status, forwarded.code) == (403, "voice_not_owned")
    await world.application.database.transact(lambda connection: registry.revoke(connection, voice_id))
    await asyncio.sleep(0.3)
    for named in (voice_id, theirs):
        assert (await speak(world, named)).code == "voice_not_owned"


async def test_a_process_that_starts_later_knows_it_under_both_ids(
    world: Any, database_target: DatabaseTarget, tmp_path: Path
) -> None:
    voice_id = (await world.design()).fields["voice_id"]
    theirs = made_at_provider(world)
    eve = await another_key(world)
    plugins = InstalledPlugins()
    environ = {"TEST_DATABASE_URL": database_url(database_target)}
    later = Application(load_settings(tmp_path / "gateway.yaml", plugins=plugins, environ=environ), plugins)
    await later.start()
    try:
        there = replace(world, application=later)
        for named in (voice_id, theirs):
            assert (await speak(there, named, eve)).code == "voice_not_owned"
        assert (await speak(there, voice_id)).status == 200
        (spoken,) = [call for call in world.minimax.calls if call.path == "/v1/t2a_v2"]
        assert spoken.json["voice_setting"]["voice_id"] == theirs
    finally:
        await later.stop()


async def test_nobody_else_adopts_it_under_either_id(world: Any) -> None:
    voice_id = (await world.design()).fields["voice_id"]
    eve = await world.application.database.transact(lambda connection: open_account(connection, "Eve", 0, "test"))
    for named in (voice_id, made_at_provider(world)):
        with pytest.raises(registry.VoiceTakenError):
            await world.application.database.transact(
                lambda connection, named=named: registry.adopt(
                    connection, named, eve.account_id, None, registry.VoiceHome("minimax", "default")
                )
            )
    assert [each.account_id for each in await world.voices()] == [world.account_id]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"model": "minimax-voice-clone"}, "not_a_voice_design_model"),
        ({"model": 7}, "not_a_voice_design_model"),
        ({"description": None}, "invalid_request"),
        ({"description": "  "}, "invalid_request"),
        ({"description": ["a"]}, "invalid_request"),
        ({"text": "something else"}, "invalid_request"),
        ({"description": "x" * 1001}, "description_too_long"),
        ({"preview_text": "x" * 501}, "invalid_request"),
        ({"preview_text": 1}, "invalid_request"),
        ({"name": "x" * 65}, "invalid_request"),
        ({"name": "a\nb"}, "invalid_request"),
        ({"gender": "robot"}, "invalid_request"),
        ({"age_group": "Young"}, "invalid_request"),
        ({"gender": ["male"]}, "invalid_request"),
        ({"model": "wrong", "description": "x" * 1001}, "not_a_voice_design_model"),
        ({"description": "x" * 1001, "gender": "robot"}, "description_too_long"),
    ],
)
async def test_what_cannot_be_understood_costs_nothing(make_world: Any, fields: dict[str, Any], code: str) -> None:
    world = await make_world(credit_micros=0)
    answer = await world.design(**fields)
    assert (answer.status, answer.code) == (400, code)
    assert world.minimax.calls == []
    await world.require_untouched(0)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {}, 400),
        (b"[]", {}, 400),
        (b'{"description": "a", "description": "b"}', {}, 400),
        (b'{"description": "a", "Description": "b"}', {}, 400),
        (b'\xff{"description": "a"}', {}, 400),
        (b'{"description": "a"}', {"Content-Type": "application/json; charset=latin-1"}, 400),
        (b'{"description": "a"}', {"Content-Encoding": "br"}, 415),
        (gzip.compress(b'{"description": "a"}', mtime=0), {"Content-Encoding": "gzip"}, 200),
        (b'{"description": "' + b"x" * 70_000 + b'"}', {}, 413),
        (b'{"description": "a"}', {"Idempotency-Key": "\x80"}, 400),
    ],
)
async def test_bodies(world: Any, body: bytes, headers: dict[str, str], status: int) -> None:
    sent = {"Authorization": f"Bearer {world.api_key}", **headers}
    assert (await world.request("POST", DESIGN_PATH, data=body, headers=sent)).status == status
    assert await balance(world) == FUNDS - (PRICE if status == 200 else 0)


async def test_who_asks_and_how(world: Any) -> None:
    assert (await world.request("POST", DESIGN_PATH, data=b"{}")).status == 401
    wrong = await world.request("GET", DESIGN_PATH, headers={"Authorization": f"Bearer {world.api_key}"})
    assert (wrong.status, wrong.headers["Allow"]) == (405, "POST")


async def test_too_little_money_asks_nobody(make_world: Any) -> None:
    world = await make_world(credit_micros=PRICE - 1)
    answer = await world.design()
    assert (answer.status, answer.code) == (402, "insufficient_credits")
    assert world.minimax.calls == []
    await world.require_untouched(PRICE - 1)


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1004, 1008, 1013, 1027, 1039, 2013])
async def test_a_provider_that_fails_costs_nothing(world: Any, code: int) -> None:
    world.minimax.inject(Fault(path=DESIGN, error_code=code))
    answer = await world.design()
    assert (answer.status, answer.code) == (502, "provider_error")
    assert answer.headers["x-should-retry"] == ("true" if code in (1002, 1039) else "false")
    account = await world.account()
    assert (account.balance_micros, account.held_micros) == (FUNDS, 0)
    await world.require_untouched()


@pytest.mark.parametrize("given", [None, "", 7, "x" * 257, "a\x00b"])
async def test_an_answer_without_an_id_that_can_be_one_is_no_voice(make_world: Any, given: object) -> None:
    world = await make_world()
    world.minimax.inject(Fault(path=DESIGN, set_fields={"voice_id": given}))
    assert (await world.design()).code == "provider_error"
    await world.require_untouched()


async def test_the_id_of_another_voice_is_neither_given_away_nor_deleted(make_world: Any) -> None:
    world = await make_world()
    cloned = (await world.clone(sample_recording())).fields["voice_id"]
    world.minimax.inject(Fault(path=DESIGN, set_fields={"voice_id": cloned}))
    assert (await world.design()).code == "provider_error"
    assert await balance(world) == FUNDS - 2_100_000
    assert cloned in world.minimax.voices
    assert (await speak(world, cloned)).status == 200


async def test_a_lost_answer_is_asked_for_again(world: Any) -> None:
    world.minimax.inject(Fault(path=DESIGN, reset=True, moment="after"))
    assert (await world.design()).status == 200
    assert await balance(world) == FUNDS - PRICE
    assert len([call for call in world.minimax.calls if call.path == DESIGN]) == 2


async def test_a_voice_whose_owner_cannot_be_written_is_deleted_under_the_providers_id(world: Any) -> None:
    database = world.application.database
    await database.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;"
        "CREATE TRIGGER refuse BEFORE UPDATE OF status ON voices FOR EACH ROW WHEN (NEW.status = 'active')"
        " EXECUTE FUNCTION refuse()"
    )
    answer = await world.design()
    assert (answer.status, answer.code) == (500, "ownership_write_failed")
    await world.require_untouched()
    assert not any(voice.voice_type == "voice_generation" for voice in world.minimax.voices.values())
    deleted = [call.json for call in world.minimax.calls if call.path == "/v1/delete_voice"]
    assert {each["voice_type"] for each in deleted} == {"voice_generation"}


async def test_a_key_buys_once_and_counts_for_its_endpoint(world: Any) -> None:
    key = {"Idempotency-Key": "one"}
    first = await world.design(headers=key)
    again = await world.design(headers=key)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.body == first.body
    other = await world.design(headers=key, description="Another one.")
    assert (other.status, other.code) == (422, "idempotency_key_reused")
    cloned = await world.clone(sample_recording(), headers=key)
    assert cloned.status == 200
    assert "idempotent-replayed" not in cloned.headers
    assert await balance(world) == FUNDS - PRICE - 2_100_000


async def test_a_marked_retry_is_found_by_its_content(world: Any) -> None:
    first = await world.design(gender="male")
    again = await world.design(gender="male", headers={"x-stainless-retry-count": "1"})
    assert again.body == first.body
    other = await world.design(gender="female", headers={"x-stainless-retry-count": "1"})
    assert other.fields["voice_id"] != first.fields["voice_id"]
    assert await balance(world) == FUNDS - 2 * PRICE


async def test_retries_that_meet_their_first_attempt_join_it(world: Any) -> None:
    world.minimax.behaviour = world.minimax.behaviour.model_copy(update={"clone_seconds": 0.5})
    first = asyncio.ensure_future(world.design())
    await world.minimax.wait_for_call(DESIGN)
    joined = await asyncio.gather(*(world.design(headers={"x-stainless-retry-count": "1"}) for _ in range(3)))
    assert {answer.body for answer in joined} == {(await first).body}
    assert await balance(world) == FUNDS - PRICE


async def test_a_client_that_leaves_finds_its_voice(world: Any) -> None:
    world.minimax.behaviour = world.minimax.behaviour.model_copy(update={"clone_seconds": 0.5})
    asked = asyncio.ensure_future(world.design(headers={"Idempotency-Key": "left"}))
    await world.minimax.wait_for_call(DESIGN)
    asked.cancel()
    await asyncio.sleep(0)
    assert await balance(world) == FUNDS - PRICE
    found = await world.design(headers={"Idempotency-Key": "left"})
    assert found.headers["idempotent-replayed"] == "true"
    assert await balance(world) == FUNDS - PRICE


async def test_two_that_race_for_the_last_money(make_world: Any) -> None:
    world = await make_world(credit_micros=PRICE + 1)
    answers = await asyncio.gather(*(world.design(description=f"Voice {number}.") for number in range(4)))
    assert sorted(answer.status for answer in answers) == [200, 402, 402, 402]
    assert await balance(world) == 1

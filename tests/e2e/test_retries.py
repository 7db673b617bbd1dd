"""Requests that are sent again: the retries that an SDK marks, and those of a client that left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import openai
import pytest

from e2e_kit.clone_form import RECORDING, Form
from e2e_kit.fleet import CLONE_CALL, PRICE, Fleet, Held, MakeFleet, fleets, is_replay, told, until, verdict
from e2e_kit.world import CLONE_PATH
from kyma_proxy.accounts.accounts import open_account
from kyma_proxy.app import Rehearsal
from kyma_proxy.database.pool import Database
from kyma_proxy.database.target import DatabaseTarget
from kyma_proxy.failpoints import Failpoint
from kyma_proxy.simulators.minimax import Fault
from kyma_proxy.voices.minting import MintPatience

NAMED = Form(name="narrator")
IN_TWO_PROCESSES = {"applications": 1, "processes": 1}
IN_PROGRESS = (409, "request_in_progress", "true")


@pytest.fixture
async def make_fleet(database: Database, database_target: DatabaseTarget, tmp_path: Path) -> AsyncIterator[MakeFleet]:
    async with fleets(database, database_target, tmp_path) as make:
        yield make


# Retries that an SDK marks.


async def test_a_marked_retry_is_answered_with_the_first_reply_in_every_process(make_fleet: MakeFleet) -> None:
    fleet = await make_fleet(**IN_TWO_PROCESSES)
    first = await fleet.clone(NAMED)
    for at, retry in enumerate(("1", "2", "10", "01")):
        again = await fleet.clone(NAMED, at=at, retry=retry)
        assert is_replay(again), retry
        assert told(again) == told(first)
    await fleet.require_books(voices=1)


async def test_a_marked_retry_of_another_account_is_its_own_request(make_fleet: MakeFleet, database: Database) -> None:
    fleet = await make_fleet()
    eve = await database.transact(lambda connection: open_account(connection, "Eve", PRICE, "test"))
    first = await fleet.clone(NAMED)
    hers, again = [await fleet.clone(NAMED, retry=1, api_key=eve.api_key) for _ in range(2)]
    assert (hers.status, is_replay(hers), is_replay(again)) == (200, False, True)
    assert hers.fields["voice_id"] == again.fields["voice_id"] != first.fields["voice_id"]


async def test_what_is_not_marked_is_never_taken_for_a_retry(make_fleet: MakeFleet) -> None:
    fleet = await make_fleet(credit_micros=100 * PRICE)
    marks = (None, 0, "00", "", "one", "-1", "1.0", "\u00b9")
    answers = [await fleet.clone(NAMED, retry=mark) for mark in marks for _ in range(2)]
    assert {(answer.status, is_replay(answer)) for answer in answers} == {(200, False)}
    await fleet.require_books(voices=2 * len(marks), credit_micros=100 * PRICE)


@pytest.mark.parametrize(("age", "replayed"), [("9 minutes 50 seconds", True), ("10 minutes 1 second", False)])
async def test_a_marked_retry_finds_replies_of_ten_minutes(make_fleet: MakeFleet, age: str, replayed: bool) -> None:
    fleet = await make_fleet()
    await fleet.clone()
    await fleet.database.execute(
        f"UPDATE mints SET completed_at = now() - interval '{age}', created_at = now() - interval '{age}'"
    )
    assert is_replay(await fleet.clone(retry=1)) is replayed
    await fleet.require_books(voices=1 if replayed else 2)


@pytest.mark.parametrize(("first_at", "retry_at"), [(0, 0), (0, 1), (1, 0), (1, 1)])
async def test_a_marked_retry_joins_the_request_while_it_runs(
    make_fleet: MakeFleet, first_at: int, retry_at: int
) -> None:
    fleet = await make_fleet(credit_micros=PRICE, **IN_TWO_PROCESSES)
    fleet.gate.close()
    loop = asyncio.get_running_loop()
    first = loop.create_task(fleet.clone(NAMED, at=first_at))
    await fleet.minimax.wait_for_call(CLONE_CALL)
    retries = [loop.create_task(fleet.clone(NAMED, at=retry_at, retry=1 + number)) for number in range(3)]
    await fleet.somebody_joins()
    fleet.gate.open()

    answers = await asyncio.gather(first, *retries)
    assert [(answer.status, is_replay(answer)) for answer in answers] == [(200, False)] + [(200, True)] * 3
    assert len(set(map(told, answers))) == 1
    await fleet.require_books(voices=1, credit_micros=PRICE)


@pytest.mark.parametrize("retry_at", [0, 1])
async def test_a_marked_retry_begins_anew_when_the_request_it_joined_fails(
    make_fleet: MakeFleet, retry_at: int
) -> None:
    fleet = await make_fleet(credit_micros=PRICE, **IN_TWO_PROCESSES)
    # At the answer, or the fault would come before the clone waits at its gate.
    fleet.minimax.inject(Fault(path=CLONE_CALL, error_code=1000, moment="after"))
    fleet.gate.close()
    loop = asyncio.get_running_loop()
    first = loop.create_task(fleet.clone())
    await fleet.minimax.wait_for_call(CLONE_CALL)
    retry = loop.create_task(fleet.clone(at=retry_at, retry=1))
    await fleet.somebody_joins()
    fleet.gate.open()

    assert verdict(await first) == (502, "provider_error", "false")
    assert ((await retry).status, is_replay(await retry)) == (200, False)
    await fleet.require_books(voices=1, credit_micros=PRICE)


async def test_a_marked_retry_that_waited_long_enough_is_409(make_fleet: MakeFleet) -> None:
    fleet = await make_fleet(rehearsals=[Rehearsal(patience=MintPatience(join_seconds=0.3))])
    fleet.gate.close()
    first = asyncio.get_running_loop().create_task(fleet.clone())
    await fleet.minimax.wait_for_call(CLONE_CALL)
    late = await fleet.clone(retry=1)
    assert (*verdict(late), late.headers["Retry-After"]) == (*IN_PROGRESS, "5")
    fleet.gate.open()
    assert told(await first) == told(await fleet.clone(retry=2))
    await fleet.require_books(voices=1)


# The official SDK, which retries by itself.


class Impatient(openai.AsyncOpenAI):
    """The official client, but it does not wait before a retry, and it counts what it sent."""

    sent: list[str]

    def _calculate_retry_timeout(self, *_arguments: Any, **_options: Any) -> float:
        return 0.01

    async def _prepare_request(self, request: Any) -> None:
        self.sent.append(request.headers["x-stainless-retry-count"])


@pytest.fixture
def make_sdk() -> Callable[..., Impatient]:
    def make(fleet: Fleet, at: int = 0, **options: Any) -> Impatient:
        client = Impatient(api_key=fleet.account.api_key, base_url=f"{fleet.urls[at]}/v1", **options)
        client.sent = []
        return client

    return make


async def sdk_clone(client: Impatient, **headers: str) -> Any:
    """A clone by the SDK's low-level call."""
    return await client.post(
        "/audio/voice-clone",
        cast_to=dict[str, Any],
        body={"name": "narrator"},
        files={"file": ("me.wav", RECORDING)},
        options={"headers": {"Content-Type": "multipart/form-data", **headers}},
    )


async def test_the_sdk_that_loses_patience_buys_one_voice(
    make_fleet: MakeFleet, make_sdk: Callable[..., Impatient]
) -> None:
    fleet = await make_fleet(credit_micros=PRICE, clone_seconds=1.0)
    async with make_sdk(fleet, timeout=0.4, max_retries=20) as client:
        fields = await sdk_clone(client)
    assert client.sent[:3] == ["0", "1", "2"], "it gave up at least twice"
    assert set(fleet.minimax.voices) == {fields["voice_id"]}
    assert fields["balance_usd"] == 0
    await fleet.require_books(voices=1, credit_micros=PRICE)


async def test_the_sdk_repeats_a_409_until_it_has_the_voice(
    make_fleet: MakeFleet, make_sdk: Callable[..., Impatient]
) -> None:
    fleet = await make_fleet(credit_micros=PRICE)
    fleet.gate.close()
    first = asyncio.get_running_loop().create_task(fleet.clone(Form(name="narrator"), key="sdk"))
    await fleet.minimax.wait_for_call(CLONE_CALL)
    async with make_sdk(fleet, max_retries=500) as client:
        again = asyncio.get_running_loop().create_task(sdk_clone(client, **{"Idempotency-Key": "sdk"}))
        await until(lambda: len(client.sent) >= 3)
        fleet.gate.open()
        assert await again == (await first).fields
    await fleet.require_books(voices=1, credit_micros=PRICE)


async def test_the_sdk_does_not_repeat_a_key_that_was_reused(
    make_fleet: MakeFleet, make_sdk: Callable[..., Impatient]
) -> None:
    fleet = await make_fleet()
    await fleet.clone(key="sdk")
    async with make_sdk(fleet) as client:
        with pytest.raises(openai.UnprocessableEntityError) as refused:
            await sdk_clone(client, **{"Idempotency-Key": "sdk"})
    assert (refused.value.code, client.sent) == ("idempotency_key_reused", ["0"])
    await fleet.require_books(voices=1)


# Clients that leave.


async def leave(fleet: Fleet, form: Form, key: str | None, arrived: Callable[[], Awaitable[Any]]) -> None:
    """Send a clone and hang up when it has arrived; returns when the gateway has noticed."""
    (application,) = fleet.applications
    clients = application.data.connections
    _reader, writer = await asyncio.open_connection("127.0.0.1", fleet.port())
    head = [f"{name}: {value}" for name, value in fleet.headers(key=key).items()]
    head += [f"Content-Type: {form.content_type}", f"Content-Length: {len(form.body)}"]
    writer.write("\r\n".join([f"POST {CLONE_PATH} HTTP/1.1", "Host: gateway", *head, "", ""]).encode() + form.body)
    await arrived()
    assert application.data.connections == clients + 1
    writer.close()
    await writer.wait_closed()
    await until(lambda: application.data.connections == clients)


@pytest.mark.parametrize("handler_cancellation", [False, True])
@pytest.mark.parametrize("marks", [{"key": "left"}, {"retry": 1}, {"key": "left", "retry": 1}])
async def test_a_client_that_left_after_the_hold_fetches_its_reply(
    make_fleet: MakeFleet, handler_cancellation: bool, marks: Any
) -> None:
    fleet = await make_fleet(credit_micros=PRICE, rehearsals=[Rehearsal(handler_cancellation=handler_cancellation)])
    fleet.gate.close()
    await leave(fleet, NAMED, marks.get("key"), lambda: fleet.minimax.wait_for_call(CLONE_CALL))
    assert await fleet.standing() == (PRICE, PRICE), "held for a client that has left"
    if "key" in marks:
        assert verdict(await fleet.clone(NAMED, **marks)) == IN_PROGRESS
    fleet.gate.open()
    await fleet.require_books(voices=1, credit_micros=PRICE)

    first, again = [await fleet.clone(NAMED, **marks) for _ in range(2)]
    assert (first.status, is_replay(first)) == (200, True)
    assert told(first) == told(again)
    assert first.body == await fleet.database.fetchval("SELECT reply_body FROM mints")
    assert first.fields["balance_usd"] == 0
    await fleet.require_books(voices=1, credit_micros=PRICE)


@pytest.mark.parametrize("handler_cancellation", [False, True])
async def test_a_client_that_left_is_joined_by_its_own_retry(make_fleet: MakeFleet, handler_cancellation: bool) -> None:
    fleet = await make_fleet(credit_micros=PRICE, rehearsals=[Rehearsal(handler_cancellation=handler_cancellation)])
    fleet.gate.close()
    await leave(fleet, NAMED, None, lambda: fleet.minimax.wait_for_call(CLONE_CALL))
    retry = asyncio.get_running_loop().create_task(fleet.clone(NAMED, retry=1))
    await fleet.somebody_joins()
    fleet.gate.open()
    assert ((await retry).status, is_replay(await retry)) == (200, True)
    await fleet.require_books(voices=1, credit_micros=PRICE)


@pytest.mark.parametrize("handler_cancellation", [False, True])
@pytest.mark.parametrize("point", [Failpoint.BEGIN, Failpoint.BEGIN_CLAIMED])
async def test_a_client_that_left_before_the_hold_has_done_nothing(
    make_fleet: MakeFleet, point: Failpoint, handler_cancellation: bool
) -> None:
    held = Held(point)
    fleet = await make_fleet(rehearsals=[Rehearsal(handler_cancellation=handler_cancellation, failpoints=held)])
    await leave(fleet, NAMED, "gone", held.reached.wait)
    held.let_go.set()
    await fleet.require_books(voices=0)
    assert (await fleet.mints(), fleet.minimax.calls) == ({}, [])
    answer = await fleet.clone(key="gone")
    assert (answer.status, is_replay(answer)) == (200, False)
    await fleet.require_books(voices=1)

"""Joining a request that is being served, in this process or another: woken by the database, never by asking again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from kyma_proxy.accounts.accounts import open_account
from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.database.feed import ChangeFeed
from kyma_proxy.database.pool import Database
from kyma_proxy.database.target import DatabaseTarget
from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.flow import ClientLeftError, Reply
from kyma_proxy.tasks import Tasks
from kyma_proxy.voices import claims
from kyma_proxy.voices.attempts import Repetition
from kyma_proxy.voices.minting import MintPatience
from kyma_proxy.voices.provider import ProviderError, Recording
from mint_kit import PRICE, Stage

RETRY = Repetition(None, True)


@pytest.fixture
async def two(database: Database, database_target: DatabaseTarget) -> AsyncIterator[tuple[Stage, Stage]]:
    """Two processes over one database, each with a pool and a change feed of its own."""
    opened = await database.transact(lambda connection: open_account(connection, "Ada", 3 * PRICE, "test"))
    tasks = Tasks()
    other_pool = Database(database_target)
    await other_pool.start()
    stages = []
    feeds = [ChangeFeed(database_target, tasks) for _ in range(2)]
    for pool, feed in zip((database, other_pool), feeds, strict=True):
        stages.append(Stage(pool, opened.account_id, feed))
        await feed.start()
    stages[1].provider = stages[0].provider
    yield stages[0], stages[1]
    for feed in feeds:
        await feed.stop()
    await other_pool.stop()


class SlowClone:
    """Holds the clones of a provider until told to go on."""

    def __init__(self, stage: Stage) -> None:
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        asked = stage.provider.clone_voice

        async def clone(voice_id: str, recording: Recording) -> None:
            self.begun.set()
            await self.go_on.wait()
            await asked(voice_id, recording)

        stage.provider.clone_voice = clone  # type: ignore[method-assign]


async def _count_questions(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    asked: list[Any] = []
    await_end = claims.await_end

    async def counted(*arguments: Any) -> Any:
        outcome = await await_end(*arguments)
        asked.append(outcome)
        return outcome

    monkeypatch.setattr(claims, "await_end", counted)
    return asked


@pytest.mark.parametrize("place", [0, 1], ids=["same process", "another process"])
async def test_a_marked_retry_gets_the_reply_of_the_request_that_runs(
    two: tuple[Stage, Stage], place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = await _count_questions(two[place], monkeypatch)
    slow = SlowClone(two[0])
    loop = asyncio.get_running_loop()
    first = loop.create_task(two[0].mint())
    await slow.begun.wait()
    joined = loop.create_task(two[place].mint(repetition=RETRY))
    await asyncio.sleep(1.2)
    assert not joined.done()
    slow.go_on.set()
    told, told_again = await first, await joined
    assert told_again.body == told.body
    assert told_again.headers["idempotent-replayed"] == "true"
    assert [type(each) for each in asked] == [claims.Running, Reply], "it asked once, slept, and was woken"
    assert await two[0].standing() == (2 * PRICE, 0)
    assert len(two[0].provider.calls) == 1
    await two[0].require_exact_books()


async def test_a_retry_whose_request_fails_begins_in_its_place(two: tuple[Stage, Stage]) -> None:
    slow = SlowClone(two[0])
    two[0].provider.fault = ProviderError("no")
    loop = asyncio.get_running_loop()
    first = loop.create_task(two[0].mint())
    await slow.begun.wait()
    joined = [loop.create_task(two[number % 2].mint(repetition=RETRY)) for number in range(4)]
    await asyncio.sleep(0.3)

    def succeed_from_now_on(_task: Any) -> None:
        two[0].provider.fault = None

    first.add_done_callback(succeed_from_now_on)
    slow.go_on.set()
    with pytest.raises(GatewayError):
        await first
    outcomes = await asyncio.gather(*joined, return_exceptions=True)
    replies = [each for each in outcomes if isinstance(each, Reply)]
    assert replies, outcomes
    assert len({each.body for each in replies}) == 1, "one of them bought, the others joined it"
    assert await two[0].standing() == (2 * PRICE, 0)
    await two[0].require_exact_books()


async def test_waiting_ends_with_409(two: tuple[Stage, Stage]) -> None:
    slow = SlowClone(two[0])
    two[1].patience = MintPatience(join_seconds=0.3)
    first = asyncio.get_running_loop().create_task(two[0].mint())
    await slow.begun.wait()
    with pytest.raises(GatewayError) as caught:
        await two[1].mint(repetition=RETRY)
    assert caught.value.code is ErrorCode.REQUEST_IN_PROGRESS
    assert caught.value.headers["Retry-After"]
    slow.go_on.set()
    await first
    assert await two[0].standing() == (2 * PRICE, 0)


async def test_who_leaves_while_waiting_is_not_waited_for(two: tuple[Stage, Stage]) -> None:
    slow = SlowClone(two[0])
    first = asyncio.get_running_loop().create_task(two[0].mint())
    await slow.begun.wait()
    with pytest.raises(ClientLeftError):
        await two[1].mint(repetition=RETRY, client_connected=lambda: False)
    assert repr(two[1].running) == "RunningMints(0 waited for)"
    slow.go_on.set()
    await first
    assert await two[0].standing() == (2 * PRICE, 0)


async def test_an_end_that_went_unheard_is_found_when_the_feed_listens_again(relay: Any) -> None:
    database = Database(relay.target, acquire_timeout_seconds=0.5)
    await database.start()
    opened = await database.transact(lambda connection: open_account(connection, "Ada", 3 * PRICE, "test"))
    tasks = Tasks()
    feed = ChangeFeed(relay.target, tasks)
    stage = Stage(database, opened.account_id, feed)
    stage.patience = MintPatience(join_seconds=10)
    await feed.start()
    slow = SlowClone(stage)
    loop = asyncio.get_running_loop()
    first = loop.create_task(stage.mint())
    await slow.begun.wait()
    joined = loop.create_task(stage.mint(repetition=RETRY))
    await asyncio.sleep(0.2)
    await relay.stop()
    slow.go_on.set()
    await asyncio.sleep(0.1)
    await relay.start()
    try:
        told = await first
        started = monotonic_seconds()
        assert (await joined).body == told.body
        assert monotonic_seconds() - started < 8, "found before its patience ended"
    except GatewayError:
        # The database was away for longer than completing waits: then the joined one bought it.
        assert (await joined).status == 200
    assert await stage.standing() == (2 * PRICE, 0)
    await feed.stop()
    await database.stop()

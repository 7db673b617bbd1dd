"""Who may speak with which voice: cached, bounded, and never fooled, against a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from kyma_proxy.accounts.accounts import open_account
from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.database.errors import DatabaseUnavailableError
from kyma_proxy.database.feed import ChangeFeed
from kyma_proxy.database.outage import Outage
from kyma_proxy.database.pool import Database, DatabaseTarget
from kyma_proxy.flow import VoiceAtProvider
from kyma_proxy.tasks import Tasks
from kyma_proxy.voices import ownership, registry
from kyma_proxy.voices.ownership import UNLISTED_SECONDS, Judgement, OwnershipBook
from kyma_proxy.voices.registry import NewVoice, VoiceHome

OWN = "kyma_00000000000000aa"
ADOPTED = "Narrator (deep)"
ORIGIN = VoiceHome("minimax", "default")
AT_PROVIDER = {OWN: VoiceAtProvider("minimax", "default", "ttv-1")}
MakeOwnership = Callable[..., Awaitable[OwnershipBook]]


class Asked:
    """Counts the questions that reach the database, and may change the world while an answer is on its way."""

    def __init__(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times = 0
        self.meanwhile: Callable[[], Awaitable[Any]] | None = None
        answer = database.fetch

        async def fetch(sql: str, *arguments: Any) -> Any:
            self.times += 1
            rows = await answer(sql, *arguments)
            if self.meanwhile is not None:
                await self.meanwhile()
                await asyncio.sleep(0.3)  # so that the news of it is here before the answer
            return rows

        monkeypatch.setattr(database, "fetch", fetch)


@pytest.fixture
def asked(database: Database, monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(database, monkeypatch)


@pytest.fixture
async def ada(database: Database) -> str:
    return (await database.transact(lambda connection: open_account(connection, "Ada", 0, "test"))).account_id


@pytest.fixture
async def bob(database: Database) -> str:
    return (await database.transact(lambda connection: open_account(connection, "Bob", 0, "test"))).account_id


@pytest.fixture
async def make_ownership() -> AsyncIterator[MakeOwnership]:
    """One process's view: with a change feed of its own, which listens when this returns."""
    async with AsyncExitStack() as stack:

        async def make(
            database: Database, target: DatabaseTarget, believe_seconds: float = 0, **limits: Any
        ) -> OwnershipBook:
            tasks = Tasks()
            feed = ChangeFeed(target, tasks)
            outage = Outage(feed, tasks, believe_seconds=believe_seconds)
            made = OwnershipBook(database, feed, outage=outage, **limits)
            stack.push_async_callback(tasks.close)
            stack.push_async_callback(feed.stop)
            await feed.start()
            assert feed.connected
            return made

        yield make


@pytest.fixture
async def view(make_ownership: MakeOwnership, database: Database, database_target: DatabaseTarget) -> OwnershipBook:
    return await make_ownership(database, database_target)


@pytest.fixture
async def behind(make_ownership: MakeOwnership, relay: Any) -> AsyncIterator[OwnershipBook]:
    """The view of a process whose way to the database is the relay, and which believes what it knew."""
    pool = Database(relay.target, pool_size=2, acquire_timeout_seconds=1)
    await pool.start()
    yield await make_ownership(pool, relay.target, believe_seconds=60)
    await pool.stop()


async def adopt(database: Database, voice_id: str, account_id: str) -> None:
    """Put a voice on file; the news of it has been heard when this returns, so nothing asked afterwards is evicted."""
    await database.transact(lambda connection: registry.adopt(connection, voice_id, account_id, None, ORIGIN))
    await asyncio.sleep(0.1)


async def revoke(database: Database, voice_id: str) -> None:
    await database.transact(lambda connection: registry.revoke(connection, voice_id))


async def until_forbidden(view: OwnershipBook, account_id: str, voice_id: str, seconds: float = 2) -> None:
    async with asyncio.timeout(seconds):
        while not await view.forbidden(account_id, [voice_id]):
            await asyncio.sleep(0.01)


async def test_active_and_owned_or_not_on_file_is_allowed_and_nothing_else(
    view: OwnershipBook, database: Database, ada: str, bob: str
) -> None:
    await adopt(database, OWN, ada)
    await adopt(database, ADOPTED, bob)
    asked = [OWN, ADOPTED, "alloy"]
    assert await view.forbidden(ada, asked) == {ADOPTED}
    assert await view.forbidden(bob, asked) == {OWN}
    assert await view.forbidden("acct_nobody", asked) == {OWN, ADOPTED}


@pytest.mark.parametrize("status", ["pending", "failed", "revoked"])
async def test_a_voice_that_is_not_active_is_nobodys_and_never_cached(
    view: OwnershipBook, database: Database, asked: Asked, ada: str, status: str
) -> None:
    voice = NewVoice("anything", ada, None, "clone", ORIGIN)
    await database.transact(lambda connection: registry.add_pending(connection, voice))
    if status == "revoked":
        await database.transact(lambda connection: registry.activate(connection, "anything"))
        await revoke(database, "anything")
    elif status == "failed":
        await database.transact(lambda connection: registry.burn(connection, voice))
    for times in (1, 2):
        assert await view.forbidden(ada, ["anything"]) == {"anything"}
        assert asked.times == times


async def test_ids_are_compared_exactly(view: OwnershipBook, database: Database, ada: str, bob: str) -> None:
    await adopt(database, ADOPTED, bob)
    near = [ADOPTED.upper(), f" {ADOPTED}", f"{ADOPTED} ", ADOPTED[:-1], "Narrator\u00a0(deep)"]
    assert await view.forbidden(ada, [*near, ADOPTED]) == {ADOPTED}


async def test_what_no_id_can_be_is_not_asked_about(view: OwnershipBook, asked: Asked, ada: str) -> None:
    assert not await view.forbidden(ada, ["", "x" * 257, "a\0b", "\ud800", "kyma_\udfff"])
    assert asked.times == 0
    assert not await view.forbidden(ada, ["\x7f", "\u200b", "\U0001f600" * 256])
    assert asked.times == 1


async def test_unlisted_ids_with_a_prefix_can_be_denied(view: OwnershipBook, database: Database, ada: str) -> None:
    await adopt(database, OWN, ada)
    for _ in range(2):
        asked = [OWN, "kyma_ffff", "alloy"]
        assert await view.forbidden(ada, asked, listed_only="kyma_") == {"kyma_ffff"}
        assert not await view.forbidden(ada, asked)


async def test_all_that_is_not_cached_costs_one_round_trip_and_the_rest_none(
    view: OwnershipBook, database: Database, asked: Asked, ada: str
) -> None:
    await adopt(database, OWN, ada)
    assert not await view.forbidden(ada, [OWN, "alloy", "mp3", "minimax-speech-hd"])
    assert asked.times == 1
    for _ in range(3):
        assert not await view.forbidden(ada, [OWN, "alloy", "mp3", "minimax-speech-hd"])
    assert asked.times == 1
    await database.stop()
    assert await view.forbidden("acct_other", [OWN]) == {OWN}


async def test_that_an_id_of_ours_is_not_on_file_is_never_cached(
    view: OwnershipBook, database: Database, asked: Asked, ada: str, bob: str
) -> None:
    assert not await view.forbidden(ada, [OWN])
    voice = NewVoice(OWN, bob, None, "clone", ORIGIN)
    await database.transact(lambda connection: registry.add_pending(connection, voice))
    assert await view.forbidden(ada, [OWN]) == {OWN}
    assert asked.times == 2


async def test_that_another_id_is_not_on_file_is_believed_for_two_seconds(
    view: OwnershipBook, asked: Asked, ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await view.forbidden(ada, ["alloy"])
    now = monotonic_seconds()
    monkeypatch.setattr(ownership, "monotonic_seconds", lambda: now + UNLISTED_SECONDS - 0.3)
    await view.forbidden(ada, ["alloy"])
    assert asked.times == 1
    monkeypatch.setattr(ownership, "monotonic_seconds", lambda: now + UNLISTED_SECONDS)
    await view.forbidden(ada, ["alloy"])
    assert asked.times == 2


async def test_an_answer_is_as_old_as_its_question(
    view: OwnershipBook, asked: Asked, ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = monotonic_seconds() + UNLISTED_SECONDS + 5

    async def time_passes() -> None:
        monkeypatch.setattr(ownership, "monotonic_seconds", lambda: late)

    asked.meanwhile = time_passes
    await view.forbidden(ada, ["alloy"])
    await view.forbidden(ada, ["alloy"])
    assert asked.times == 2


async def test_a_revocation_is_heard_by_every_process(
    view: OwnershipBook, make_ownership: MakeOwnership, database: Database, database_target: DatabaseTarget, ada: str
) -> None:
    elsewhere = Database(database_target)
    await elsewhere.start()
    other = await make_ownership(elsewhere, database_target)
    await adopt(database, OWN, ada)
    for each in (view, other):
        assert not await each.forbidden(ada, [OWN])
    await revoke(database, OWN)
    await until_forbidden(view, ada, OWN)
    await until_forbidden(other, ada, OWN)
    await elsewhere.stop()


async def test_an_adoption_is_heard_by_every_process_at_once(
    view: OwnershipBook, database: Database, ada: str, bob: str
) -> None:
    assert not await view.forbidden(ada, [ADOPTED])
    await adopt(database, ADOPTED, bob)
    await until_forbidden(view, ada, ADOPTED, UNLISTED_SECONDS / 4)


async def test_a_deleted_voice_is_forgotten(view: OwnershipBook, database: Database, ada: str, bob: str) -> None:
    await adopt(database, ADOPTED, bob)
    assert await view.forbidden(ada, [ADOPTED])
    await database.execute("DELETE FROM voices")
    async with asyncio.timeout(1):
        while await view.forbidden(ada, [ADOPTED]):
            await asyncio.sleep(0.01)


async def test_a_mint_is_not_announced(database: Database, database_target: DatabaseTarget, ada: str) -> None:
    heard: list[str] = []
    tasks = Tasks()
    feed = ChangeFeed(database_target, tasks)
    feed.subscribe(ownership.VOICES_CHANNEL, heard.append, lambda: None, lambda: None)
    await feed.start()
    good, bad = (NewVoice(voice_id, ada, None, "clone", ORIGIN) for voice_id in ("kyma_1", "kyma_2"))
    for voice in (good, bad):
        await database.transact(lambda connection, voice=voice: registry.add_pending(connection, voice))
    await database.transact(lambda connection: registry.activate(connection, good.voice_id))
    await database.transact(lambda connection: registry.burn(connection, bad))
    await adopt(database, ADOPTED, ada)
    await revoke(database, "kyma_1")
    async with asyncio.timeout(2):
        while len(heard) < 2:
            await asyncio.sleep(0.01)
    assert heard == [ADOPTED, "kyma_1"]
    await feed.stop()
    await tasks.close()


@pytest.mark.parametrize("change", ["revocation", "adoption"])
async def test_a_look_up_that_overlaps_a_change_does_not_bring_the_past_back(
    view: OwnershipBook, database: Database, asked: Asked, ada: str, bob: str, change: str
) -> None:
    if change == "revocation":
        await adopt(database, OWN, ada)
        voice_id, asked.meanwhile = OWN, lambda: revoke(database, OWN)
    else:
        voice_id, asked.meanwhile = ADOPTED, lambda: adopt(database, ADOPTED, bob)
    assert not await view.forbidden(ada, [voice_id])
    asked.meanwhile = None
    assert await view.forbidden(ada, [voice_id]) == {voice_id}


async def test_without_the_feed_the_database_is_asked_every_time(
    make_ownership: MakeOwnership, database: Database, relay: Any, asked: Asked, ada: str, bob: str
) -> None:
    view = await make_ownership(database, relay.target, believe_seconds=60)
    await adopt(database, OWN, ada)
    await adopt(database, ADOPTED, bob)
    await view.forbidden(ada, [OWN, "alloy"])
    await relay.stop()
    await asyncio.sleep(0.1)  # so that the loss is known
    for times in (2, 3):
        assert not await view.forbidden(ada, [OWN, "alloy"], serve_known=True)
        assert asked.times == times


async def test_a_revocation_behind_a_half_open_feed_counts_within_two_seconds(
    make_ownership: MakeOwnership, database: Database, relay: Any, ada: str
) -> None:
    view = await make_ownership(database, relay.target)
    await adopt(database, OWN, ada)
    assert not await view.forbidden(ada, [OWN])
    relay.fall_silent()
    await revoke(database, OWN)
    await until_forbidden(view, ada, OWN)


async def test_a_database_that_is_away_is_never_a_permission(view: OwnershipBook, database: Database, ada: str) -> None:
    await database.stop()
    with pytest.raises(DatabaseUnavailableError):
        await view.forbidden(ada, ["alloy"])


@pytest.mark.parametrize("serve_known", [True, False])
async def test_while_the_database_is_away_what_was_known_before_is_served_if_wanted(
    behind: OwnershipBook, database: Database, relay: Any, ada: str, bob: str, serve_known: bool
) -> None:
    for voice_id, owner in ((OWN, ada), (ADOPTED, bob), ("kyma_unseen", ada), ("dead", ada)):
        await adopt(database, voice_id, owner)
    await revoke(database, "dead")
    await asyncio.sleep(0.1)  # so that the news of it evicts nothing of what is asked now
    seen = [OWN, ADOPTED, "alloy", "acme-1", "kyma_ffff", "dead"]
    assert await behind.forbidden(ada, seen) == {ADOPTED, "dead"}
    await relay.stop()

    async def answer(*voice_ids: str, listed_only: str | None = None) -> set[str] | str:
        try:
            return set(await behind.forbidden(ada, voice_ids, listed_only=listed_only, serve_known=serve_known))
        except DatabaseUnavailableError:
            return "away"

    expected: list[set[str] | str] = [set(), {ADOPTED}, {ADOPTED}] if serve_known else ["away"] * 3
    assert [await answer(OWN, "alloy"), await answer(ADOPTED, OWN), await answer(ADOPTED, "unseen")] == expected
    for unknown in ("kyma_unseen", "unseen", "kyma_ffff", "dead"):
        assert await answer(unknown, OWN) == "away"
    assert await answer("acme-1", listed_only="acme-") == "away", "it may be on file for Ada by now"


async def test_a_voice_revoked_in_an_outage_is_refused_after_it_and_in_the_next(
    behind: OwnershipBook, database: Database, relay: Any, ada: str, bob: str
) -> None:
    await adopt(database, OWN, ada)
    assert not await behind.forbidden(ada, [OWN, ADOPTED], serve_known=True)
    await relay.stop()
    assert not await behind.forbidden(ada, [OWN, ADOPTED], serve_known=True)
    await revoke(database, OWN)
    await adopt(database, ADOPTED, bob)
    await relay.start()
    async with asyncio.timeout(2):
        while await behind.forbidden(ada, [OWN, ADOPTED], serve_known=True) != {OWN, ADOPTED}:
            await asyncio.sleep(0.01)
    await relay.stop()
    with pytest.raises(DatabaseUnavailableError):
        await behind.forbidden(ada, [OWN], serve_known=True)


async def test_a_line_that_listens_again_is_enough_to_forget(
    behind: OwnershipBook, database: Database, relay: Any, ada: str
) -> None:
    await adopt(database, OWN, ada)
    await behind.forbidden(ada, [OWN, "alloy"])
    relay.cut()
    async with asyncio.timeout(2):
        while "0 owned and 0 unlisted" not in repr(behind):
            await asyncio.sleep(0.01)
    await relay.stop()
    with pytest.raises(DatabaseUnavailableError):
        await behind.forbidden(ada, ["alloy"], serve_known=True)


async def test_the_answer_to_a_question_is_not_made_of_older_ones(
    view: OwnershipBook, database: Database, asked: Asked, ada: str
) -> None:
    await adopt(database, OWN, ada)
    assert not await view.forbidden(ada, [OWN])
    asked.meanwhile = lambda: revoke(database, OWN)
    assert not await view.forbidden(ada, [OWN, "alloy"]), "as it was when the database was asked"
    await revoke(database, OWN)
    asked.meanwhile = None
    answer = database.fetch

    async def with_a_revocation_before(sql: str, *arguments: Any) -> Any:
        await database.execute("UPDATE voices SET status = 'revoked' WHERE voice_id = $1", ADOPTED)
        return await answer(sql, *arguments)

    await adopt(database, ADOPTED, ada)
    assert not await view.forbidden(ada, [ADOPTED])
    database.fetch = with_a_revocation_before  # type: ignore[method-assign]
    assert await view.forbidden(ada, [ADOPTED, "echo"]) == {ADOPTED}


async def test_both_memories_are_bounded_and_keep_apart(
    make_ownership: MakeOwnership, database: Database, database_target: DatabaseTarget, asked: Asked, ada: str
) -> None:
    view = await make_ownership(database, database_target, max_owned=2, max_unlisted=3)
    for voice_id in ("a", "b", "c"):
        await adopt(database, voice_id, ada)
    await view.forbidden(ada, ["a"])
    await view.forbidden(ada, ["b", "c", *map(str, range(10))])
    assert repr(view) == "OwnershipBook(2 owned and 3 unlisted ids cached)"
    times = asked.times
    await view.forbidden(ada, ["b", "c"])
    assert asked.times == times


async def test_an_owner_is_asked_about_again_after_a_while(
    view: OwnershipBook, database: Database, asked: Asked, ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await adopt(database, OWN, ada)
    await view.forbidden(ada, [OWN])
    now = monotonic_seconds()
    monkeypatch.setattr(ownership, "monotonic_seconds", lambda: now + 61)
    await view.forbidden(ada, [OWN])
    assert asked.times == 2


async def test_what_is_asked_about_often_is_answered_without_asking_the_database(
    view: OwnershipBook, database: Database, asked: Asked, ada: str, bob: str
) -> None:
    tasks = Tasks()
    await view.forbidden(ada, ["alloy", "once"])
    await asyncio.sleep(2.1)
    await view.forbidden(ada, ["alloy"])
    warming = tasks.spawn(view.keep_warm(), "warm")
    await asyncio.sleep(2.5)
    warming.cancel()
    times = asked.times
    assert times > 2, "asked again behind the requests"
    assert await view.forbidden(ada, ["alloy"]) == frozenset()
    assert asked.times == times
    await view.forbidden(ada, ["once"])
    assert asked.times == times + 1, "what was asked about once is not kept warm"
    await adopt(database, "alloy", bob)
    assert await view.forbidden(ada, ["alloy"]) == {"alloy"}
    await tasks.close()


async def test_keeping_warm_outlives_a_database_that_is_away(view: OwnershipBook, database: Database, ada: str) -> None:
    tasks = Tasks()
    for _ in range(2):
        await view.forbidden(ada, ["alloy"])
    warming = tasks.spawn(view.keep_warm(), "warm")
    await database.stop()
    await asyncio.sleep(1.3)
    assert not warming.done()
    await tasks.close()


async def test_what_is_kept_warm_is_known_when_the_database_goes_away_but_not_kept_alive_by_it(
    make_ownership: MakeOwnership, database: Database, relay: Any, ada: str
) -> None:
    pool = Database(relay.target, pool_size=2, acquire_timeout_seconds=1)
    await pool.start()
    view = await make_ownership(pool, relay.target, believe_seconds=3)
    tasks = Tasks()
    for _ in range(2):
        await view.forbidden(ada, ["alloy"])
    warming = tasks.spawn(view.keep_warm(), "warm")
    await asyncio.sleep(2.5)
    await relay.stop()
    assert not await view.forbidden(ada, ["alloy"], serve_known=True), "confirmed behind the requests"
    with pytest.raises(DatabaseUnavailableError):
        await _asked_for_ten_seconds(view, ada)
    assert not warming.done()
    await tasks.close()
    await pool.stop()


async def _asked_for_ten_seconds(view: OwnershipBook, account_id: str) -> None:
    for _ in range(200):
        await view.forbidden(account_id, ["alloy"], serve_known=True)
        await asyncio.sleep(0.05)


async def named_by_its_provider(database: Database, account_id: str) -> set[str]:
    await adopt(database, OWN, account_id)
    await database.execute("UPDATE voices SET provider_voice_id = 'ttv-1' WHERE voice_id = $1", OWN)
    return {OWN, "ttv-1"}


async def test_a_voice_that_its_provider_calls_otherwise_is_on_file_under_both_ids(
    view: OwnershipBook, database: Database, asked: Asked, ada: str, bob: str
) -> None:
    both = await named_by_its_provider(database, ada)
    assert await view.at_provider({OWN, "kyma_00000000000000ff"}) == AT_PROVIDER
    assert (await view.judge(ada, both)).forbidden == frozenset()
    assert await view.judge(bob, both) == Judgement(frozenset(both), {})
    times = asked.times
    assert await view.at_provider({OWN, "English_Graceful_Lady"}) == AT_PROVIDER
    assert asked.times == times
    await database.transact(lambda connection: registry.revoke(connection, OWN))
    await asyncio.sleep(0.2)
    assert await view.forbidden(ada, both) == both


async def test_names_outlive_an_outage(behind: OwnershipBook, database: Database, relay: Any, ada: str) -> None:
    await behind.forbidden(ada, await named_by_its_provider(database, ada))
    await relay.stop()
    await asyncio.sleep(0.2)
    assert await behind.at_provider({OWN}) == AT_PROVIDER
    with pytest.raises(DatabaseUnavailableError):
        await behind.at_provider({"kyma_00000000000000ff"})

"""Claims of keys and of content: how long they count, and whom they belong to."""

from __future__ import annotations

import asyncio

import pytest

from kyma_proxy.accounts.accounts import open_account
from kyma_proxy.database.pool import Database
from kyma_proxy.voices import claims
from kyma_proxy.voices.attempts import Repetition, fingerprint_of
from mint_kit import PRICE, Stage, voice_id_of

RETRY = Repetition(None, True)
KEY = Repetition("key")


async def _age_keys(database: Database, age: str) -> None:
    await database.execute(f"UPDATE idempotency_keys SET created_at = now() - interval '{age}'")


async def _age_replies(database: Database, age: str) -> None:
    await database.execute(
        f"UPDATE mints SET completed_at = now() - interval '{age}', created_at = now() - interval '{age}'"
    )


@pytest.mark.parametrize(("age", "replayed"), [("23 hours 59 minutes", True), ("24 hours 1 second", False)])
async def test_a_key_counts_for_a_day(stage: Stage, age: str, replayed: bool) -> None:
    await stage.mint(repetition=KEY)
    await _age_keys(stage.database, age)
    again = await stage.mint(repetition=KEY)
    assert ("idempotent-replayed" in again.headers) is replayed
    if not replayed:
        assert (await stage.mint(repetition=KEY)).body == again.body, "the key names the newer request from now on"
    await stage.require_exact_books()


async def test_an_old_key_may_be_used_for_other_content(stage: Stage) -> None:
    await stage.mint(repetition=KEY)
    await _age_keys(stage.database, "25 hours")
    assert (await stage.mint(content="other", repetition=KEY)).status == 200
    await stage.require_exact_books()


@pytest.mark.parametrize(("age", "replayed"), [("9 minutes 50 seconds", True), ("10 minutes 1 second", False)])
async def test_a_marked_retry_finds_ten_minutes(stage: Stage, age: str, replayed: bool) -> None:
    await stage.mint()
    await _age_replies(stage.database, age)
    assert ("idempotent-replayed" in (await stage.mint(repetition=RETRY)).headers) is replayed


async def test_a_marked_retry_of_other_content_buys(stage: Stage) -> None:
    first = await stage.mint()
    other = await stage.mint(content="other", repetition=RETRY)
    assert voice_id_of(other) != voice_id_of(first)


async def test_a_marked_retry_finds_the_newest_of_equal_requests(stage: Stage) -> None:
    await stage.mint()
    newer = await stage.mint()
    assert (await stage.mint(repetition=RETRY)).body == newer.body


async def test_keys_and_content_belong_to_an_account(stage: Stage) -> None:
    opened = await stage.database.transact(lambda connection: open_account(connection, "Bob", 3 * PRICE, "test"))
    theirs = Stage(stage.database, opened.account_id)
    first = await stage.mint(repetition=KEY)
    assert voice_id_of(await theirs.mint(content="other", repetition=KEY)) != voice_id_of(first)
    assert voice_id_of(await theirs.mint(repetition=RETRY)) != voice_id_of(first)
    assert await theirs.standing() == (PRICE, 0)


async def test_marked_retries_at_once_buy_one_voice_between_them(stage: Stage) -> None:
    """None finds the first attempt, which never arrived: one of them becomes it."""
    stage.patience = type(stage.patience)(join_seconds=10)
    waiting = [asyncio.get_running_loop().create_task(stage.mint(repetition=RETRY)) for _ in range(8)]
    for _ in range(400):
        if all(each.done() for each in waiting):
            break
        stage.running._wake_all()
        await asyncio.sleep(0.02)
    assert len({voice_id_of(each.result()) for each in waiting}) == 1
    assert await stage.standing() == (2 * PRICE, 0)


async def test_old_keys_are_pruned_and_young_ones_kept(stage: Stage) -> None:
    await stage.mint(repetition=KEY)
    await _age_keys(stage.database, "25 hours")
    await stage.mint(repetition=Repetition("young"))
    assert await stage.database.transact(claims.prune) == 1
    assert [row["key"] for row in await stage.database.fetch("SELECT key FROM idempotency_keys")] == ["young"]
    assert await stage.database.transact(claims.prune) == 0


def test_the_lock_of_content_is_a_bigint_of_account_and_content() -> None:
    content = fingerprint_of("a")
    assert claims.content_lock("one", content) == claims.content_lock("one", content)
    assert claims.content_lock("one", content) != claims.content_lock("two", content)
    assert -(2**63) <= claims.content_lock("one", content) < 2**63

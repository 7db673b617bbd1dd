"""Stored replies."""

from collections.abc import AsyncIterator

import pytest
from multidict import CIMultiDict

from kyma_proxy.accounts.accounts import open_account
from kyma_proxy.database.pool import Connection, Database
from kyma_proxy.flow import Reply
from kyma_proxy.ledger import holds
from kyma_proxy.voices import registry, replies
from kyma_proxy.voices.registry import NewVoice, VoiceHome


@pytest.fixture
async def mint(database: Database) -> tuple[str, str]:
    opened = await database.transact(lambda connection: open_account(connection, "Ada", 10, "test"))

    async def write(connection: Connection) -> None:
        await registry.add_pending(
            connection, NewVoice("kyma_a", opened.account_id, None, "clone", VoiceHome("minimax", "default"))
        )
        await holds.hold(connection, opened.account_id, "hold_a", 1, "clone")
        await connection.execute(
            "INSERT INTO mints (account_id, voice_id, hold_id) VALUES ($1, 'kyma_a', 'hold_a')", opened.account_id
        )

    await database.transact(write)
    return opened.account_id, "kyma_a"


async def test_a_reply_comes_back_byte_for_byte(database: Database, mint: tuple[str, str]) -> None:
    headers = CIMultiDict([("X-A", "1"), ("x-a", "2"), ("Content-Type", "application/json")])

    async def complete(connection: Connection) -> None:
        await connection.execute("UPDATE mints SET lease_until = NULL, completed_at = clock_timestamp()")
        await replies.store(connection, *mint, Reply(200, headers, b'{"a":1}'))

    await database.transact(complete)
    loaded = await database.transact(lambda connection: replies.load(connection, *mint))
    assert loaded is not None
    assert (loaded.status, list(loaded.headers.items()), loaded.body) == (200, list(headers.items()), b'{"a":1}')


async def test_a_mint_without_a_reply_has_none(database: Database, mint: tuple[str, str]) -> None:
    assert await database.transact(lambda connection: replies.load(connection, *mint)) is None
    assert await database.transact(lambda connection: replies.load(connection, "acct_no", "kyma_no")) is None


async def test_a_streaming_reply_cannot_be_stored(database: Database, mint: tuple[str, str]) -> None:
    class Stream:
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b""

        async def aclose(self) -> None:
            return None

    with pytest.raises(TypeError):
        await database.transact(lambda connection: replies.store(connection, *mint, Reply(200, body=Stream())))

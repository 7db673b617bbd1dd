"""Keys at rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyma_proxy.accounts.accounts import open_account
from kyma_proxy.accounts.keys import (
    KeyTakenError,
    UnknownAccountError,
    add_key,
    hash_api_key,
    is_plausible,
    list_keys,
    new_api_key,
    revoke_key,
)
from kyma_proxy.database.pool import Database


def test_new_keys_carry_256_random_bits() -> None:
    keys = {new_api_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(key.startswith("ky-") and len(key) >= 3 + 43 for key in keys)


@given(st.text())
def test_any_text_is_judged_and_hashed_without_an_error(text: str) -> None:
    is_plausible(text)
    assert len(hash_api_key(text)) == 32


@pytest.mark.parametrize("text", ["", "a b", "caf\u00e9", "a\nb", "x" * 513, "caf\udce9"])
def test_what_cannot_be_a_key_is_not_looked_up(text: str) -> None:
    assert not is_plausible(text)


async def test_a_key_is_stored_only_as_a_hash(database: Database) -> None:
    opened = await database.transact(lambda connection: open_account(connection, "Ada", 0, "test"))
    rows = await database.fetch("SELECT api_keys::text AS row FROM api_keys")
    assert opened.api_key not in str([row["row"] for row in rows])
    assert hash_api_key(opened.api_key).hex() in str(rows)


async def test_an_existing_key_of_any_prefix_can_be_imported_once(database: Database) -> None:
    opened = await database.transact(lambda connection: open_account(connection, "Ada", 0, "test"))
    await database.transact(lambda connection: add_key(connection, opened.account_id, "kyma-old-key"))
    with pytest.raises(KeyTakenError):
        await database.transact(lambda connection: add_key(connection, opened.account_id, "kyma-old-key"))
    assert len(await database.transact(lambda connection: list_keys(connection, opened.account_id))) == 2


async def test_keys_of_an_unknown_account_cannot_be_made_or_listed(database: Database) -> None:
    with pytest.raises(UnknownAccountError):
        await database.transact(lambda connection: add_key(connection, "acct_no", "ky-x"))
    with pytest.raises(UnknownAccountError):
        await database.transact(lambda connection: list_keys(connection, "acct_no"))


async def test_revoking_keeps_the_first_time_and_knows_unknown_keys(database: Database) -> None:
    opened = await database.transact(lambda connection: open_account(connection, "Ada", 0, "test"))
    (key,) = await database.transact(lambda connection: list_keys(connection, opened.account_id))
    assert key.revoked_at is None
    assert await database.transact(lambda connection: revoke_key(connection, key.key_id))
    (first,) = await database.transact(lambda connection: list_keys(connection, opened.account_id))
    assert await database.transact(lambda connection: revoke_key(connection, key.key_id))
    (second,) = await database.transact(lambda connection: list_keys(connection, opened.account_id))
    assert first.revoked_at == second.revoked_at is not None
    assert not await database.transact(lambda connection: revoke_key(connection, "key_no"))

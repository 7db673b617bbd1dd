"""The audit finds what is wrong with the books, and nothing else."""

import pytest

from kyma_proxy.accounts.accounts import open_account
from kyma_proxy.database.pool import Connection, Database
from kyma_proxy.ledger import holds
from kyma_proxy.ledger.audit import audit
from kyma_proxy.voices import registry
from kyma_proxy.voices.registry import NewVoice, VoiceHome


async def mint_half_way(database: Database) -> tuple[str, str]:
    """An account with a pending voice and its open hold."""
    opened = await database.transact(lambda connection: open_account(connection, "test", 10_000_000, "test"))

    async def write(connection: Connection) -> None:
        await registry.add_pending(
            connection,
            NewVoice("kyma_0123456789abcdef", opened.account_id, None, "clone", VoiceHome("minimax", "default")),
        )
        await holds.hold(connection, opened.account_id, "hold_1", 2_100_000, "clone")
        await connection.execute(
            "INSERT INTO mints (account_id, voice_id, hold_id) VALUES ($1, 'kyma_0123456789abcdef', 'hold_1')",
            opened.account_id,
        )

    await database.transact(write)
    return opened.account_id, "hold_1"


async def test_books_in_order_have_no_problem(database: Database) -> None:
    await mint_half_way(database)
    report = await database.borrow(audit)
    assert (report.accounts, report.entries, report.open_holds, report.problems) == (1, 1, 1, ())
    assert report.oldest_open_hold_seconds is not None
    assert report.oldest_open_hold_seconds >= 0


async def test_empty_books_are_in_order(database: Database) -> None:
    report = await database.borrow(audit)
    assert (report.accounts, report.oldest_open_hold_seconds, report.problems) == (0, None, ())


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        ("UPDATE accounts SET balance_micros = balance_micros + 1", "its entries make 10000000"),
        ("UPDATE accounts SET held_micros = held_micros + 1", "its open holds make 2100000"),
        ("UPDATE holds SET state = 'posted', ended_at = now()", "hold hold_1"),
        ("UPDATE voices SET status = 'active'", "while hold hold_1 is held"),
        ("UPDATE holds SET state = 'expired', ended_at = now()", "while hold hold_1 is expired"),
        ("DELETE FROM mints", "pending without a mint"),
    ],
)
async def test_every_kind_of_damage_is_found(database: Database, damage: str, problem: str) -> None:
    await mint_half_way(database)
    await database.execute(damage)
    report = await database.borrow(audit)
    assert any(problem in each for each in report.problems), report.problems

"""The proof can fail: each rule is broken on purpose, and the verdict finds it. Where the schema keeps the rule as
well, it refuses before anything is lost; only with that second guard gone does the harm come to pass."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from database_kit import Postgres, Relay
from kyma_proxy.accounts.accounts import open_account
from kyma_proxy.database.errors import DatabaseUnavailableError
from kyma_proxy.database.pool import Connection, Database
from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.failpoints import Failpoint
from kyma_proxy.flow import Reply
from kyma_proxy.ledger import holds
from kyma_proxy.voices import claims, cleanups, mints, replies
from kyma_proxy.voices.minting import Minted, Minting, MintOrder
from kyma_proxy.voices.mints import Mint
from kyma_proxy.voices.provider import Recording
from mint_kit import Stage
from proof_kit.cells import CREDIT, Asking, Cell, CellWorld, Way, ask, cell_world, play_here, settle
from proof_kit.faults import Harm
from proof_kit.verdicts import PRICE, violations


async def _in_world(postgres: Postgres, schema: str, play: Callable[[CellWorld, Relay], Any]) -> list[str]:
    """What `play` finds in a world whose schema was changed."""
    target = await postgres.create_database()
    try:
        with tempfile.TemporaryDirectory(prefix="kyma-proof-") as name:
            async with cell_world(Path(name), target) as world:
                for statement in filter(None, schema.split(";")):
                    await world.survivor.database.execute(statement)
                relay = Relay(target, name)
                await relay.start()
                try:
                    found: list[str] = await play(world, relay)
                    return found
                finally:
                    await relay.stop()
    finally:
        await postgres.drop_database(target)


def _cell(point: Failpoint, harm: Harm, way: Way = Way.CLONE) -> Callable[[CellWorld, Relay], Any]:
    async def play(world: CellWorld, relay: Relay) -> list[str]:
        async def cut() -> None:
            relay.cut()

        return (await play_here(world, Cell(point, harm, way), relay.target, cut)).violations

    return play


async def _race(world: CellWorld, _relay: Relay) -> list[str]:
    """Eight clones at once on credit for three."""
    port = world.survivor.data.port
    told = await asyncio.gather(*(ask(port, world.api_key, Asking()) for _ in range(8)))
    return violations(await settle(world), CREDIT, list(told))


async def _one(world: CellWorld, _relay: Relay) -> list[str]:
    told = await ask(world.survivor.data.port, world.api_key, Asking())
    return violations(await settle(world), CREDIT, [told])


UNGUARDED_BALANCE = "ALTER TABLE accounts DROP CONSTRAINT available_not_negative"
UNGUARDED_HOLDS = "DROP TRIGGER guard_hold ON holds; DROP INDEX one_charge_a_hold"


@pytest.fixture
def without_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hold that asks nobody whether there is money."""
    unguarded = holds._HOLD.replace("AND balance_micros - held_micros >= $3", "")
    assert unguarded != holds._HOLD
    monkeypatch.setattr(holds, "_HOLD", unguarded)


@pytest.fixture
def posting_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A post that charges, opens the hold again, and charges again."""
    post = holds.post

    async def twice(connection: Connection, account_id: str, hold_id: str) -> int:
        await post(connection, account_id, hold_id)
        await connection.execute("UPDATE holds SET state = 'held', ended_at = NULL WHERE hold_id = $1", hold_id)
        await connection.execute("UPDATE accounts SET held_micros = held_micros + $1", PRICE)
        return await post(connection, account_id, hold_id)

    monkeypatch.setattr(holds, "post", twice)


async def test_the_proof_finds_nothing_where_nothing_is_broken(postgres: Postgres) -> None:
    assert await _in_world(postgres, "", _race) == []
    assert await _in_world(postgres, "", _cell(Failpoint.COMPLETE_COMMITTED, Harm.LOST)) == []


@pytest.mark.usefixtures("without_guard")
async def test_holding_without_asking_for_the_balance(postgres: Postgres) -> None:
    assert await _in_world(postgres, "", _race) == [], "the schema refuses what nobody asked"
    assert await _in_world(postgres, UNGUARDED_BALANCE, _race)


@pytest.mark.usefixtures("posting_twice")
async def test_posting_twice(postgres: Postgres) -> None:
    assert await _in_world(postgres, "", _one) == [], "the schema refuses the second post"
    assert await _in_world(postgres, UNGUARDED_HOLDS, _one)


async def test_forgetting_to_read_a_commit_back(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    async def forgetful(self: Minting, mint: Mint, order: MintOrder, render: Callable[[Minted], Reply]) -> Reply:
        async def write(connection: Connection) -> Reply:
            await mints.complete(connection, mint)
            balance_micros = await holds.post(connection, mint.account_id, mint.hold_id)
            reply = render(Minted(mint.voice_id, order.name, order.price_micros, balance_micros))
            await replies.store(connection, mint.account_id, mint.voice_id, reply)
            return reply

        try:
            return await self._database.transact(write, lambda: self._reach(Failpoint.COMPLETE_COMMITTED))
        except DatabaseUnavailableError as error:
            raise GatewayError(ErrorCode.OWNERSHIP_WRITE_FAILED, "not charged, or so it believes") from error

    monkeypatch.setattr(Minting, "_complete", forgetful)
    found = await _in_world(postgres, "", _cell(Failpoint.COMPLETE_COMMITTED, Harm.LOST))
    assert any("clients were told {'500': 1}" in each for each in found), found


async def test_not_looking_for_an_earlier_request(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    async def look_away(*_arguments: Any) -> None:
        return None

    monkeypatch.setattr(claims, "claim", look_away)
    found = await _in_world(postgres, "", _cell(Failpoint.REPLY, Harm.LOST))
    assert "asked twice with one key, 2 voices were bought" in found


async def test_not_putting_a_deletion_on_file(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    async def forget(*_arguments: Any) -> None:
        return None

    monkeypatch.setattr(cleanups, "schedule", forget)
    found = await _in_world(postgres, "", _cell(Failpoint.UNDONE, Harm.HANG))
    assert any("though nobody paid" in each for each in found), found


async def test_not_writing_down_what_the_provider_calls_a_voice(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forget(*_arguments: Any) -> bool:
        return True

    monkeypatch.setattr(mints, "note_provider_id", forget)
    found = await _in_world(postgres, "", _cell(Failpoint.COMPLETED, Harm.HANG, Way.DESIGN_NAMED))
    assert any("paid for but not made" in each for each in found), found


async def test_deleting_a_voice_by_our_id_alone(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = cleanups._TAKE.replace("coalesce(v.provider_voice_id, v.voice_id)", "v.voice_id")
    assert alone != cleanups._TAKE
    monkeypatch.setattr(cleanups, "_TAKE", alone)
    found = await _in_world(postgres, "", _cell(Failpoint.NOTED, Harm.EXCEPTION, Way.DESIGN_NAMED))
    assert any("though nobody paid" in each for each in found), found


async def _complete_late(stage: Stage) -> list[str]:
    """A mint whose lease ran out while the provider worked, before any reconciler has come by."""
    asked = stage.provider.clone_voice

    async def outlive_the_lease(voice_id: str, recording: Recording) -> None:
        await asked(voice_id, recording)
        await stage.database.execute("UPDATE mints SET lease_until = clock_timestamp()")

    stage.provider.clone_voice = outlive_the_lease  # type: ignore[method-assign]
    try:
        await stage.mint()
    except GatewayError:
        return []
    return ["completed after its lease had run out"]


@pytest.fixture
def without_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """Completing without a look at the lease."""
    unguarded = mints._COMPLETE.replace("AND lease_until > clock_timestamp()", "")
    assert unguarded != mints._COMPLETE
    monkeypatch.setattr(mints, "_COMPLETE", unguarded)


@pytest.mark.usefixtures("without_lease")
async def test_completing_after_the_lease(database: Database) -> None:
    opened = await database.transact(lambda connection: open_account(connection, "Ada", CREDIT, "proof"))
    assert await _complete_late(Stage(database, opened.account_id)) == [], "the schema looks at the lease too"
    await database.execute("DROP TRIGGER guard_mint ON mints")
    assert await _complete_late(Stage(database, opened.account_id))

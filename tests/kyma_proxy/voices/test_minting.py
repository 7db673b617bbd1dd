"""Minting against real PostgreSQL, with a provider and a database that fail on request."""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kyma_proxy.accounts.accounts import get_account, open_account
from kyma_proxy.database.errors import CommitUnknownError, DatabaseUnavailableError
from kyma_proxy.database.pool import Connection, Database
from kyma_proxy.errors import ErrorCode, GatewayError, OutcomeUnknownError
from kyma_proxy.flow import Reply
from kyma_proxy.ledger.audit import audit
from kyma_proxy.tasks import Tasks
from kyma_proxy.voices import registry
from kyma_proxy.voices.minting import Minted, Minting, MintOrder, MintPatience
from kyma_proxy.voices.ownership import MINTED_PREFIX
from kyma_proxy.voices.provider import ProviderError, Recording

PRICE = 2_100_000
PATIENCE = MintPatience(complete_seconds=0.2, unknown_seconds=0.3, void_seconds=0.3, retry_seconds=0.01)


class Provider:
    """Voices in a set; the next call fails if told to."""

    name = "minimax"
    provider_account = "default"

    def __init__(self) -> None:
        self.voices: set[str] = set()
        self.calls: list[str] = []
        self.fault: BaseException | None = None

    async def clone_voice(self, voice_id: str, recording: Recording) -> None:
        self.calls.append(f"clone {voice_id}")
        self.voices.add(voice_id)
        if self.fault is not None:
            raise self.fault

    async def delete_voice(self, voice_id: str) -> None:
        self.calls.append(f"delete {voice_id}")
        self.voices.discard(voice_id)


class FaultyDatabase(Database):
    """The database, with a script of what happens to the next transactions.

    `before`: it is away before anything is sent. `lost`: it commits and the answer is lost. `unsent`: the answer is
    lost and it had not committed. `crash`: a fault of our own. `ok`: nothing happens.
    """

    def __init__(self, inner: Database, *script: str, finally_: str = "ok") -> None:
        self._inner = inner
        self._script = deque(script)
        self._finally = finally_

    async def transact(self, work: Callable[[Connection], Awaitable[Any]]) -> Any:
        fault = self._script.popleft() if self._script else self._finally
        if fault == "before":
            raise DatabaseUnavailableError
        if fault == "crash":
            raise ZeroDivisionError
        if fault == "unsent":
            raise CommitUnknownError
        result = await self._inner.transact(work)
        if fault == "lost":
            raise CommitUnknownError
        return result


class Stage:
    """One account, one provider, one minting service."""

    def __init__(self, database: Database, account_id: str) -> None:
        self.database = database
        self.account_id = account_id
        self.provider = Provider()
        self.tasks = Tasks()

    async def mint(self, *script: str, finally_: str = "ok") -> Reply:
        minting = Minting(FaultyDatabase(self.database, *script, finally_=finally_), self.tasks, PATIENCE)
        order = MintOrder(self.account_id, "clone", "Ada", PRICE, self.provider)
        recording = Recording(b"", "mp3")
        return await self.tasks.finish(
            minting.mint(order, lambda voice_id: self.provider.clone_voice(voice_id, recording), render), "mint"
        )

    async def standing(self) -> tuple[int, int]:
        account = await self.database.transact(lambda connection: get_account(connection, self.account_id))
        return account.balance_micros, account.held_micros

    async def statuses(self) -> list[str]:
        return [each.status for each in await self.database.transact(registry.list_voices)]

    async def require_untouched(self) -> None:
        assert await self.tasks.drain(5)
        assert await self.standing() == (3 * PRICE, 0)
        assert set(await self.statuses()) <= {"failed"}
        await self.require_exact_books()

    async def require_exact_books(self) -> None:
        assert (await self.database.borrow(audit)).problems == ()


def render(minted: Minted) -> Reply:
    fields = {"voice_id": minted.voice_id, "name": minted.name, "balance": minted.balance_micros}
    return Reply.json(json.dumps(fields).encode(), {"X-Kyma-Cost-USD": "2.10"})


@pytest.fixture
async def stage(database: Database) -> Stage:
    opened = await database.transact(lambda connection: open_account(connection, "Ada", 3 * PRICE, "test"))
    return Stage(database, opened.account_id)


async def test_a_mint_makes_owns_and_charges_a_voice(stage: Stage) -> None:
    reply = await stage.mint()
    fields = json.loads(reply.body)  # type: ignore[arg-type]
    assert (fields["name"], fields["balance"]) == ("Ada", 2 * PRICE)
    assert stage.provider.calls == [f"clone {fields['voice_id']}"]
    assert await stage.standing() == (2 * PRICE, 0)
    assert await stage.statuses() == ["active"]
    await stage.require_exact_books()


async def test_ids_begin_as_ownership_expects(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kyma_proxy.voices.minting.MINTED_PREFIX", f"{MINTED_PREFIX}x_")
    await stage.mint()
    (voice,) = await stage.database.transact(registry.list_voices)
    assert voice.voice_id.startswith(f"{MINTED_PREFIX}x_")


async def test_the_owner_and_the_hold_are_on_file_before_the_provider_hears_the_id(stage: Stage) -> None:
    seen: list[Any] = []
    asked = stage.provider.clone_voice

    async def look(voice_id: str, recording: Recording) -> None:
        seen.extend([await stage.statuses(), await stage.standing()])
        await asked(voice_id, recording)

    stage.provider.clone_voice = look  # type: ignore[method-assign]
    await stage.mint()
    assert seen == [["pending"], (3 * PRICE, PRICE)]


async def test_a_balance_that_is_too_low_calls_nobody(stage: Stage) -> None:
    for _ in range(3):
        await stage.mint()
    calls = len(stage.provider.calls)
    with pytest.raises(GatewayError) as caught:
        await stage.mint()
    assert caught.value.code is ErrorCode.INSUFFICIENT_CREDITS
    assert len(stage.provider.calls) == calls
    assert len(await stage.statuses()) == 3
    await stage.require_exact_books()


@pytest.mark.parametrize("outcome_known", [True, False])
@pytest.mark.parametrize("should_retry", [True, False])
async def test_a_provider_that_fails_costs_nothing(stage: Stage, outcome_known: bool, should_retry: bool) -> None:
    stage.provider.fault = ProviderError("no", code=1002, should_retry=should_retry, outcome_known=outcome_known)
    with pytest.raises(GatewayError) as caught:
        await stage.mint()
    assert (caught.value.code, caught.value.should_retry) == (ErrorCode.PROVIDER_ERROR, should_retry)
    assert await stage.standing() == (3 * PRICE, 0), "the money is back when the answer arrives"
    await stage.require_untouched()
    assert bool(stage.provider.voices) is outcome_known, "a voice that may exist is deleted"


async def test_an_undo_whose_own_answer_is_lost_still_deletes_the_voice(stage: Stage) -> None:
    stage.provider.fault = ProviderError("timeout", outcome_known=False)
    with pytest.raises(GatewayError):
        await stage.mint("ok", "lost")
    await stage.require_untouched()
    assert not stage.provider.voices


async def test_money_is_given_back_whatever_keeps_it_from_being_written(stage: Stage) -> None:
    stage.provider.fault = ProviderError("no")
    with pytest.raises(GatewayError):
        await stage.mint("ok", "crash", "crash")
    await stage.require_untouched()


async def test_a_fault_of_our_own_costs_nothing_and_is_not_hidden(stage: Stage) -> None:
    stage.provider.fault = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        await stage.mint()
    await stage.require_untouched()


async def test_a_database_away_at_the_start_spends_nothing(stage: Stage) -> None:
    with pytest.raises(DatabaseUnavailableError):
        await stage.mint("before")
    assert not stage.provider.calls
    await stage.require_untouched()


@pytest.mark.parametrize("fault", ["lost", "unsent"])
async def test_a_beginning_in_doubt_is_undone_before_anything_is_said(stage: Stage, fault: str) -> None:
    with pytest.raises(DatabaseUnavailableError):
        await stage.mint(fault)
    assert not stage.provider.calls
    await stage.require_untouched()


async def test_completing_is_tried_again_while_the_database_is_away(stage: Stage) -> None:
    reply = await stage.mint("ok", "before", "before")
    assert reply.status == 200
    assert await stage.standing() == (2 * PRICE, 0)


async def test_a_database_that_stays_away_means_500_and_no_charge_once_it_is_back(stage: Stage) -> None:
    away = ["before"] * 12
    with pytest.raises(GatewayError) as caught:
        await stage.mint("ok", *away)
    assert caught.value.code is ErrorCode.OWNERSHIP_WRITE_FAILED
    await stage.require_untouched()
    assert not stage.provider.voices


@pytest.mark.parametrize("fault", ["lost", "unsent"])
async def test_a_commit_whose_answer_was_lost_is_read_back(stage: Stage, fault: str) -> None:
    reply = await stage.mint("ok", fault, "before")
    fields = json.loads(reply.body)  # type: ignore[arg-type]
    assert fields["balance"] == 2 * PRICE, "the client is told what the books say, and is charged once"
    assert reply.headers["x-kyma-cost-usd"] == "2.10"
    assert await stage.standing() == (2 * PRICE, 0)
    assert await stage.statuses() == ["active"]
    assert stage.provider.voices == {fields["voice_id"]}
    await stage.require_exact_books()


@pytest.mark.parametrize(
    ("fault", "balance", "status"), [("lost", 2 * PRICE, "active"), ("unsent", 3 * PRICE, "failed")]
)
async def test_a_commit_that_stays_in_doubt_is_answered_with_silence(
    stage: Stage, fault: str, balance: int, status: str
) -> None:
    with pytest.raises(OutcomeUnknownError):
        await stage.mint("ok", fault, *["before"] * 12)
    assert await stage.tasks.drain(10)
    assert await stage.standing() == (balance, 0)
    assert await stage.statuses() == [status]
    assert bool(stage.provider.voices) is (status == "active")
    await stage.require_exact_books()


async def test_a_mint_that_somebody_else_ended_is_not_completed(stage: Stage) -> None:
    asked = stage.provider.clone_voice

    async def end_it(voice_id: str, recording: Recording) -> None:
        await asked(voice_id, recording)
        await stage.database.execute("UPDATE voices SET status = 'failed'")
        await stage.database.execute("UPDATE holds SET state = 'voided', ended_at = now()")
        await stage.database.execute("UPDATE accounts SET held_micros = 0")

    stage.provider.clone_voice = end_it  # type: ignore[method-assign]
    with pytest.raises(GatewayError) as caught:
        await stage.mint()
    assert caught.value.code is ErrorCode.OWNERSHIP_WRITE_FAILED
    await stage.require_untouched()


async def test_parallel_mints_never_overspend(stage: Stage) -> None:
    outcomes = await asyncio.gather(*(stage.mint() for _ in range(12)), return_exceptions=True)
    assert sum(isinstance(each, Reply) for each in outcomes) == 3
    assert await stage.standing() == (0, 0)
    await stage.require_exact_books()


async def test_a_mint_reaches_its_end_when_nobody_waits_for_it(stage: Stage) -> None:
    waiter = asyncio.get_running_loop().create_task(stage.mint())
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert await stage.tasks.drain(5)
    assert await stage.standing() == (2 * PRICE, 0)
    assert await stage.statuses() == ["active"]

"""Charges against real PostgreSQL: held before, posted or voided behind the client, once, whatever goes wrong."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from kyma_proxy.accounts.accounts import get_account, open_account
from kyma_proxy.database.errors import CommitUnknownError, DatabaseUnavailableError
from kyma_proxy.database.pool import Database
from kyma_proxy.ledger import charges as charges_module
from kyma_proxy.ledger import holds
from kyma_proxy.ledger.audit import audit
from kyma_proxy.ledger.charges import Charge, ChargeOutcome, Charges
from kyma_proxy.ledger.holders import Holder, expire_left_over
from kyma_proxy.ledger.holds import InsufficientFundsError
from kyma_proxy.tasks import Tasks

PRICE = 1_000


class Books:
    """An account, and the charges of one process against it."""

    def __init__(self, database: Database, account_id: str) -> None:
        self.database = database
        self.account_id = account_id
        self.tasks = Tasks()
        self.holder = Holder(database)
        self.outcomes: list[ChargeOutcome] = []
        self.charges = Charges(database, self.tasks, self.holder, self.outcomes.append)

    def open(self, amount_micros: int = PRICE) -> Charge:
        return self.charges.open(self.account_id, amount_micros, "speech")

    async def standing(self) -> tuple[int, int]:
        account = await self.database.transact(lambda connection: get_account(connection, self.account_id))
        return account.balance_micros, account.held_micros

    async def settle(self) -> tuple[int, int]:
        assert await self.tasks.drain(10)
        assert not (await self.database.borrow(audit)).problems
        return await self.standing()


@pytest.fixture
def make_books(database: Database) -> Callable[[int], Any]:
    async def make(credit_micros: int) -> Books:
        opened = await database.transact(lambda connection: open_account(connection, "test", credit_micros, "test"))
        return Books(database, opened.account_id)

    return make


async def test_a_charge_is_held_then_posted(make_books: Any) -> None:
    books = await make_books(10_000)
    charge = books.open()
    assert await charge.hold() == 10_000
    assert await books.standing() == (10_000, PRICE)
    charge.post()
    assert await books.settle() == (9_000, 0)
    assert books.outcomes == ["posted"]


async def test_a_charge_that_is_void_costs_nothing_and_the_first_end_counts(make_books: Any) -> None:
    books = await make_books(10_000)
    charge = books.open()
    await charge.hold()
    charge.void()
    charge.post()
    await charge.give_back(1)
    assert await books.standing() == (10_000, 0)
    assert await books.settle() == (10_000, 0)
    assert books.outcomes == ["voided"]


async def test_too_little_money_holds_nothing(make_books: Any) -> None:
    books = await make_books(PRICE - 1)
    charge = books.open()
    with pytest.raises(InsufficientFundsError):
        await charge.hold()
    charge.void()
    assert await books.settle() == (PRICE - 1, 0)
    assert books.outcomes == []


async def test_many_at_once_share_statements(make_books: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    books = await make_books(100 * PRICE)
    sizes: list[int] = []
    real = holds.hold_all

    async def counted(database: Database, account_id: str, wanted: Any, holder_id: str) -> int | None:
        sizes.append(len(wanted))
        return await real(database, account_id, wanted, holder_id)

    monkeypatch.setattr(charges_module.holds, "hold_all", counted)
    opened = [books.open() for _ in range(50)]
    assert set(await asyncio.gather(*(each.hold() for each in opened))) == {100 * PRICE}
    assert sum(sizes) == 50
    assert len(sizes) <= 3
    for each in opened:
        each.post()
    assert await books.settle() == (50 * PRICE, 0)


async def test_nobody_is_refused_for_what_a_neighbour_wanted(make_books: Any) -> None:
    books = await make_books(3 * PRICE)
    await books.open(1).hold()  # so that the rest meets in one batch behind it
    wanted = [books.open(amount) for amount in (PRICE, 50 * PRICE, PRICE)]
    results = await asyncio.gather(*(each.hold() for each in wanted), return_exceptions=True)
    assert [isinstance(result, int) for result in results] == [True, False, True]
    assert isinstance(results[1], InsufficientFundsError)
    assert await books.standing() == (3 * PRICE, 2 * PRICE + 1)


async def test_money_on_its_way_back_refuses_nobody(make_books: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    books = await make_books(PRICE)
    first = books.open()
    await first.hold()
    real = holds.end_all

    async def slowly(*arguments: Any) -> frozenset[str]:
        await asyncio.sleep(0.1)
        return await real(*arguments)

    monkeypatch.setattr(charges_module.holds, "end_all", slowly)
    first.void()
    await asyncio.sleep(0)
    second = books.open()
    assert await second.hold() == PRICE
    second.post()
    assert await books.settle() == (0, 0)


async def test_the_balance_told_is_that_after_all_that_was_heard_before(make_books: Any) -> None:
    books = await make_books(10 * PRICE)
    for number in range(5):
        charge = books.open()
        assert await charge.hold() == (10 - number) * PRICE
        charge.post()
        await asyncio.sleep(0)


async def test_what_was_posted_is_told_once_however_late_its_answer_is_read(
    make_books: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    books = await make_books(10 * PRICE)
    first, second = books.open(), books.open()
    committed = asyncio.Event()
    end_all = holds.end_all

    async def answer_late(*asked: Any) -> Any:
        ended = await end_all(*asked)
        committed.set()
        await asyncio.sleep(0.05)
        return ended

    await first.hold()
    monkeypatch.setattr(charges_module.holds, "end_all", answer_late)
    first.post()
    await committed.wait()
    assert await second.hold() == 9 * PRICE


async def test_whoever_stops_waiting_leaves_nothing_held(make_books: Any) -> None:
    books = await make_books(10 * PRICE)
    charge = books.open()
    waiting = asyncio.ensure_future(charge.hold())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    charge.void()
    assert await books.settle() == (10 * PRICE, 0)


async def test_ending_what_was_never_held_changes_nothing(make_books: Any) -> None:
    books = await make_books(PRICE)
    books.open().post()
    assert await books.settle() == (PRICE, 0)


async def test_a_hold_whose_answer_was_lost_is_burned(make_books: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    books = await make_books(10 * PRICE)
    real = holds.hold_all

    async def lost(*arguments: Any) -> int | None:
        await real(*arguments)
        raise CommitUnknownError

    monkeypatch.setattr(charges_module.holds, "hold_all", lost)
    charge = books.open()
    with pytest.raises(DatabaseUnavailableError):
        await charge.hold()
    charge.post()
    assert await books.settle() == (10 * PRICE, 0)
    assert books.outcomes == []


async def test_a_burned_hold_stops_the_statement_that_comes_later(make_books: Any) -> None:
    books = await make_books(10 * PRICE)
    late = holds.NewHold(holds.new_hold_id(), PRICE, "speech")
    await books.database.transact(lambda connection: holds.burn(connection, books.account_id, late))
    with pytest.raises(Exception, match="duplicate key"):
        await holds.hold_all(books.database, books.account_id, [late], books.holder.holder_id)
    assert await books.settle() == (10 * PRICE, 0)


@pytest.mark.parametrize("committed", [False, True])
async def test_posting_goes_on_until_it_is_written(
    make_books: Any, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    books = await make_books(10 * PRICE)
    charge = books.open()
    await charge.hold()
    real = holds.end_all
    tries = 0

    async def away_twice(*arguments: Any) -> frozenset[str]:
        nonlocal tries
        tries += 1
        if tries > 2:
            return await real(*arguments)
        if committed:
            await real(*arguments)
        raise CommitUnknownError if committed else DatabaseUnavailableError

    monkeypatch.setattr(charges_module.holds, "end_all", away_twice)
    charge.post()
    assert await books.settle() == (9 * PRICE, 0)
    assert books.outcomes == ["posted"]
    assert tries == 3


async def test_one_that_cannot_be_ended_does_not_keep_the_others_open(
    make_books: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    books = await make_books(10 * PRICE)
    opened = [books.open() for _ in range(3)]
    for each in opened:
        await each.hold()
    monkeypatch.setattr(charges_module, "RETRY_SECONDS", 0.001)
    real = holds.end_all

    async def fails_on_the_second(database: Database, account_id: str, posted: Any) -> frozenset[str]:
        if opened[1].hold_id in posted:
            raise ZeroDivisionError
        return await real(database, account_id, posted)

    monkeypatch.setattr(charges_module.holds, "end_all", fails_on_the_second)
    for each in opened:
        each.post()
    assert await books.settle() == (8 * PRICE, PRICE)
    assert sorted(books.outcomes) == ["lost", "posted", "posted"]


async def test_what_others_expired_although_it_was_heard_is_charged_anew(make_books: Any) -> None:
    books = await make_books(10 * PRICE)
    charge = books.open()
    await charge.hold()
    await books.holder.leave()
    assert await expire_left_over(books.database) == 1
    charge.post()
    assert await books.settle() == (9 * PRICE, 0)
    assert books.outcomes == ["posted"]


async def test_a_charge_anew_that_is_tried_again_is_made_once(make_books: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    books = await make_books(10 * PRICE)
    charge = books.open()
    await charge.hold()
    await books.holder.leave()
    await expire_left_over(books.database)
    real = {name: getattr(holds, name) for name in ("hold_all", "end_all")}
    lost = {"hold_all": 1, "end_all": 3}

    def losing(name: str) -> Any:
        async def call(*arguments: Any) -> Any:
            done = await real[name](*arguments)
            if lost[name]:
                lost[name] -= 1
                raise CommitUnknownError
            return done

        return call

    for name in real:
        monkeypatch.setattr(charges_module.holds, name, losing(name))
    charge.post()
    assert await books.settle() == (9 * PRICE, 0)
    assert books.outcomes == ["posted"]


async def test_a_process_that_stood_still_after_holding_asks_nobody(make_books: Any) -> None:
    books = await make_books(10 * PRICE)
    charge = books.open()
    asked = asyncio.ensure_future(charge.hold())
    books.holder._leased_until = 0.0
    real = books.holder.renew

    async def renewed_too_late() -> None:
        await real()
        books.holder._leased_until = 0.0

    books.holder.renew = renewed_too_late
    with pytest.raises(DatabaseUnavailableError):
        await asked
    assert await books.settle() == (10 * PRICE, 0)


async def test_what_expired_and_cannot_be_paid_any_more_is_lost(make_books: Any) -> None:
    books = await make_books(PRICE)
    charge = books.open()
    await charge.hold()
    await books.holder.leave()
    await expire_left_over(books.database)
    await books.open().hold()
    charge.post()
    assert await books.settle() == (PRICE, PRICE)
    assert books.outcomes == ["lost"]


async def test_what_somebody_else_ended_is_lost_and_not_charged(make_books: Any) -> None:
    books = await make_books(10 * PRICE)
    charge = books.open()
    await charge.hold()
    await books.database.transact(lambda connection: holds.void(connection, books.account_id, charge.hold_id))
    charge.post()
    assert await books.settle() == (10 * PRICE, 0)
    assert books.outcomes == ["lost"]


async def test_however_requests_meet_the_books_are_exact(make_books: Any) -> None:
    chance = random.Random(6)
    for _ in range(25):
        credit = chance.randrange(31)
        asked = [
            (chance.randrange(1, 11), chance.random() < 0.5, chance.randrange(4)) for _ in range(chance.randrange(13))
        ]
        await _meet(await make_books(credit), credit, asked)


async def _meet(books: Books, credit: int, asked: list[tuple[int, bool, int]]) -> None:
    """What was granted was covered, what was posted is gone, the rest is back."""
    granted: list[tuple[int, bool]] = []

    async def one(amount: int, is_post: bool, pauses: int) -> None:
        for _ in range(pauses):
            await asyncio.sleep(0)
        charge = books.open(amount)
        try:
            await charge.hold()
        except InsufficientFundsError:
            return
        granted.append((amount, is_post))
        (charge.post if is_post else charge.void)()

    await asyncio.gather(*(one(*each) for each in asked))
    assert await books.settle() == (credit - sum(amount for amount, is_post in granted if is_post), 0)
    if sum(amount for amount, *_ in asked) <= credit:
        assert len(granted) == len(asked)

"""Charges for what is delivered while it is made: held before it begins, posted or voided when it has ended.

One round trip each way. What several requests of one account ask for at the same moment goes in one statement, so that
the account's row, which all of them need, is locked once for all of them.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal
from weakref import WeakValueDictionary

import structlog

from kyma_proxy.backoff import Backoff
from kyma_proxy.database.errors import CommitUnknownError, DatabaseUnavailableError
from kyma_proxy.database.pool import Database
from kyma_proxy.failpoints import NO_FAILPOINTS, Failpoint, Failpoints
from kyma_proxy.ledger import holds
from kyma_proxy.ledger.batches import Batches
from kyma_proxy.ledger.holders import Holder
from kyma_proxy.ledger.holds import InsufficientFundsError, NewHold, new_hold_id
from kyma_proxy.tasks import Tasks

RETRY_SECONDS: Final = 0.1
_FAULTS_MAX: Final = 5

ChargeOutcome = Literal["posted", "voided", "lost"]
"""`lost`: somebody else had ended the hold before, and there is no money any more to charge it anew."""

_log = structlog.get_logger("kyma_proxy.ledger")


@dataclass(frozen=True, slots=True)
class _Asked:
    hold: NewHold
    balance_micros: asyncio.Future[int]
    """The account's posted balance, once the money is held."""


@dataclass(frozen=True, slots=True)
class _Ending:
    hold: NewHold
    is_post: bool
    outcome: asyncio.Future[ChargeOutcome]


class Charges:
    """Opens charges, and carries their holds to the books and out of them again."""

    def __init__(
        self,
        database: Database,
        tasks: Tasks,
        holder: Holder,
        on_ended: Callable[[ChargeOutcome], None] = lambda outcome: None,
        *,
        failpoints: Failpoints = NO_FAILPOINTS,
    ) -> None:
        self._reach = failpoints.reach
        self._database = database
        self._tasks = tasks
        self._holder = holder
        self._on_ended = on_ended
        self._asked = Batches[_Asked](tasks, "hold", self._hold_all)
        self._endings = Batches[_Ending](tasks, "end holds", self._end_all)
        self._posting: defaultdict[str, dict[str, int]] = defaultdict(dict)
        """What is being posted, in micro-dollars by account and hold: owed, not known to be off the balance."""
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def open(self, account_id: str, amount_micros: int, purpose: str) -> Charge:
        """A charge of which nothing is held yet; `amount_micros` is above zero, `purpose` a word for the books."""
        return Charge(self, account_id, NewHold(new_hold_id(), amount_micros, purpose))

    def start_hold(self, account_id: str, hold: NewHold) -> asyncio.Task[int | Exception]:
        """Place a hold, together with others of its account; the result is the posted balance, or why there is none.

        For `Charge`. It is an obligation: whoever asked may stop waiting, and the hold is ended all the same.
        """
        return self._tasks.oblige(self._place(account_id, hold), name=f"hold {hold.hold_id}")

    def start_end(self, charge: Charge, is_post: bool) -> asyncio.Task[ChargeOutcome | None]:
        """End a charge behind its request. For `Charge`."""
        return self._tasks.oblige(charge.settle(is_post), name=f"settle {charge.hold_id}")

    async def end(self, account_id: str, hold: NewHold, is_post: bool) -> ChargeOutcome:
        """Post or void a hold, together with others of its account, however long the database is away.

        For `Charge`.
        """
        ending = _Ending(hold, is_post, asyncio.get_running_loop().create_future())
        self._endings.add(account_id, ending)
        if is_post:
            self._posting[account_id][hold.hold_id] = hold.amount_micros
        outcome = await ending.outcome
        self._no_longer_posting(account_id, [hold.hold_id])
        self._on_ended(outcome)
        return outcome

    async def _place(self, account_id: str, hold: NewHold) -> int | Exception:
        try:
            balance_micros = await self._place_soon(account_id, hold)
        except Exception as error:  # noqa: BLE001  # the one who waits raises it
            return error
        if not self._holder.is_leased:
            # This process stood still meanwhile, and others may have given the money back.
            self._give_up(account_id, hold)
            return DatabaseUnavailableError()
        return balance_micros

    async def _place_soon(self, account_id: str, hold: NewHold) -> int:
        await self._holder.require_lease()
        try:
            return await self._ask(account_id, hold)
        except InsufficientFundsError:
            # Money on its way back must not refuse anybody: the request that it was held for has been answered.
            if not await self._endings.settled(account_id):
                raise
        return await self._ask(account_id, hold)

    def _give_up(self, account_id: str, hold: NewHold) -> None:
        self._tasks.oblige(self._burn(account_id, hold), name=f"burn {hold.hold_id}")

    async def _ask(self, account_id: str, hold: NewHold) -> int:
        asked = _Asked(hold, asyncio.get_running_loop().create_future())
        self._asked.add(account_id, asked)
        return await asked.balance_micros

    async def _hold_all(self, account_id: str, asked: Sequence[_Asked]) -> None:
        wanted = [each.hold for each in asked]
        try:
            await self._reach(Failpoint.CHARGE_HOLD)
            async with self._turn(account_id):
                balance_micros = await holds.hold_all(self._database, account_id, wanted, self._holder.holder_id)
                owed_micros = sum(self._posting.get(account_id, {}).values())
            await self._reach(Failpoint.CHARGE_HELD)
        except Exception as error:  # noqa: BLE001  # each request is to hear of it
            is_known = isinstance(error, DatabaseUnavailableError) and not isinstance(error, CommitUnknownError)
            for each in asked:
                if not is_known:
                    self._give_up(account_id, each.hold)
                each.balance_micros.set_exception(DatabaseUnavailableError() if is_known else error)
        else:
            # Who asks for one thing after the other is told of a balance from which the first is gone.
            await self._tell(account_id, asked, None if balance_micros is None else balance_micros - owed_micros)

    async def _tell(self, account_id: str, asked: Sequence[_Asked], balance_micros: int | None) -> None:
        if balance_micros is not None:
            for each in asked:
                each.balance_micros.set_result(balance_micros)
        elif len(asked) == 1:
            asked[0].balance_micros.set_exception(InsufficientFundsError())
        else:
            # Together they want too much. Each is asked about alone, in the order in which they came.
            for each in asked:
                await self._hold_all(account_id, [each])

    def _turn(self, account_id: str) -> asyncio.Lock:
        """For one statement about an account: they lock its row anyway, and only one after the other is it known which
        balance has seen which posting."""
        return self._turns.setdefault(account_id, asyncio.Lock())

    def _no_longer_posting(self, account_id: str, hold_ids: Iterable[str]) -> None:
        posting = self._posting.get(account_id, {})
        for hold_id in hold_ids:
            posting.pop(hold_id, None)
        if not posting:
            self._posting.pop(account_id, None)

    async def _burn(self, account_id: str, unsure: NewHold) -> None:
        backoff = Backoff(RETRY_SECONDS)
        while True:
            try:
                return await self._database.transact(lambda connection: holds.burn(connection, account_id, unsure))
            except Exception:  # noqa: BLE001  # giving money back does not depend on a list of errors
                _log.exception("hold_not_burned", account_id=account_id, hold_id=unsure.hold_id)
                await backoff.pause()

    async def _end_all(self, account_id: str, endings: Sequence[_Ending]) -> None:
        backoff = Backoff(RETRY_SECONDS)
        faults = 0
        while True:
            try:
                outcomes = await self._try_to_end(account_id, endings)
                break
            except DatabaseUnavailableError:
                _log.warning("holds_not_ended", account_id=account_id, holds=len(endings))
            except Exception:  # noqa: BLE001  # one that cannot be ended must not keep the others open
                _log.exception("holds_not_ended", account_id=account_id, holds=len(endings))
                faults += 1
                if len(endings) > 1:
                    for each in endings:
                        await self._end_all(account_id, [each])
                    return
                if faults == _FAULTS_MAX:
                    # It stays open until this process ends; then others expire it.
                    outcomes = ["lost"]
                    break
            await backoff.pause()
        for each, outcome in zip(endings, outcomes, strict=True):
            each.outcome.set_result(outcome)

    async def _try_to_end(self, account_id: str, endings: Sequence[_Ending]) -> list[ChargeOutcome]:
        await self._reach(Failpoint.CHARGE_END)
        posted = {each.hold.hold_id: each.is_post for each in endings}
        async with self._turn(account_id):
            ended = await holds.end_all(self._database, account_id, posted)
            self._no_longer_posting(account_id, posted)
        await self._reach(Failpoint.CHARGE_ENDED)
        return [await self._outcome(account_id, each, each.hold.hold_id in ended) for each in endings]

    async def _outcome(self, account_id: str, ending: _Ending, ended_now: bool) -> ChargeOutcome:
        if not ending.is_post:
            return "voided"
        if ended_now or await self._is_posted(account_id, ending.hold):
            return "posted"
        _log.error("charge_lost", account_id=account_id, hold_id=ending.hold.hold_id)
        return "lost"

    async def _is_posted(self, account_id: str, hold: NewHold) -> bool:
        """Whether a hold that was not ended just now is charged: by an earlier try, or by a hold in its place."""
        state = await holds.state_of(self._database, account_id, hold.hold_id)
        if state != "expired":
            return state == "posted"
        # Others took this process for dead and gave the money back, but the audio was heard. Under an id of its own
        # the second hold is found again by whoever tries this again.
        again = replace(hold, hold_id=f"{hold.hold_id}_again")
        post = {again.hold_id: True}
        if await holds.end_all(self._database, account_id, post):
            return True
        if await holds.state_of(self._database, account_id, again.hold_id) == "posted":
            return True
        held = await holds.hold_all(self._database, account_id, [again], self._holder.holder_id)
        return held is not None and bool(await holds.end_all(self._database, account_id, post))


class Charge:
    """One charge: `hold`, then `post` or `void`, of which the first counts and none can be stopped by a client.

    Ending it before it is held, or while that is under way, is as good as voiding it afterwards.
    """

    def __init__(self, charges: Charges, account_id: str, hold: NewHold) -> None:
        self._charges = charges
        self._account_id = account_id
        self._hold = hold
        self._held: asyncio.Task[int | Exception] | None = None
        self._ended: asyncio.Task[ChargeOutcome | None] | None = None

    def __repr__(self) -> str:
        return f"Charge({self._hold.hold_id}, {self._hold.amount_micros} micros)"

    @property
    def hold_id(self) -> str:
        """The id of its hold."""
        return self._hold.hold_id

    @property
    def amount_micros(self) -> int:
        """What it costs if it is posted."""
        return self._hold.amount_micros

    async def hold(self) -> int:
        """Have the money held, once; returns the account's posted balance in micro-dollars.

        Raises InsufficientFundsError (nothing is held), DatabaseUnavailableError (nothing stays held).
        """
        self._held = self._charges.start_hold(self._account_id, self._hold)
        held = await asyncio.shield(self._held)
        if isinstance(held, Exception):
            raise held
        return held

    def post(self) -> None:
        """Charge it, behind whoever calls."""
        self._end(is_post=True)

    def void(self) -> None:
        """Give it back, behind whoever calls."""
        self._end(is_post=False)

    async def give_back(self, wait_seconds: float) -> None:
        """Void it and wait until the money is back, but not for longer than that."""
        self.void()
        if self._ended is not None:
            await asyncio.wait([self._ended], timeout=wait_seconds)

    async def settle(self, is_post: bool) -> ChargeOutcome | None:
        """End it as soon as it is held; None if nothing is held. For `Charges`."""
        if self._held is None or isinstance(await self._held, Exception):
            return None
        return await self._charges.end(self._account_id, self._hold, is_post)

    def _end(self, *, is_post: bool) -> None:
        if self._ended is None and self._held is not None:
            self._ended = self._charges.start_end(self, is_post)

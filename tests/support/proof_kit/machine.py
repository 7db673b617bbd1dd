"""The state machine: whatever is done in whatever order, the books are what the reference says after every step."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from kyma_proxy.accounts.accounts import open_account
from kyma_proxy.ledger import entries, holds
from kyma_proxy.ledger.entries import Adjustment, EntryKind
from kyma_proxy.voices import claims, registry
from kyma_proxy.voices.provider import ProviderError
from mint_kit import PRICE
from proof_kit.model import FAULTS, OUTCOMES, Heard, Process
from proof_kit.play import Play, pick, spoken
from proof_kit.reference import Mint, Request

_ACCOUNTS_MAX = 3

# The product expires only what a dead process held: this is how its schema lets an operator do it.
_EXPIRE = """
WITH ended AS (
    UPDATE holds SET state = 'expired', ended_at = now()
    WHERE account_id = $1 AND hold_id = $2 AND state = 'held' RETURNING account_id, amount_micros)
UPDATE accounts SET held_micros = held_micros - ended.amount_micros
FROM ended WHERE accounts.account_id = ended.account_id RETURNING accounts.account_id
"""

_indexes = st.integers(0, 5)
_amounts = st.sampled_from([1, PRICE - 1, PRICE, PRICE + 1, 5 * PRICE])
_acts = st.one_of(
    st.tuples(st.just("adjust"), st.sampled_from(["credit", "debit"]), _amounts, st.sampled_from([None, None, "r"])),
    st.tuples(st.just("reverse"), st.integers(0, 8)),
    st.tuples(st.just("hold"), _amounts),
    st.tuples(st.just("end"), _indexes, st.sampled_from(["posted", "voided", "expired"])),
)
_contents = st.sampled_from(["a", "b"])
_faults = st.just(()) | st.lists(st.sampled_from(FAULTS), min_size=1, max_size=4).map(tuple)
_rare_faults = st.integers(0, 2).flatmap(lambda number: _faults if number == 2 else st.just(()))
_outcomes = st.sampled_from(["made", "made", "made", *OUTCOMES])
_answers = st.tuples(_outcomes, _faults)
_mostly = st.integers(0, 9).map(lambda number: number < 9)
_sayings = st.tuples(_contents, st.sampled_from([None, None, "k", "l"]), st.booleans(), _mostly)


def _requests(accounts: Sequence[str], index: int, said: tuple[str, str | None, bool, bool]) -> Request:
    return Request(pick(accounts, index), *said)


class BooksMachine(Play):
    """Accounts, money, voices, and everything that happens to the processes between them."""

    # -- accounts and entries

    @initialize(credit=st.sampled_from([3 * PRICE, 50 * PRICE, 50 * PRICE]))
    def begin(self, credit: int) -> None:
        self._do(self._open(credit))

    @precondition(lambda self: len(self.accounts) < _ACCOUNTS_MAX)
    @rule(credit=st.sampled_from([0, PRICE - 1, 20 * PRICE, 20 * PRICE]))
    def open_account(self, credit: int) -> None:
        self._do(self._open(credit))

    async def _open(self, credit: int) -> None:
        opened = await self._transact(lambda connection: open_account(connection, "Ada", credit, "test"))
        self.accounts.append(opened.account_id)
        self.reference.open(opened.account_id, credit)

    @rule(index=_indexes, act=_acts)
    def money_moves(self, index: int, act: tuple[Any, ...]) -> None:
        """One act upon the ledger alone."""
        account = pick(self.accounts, index)
        acts = {"adjust": self._adjust, "reverse": self._reverse, "hold": self._hold, "end": self._end_hold}
        self._do(acts[act[0]](account, *act[1:]))

    async def _adjust(self, account: str, kind: EntryKind, amount: int, ref: str | None) -> None:
        expected = self.reference.adjust(account, kind, amount, ref)
        adjustment = Adjustment(kind, amount, "test", ref=ref)
        try:
            is_entered = await self._transact(lambda connection: entries.adjust(connection, account, adjustment))
            happened = "entered" if is_entered else "entered before"
        except entries.RefReusedError:
            happened = "ref reused"
        except holds.InsufficientFundsError:
            happened = "insufficient"
        self._agree(happened, expected, adjustment)

    async def _reverse(self, account: str, number: int) -> None:
        expected = self.reference.reverse(account, number)
        listed = await self._transact(lambda connection: entries.list_entries(connection, account))
        entry_id = listed[number].entry_id if number < len(listed) else 2**60
        try:
            is_reversed = await self._transact(
                lambda connection: entries.reverse(connection, account, entry_id, "test")
            )
            happened = "reversed" if is_reversed else "reversed before"
        except entries.UnknownEntryError:
            happened = "unknown"
        except entries.ReversalError:
            happened = "a reversal"
        except holds.InsufficientFundsError:
            happened = "insufficient"
        self._agree(happened, expected, number)

    async def _hold(self, account: str, amount: int) -> None:
        hold_id = holds.new_hold_id()
        self.hold_ids.append(hold_id)
        expected = self.reference.hold(account, hold_id, amount)
        try:
            await self._transact(lambda connection: holds.hold(connection, account, hold_id, amount, "test"))
            happened = "held"
        except holds.InsufficientFundsError:
            happened = "insufficient"
        self._agree(happened, expected, amount)

    async def _end_hold(self, account: str, number: int, state: str) -> None:
        """The account's own hold or another's, or one that does not exist."""
        hold_id = pick(self.hold_ids or ["unknown"], number)
        expected = self.reference.end_hold(account, hold_id, state)
        try:
            if state == "posted":
                balance = await self._transact(lambda connection: holds.post(connection, account, hold_id))
                happened = f"posted: {balance}"
            elif state == "voided":
                is_voided = await self._transact(lambda connection: holds.void(connection, account, hold_id))
                happened = "voided" if is_voided else "ended before"
            else:
                ended = await self._transact(lambda connection: connection.fetchval(_EXPIRE, account, hold_id))
                happened = "expired" if ended else "ended before"
        except holds.HoldEndedError:
            happened = "ended before"
        self._agree(happened, expected, state)

    # -- requests for voices

    @rule(index=_indexes, said=_sayings, faults=_rare_faults, answered=_answers, is_patient=st.booleans())
    def buy(
        self,
        index: int,
        said: tuple[str, str | None, bool, bool],
        faults: Sequence[str],
        answered: tuple[str, Sequence[str]],
        is_patient: bool,
    ) -> None:
        """A request that is served to its end, or the end of its process."""
        process = Process(self.world, _requests(self.accounts, index, said), faults=faults, is_patient=is_patient)
        self.requests.append(process.request)
        self._do(self._buy(process, faults, *answered))

    async def _buy(
        self, process: Process, faults: Sequence[str] = (), outcome: str = "made", later_faults: Sequence[str] = ()
    ) -> None:
        if await self._begin(process, faults):
            await self._answer(process, outcome, later_faults)

    @rule(index=_indexes, said=_sayings, is_patient=st.booleans(), before_asking=st.booleans())
    def begin_to_buy(
        self, index: int, said: tuple[str, str | None, bool, bool], is_patient: bool, before_asking: bool
    ) -> None:
        """A request whose process halts before it asks the provider, or while that works."""
        process = Process(self.world, _requests(self.accounts, index, said), is_patient=is_patient)
        process.pauses_before_asking = before_asking
        self.requests.append(process.request)
        self._do(self._begin(process, ()))

    @precondition(lambda self: self.paused)
    @rule(index=_indexes, outcome=_outcomes, faults=_faults)
    def go_on(self, index: int, outcome: str, faults: Sequence[str]) -> None:
        """It goes on, however late: its lease may have run out, and others may have ended its mint."""
        self._do(self._answer(pick(self.paused, index), outcome, faults))

    @precondition(lambda self: self._joinable() and len(self.joiners) < 3 and len(self._left_over()) < 2)
    @rule(index=_indexes)
    def join(self, index: int) -> None:
        """A marked retry that waits for as long as it takes."""
        process = Process(self.world, pick(self._joinable(), index))
        process.join_seconds = 60.0
        process.goes_through = True
        self._do(self._begin(process, ()))

    @precondition(lambda self: self.requests)
    @rule(index=_indexes, change=st.sampled_from(["", "marked", "other content", "other account"]))
    def buy_again(self, index: int, change: str) -> None:
        """A request that was sent before, or one that only looks like it; nothing happens to it."""
        request = pick(self.requests, index)
        changes: dict[str, dict[str, Any]] = {
            "": {},
            "marked": {"key": None, "is_retry": True},
            "other content": {"content": "b" if request.content == "a" else "a"},
            "other account": {"account": pick(self.accounts, index)},
        }
        self._do(self._buy(Process(self.world, replace(request, is_connected=True, **changes[change]))))

    @precondition(lambda self: self.steps % 8 == 7)
    @rule(index=_indexes)
    def buy_at_once(self, index: int) -> None:
        """Three requests at the same time."""
        account = pick(self.accounts, index)
        self._do(self._buy_at_once([Request(account, f"alone {next(self.numbers)}") for _ in range(3)]))

    async def _buy_at_once(self, requests: Sequence[Request]) -> None:
        processes = [Process(self.world, request) for request in requests]
        for process in processes:
            process.goes_through = True
        await asyncio.gather(*(process.start() for process in processes))
        heard = [await process.heard() for process in processes]
        expected = []
        for request in requests:
            expected += self._served(request)
        self._tell(heard)
        # Whoever came first is first; their contents are nobody else's, so which is whose does not matter.
        fresh = iter(sorted((each for each in heard if each.voice_id), key=lambda each: -(each.balance or 0)))
        for told in expected:
            if told.mint is not None:
                told.mint.voice_id = next(fresh, Heard("")).voice_id
        self._agree(Counter(heard), Counter(map(spoken, expected)), "at once")

    # -- processes and time

    @precondition(lambda self: self.paused)
    @rule(index=_indexes, event=st.sampled_from(["killed", "client leaves", "renews its lease"]))
    def happens_to_process(self, index: int, event: str) -> None:
        """A client that leaves after the hold makes no difference to the books."""
        process = pick(self.paused, index)
        events = {"killed": self._kill, "client leaves": Process.leave, "renews its lease": Process.renew}
        self._do(events[event](process))

    @precondition(lambda self: self._in_state("pending") and not (self.joiners and self._left_over()))
    @rule(index=_indexes)
    def lease_runs_out(self, index: int) -> None:
        """One at a time while somebody waits: else whose money is back first decides what that one can buy."""
        self._do(self._run_out(pick(self._in_state("pending"), index)))

    @precondition(lambda self: self._left_over() or self._cleanups())
    @rule()
    def reconcile(self) -> None:
        self._do(self._reconcile())

    @precondition(lambda self: self.world.provider.working or self._cleanups())
    @rule()
    def an_hour_passes(self) -> None:
        """Whatever the provider was asked for is made by now, or never will be."""
        self.world.provider.working.clear()
        for mint in self.reference.mints:
            mint.cleanup = mint.cleanup and "over"
        self._do(self._execute("UPDATE provider_cleanups SET until = clock_timestamp()"))

    @precondition(lambda self: self.world.provider.working)
    @rule(index=_indexes)
    def slow_clone_ends(self, index: int) -> None:
        """The provider makes a voice, whoever still waits for it."""
        waited = [mint for mint in self.reference.mints if mint.voice_id in self.world.provider.working]
        mint = pick(waited, index)
        assert mint.voice_id is not None
        mint.is_at_provider = True
        self.world.provider.make(mint.voice_id)

    @precondition(lambda self: self.paused or self._cleanups())
    @rule()
    def provider_goes_or_returns(self) -> None:
        self.reference.is_provider_there = not self.reference.is_provider_there
        self.world.provider.deletion_fault = None if self.reference.is_provider_there else ProviderError("away")

    @precondition(lambda self: self._in_state("pending", "active", "revoked"))
    @rule(index=_indexes, what=st.sampled_from(["key", "reply", "forgotten"]))
    def grows_old(self, index: int, what: str) -> None:
        """A key is 24 hours old, or a reply 10 minutes, or old keys are forgotten."""
        if what == "forgotten":
            self.reference.keys = {name: key for name, key in self.reference.keys.items() if not key.is_old}
            self._do(self._transact(claims.prune))
        elif what == "reply" and (told := self._in_state("active", "revoked")):
            self._do(self._grow_old(pick(told, index)))
        elif what == "key" and self.reference.keys:
            (account, key), known = pick(list(self.reference.keys.items()), index)
            known.is_old = True
            where = "WHERE (account_id, key) = ($1, $2)"
            aged = f"UPDATE idempotency_keys SET created_at = now() - interval '24 hours' {where}"
            self._do(self._execute(aged, account, key))

    async def _grow_old(self, mint: Mint) -> None:
        mint.is_old = True
        aged = "UPDATE mints SET completed_at = now() - interval '10 minutes' WHERE voice_id = $1"
        await self._execute(aged, mint.voice_id)

    @precondition(lambda self: self._in_state("active"))
    @rule(index=_indexes)
    def revoke(self, index: int) -> None:
        mint = pick(self.reference.mints, index)
        mint.state = "revoked" if mint.state == "active" else mint.state
        self._do(self._revoke(mint))

    async def _revoke(self, mint: Mint) -> None:
        assert mint.voice_id is not None
        voice_id = mint.voice_id
        state = await self._transact(lambda connection: registry.revoke(connection, voice_id))
        self._agree(state, mint.state, voice_id)

"""The state machine with speech in it: charges that are held before they are heard, by processes that may die."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from kyma_proxy.ledger.charges import Charge, Charges
from kyma_proxy.ledger.holders import Holder, expire_left_over
from kyma_proxy.ledger.holds import InsufficientFundsError
from kyma_proxy.tasks import Tasks
from mint_kit import PRICE
from proof_kit.machine import BooksMachine
from proof_kit.model import World
from proof_kit.play import pick

_indexes = st.integers(0, 5)
_amounts = st.sampled_from([1, PRICE // 3, PRICE, 4 * PRICE])


@dataclass
class Speech:
    """Speech that is being made, by a process of its own."""

    account: str
    charge: Charge
    holder: Holder
    tasks: Tasks
    is_dead: bool = False


class SpeakingMachine(BooksMachine):
    """Whoever speaks holds first; what was heard is posted, once, whatever became of the process meanwhile."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.speeches: list[Speech] = []

    @rule(index=_indexes, amounts=st.lists(_amounts, min_size=1, max_size=4))
    def begin_to_speak(self, index: int, amounts: Sequence[int]) -> None:
        """One process is asked for so much at once, all for one account."""
        self._do(self._begin_to_speak(pick(self.accounts, index), amounts))

    async def _begin_to_speak(self, account: str, amounts: Sequence[int]) -> None:
        tasks, holder = Tasks(), Holder(self.world.database)
        charges = Charges(self.world.database, tasks, holder)
        await holder.renew()  # else their order would be that in which the leases come back
        opened = [charges.open(account, amount, "test") for amount in amounts]
        expected = [self.reference.hold(account, each.hold_id, each.amount_micros) for each in opened]
        held = await asyncio.gather(*(each.hold() for each in opened), return_exceptions=True)
        happened = [_word(each) for each in held]
        self._agree(happened, expected, amounts)
        for each, word in zip(opened, happened, strict=True):
            self.hold_ids.append(each.hold_id)
            if word == "held":
                self.speeches.append(Speech(account, each, holder, tasks))

    @precondition(lambda self: self.speeches)
    @rule(index=_indexes, is_heard=st.booleans())
    def end_speech(self, index: int, is_heard: bool) -> None:
        """It ends, though others may have ended its hold, or taken its process for dead."""
        speech = pick(self.speeches, index)
        self.speeches.remove(speech)
        self._do(self._end_speech(speech, is_heard))

    async def _end_speech(self, speech: Speech, is_heard: bool) -> None:
        hold_id = speech.charge.hold_id
        state = self.reference.holds[hold_id].state
        (speech.charge.post if is_heard else speech.charge.void)()
        await speech.tasks.drain(10)
        if state == "held":
            self.reference.end_hold(speech.account, hold_id, "posted" if is_heard else "voided")
        elif state == "expired" and is_heard:
            again = f"{hold_id}_again"
            if self.reference.hold(speech.account, again, speech.charge.amount_micros) == "held":
                self.reference.end_hold(speech.account, again, "posted")

    @precondition(lambda self: any(not each.is_dead for each in self.speeches))
    @rule(index=_indexes)
    def speaker_is_not_heard_of(self, index: int) -> None:
        """A process stands still, or is gone: its lease runs out, with all that it holds."""
        holder = pick([each for each in self.speeches if not each.is_dead], index).holder
        for each in self.speeches:
            each.is_dead = each.is_dead or each.holder is holder
        self._do(self._execute("UPDATE holders SET lease_until = now() WHERE holder_id = $1", holder.holder_id))

    @precondition(lambda self: any(each.is_dead for each in self.speeches))
    @rule()
    def others_expire(self) -> None:
        """What it held is given back; it may come to life all the same."""
        self._do(self._expire())

    async def _expire(self) -> None:
        expected = 0
        for each in self.speeches:
            if each.is_dead:
                ended = self.reference.end_hold(each.account, each.charge.hold_id, "expired")
                expected += ended == "expired"
        self._agree(await expire_left_over(self.world.database), expected, "holds expired")

    async def _recover(self) -> None:
        for each in self.speeches:
            each.is_dead = True
            await self._execute("UPDATE holders SET lease_until = now() WHERE holder_id = $1", each.holder.holder_id)
        await self._step(self._expire())
        await super()._recover()


def _word(held: object) -> str:
    if isinstance(held, int):
        return "held"
    if isinstance(held, InsufficientFundsError):
        return "insufficient"
    return repr(held)

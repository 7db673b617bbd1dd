"""How the state machine plays: processes that are begun, answered and ended, and the comparison after every step."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Coroutine, Sequence
from itertools import count
from typing import Any, TypeVar

from hypothesis.stateful import RuleBasedStateMachine

from kyma_proxy.database.pool import Connection
from kyma_proxy.ledger.audit import audit
from mint_kit import PRICE
from proof_kit.model import DisagreementError, Heard, Process, World
from proof_kit.reference import Mint, Reference, Request, Told

T = TypeVar("T")
_AUDIT_STEPS = 10


def pick(things: Sequence[T], index: int) -> T:
    """One of them."""
    return things[index % len(things)]


class Play(RuleBasedStateMachine):
    """What the rules of the machine share."""

    def __init__(self, world: World) -> None:
        super().__init__()
        world.begin()
        self.world = world
        self.reference = Reference(PRICE)
        self.accounts: list[str] = []
        self.hold_ids: list[str] = []
        self.requests: list[Request] = []
        self.paused: list[Process] = []
        self.joiners: list[Process] = []
        self.told: list[tuple[str, str | None]] = []
        self.steps = 0
        self.numbers = count()

    # -- how it ends

    def teardown(self) -> None:
        """All is recovered, as after a restart of everything."""
        if not self.world.is_spoilt:
            self.world.run(self._recover())
        self.world.run(self._end_processes())

    async def _recover(self) -> None:
        for process in list(self.paused):
            await self._kill(process)
        self.reference.is_provider_there, self.world.provider.deletion_fault = True, None
        while self.joiners:
            if not self._left_over():
                await self._run_out(self._target(self.joiners[0]))
            await self._step(self._reconcile())
        for mint in self._in_state("pending"):
            await self._run_out(mint)
        await self._execute("UPDATE provider_cleanups SET until = clock_timestamp()")
        for mint in self.reference.mints:
            mint.cleanup = mint.cleanup and "over"
        await self._reconcile()
        # What the reconciler put on file itself is repeated for an hour.
        await self._execute("UPDATE provider_cleanups SET until = clock_timestamp()")
        for mint in self.reference.mints:
            mint.cleanup = mint.cleanup and "over"
        await self._step(self._reconcile())
        await self._audit()
        await self._require_what_always_holds()

    async def _require_what_always_holds(self) -> None:
        """The invariants once more, from the books and from what clients were told alone."""
        books = await self.world.books(self.accounts)
        voices = books["voices"]
        for voice_id, (_, state, hold, lease) in voices.items():
            self._agree(state in ("active", "revoked"), hold == "posted", f"a charge for a voice: {voice_id}")
            self._agree((state == "pending", hold == "held", lease), (False, False, None), f"left over: {voice_id}")
            self._agree(voice_id in books["provider"], state in ("active", "revoked"), f"at the provider: {voice_id}")
        self._agree(books["cleanups"], {}, "deletions left")
        for word, voice_id in self.told:
            is_bought = voice_id is not None and voices[voice_id][1] in ("active", "revoked")
            if word not in ("nothing", "unknown"):
                self._agree(is_bought, word == "200", f"a client was told {word} of {voice_id}")

    async def _end_processes(self) -> None:
        for process in (*self.paused, *self.joiners):
            await process.die()

    # -- what happens to processes

    async def _kill(self, process: Process) -> None:
        self.paused.remove(process)
        await process.die()

    async def _run_out(self, mint: Mint) -> None:
        mint.lease = "out"
        await self._execute("UPDATE mints SET lease_until = clock_timestamp() WHERE voice_id = $1", mint.voice_id)

    async def _reconcile(self) -> None:
        await self._execute("UPDATE provider_cleanups SET due_at = clock_timestamp()")
        self._agree(await self.world.reconciler.run(), self.reference.reconcile(), "mints ended")

    # -- each step

    def _do(self, work: Coroutine[Any, Any, Any]) -> None:
        self.world.run(self._step(work))

    async def _step(self, work: Coroutine[Any, Any, Any]) -> None:
        await work
        await self._settle_joiners()
        books = await self.world.books(self.accounts)
        self._name_voices(books["voices"])
        expected = self.reference.books()
        for part, rows in expected.items():
            self._agree(books[part], rows, part)
        faults = [each for each in self.world.failed_tasks() if not isinstance(each["exc_info"], ZeroDivisionError)]
        self._agree(faults, [], "tasks that failed")
        self.steps += 1
        if self.steps % _AUDIT_STEPS == 0:
            await self._audit()

    async def _audit(self) -> None:
        self._agree((await self.world.database.borrow(audit)).problems, (), "audit")

    async def _begin(self, process: Process, faults: Sequence[str]) -> bool:
        """Start it; True if it then halts with its mint begun."""
        expected = self.reference.ask(process.request, deque(faults))
        await process.start()
        if isinstance(expected, Mint):
            if not process.is_paused:
                raise DisagreementError(f"{process} should ask the provider, but: {await process.heard()}")
            expected.voice_id, process.mint = process.voice_id, expected
            self.paused.append(process)
            return True
        if expected.word == "running":
            assert expected.mint is not None
            if process.join_seconds > 10:
                self.joiners.append(process)
                process.mint = expected.mint
                await process.joins(str(expected.mint.voice_id))
                return False
            expected = Told("request_in_progress" if process.request.is_connected else "client left")
        await self._finish(process, [expected])
        return False

    async def _answer(self, process: Process, outcome: str, faults: Sequence[str]) -> None:
        outcome = process.possible(outcome)
        assert process.mint is not None
        if outcome in ("made", "unknown, made", "broken") and process.voice_id not in self.world.provider.made:
            process.mint.is_at_provider = True
        word = outcome.partition(",")[0]
        expected = self.reference.answer(process.mint, word, deque(faults), process.is_patient)
        self.paused.remove(process)
        process.go_on(outcome, faults)
        await self._finish(process, [Told("nothing")] if process.has_left else expected)

    async def _finish(self, process: Process, expected: Sequence[Told]) -> None:
        heard = await process.heard()
        self._tell([heard])
        if heard not in map(spoken, expected):
            raise DisagreementError(f"{process} told {heard}, expected: {[*map(spoken, expected)]}")
        if heard.word not in ("200", "nothing", "unknown") and process.voice_id is not None:
            self.told.append((heard.word, process.voice_id))

    def _tell(self, heard: Sequence[Heard]) -> None:
        self.told += [(each.word, each.voice_id) for each in heard]

    def _served(self, request: Request) -> list[Told]:
        """What the reference says of a request to which nothing happens; nothing if it waits."""
        begun = self.reference.ask(request, deque())
        if isinstance(begun, Mint):
            begun.is_at_provider = True
            return self.reference.answer(begun, "made", deque(), True)
        return [] if begun.word == "running" else [begun]

    async def _settle_joiners(self) -> None:
        """Whoever waited for a mint that ended gets its reply; if it failed, begins in its place or joins another."""
        woken = [process for process in self.joiners if self._target(process).lease is None]
        served: list[tuple[Process, Told]] = []
        for process in woken:
            target = self._target(process)
            if target.told_balance is not None:
                self.joiners.remove(process)
                served.append((process, Told("200", target, True)))
                continue
            found = self.reference.find(process.request)
            if found is not None and found.word == "running":
                process.mint = found.mint
                await process.joins(str(self._target(process).voice_id))
                continue
            self.joiners.remove(process)
            served += [(process, told) for told in self._served(process.request)]
        heard = [await process.heard() for process, _ in served]
        made = {process.request.account: process.voice_id for process, _ in served if process.voice_id is not None}
        for _, told in served:
            if told.mint is not None and told.mint.voice_id is None:
                told.mint.voice_id = made.get(told.mint.account)
        self._tell(heard)
        self._agree(Counter(heard), Counter(spoken(told) for _, told in served), "told to those who waited")

    def _target(self, process: Process) -> Mint:
        assert process.mint is not None
        return process.mint

    def _name_voices(self, on_file: dict[str, Any]) -> None:
        """Ids that only the books know: of mints that ended before the provider heard of them."""
        named = {mint.voice_id for mint in self.reference.mints}
        for mint in self.reference.mints:
            if mint.voice_id is None:
                own = [each for each, row in on_file.items() if each not in named and row[0] == mint.account]
                mint.voice_id = own[0] if own else None
                named.add(mint.voice_id)

    def _in_state(self, *states: str) -> list[Mint]:
        return [mint for mint in self.reference.mints if mint.state in states]

    def _joinable(self) -> list[Request]:
        """Marked retries that find a request like them which runs."""
        retries = [Request(mint.account, mint.content, is_retry=True) for mint in self._in_state("pending")]
        return [each for each in retries if (found := self.reference.find(each)) and found.word == "running"]

    def _cleanups(self) -> list[Mint]:
        return [mint for mint in self.reference.mints if mint.cleanup]

    def _left_over(self) -> list[Mint]:
        return [mint for mint in self.reference.mints if mint.lease == "out"]

    def _agree(self, actual: Any, expected: Any, what: Any) -> None:
        if actual != expected:
            raise DisagreementError(f"{what}: {actual}, expected: {expected}")

    async def _transact(self, work: Any) -> Any:
        return await self.world.database.transact(work)

    async def _execute(self, sql: str, *arguments: Any) -> None:
        async def run(connection: Connection) -> None:
            await connection.execute(sql, *arguments)

        await self._transact(run)


def spoken(told: Told) -> Heard:
    """What a client hears of it."""
    mint = told.mint
    if mint is None:
        return Heard(told.word)
    return Heard(told.word, mint.voice_id, mint.told_balance, told.is_again)

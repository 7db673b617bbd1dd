"""What the reference is held against: real PostgreSQL, and processes that serve one request each and may die in it."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

from structlog.testing import capture_logs

from database_kit import Postgres
from kyma_proxy.database.errors import CommitUnknownError, DatabaseUnavailableError
from kyma_proxy.database.feed import ChangeFeed
from kyma_proxy.database.pool import Connection, Database
from kyma_proxy.errors import GatewayError, OutcomeUnknownError
from kyma_proxy.flow import ClientLeftError, Reply
from kyma_proxy.tasks import Tasks
from kyma_proxy.voices.attempts import Attempt, Repetition, fingerprint_of
from kyma_proxy.voices.claims import Running
from kyma_proxy.voices.cleanups import ProviderCleanups
from kyma_proxy.voices.leases import Leases
from kyma_proxy.voices.minting import Minting, MintOrder, MintParts, MintPatience
from kyma_proxy.voices.provider import ProviderAccounts, ProviderError
from kyma_proxy.voices.reconciler import Reconciler
from kyma_proxy.voices.running import RunningMints
from mint_kit import ENDPOINT, PRICE, FaultyDatabase, Provider, render
from proof_kit.reference import Mint, Request

T = TypeVar("T")
FAULTS = ("ok", "before", "rolled back", "lost", "unsent", "crash", "dies", "dies after")
"""What may happen to a transaction of a mint, see `MortalDatabase`."""
OUTCOMES = ("made", "refused", "unknown, made", "unknown", "broken")
"""What may come of asking the provider: a word for the process, and whether the voice was made."""
_STUCK_SECONDS = 12

BOOKS = """
WITH minted AS (
    SELECT v.voice_id, v.account_id, v.status, h.state, CASE WHEN m.lease_until > clock_timestamp() THEN 'live'
           WHEN m.lease_until IS NOT NULL THEN 'out' END AS lease
    FROM voices v LEFT JOIN mints m USING (account_id, voice_id) LEFT JOIN holds h USING (account_id, hold_id)
    WHERE v.account_id = ANY($1))
SELECT jsonb_build_object(
    'accounts', (SELECT jsonb_object_agg(account_id, jsonb_build_array(balance_micros, held_micros))
                 FROM accounts WHERE account_id = ANY($1)),
    'entries', (SELECT jsonb_object_agg(account_id, list) FROM (
                    SELECT account_id, jsonb_agg(jsonb_build_array(kind,
                        CASE WHEN credit_account = account_id THEN amount_micros ELSE -amount_micros END)
                        ORDER BY entry_id) AS list
                    FROM entries WHERE account_id = ANY($1) GROUP BY account_id) AS lists),
    'holds', (SELECT jsonb_object_agg(hold_id, jsonb_build_array(account_id, amount_micros, state))
              FROM holds WHERE account_id = ANY($1) AND purpose = 'test'),
    'voices', (SELECT jsonb_object_agg(voice_id, jsonb_build_array(account_id, status, state, lease)) FROM minted),
    'keys', (SELECT jsonb_object_agg(account_id || ' ' || key,
                                     jsonb_build_array(voice_id, created_at <= now() - interval '24 hours'))
             FROM idempotency_keys WHERE account_id = ANY($1)),
    'cleanups', (SELECT jsonb_object_agg(voice_id, CASE WHEN until > clock_timestamp() THEN 'open' ELSE 'over' END)
                 FROM provider_cleanups WHERE voice_id IN (SELECT voice_id FROM minted)))
"""


class DisagreementError(AssertionError):
    """The product and the reference do not agree."""


class MortalDatabase(FaultyDatabase):
    """A process's way to the books, with a script of what happens to its next transactions.

    Beside what its parent knows: `rolled back` and `unsent` do the work and lose it before COMMIT, the latter without
    knowing; with `dies` nothing is begun, with `dies after` all is committed, and the process ends there.
    """

    def __init__(self, inner: Database, on_death: Callable[[], None]) -> None:
        super().__init__(inner)
        self.is_dead = False
        self._on_death = on_death

    def follow(self, faults: Sequence[str]) -> None:
        """What happens from now on."""
        self._script = deque(faults)

    async def transact(
        self, work: Callable[[Connection], Awaitable[Any]], on_committed: Callable[[], Awaitable[None]] | None = None
    ) -> Any:
        fault = self._script[0] if self._script else "ok"
        if self.is_dead or fault in ("dies", "dies after"):
            if fault == "dies after" and not self.is_dead:
                self._script.popleft()
                await self._inner.transact(work, on_committed)
            await self._die()
        if fault not in ("rolled back", "unsent"):
            return await super().transact(work, on_committed)
        self._script.popleft()
        lost = DatabaseUnavailableError() if fault == "rolled back" else CommitUnknownError()

        async def lose(connection: Connection) -> None:
            await work(connection)
            raise lost

        return await self._inner.transact(lose, on_committed)

    async def _die(self) -> None:
        self.is_dead = True
        self._on_death()
        await asyncio.Event().wait()


class ModelProvider(Provider):
    """A provider that may finish a voice long after it was asked, within the hour."""

    longest_clone_seconds = 3600.0

    def __init__(self) -> None:
        super().__init__()
        self.working: set[str] = set()
        self.made: set[str] = set()

    def forget(self) -> None:
        """As if it had never been asked for anything."""
        for each in (self.working, self.made, self.voices):
            each.clear()
        self.deletion_fault = None

    def make(self, voice_id: str) -> None:
        """The voice is there from now on, until somebody deletes it."""
        self.working.discard(voice_id)
        self.made.add(voice_id)
        self.voices.add(voice_id)


@dataclass(frozen=True, slots=True)
class Heard:
    """What a client heard: a word, and of a 200 the voice, the balance and whether it was told again."""

    word: str
    voice_id: str | None = None
    balance: int | None = None
    is_again: bool = False


class Process:
    """A process that serves one request. It halts in the middle: before it asks the provider, or while that works."""

    def __init__(self, world: World, request: Request, *, faults: Sequence[str] = (), is_patient: bool = True) -> None:
        self.request = request
        self.is_patient = is_patient
        self.pauses_before_asking = False
        self.goes_through = False
        self.has_left = False
        self.join_seconds = 0.02 if request.is_connected else 5.0
        self.mint: Mint | None = None
        self.voice_id: str | None = None
        self.joined: list[str] = []
        self.is_paused = False
        self._world = world
        self._tasks = Tasks()
        self._leases = Leases(world.database, 3600)
        self._stirred = asyncio.Event()
        self._goes_on = asyncio.Event()
        self._outcome = "made"
        self._database = MortalDatabase(world.database, self._stirred.set)
        self._database.follow(faults)
        self._task: asyncio.Task[Reply] | None = None

    def __repr__(self) -> str:
        return f"Process({self.request}, {self.voice_id})"

    async def start(self) -> None:
        """Begin the mint and return when the process halts, for whatever reason."""
        doubtful = 0.005 if self.is_patient else 0.05
        seconds = 20.0 if self.is_patient else 0.0
        patience = MintPatience(seconds, seconds, 20.0, doubtful, self.join_seconds)
        cleanups = self._world.cleanups
        parts = MintParts(self._database, self._tasks, self._leases, cleanups, self)  # type: ignore[arg-type]
        request = self.request
        repetition = Repetition(request.key, request.is_retry)
        attempt = Attempt(ENDPOINT, fingerprint_of(request.content), repetition, lambda: request.is_connected)
        order = MintOrder(request.account, "clone", "Ada", PRICE, self._world.provider, attempt)
        work = Minting(parts, patience).mint(order, self._create, render)
        self._task = asyncio.get_running_loop().create_task(work)
        self._task.add_done_callback(lambda _task: self._stirred.set())
        await self._halted()

    async def join(
        self, account_id: str, running: Running, client_connected: Callable[[], bool], deadline: float
    ) -> Reply | None:
        """In place of `RunningMints`: says that the process waits from now on."""
        self.joined.append(running.voice_id)
        if self.join_seconds > 10:
            self._stirred.set()
        return await self._world.running.join(account_id, running, client_connected, deadline)

    def possible(self, outcome: str) -> str:
        """This outcome, or the one nearest to it of those that can still be: nobody hears of a voice never made."""
        assert self.voice_id is not None
        if self.voice_id in self._world.provider.made:
            return "unknown" if outcome == "refused" else outcome
        is_too_late = not self.pauses_before_asking and self.voice_id not in self._world.provider.working
        return "unknown" if is_too_late and outcome in ("made", "unknown, made", "broken") else outcome

    def go_on(self, outcome: str, faults: Sequence[str]) -> None:
        """The provider answers, and this happens to the transactions after that."""
        self._outcome = outcome
        self._database.follow(faults)
        self.is_paused = False
        self._stirred.clear()
        self._goes_on.set()

    async def renew(self) -> None:
        """Renew its lease, as a living process does."""
        await self._leases.renew()

    async def leave(self) -> None:
        """The client hangs up; the process goes on."""
        assert self._task is not None
        if not self.has_left:
            self.has_left = True
            self._task.cancel()
            await asyncio.wait([self._task])

    async def heard(self) -> Heard:
        """What the client heard when the process had nothing left to do, or had died."""
        assert self._task is not None
        drain = asyncio.get_running_loop().create_task(self._tasks.drain())
        drain.add_done_callback(lambda _drain: self._stirred.set())
        while not ((drain.done() and self._task.done()) or self._database.is_dead):
            await self._halted()
            self._stirred.clear()
        is_told = self._task.done() and not self._task.cancelled()
        heard = _heard(self._task) if is_told else Heard("nothing")
        drain.cancel()
        await asyncio.wait([drain])
        await self.die()
        return heard

    async def joins(self, voice_id: str) -> None:
        """Wait until the process waits for the end of this voice's mint."""
        for _ in range(1000):
            if self.joined and self.joined[-1] == voice_id:
                return
            await asyncio.sleep(0.01)
        raise DisagreementError(f"{self} does not wait for {voice_id} but for {self.joined}")

    async def die(self) -> None:
        """End it on the spot: not even the handlers of its cancellation reach the books."""
        self._database.is_dead = True
        for _ in range(50):
            tasks = [each for each in (self._task, *self._tasks._obligations) if each is not None and not each.done()]
            if not tasks:
                return
            for each in tasks:
                each.cancel()
            await asyncio.sleep(0)
        raise DisagreementError(f"{self} cannot be ended")

    async def _halted(self) -> None:
        try:
            async with asyncio.timeout(_STUCK_SECONDS):
                await self._stirred.wait()
        except TimeoutError:
            raise DisagreementError(f"{self} is stuck") from None

    async def _create(self, voice_id: str) -> str:
        provider = self._world.provider
        self.voice_id = voice_id
        if not self.pauses_before_asking:
            provider.working.add(voice_id)
        if not self.goes_through:
            self.is_paused = True
            self._stirred.set()
            await self._goes_on.wait()
        if self._outcome in ("made", "unknown, made", "broken") and voice_id not in provider.made:
            provider.make(voice_id)
        provider.working.discard(voice_id)
        if self._outcome == "broken":
            raise ZeroDivisionError
        if self._outcome != "made":
            raise ProviderError(self._outcome, outcome_known=self._outcome == "refused")
        return voice_id


class World:
    """A database, a provider and a loop; what examples share is nothing but tables that others have written to."""

    def __init__(self, postgres: Postgres, damage: str = "") -> None:
        """`damage` is done to the schema of every database."""
        self._postgres = postgres
        self._damage = damage
        self._runner = asyncio.Runner()
        self._open: AsyncExitStack | None = None
        self._logs = ExitStack()
        self._log: list[Any] = []
        self._examples = 0
        self.is_spoilt = True

    def __enter__(self) -> World:
        self._log = self._logs.enter_context(capture_logs())  # type: ignore[assignment]
        return self

    def __exit__(self, *_error: object) -> None:
        if self._open is not None:
            self._runner.run(self._open.aclose())
        self._runner.close()
        self._logs.close()

    def begin(self) -> None:
        """Before each example: a provider without voices, and a fresh database if the last one may be in disorder."""
        self._log.clear()
        self._examples += 1
        if self.is_spoilt or self._examples % 100 == 0:
            self.run(self._start_anew())
            self.is_spoilt = False
        self.provider.forget()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a step of an example; one that fails leaves a database that no other example may use."""
        try:
            return self._runner.run(work)
        except BaseException:
            self.is_spoilt = True
            raise

    def failed_tasks(self) -> list[Any]:
        """What was logged of tasks whose failure nobody waited for."""
        return [each for each in self._log if each["event"] == "task_failed"]

    async def books(self, accounts: Sequence[str]) -> dict[str, Any]:
        """What is on file of these accounts, and at the provider."""
        books = json.loads(await self.database.fetchval(BOOKS, list(accounts)))
        return {part: rows or {} for part, rows in books.items()} | {"provider": sorted(self.provider.voices)}

    async def _start_anew(self) -> None:
        if self._open is not None:
            await self._open.aclose()
        self._open = AsyncExitStack()
        target = await self._postgres.create_database()
        self._open.push_async_callback(self._postgres.drop_database, target)
        self.database = Database(target, pool_size=5)
        await self.database.start()
        self._open.push_async_callback(self.database.stop)
        if self._damage:
            await self.database.execute(self._damage)
        self.provider = ModelProvider()
        providers = {self.provider.name: ProviderAccounts([(self.provider, 1)])}
        self.cleanups = ProviderCleanups(self.database, providers)
        self.reconciler = Reconciler(self.database, providers, self.cleanups)
        feed = ChangeFeed(target, Tasks())
        self.running = RunningMints(self.database, feed)
        await feed.start()
        self._open.push_async_callback(feed.stop)


def _heard(task: asyncio.Task[Reply]) -> Heard:
    error = task.exception()
    if error is None:
        reply = task.result()
        assert isinstance(reply.body, bytes)
        fields = json.loads(reply.body)
        return Heard("200", fields["voice_id"], fields["balance"], "idempotent-replayed" in reply.headers)
    if isinstance(error, GatewayError):
        return Heard(error.code.code)
    words = {OutcomeUnknownError: "unknown", ClientLeftError: "client left", ZeroDivisionError: "crash"}
    return Heard(words.get(type(error), repr(error)))

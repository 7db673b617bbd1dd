"""Minting: how a voice comes to be and is paid for, so that no crash leaves a voice without an owner or a charge
without a voice.

    begin     one transaction: the pending voice with its owner, the hold
    create    the provider makes the voice under the id that is on file by now, or under one of its own, which is noted
    complete  one transaction: the voice active, the hold posted, the reply stored
    abandon   one transaction: the voice failed, the hold voided, what may be left at the provider put on file to delete

Between begin and its end a mint has a lease. What a process that died leaves behind belongs to the reconciler.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, TypeVar

import structlog

from kyma_proxy.backoff import Backoff
from kyma_proxy.clock import monotonic_seconds, rfc3339
from kyma_proxy.database.errors import CommitUnknownError, DatabaseUnavailableError
from kyma_proxy.database.pool import Connection, Database
from kyma_proxy.errors import ErrorCode, GatewayError, NotAdmittedError, OutcomeUnknownError
from kyma_proxy.failpoints import NO_FAILPOINTS, Failpoint, Failpoints
from kyma_proxy.flow import ClientLeftError, Reply
from kyma_proxy.ledger import holds
from kyma_proxy.money import format_usd, usd_number
from kyma_proxy.tasks import Tasks
from kyma_proxy.voices import claims, mints, replies
from kyma_proxy.voices.attempts import Attempt
from kyma_proxy.voices.claims import Running
from kyma_proxy.voices.cleanups import ProviderCleanups
from kyma_proxy.voices.leases import Leases
from kyma_proxy.voices.mints import LeaseLostError, Mint, Terms
from kyma_proxy.voices.ownership import MINTED_PREFIX
from kyma_proxy.voices.provider import ProviderError, VoiceProvider
from kyma_proxy.voices.registry import NewVoice, VoiceHome, VoiceKind, VoiceStatus
from kyma_proxy.voices.running import RunningMints

T = TypeVar("T")
_log = structlog.get_logger("kyma_proxy.voices")


@dataclass(frozen=True, slots=True)
class MintOrder:
    """Who wants which kind of voice, at what price in micro-dollars, from which provider, and in which request."""

    account_id: str
    kind: VoiceKind
    name: str | None
    price_micros: int
    provider: VoiceProvider
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Minted:
    """A voice that is active and paid for; `balance_micros` is the posted balance after the charge."""

    voice_id: str
    name: str | None
    charged_micros: int
    balance_micros: int
    expires_at: datetime | None = None
    """When the provider deletes it, unless it is used before."""


@dataclass(frozen=True, slots=True)
class MintPatience:
    """How long minting waits, in seconds: for a database that is away, and for a request like it that still runs."""

    complete_seconds: float = 15
    """Completing is tried again this long while it is known not to be committed; then the mint is abandoned.

    The voice exists by then: nothing is gained by giving up early, and one wait for a busy pool may take five."""
    unknown_seconds: float = 30
    """A commit whose answer was lost is read back this long; then the client gets no answer at all."""
    void_seconds: float = 5
    """An error answer waits this long for the hold to be void; after that it is voided behind the answer."""
    retry_seconds: float = 0.1
    """The first pause between tries; it doubles up to five seconds."""
    join_seconds: float = 100
    """A marked retry waits this long for the request that it repeats (contract section 4)."""


MintOutcome = Literal["completed", "not_made", "replayed"]
"""A voice was made and charged; none was, and nothing was charged; an earlier one was told again."""


@dataclass(frozen=True, slots=True)
class MintParts:
    """What minting works with."""

    database: Database
    tasks: Tasks
    leases: Leases
    cleanups: ProviderCleanups
    running: RunningMints
    failpoints: Failpoints = NO_FAILPOINTS
    on_ended: Callable[[VoiceKind, MintOutcome], None] = lambda kind, outcome: None


Create = Callable[[str], Awaitable[str]]
"""Makes a voice under an id, and returns the one that it has at its provider."""


class _NobodyAsksError(Exception):
    """Rolls the beginning back; a ClientLeftError would look like a lost line to the database."""


class Minting:
    """Makes voices and charges for them, exactly when both happen, and once however often a client asks."""

    def __init__(self, parts: MintParts, patience: MintPatience | None = None) -> None:
        self._database = parts.database
        self._tasks = parts.tasks
        self._leases = parts.leases
        self._cleanups = parts.cleanups
        self._running = parts.running
        self._reach = parts.failpoints.reach
        self._failpoints = parts.failpoints
        self._on_ended = parts.on_ended
        self._patience = patience or MintPatience()

    async def mint(
        self,
        order: MintOrder,
        create: Create,
        render: Callable[[Minted], Reply],
    ) -> Reply:
        """Hold the price, have `create(voice_id)` make the voice, then own and charge it, and return the reply.

        `create` returns the id that the voice has at the provider: ours, or another one.

        A request that was served before gets its first reply again; one that is being served is waited for, if this is
        a marked retry of it. Once begun it reaches its end, whoever stops waiting for it; what `create` needs must live
        that long. `render` makes the reply inside the completing transaction, because it tells the balance; its body
        must be bytes.

        Raises GatewayError: INSUFFICIENT_CREDITS (nobody upstream was called), UNAVAILABLE (nothing spent),
        REQUEST_IN_PROGRESS and IDEMPOTENCY_KEY_REUSED (nothing changed), PROVIDER_ERROR and OWNERSHIP_WRITE_FAILED
        (not charged). Raises ClientLeftError if the client left before the hold, OutcomeUnknownError when the
        completing commit could not be read back in time.
        """
        attempt = order.attempt
        deadline = monotonic_seconds() + self._patience.join_seconds
        while True:
            mint = _new_mint(order)
            work = self._run(mint, order, create, render)
            outcome = await self._tasks.finish(work, name=f"mint {mint.voice_id}")
            if not isinstance(outcome, Running):
                return outcome
            reply = await self._running.join(order.account_id, outcome, attempt.client_connected, deadline)
            if reply is not None:
                return reply
            # It has failed: this request begins in its place.

    async def _run(
        self,
        mint: Mint,
        order: MintOrder,
        create: Create,
        render: Callable[[Minted], Reply],
    ) -> Reply | Running:
        earlier = await self._begin(mint, order)
        if isinstance(earlier, Running):
            return earlier
        if earlier is not None:
            self._on_ended(order.kind, "replayed")
            return replies.as_replay(earlier)
        with self._leases.held(mint.voice_id):
            try:
                await self._reach(Failpoint.BEGUN)
                mint = await self._note(mint, await create(mint.voice_id))
            except ProviderError as error:
                _log.warning("voice_not_made", voice_id=mint.voice_id, provider_code=error.code, error=error.message)
                await self._abandon(mint, order, may_be_left=not error.outcome_known)
                raise GatewayError(
                    ErrorCode.PROVIDER_ERROR,
                    "The voice provider could not make this voice. You were not charged.",
                    should_retry=error.should_retry,
                ) from error
            except NotAdmittedError:
                await self._abandon(mint, order, may_be_left=False)
                raise
            except BaseException:
                await self._abandon(mint, order, may_be_left=True)
                raise
            reply = await self._complete(mint, order, render)
            self._on_ended(order.kind, "completed")
            return reply

    async def _note(self, mint: Mint, provider_voice_id: str) -> Mint:
        """Write down what the provider calls the voice, so that whoever ends this mint deletes the right one."""
        if provider_voice_id == mint.voice_id:
            return mint
        noted = replace(mint, provider_voice_id=provider_voice_id)
        try:
            is_new = await self._database.transact(lambda connection: mints.note_provider_id(connection, noted))
        except DatabaseUnavailableError:
            _log.warning("provider_id_not_noted", voice_id=mint.voice_id, provider_voice_id=provider_voice_id)
            return noted  # whoever completes the mint, or undoes it, writes it down
        if not is_new:
            raise ProviderError(f"the provider gave the id of another voice: {provider_voice_id}")
        await self._reach(Failpoint.NOTED)
        return noted

    async def _begin(self, mint: Mint, order: MintOrder) -> Reply | Running | None:
        """Write the mint, or return what became of the same request."""
        attempt = order.attempt
        lock = claims.content_lock(order.account_id, attempt.fingerprint)
        terms = Terms(attempt.fingerprint, lock, self._leases.seconds, order.provider.unused_seconds)

        async def write(connection: Connection) -> Reply | Running | None:
            earlier = await claims.claim(connection, mint, attempt)
            if earlier is not None:
                return earlier
            await self._reach(Failpoint.BEGIN_CLAIMED, connection)
            if not attempt.client_connected():
                raise _NobodyAsksError
            await mints.add(connection, mint, terms)
            await self._reach(Failpoint.BEGIN_VOICE_WRITTEN, connection)
            await holds.hold(connection, order.account_id, mint.hold_id, order.price_micros, order.kind)
            await self._reach(Failpoint.BEGIN_HELD, connection)
            return None

        await self._reach(Failpoint.BEGIN)
        try:
            return await self._database.transact(write, lambda: self._reach(Failpoint.BEGIN_COMMITTED))
        except holds.InsufficientFundsError as error:
            price = format_usd(order.price_micros)
            raise GatewayError(
                ErrorCode.INSUFFICIENT_CREDITS, f"This voice costs ${price} and your available balance is less."
            ) from error
        except _NobodyAsksError as error:
            raise ClientLeftError("the client left before anything was held") from error
        except CommitUnknownError as error:
            await self._abandon(mint, order, may_be_left=False)
            raise DatabaseUnavailableError from error

    async def _complete(self, mint: Mint, order: MintOrder, render: Callable[[Minted], Reply]) -> Reply:
        """Complete the mint, trying again while the database is away.

        Trying again is also the read-back of a commit whose answer was lost: the mint's row stays locked by the
        transaction in doubt until it has ended, and a stored reply then means that it had worked.
        """
        started = monotonic_seconds()
        backoff = Backoff(self._patience.retry_seconds)
        in_doubt = False

        async def write(connection: Connection) -> Reply:
            nonlocal in_doubt
            completed = await mints.complete(connection, mint)
            if completed is None:
                stored = await replies.load(connection, mint.account_id, mint.voice_id)
                if stored is None:
                    raise LeaseLostError(mint.voice_id)
                return stored
            in_doubt = False
            if mint.provider_voice_id is not None and not await mints.note_provider_id(connection, mint):
                raise LeaseLostError(mint.voice_id)
            await self._reach(Failpoint.COMPLETE_ACTIVATED, connection)
            balance_micros = await holds.post(connection, mint.account_id, mint.hold_id)
            await self._reach(Failpoint.COMPLETE_POSTED, connection)
            reply = render(Minted(mint.voice_id, order.name, order.price_micros, balance_micros, completed.expires_at))
            await replies.store(connection, mint.account_id, mint.voice_id, reply)
            await self._reach(Failpoint.COMPLETE_STORED, connection)
            return reply

        while True:
            try:
                await self._reach(Failpoint.COMPLETE)
                reply = await self._database.transact(write, lambda: self._reach(Failpoint.COMPLETE_COMMITTED))
                break
            except DatabaseUnavailableError as error:
                in_doubt = in_doubt or isinstance(error, CommitUnknownError)
                _log.warning("mint_not_completed", voice_id=mint.voice_id, in_doubt=in_doubt)
            except LeaseLostError:
                _log.warning("mint_ended_elsewhere", voice_id=mint.voice_id, in_doubt=in_doubt)
                return await self._give_up(mint, order, in_doubt)
            except Exception:  # noqa: BLE001  # whatever it is, the money must be given back
                _log.exception("mint_cannot_complete", voice_id=mint.voice_id, in_doubt=in_doubt)
                if not in_doubt:
                    return await self._give_up(mint, order, in_doubt)
            patience = self._patience.unknown_seconds if in_doubt else self._patience.complete_seconds
            if monotonic_seconds() - started >= patience:
                return await self._give_up(mint, order, in_doubt)
            await backoff.pause()
        try:
            await self._reach(Failpoint.COMPLETED)
        except Exception as error:
            # Charged: from here on nothing may be said but the reply.
            raise OutcomeUnknownError(mint.voice_id) from error
        return reply

    async def _give_up(self, mint: Mint, order: MintOrder, in_doubt: bool) -> Reply:
        """End a mint that could not be completed; raises what its client is told, if anything may be said.

        Undoing it also tells what became of a commit in doubt: a mint that was completed after all has its reply.
        """
        patience = self._patience
        seconds = patience.retry_seconds if in_doubt else patience.void_seconds
        status = await self._abandon(mint, order, may_be_left=True, wait_seconds=seconds)
        if status is None and in_doubt:
            raise OutcomeUnknownError(mint.voice_id)
        if status not in (None, "failed"):
            return await self._read_back(mint)
        raise GatewayError(
            ErrorCode.OWNERSHIP_WRITE_FAILED,
            "The voice was made, but its owner could not be written. You were not charged; it is safe to retry.",
        )

    async def _read_back(self, mint: Mint) -> Reply:
        """The reply of a mint that was completed after all."""
        try:
            reply = await self._database.transact(
                lambda connection: replies.load(connection, mint.account_id, mint.voice_id)
            )
        except DatabaseUnavailableError as error:
            raise OutcomeUnknownError(mint.voice_id) from error
        if reply is None:
            raise OutcomeUnknownError(mint.voice_id)
        return reply

    async def _abandon(
        self, mint: Mint, order: MintOrder, *, may_be_left: bool, wait_seconds: float | None = None
    ) -> VoiceStatus | None:
        """Undo the mint and wait for the money to be back, but not for ever; the rest goes on behind the answer.

        Returns the voice's state, or None if it is not known after `wait_seconds`.
        """
        self._on_ended(order.kind, "not_made")
        undone: asyncio.Future[VoiceStatus | None] = asyncio.get_running_loop().create_future()
        work = self._undo(mint, order, undone, may_be_left=may_be_left)
        self._tasks.oblige(work, name=f"undo {mint.voice_id}")
        try:
            async with asyncio.timeout(self._patience.void_seconds if wait_seconds is None else wait_seconds):
                return await asyncio.shield(undone)
        except TimeoutError:
            _log.error("hold_still_open", voice_id=mint.voice_id, hold_id=mint.hold_id)
            return None

    async def _undo(
        self, mint: Mint, order: MintOrder, undone: asyncio.Future[VoiceStatus | None], *, may_be_left: bool
    ) -> None:
        """Fail the voice and void the hold, until it is done; then delete at the provider what may be left there.

        A voice that turns out to be active was completed after all: it stays as it is. Done again, it changes nothing,
        so a commit whose answer was lost is simply followed by another try.
        """
        clean_up_seconds = order.provider.longest_clone_seconds if may_be_left else None

        async def write(connection: Connection) -> VoiceStatus | None:
            return await mints.fail(connection, mint, clean_up_seconds, self._failpoints)

        status = await self._until_written(write, mint)
        undone.set_result(status)
        _log.info("mint_undone", voice_id=mint.voice_id, hold_id=mint.hold_id, status=status)
        await self._reach(Failpoint.UNDONE)
        if may_be_left and status == "failed":
            await self._cleanups.run_one(mint.voice_id)

    async def _until_written(self, write: Callable[[Connection], Awaitable[T]], mint: Mint) -> T:
        backoff = Backoff(self._patience.retry_seconds)
        while True:
            try:
                await self._reach(Failpoint.UNDO)
                return await self._database.transact(write, lambda: self._reach(Failpoint.UNDO_COMMITTED))
            except Exception:  # noqa: BLE001  # giving money back does not depend on a list of errors
                _log.exception("mint_not_undone", voice_id=mint.voice_id, hold_id=mint.hold_id)
                await backoff.pause()


def minted_reply(minted: Minted, model: str) -> Reply:
    """The answer to whoever ordered a voice with this model (reference of the public API, section 2)."""
    fields = {
        "voice_id": minted.voice_id,
        "name": minted.name,
        "model": model,
        "cost_usd": usd_number(minted.charged_micros),
        "balance_usd": usd_number(minted.balance_micros),
    }
    headers = {
        "X-Kyma-Model": model,
        "X-Kyma-Cost-USD": format_usd(minted.charged_micros),
        "X-Kyma-Balance-USD": format_usd(minted.balance_micros),
    }
    if minted.expires_at is not None:
        headers["X-Kyma-Voice-Expires"] = rfc3339(minted.expires_at)
    return Reply.json(json.dumps(fields, ensure_ascii=False).encode(), headers)


def _new_mint(order: MintOrder) -> Mint:
    voice_id = f"{MINTED_PREFIX}{secrets.token_hex(8)}"
    home = VoiceHome(order.provider.name, order.provider.provider_account)
    return Mint(NewVoice(voice_id, order.account_id, order.name, order.kind, home), holds.new_hold_id())

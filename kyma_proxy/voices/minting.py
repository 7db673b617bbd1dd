"""Minting: how a voice comes to be and is paid for, so that no crash leaves a voice without an owner or a charge
without a voice.

    begin     one transaction: the pending voice with its owner, the hold
    create    the provider makes the voice under the id that is on file by now
    complete  one transaction: the voice active, the hold posted, the reply stored
    abandon   one transaction: the voice failed, the hold voided; then the voice, if it may exist, is deleted there
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import structlog

from kyma_proxy.backoff import Backoff
from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.database.errors import CommitUnknownError, DatabaseUnavailableError
from kyma_proxy.database.pool import Connection, Database
from kyma_proxy.errors import ErrorCode, GatewayError, OutcomeUnknownError
from kyma_proxy.flow import Reply
from kyma_proxy.ledger import holds
from kyma_proxy.money import format_usd
from kyma_proxy.tasks import Tasks
from kyma_proxy.voices import registry, replies
from kyma_proxy.voices.ownership import MINTED_PREFIX
from kyma_proxy.voices.provider import ProviderError, VoiceProvider
from kyma_proxy.voices.registry import NewVoice, VoiceHome, VoiceKind, VoiceStatus

T = TypeVar("T")
_log = structlog.get_logger("kyma_proxy.voices")


@dataclass(frozen=True, slots=True)
class MintOrder:
    """Who wants which kind of voice, at what price in micro-dollars, from which provider."""

    account_id: str
    kind: VoiceKind
    name: str | None
    price_micros: int
    provider: VoiceProvider


@dataclass(frozen=True, slots=True)
class Minted:
    """A voice that is active and paid for; `balance_micros` is the posted balance after the charge."""

    voice_id: str
    name: str | None
    charged_micros: int
    balance_micros: int


@dataclass(frozen=True, slots=True)
class MintPatience:
    """How long minting waits for a database that is away, in seconds."""

    complete_seconds: float = 15
    """Completing is tried again this long while it is known not to be committed; then the mint is abandoned.

    The voice exists by then: nothing is gained by giving up early, and one wait for a busy pool may take five."""
    unknown_seconds: float = 30
    """A commit whose answer was lost is read back this long; then the client gets no answer at all."""
    void_seconds: float = 5
    """An error answer waits this long for the hold to be void; after that it is voided behind the answer."""
    retry_seconds: float = 0.1
    """The first pause between tries; it doubles up to five seconds."""


@dataclass(frozen=True, slots=True)
class _Mint:
    order: MintOrder
    voice_id: str
    hold_id: str

    @property
    def voice(self) -> NewVoice:
        order = self.order
        home = VoiceHome(order.provider.name, order.provider.provider_account)
        return NewVoice(self.voice_id, order.account_id, order.name, order.kind, home)


class _NoLongerPendingError(Exception):
    """Somebody else ended the mint: it must not be completed."""


class Minting:
    """Makes voices and charges for them, exactly when both happen."""

    def __init__(self, database: Database, tasks: Tasks, patience: MintPatience | None = None) -> None:
        self._database = database
        self._tasks = tasks
        self._patience = patience or MintPatience()

    async def mint(
        self,
        order: MintOrder,
        create: Callable[[str], Awaitable[None]],
        render: Callable[[Minted], Reply],
    ) -> Reply:
        """Hold the price, have `create(voice_id)` make the voice, then own and charge it, and return the reply.

        Once begun it reaches its end, whoever stops waiting for it; what `create` needs must live that long. `render`
        makes the reply inside the completing transaction, because it tells the balance; its body must be bytes.

        Raises GatewayError: INSUFFICIENT_CREDITS (nobody upstream was called), UNAVAILABLE (nothing spent),
        PROVIDER_ERROR and OWNERSHIP_WRITE_FAILED (not charged). Raises OutcomeUnknownError when the completing
        commit could not be read back in time.
        """
        mint = _Mint(order, voice_id=f"{MINTED_PREFIX}{secrets.token_hex(8)}", hold_id=holds.new_hold_id())
        return await self._tasks.finish(self._run(mint, create, render), name=f"mint {mint.voice_id}")

    async def _run(
        self, mint: _Mint, create: Callable[[str], Awaitable[None]], render: Callable[[Minted], Reply]
    ) -> Reply:
        await self._begin(mint)
        try:
            await create(mint.voice_id)
        except ProviderError as error:
            _log.warning("voice_not_made", voice_id=mint.voice_id, provider_code=error.code, error=error.message)
            await self._abandon(mint, delete=not error.outcome_known)
            raise GatewayError(
                ErrorCode.PROVIDER_ERROR,
                "The voice provider could not make this voice. You were not charged.",
                should_retry=error.should_retry,
            ) from error
        except BaseException:
            await self._abandon(mint, delete=True)
            raise
        return await self._complete(mint, render)

    async def _begin(self, mint: _Mint) -> None:
        order = mint.order

        async def write(connection: Connection) -> None:
            await registry.add_pending(connection, mint.voice)
            await holds.hold(connection, order.account_id, mint.hold_id, order.price_micros, order.kind)
            await connection.execute(
                "INSERT INTO mints (account_id, voice_id, hold_id) VALUES ($1, $2, $3)",
                *(order.account_id, mint.voice_id, mint.hold_id),
            )

        try:
            await self._database.transact(write)
        except holds.InsufficientFundsError as error:
            price = format_usd(order.price_micros)
            raise GatewayError(
                ErrorCode.INSUFFICIENT_CREDITS, f"This voice costs ${price} and your available balance is less."
            ) from error
        except CommitUnknownError as error:
            await self._abandon(mint, delete=False)
            raise DatabaseUnavailableError from error

    async def _complete(self, mint: _Mint, render: Callable[[Minted], Reply]) -> Reply:
        """Complete the mint, trying again while the database is away.

        Trying again is also the read-back of a commit whose answer was lost: the voice's row stays locked by the
        transaction in doubt until it has ended, and an active voice then means that it had worked.
        """
        started = monotonic_seconds()
        backoff = Backoff(self._patience.retry_seconds)
        in_doubt = False

        async def write(connection: Connection) -> Reply:
            nonlocal in_doubt
            if not await registry.activate(connection, mint.voice_id):
                stored = await replies.load(connection, mint.order.account_id, mint.voice_id)
                if stored is None:
                    raise _NoLongerPendingError
                return stored
            in_doubt = False
            balance_micros = await holds.post(connection, mint.order.account_id, mint.hold_id)
            reply = render(Minted(mint.voice_id, mint.order.name, mint.order.price_micros, balance_micros))
            await replies.store(connection, mint.order.account_id, mint.voice_id, reply)
            return reply

        while True:
            try:
                return await self._database.transact(write)
            except DatabaseUnavailableError as error:
                in_doubt = in_doubt or isinstance(error, CommitUnknownError)
                _log.warning("mint_not_completed", voice_id=mint.voice_id, in_doubt=in_doubt)
            except _NoLongerPendingError:
                _log.warning("mint_ended_elsewhere", voice_id=mint.voice_id)
                in_doubt = False
                break
            except Exception:  # noqa: BLE001  # whatever it is, the money must be given back
                _log.exception("mint_cannot_complete", voice_id=mint.voice_id, in_doubt=in_doubt)
                if not in_doubt:
                    break
            patience = self._patience.unknown_seconds if in_doubt else self._patience.complete_seconds
            if monotonic_seconds() - started >= patience:
                break
            await backoff.pause()
        if in_doubt:
            self._tasks.oblige(self._undo(mint, delete=True), name=f"undo {mint.voice_id}")
            raise OutcomeUnknownError(mint.voice_id)
        await self._abandon(mint, delete=True)
        raise GatewayError(
            ErrorCode.OWNERSHIP_WRITE_FAILED,
            "The voice was made, but its owner could not be written. You were not charged; it is safe to retry.",
        )

    async def _abandon(self, mint: _Mint, *, delete: bool) -> None:
        """Undo the mint and wait for the money to be back, but not for ever; the rest goes on behind the answer."""
        undone = asyncio.Event()
        self._tasks.oblige(self._undo(mint, delete=delete, undone=undone), name=f"undo {mint.voice_id}")
        try:
            async with asyncio.timeout(self._patience.void_seconds):
                await undone.wait()
        except TimeoutError:
            _log.error("hold_still_open", voice_id=mint.voice_id, hold_id=mint.hold_id)

    async def _undo(self, mint: _Mint, *, delete: bool, undone: asyncio.Event | None = None) -> None:
        """Fail the voice and void the hold, until it is done; then delete the voice at the provider.

        A voice that turns out to be active was completed after all: it stays as it is. Done again, it changes nothing,
        so a commit whose answer was lost is simply followed by another try.
        """

        async def write(connection: Connection) -> VoiceStatus | None:
            if await registry.burn(connection, mint.voice):
                await holds.void(connection, mint.order.account_id, mint.hold_id)
            return await registry.status_of(connection, mint.voice_id)

        status = await self._until_written(write, mint)
        _log.info("mint_undone", voice_id=mint.voice_id, hold_id=mint.hold_id, status=status)
        if undone is not None:
            undone.set()
        if delete and status == "failed":
            await self._delete(mint)

    async def _until_written(self, write: Callable[[Connection], Awaitable[T]], mint: _Mint) -> T:
        backoff = Backoff(self._patience.retry_seconds)
        while True:
            try:
                return await self._database.transact(write)
            except Exception:  # noqa: BLE001  # giving money back does not depend on a list of errors
                _log.exception("mint_not_undone", voice_id=mint.voice_id, hold_id=mint.hold_id)
                await backoff.pause()

    async def _delete(self, mint: _Mint, attempts_max: int = 5) -> None:
        backoff = Backoff(self._patience.retry_seconds)
        for attempt in range(1, attempts_max + 1):
            try:
                await mint.order.provider.delete_voice(mint.voice_id)
            except ProviderError as error:
                _log.warning("voice_not_deleted", voice_id=mint.voice_id, attempt=attempt, error=error.message)
                await backoff.pause()
            else:
                return
        _log.error("voice_left_at_provider", voice_id=mint.voice_id, upstream=mint.order.provider.name)

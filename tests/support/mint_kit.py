"""One account, a provider and a database that fail on request, and minting between them."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from kyma_proxy.accounts.accounts import get_account
from kyma_proxy.database.errors import CommitUnknownError, DatabaseUnavailableError
from kyma_proxy.database.pool import Connection, Database
from kyma_proxy.failpoints import NO_FAILPOINTS, Failpoints
from kyma_proxy.flow import Reply
from kyma_proxy.ledger.audit import audit
from kyma_proxy.tasks import Tasks
from kyma_proxy.voices import registry
from kyma_proxy.voices.attempts import Attempt, Repetition, fingerprint_of
from kyma_proxy.voices.cleanups import ProviderCleanups
from kyma_proxy.voices.leases import Leases
from kyma_proxy.voices.minting import Minted, Minting, MintOrder, MintParts, MintPatience
from kyma_proxy.voices.provider import ProviderAccounts, Recording, Spoken, StoredUpload, VoiceDesign, VoiceLostError
from kyma_proxy.voices.reconciler import Reconciler
from kyma_proxy.voices.running import RunningMints

PRICE = 2_100_000
ONCE = Repetition()
ENDPOINT = "/v1/audio/voice-clone"
PATIENCE = MintPatience(
    complete_seconds=0.2, unknown_seconds=0.3, void_seconds=0.3, retry_seconds=0.01, join_seconds=3.0
)


class Provider:
    """Voices in a set; every clone fails if told to, after it was made."""

    name = "minimax"
    provider_account = "default"
    longest_clone_seconds = 0.0
    unused_seconds: float | None = None

    def __init__(self) -> None:
        self.voices: set[str] = set()
        self.own_id: str | None = None
        """What the next designed voice is called here, instead of by the id that was asked for."""
        self.uploads: dict[int, str] = {}
        self.calls: list[str] = []
        self.fault: BaseException | None = None
        self.deletion_fault: BaseException | None = None
        self.lines: list[tuple[str, str]] = []
        """What was spoken with which voice to keep it alive."""
        self.speech_fault: BaseException | None = None

    async def clone_voice(self, voice_id: str, recording: Recording, caller: str | None = None) -> None:
        self.calls.append(f"clone {voice_id}")
        self.voices.add(voice_id)
        if self.fault is not None:
            raise self.fault

    async def design_voice(self, voice_id: str, design: VoiceDesign, caller: str | None = None) -> str:
        self.calls.append(f"design {voice_id}")
        made = self.own_id or voice_id
        self.voices.add(made)
        if self.fault is not None:
            raise self.fault
        return made

    async def speak_a_line(self, voice_id: str, text: str) -> Spoken:
        if self.speech_fault is not None:
            raise self.speech_fault
        if voice_id not in self.voices:
            raise VoiceLostError("voice id not exist", code=2054)
        self.lines.append((voice_id, text))
        return Spoken(len(text), 1)

    async def delete_voice(self, voice_id: str, kind: str) -> None:
        self.calls.append(f"delete {voice_id}")
        if self.deletion_fault is not None:
            raise self.deletion_fault
        self.voices.discard(voice_id)

    async def list_uploads(self) -> Sequence[StoredUpload]:
        return [StoredUpload(*each) for each in self.uploads.items()]

    async def delete_upload(self, file_id: int) -> None:
        self.uploads.pop(file_id, None)


class FaultyDatabase(Database):
    """The database, with a script of what happens to the next transactions.

    `before`: it is away before anything is sent. `lost`: it commits and the answer is lost. `unsent`: the answer is
    lost and it had not committed. `crash`: a fault of our own. `ok`: nothing happens.
    """

    def __init__(self, inner: Database, *script: str, finally_: str = "ok") -> None:
        self._inner = inner
        self._script = deque(script)
        self._finally = finally_

    async def transact(
        self, work: Callable[[Connection], Awaitable[Any]], on_committed: Callable[[], Awaitable[None]] | None = None
    ) -> Any:
        fault = self._script.popleft() if self._script else self._finally
        if fault == "before":
            raise DatabaseUnavailableError
        if fault == "crash":
            raise ZeroDivisionError
        if fault == "unsent":
            raise CommitUnknownError
        result = await self._inner.transact(work, on_committed)
        if fault == "lost":
            raise CommitUnknownError
        return result


class SilentFeed:
    """A change feed over which nothing is heard."""

    connected = True

    def subscribe(self, *arguments: Any) -> None:
        """Nothing will be told."""


class Stage:
    """One account, one provider, one process."""

    def __init__(self, database: Database, account_id: str, feed: Any = None) -> None:
        self.database = database
        self.account_id = account_id
        self.provider = Provider()
        self.accounts = ProviderAccounts([(self.provider, 1)])
        self.tasks = Tasks()
        self.leases = Leases(database)
        self.cleanups = ProviderCleanups(database, {"minimax": self.accounts})
        self.reconciler = Reconciler(database, {"minimax": self.accounts}, self.cleanups)
        self.running = RunningMints(database, feed or SilentFeed())
        self.patience = PATIENCE
        self.failpoints: Failpoints = NO_FAILPOINTS

    async def mint(
        self,
        *script: str,
        finally_: str = "ok",
        content: str = "recording",
        repetition: Repetition = ONCE,
        client_connected: Callable[[], bool] = lambda: True,
        own_id: str | None = None,
    ) -> Reply:
        """Mint a voice of this content, while the database follows the script; designed if the provider names it."""
        database = FaultyDatabase(self.database, *script, finally_=finally_)
        parts = MintParts(database, self.tasks, self.leases, self.cleanups, self.running, self.failpoints)
        attempt = Attempt(ENDPOINT, fingerprint_of(content), repetition, client_connected)
        order = MintOrder(self.account_id, "design" if own_id else "clone", "Ada", PRICE, self.provider, attempt)
        self.provider.own_id = own_id

        async def create(voice_id: str) -> str:
            if own_id is not None:
                return await self.provider.design_voice(voice_id, VoiceDesign("a voice", "hello"))
            await self.provider.clone_voice(voice_id, Recording(b"", "mp3"))
            return voice_id

        work = Minting(parts, self.patience).mint(order, create, render)
        return await self.tasks.finish(work, "mint")

    async def standing(self) -> tuple[int, int]:
        """Posted balance and what is held, in micro-dollars."""
        account = await self.database.transact(lambda connection: get_account(connection, self.account_id))
        return account.balance_micros, account.held_micros

    async def statuses(self) -> list[str]:
        """Of every voice, oldest first."""
        return [each.status for each in await self.database.transact(registry.list_voices)]

    async def require_untouched(self) -> None:
        """Nothing was charged and no voice can be used."""
        assert await self.tasks.drain(5)
        assert await self.standing() == (3 * PRICE, 0)
        assert set(await self.statuses()) <= {"failed"}
        await self.require_exact_books()

    async def require_exact_books(self) -> None:
        """The audit finds nothing."""
        assert (await self.database.borrow(audit)).problems == ()


def render(minted: Minted) -> Reply:
    """A reply that tells what the books say."""
    fields = {"voice_id": minted.voice_id, "name": minted.name, "balance": minted.balance_micros}
    return Reply.json(json.dumps(fields).encode(), {"X-Kyma-Cost-USD": "2.10"})


def voice_id_of(reply: Reply) -> str:
    """The voice that a reply is about."""
    assert isinstance(reply.body, bytes)
    voice_id: str = json.loads(reply.body)["voice_id"]
    return voice_id

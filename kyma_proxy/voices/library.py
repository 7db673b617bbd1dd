"""An account's own voices, as their owner sees them: list, read, rename, delete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import structlog

from kyma_proxy.database.pool import Connection, Database
from kyma_proxy.tasks import Tasks
from kyma_proxy.voices import cleanups
from kyma_proxy.voices.cleanups import ProviderCleanups
from kyma_proxy.voices.registry import VoiceOrigin, VoiceStatus, can_be_voice_id
from kyma_proxy.voices.uses import VoiceUses

VoiceState = Literal["pending", "active", "lost", "expired"]
"""Being made; usable; the provider says that it has lost it; it has never spoken and should be deleted by now."""

_COLUMNS: Final = (
    "voice_id, account_id, name, kind, status, created_at, last_used_at, kept_alive_at, expires_at,"
    " lost_at IS NOT NULL AS is_lost, coalesce(expires_at <= now(), false) AS is_expired"
)
_THERE: Final = "status IN ('pending', 'active')"

_PAGE = f"""
SELECT {_COLUMNS} FROM voices
WHERE account_id = $1 AND {_THERE}
  AND ($2::text IS NULL OR (created_at, voice_id) < (SELECT created_at, voice_id FROM voices WHERE voice_id = $2))
ORDER BY created_at DESC, voice_id DESC LIMIT $3
"""  # noqa: S608
_FIND = f"SELECT {_COLUMNS} FROM voices WHERE voice_id = $1 OR provider_voice_id = $1"  # noqa: S608
_RENAME = f"""
UPDATE voices SET name = $3
WHERE (voice_id = $2 OR provider_voice_id = $2) AND account_id = $1 AND {_THERE} RETURNING {_COLUMNS}
"""  # noqa: S608
# What is still being made is its mint's to end.
_REVOKE = """
UPDATE voices SET status = 'revoked', status_since = now()
WHERE (voice_id = $2 OR provider_voice_id = $2) AND account_id = $1 AND status = 'active' RETURNING voice_id
"""

_log = structlog.get_logger("kyma_proxy.voices")


class UnknownCursorError(Exception):
    """A page was asked for after a voice that is not the account's."""


@dataclass(frozen=True, slots=True)
class LibraryVoice:
    """A voice on file, whoever asks."""

    voice_id: str
    account_id: str
    name: str | None
    kind: VoiceOrigin
    status: VoiceStatus
    created_at: datetime
    last_used_at: datetime | None
    kept_alive_at: datetime | None
    expires_at: datetime | None
    is_lost: bool
    is_expired: bool

    def is_there_for(self, account_id: str) -> bool:
        """Whether that account may know of it: its own, neither failed nor deleted."""
        return self.account_id == account_id and self.status in ("pending", "active")

    @property
    def state(self) -> VoiceState:
        """How it is, in a word; only of a voice that is there."""
        if self.status == "pending":
            return "pending"
        if self.is_lost:
            return "lost"
        return "expired" if self.is_expired else "active"


@dataclass(frozen=True, slots=True)
class LibraryPage:
    """Some of an account's voices, the newest first, and whether older ones follow."""

    voices: Sequence[LibraryVoice]
    has_more: bool


class VoiceLibrary:
    """Every method raises DatabaseUnavailableError."""

    def __init__(self, database: Database, cleanups: ProviderCleanups, uses: VoiceUses, tasks: Tasks) -> None:
        self._database = database
        self._cleanups = cleanups
        self._uses = uses
        self._tasks = tasks

    async def page(self, account_id: str, limit: int, after: str | None = None) -> LibraryPage:
        """At most `limit` of the account's voices, those made before the voice `after`.

        Raises UnknownCursorError where that is not a voice of the account's; one deleted meanwhile is good.
        """
        await self._uses.flush()
        if after is not None:
            cursor = await self._database.fetchrow(_FIND, after) if can_be_voice_id(after) else None
            if cursor is None or cursor["account_id"] != account_id:
                raise UnknownCursorError(after)
            after = cursor["voice_id"]
        rows = await self._database.fetch(_PAGE, account_id, after, limit + 1)
        return LibraryPage([LibraryVoice(**row) for row in rows[:limit]], len(rows) > limit)

    async def find(self, voice_id: str) -> LibraryVoice | None:
        """The voice on file under one of its ids, whoever's it is and whatever its state; None if there is none."""
        if not can_be_voice_id(voice_id):
            return None
        await self._uses.flush()
        row = await self._database.fetchrow(_FIND, voice_id)
        return None if row is None else LibraryVoice(**row)

    async def rename(self, account_id: str, voice_id: str, name: str | None) -> LibraryVoice | None:
        """Give a voice of the account another name, or none. None where it has no such voice."""
        row = await self._database.transact(lambda connection: connection.fetchrow(_RENAME, account_id, voice_id, name))
        return None if row is None else LibraryVoice(**row)

    async def delete(self, account_id: str, voice_id: str) -> bool:
        """Take a voice of the account away from everyone at once, and delete it at its provider.

        The deletion is on file with the revocation, and is tried until it is done: now, behind the answer, and by the
        reconciler of any process. False where the account has no such voice that could be deleted.
        """

        async def revoke(connection: Connection) -> str | None:
            revoked: str | None = await connection.fetchval(_REVOKE, account_id, voice_id)
            if revoked is not None:
                await cleanups.schedule(connection, revoked, seconds=0)
            return revoked

        revoked = await self._database.transact(revoke)
        if revoked is None:
            return False
        _log.info("voice_deleted", voice_id=revoked, account_id=account_id)
        self._tasks.oblige(self._cleanups.run_one(revoked), name=f"delete voice {revoked}")
        return True

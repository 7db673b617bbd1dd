"""The register of voices: who owns which, and what state it is in. States move only by compare-and-set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import asyncpg

from kyma_proxy.accounts.keys import UnknownAccountError
from kyma_proxy.database.pool import Connection

VoiceKind = Literal["clone", "design"]
"""How a voice is made here."""
VoiceOrigin = Literal["clone", "design", "adopted"]
"""How a voice on file came to be; one that was adopted was made elsewhere, nobody knows how."""
VoiceStatus = Literal["pending", "active", "failed", "revoked"]
_VOICE_ID_CHARS_MAX: Final = 256


def can_be_voice_id(text: str) -> bool:
    """Whether PostgreSQL could hold the text as an id: no NUL, no half of a surrogate pair, the length allowed."""
    if not 1 <= len(text) <= _VOICE_ID_CHARS_MAX:
        return False
    return text.isprintable() or not any(each == "\0" or "\ud800" <= each <= "\udfff" for each in text)


class VoiceTakenError(Exception):
    """The voice is on file for another account, or cannot be used any more; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice on file."""

    voice_id: str
    account_id: str
    name: str | None
    status: VoiceStatus


@dataclass(frozen=True, slots=True)
class VoiceHome:
    """Where a voice lives: the upstream's name in the config, and which account at the provider."""

    upstream: str
    provider_account: str


@dataclass(frozen=True, slots=True)
class NewVoice:
    """A voice that is about to be made."""

    voice_id: str
    account_id: str
    name: str | None
    kind: VoiceKind
    home: VoiceHome

    def columns(self) -> tuple[str | None, ...]:
        """Values for voice_id, account_id, name, kind, upstream and provider_account."""
        own = (self.voice_id, self.account_id, self.name, self.kind)
        return (*own, self.home.upstream, self.home.provider_account)


async def add_pending(connection: Connection, voice: NewVoice) -> None:
    """Write the owner of a voice before the provider hears its id."""
    await connection.execute(
        "INSERT INTO voices (voice_id, account_id, name, status, kind, upstream, provider_account)"
        " VALUES ($1, $2, $3, 'pending', $4, $5, $6)",
        *voice.columns(),
    )


async def activate(connection: Connection, voice_id: str) -> bool:
    """pending → active. False if the voice is not pending, and then nothing was changed."""
    return await _move(connection, voice_id, "pending", "active")


async def burn(connection: Connection, voice: NewVoice) -> bool:
    """Make sure that a voice whose first write may or may not have arrived never comes to be.

    Writes it as failed, or moves it from pending to failed. The insert waits for a transaction that is still writing
    the same id, and stops one that comes later. False if the voice is already past pending.
    """
    row = await connection.fetchval(
        "INSERT INTO voices (voice_id, account_id, name, status, kind, upstream, provider_account)"
        " VALUES ($1, $2, $3, 'failed', $4, $5, $6)"
        " ON CONFLICT (voice_id) DO UPDATE SET status = 'failed', status_since = now()"
        " WHERE voices.status = 'pending' RETURNING voice_id",
        *voice.columns(),
    )
    return row is not None


async def status_of(connection: Connection, voice_id: str) -> VoiceStatus | None:
    """The voice's state, or None if it is not on file."""
    status: VoiceStatus | None = await connection.fetchval("SELECT status FROM voices WHERE voice_id = $1", voice_id)
    return status


async def list_voices(connection: Connection, account_id: str | None = None) -> Sequence[Voice]:
    """Every voice on file, or an account's, oldest first."""
    rows = await connection.fetch(
        "SELECT voice_id, account_id, name, status FROM voices WHERE $1::text IS NULL OR account_id = $1"
        " ORDER BY created_at, voice_id",
        account_id,
    )
    return [Voice(**row) for row in rows]


async def adopt(
    connection: Connection,
    voice_id: str,
    account_id: str,
    name: str | None,
    home: VoiceHome,
    *,
    unused_seconds: float | None = None,
) -> None:
    """Put a voice that exists already on file for an account; doing it again changes nothing.

    A voice that was made here is on file by its provider's id too. One that is known not to have spoken yet has so many
    seconds left (`unused_seconds`) until the provider deletes it. Raises VoiceTakenError, UnknownAccountError, and
    ValueError for an id or name that cannot be one.
    """
    if not 1 <= len(voice_id) <= 256 or not voice_id.isprintable():
        raise ValueError(f"{voice_id!r} cannot be a voice id: 1 to 256 printable characters")
    if name is not None and not name.isprintable():
        raise ValueError(f"the name of {voice_id} has characters that cannot be printed")
    try:
        await connection.execute(
            "INSERT INTO voices (voice_id, account_id, name, status, kind, upstream, provider_account, expires_at)"
            " SELECT $1, $2, $3, 'active', 'adopted', $4, $5, now() + make_interval(secs => $6)"
            " WHERE NOT EXISTS (SELECT FROM voices WHERE provider_voice_id = $1) ON CONFLICT (voice_id) DO NOTHING",
            *(voice_id, account_id, name, home.upstream, home.provider_account, unused_seconds),
        )
    except asyncpg.ForeignKeyViolationError as error:
        raise UnknownAccountError(account_id) from error
    row = await connection.fetchrow(
        "SELECT account_id, status FROM voices WHERE voice_id = $1 OR provider_voice_id = $1", voice_id
    )
    if (row["account_id"], row["status"]) != (account_id, "active"):
        raise VoiceTakenError(voice_id)


async def revoke(connection: Connection, voice_id: str) -> VoiceStatus | None:
    """active → revoked, for everyone. Returns the state afterwards, None if the voice is not on file."""
    await _move(connection, voice_id, "active", "revoked")
    return await status_of(connection, voice_id)


async def _move(connection: Connection, voice_id: str, before: VoiceStatus, after: VoiceStatus) -> bool:
    row = await connection.fetchval(
        "UPDATE voices SET status = $3, status_since = now() WHERE voice_id = $1 AND status = $2 RETURNING voice_id",
        *(voice_id, before, after),
    )
    return row is not None

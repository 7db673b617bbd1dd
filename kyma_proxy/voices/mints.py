"""The rows of mints: running while they have a lease, then completed or failed, once.

Rows are locked in one order everywhere (mint, voice, account), so that two who end the same mint never deadlock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from kyma_proxy.database.pool import Connection
from kyma_proxy.failpoints import NO_FAILPOINTS, Failpoint, Failpoints
from kyma_proxy.ledger import holds
from kyma_proxy.voices import cleanups, registry
from kyma_proxy.voices.registry import NewVoice, VoiceHome, VoiceStatus

_ADD = """
WITH alone AS MATERIALIZED (SELECT pg_advisory_xact_lock($7)),
voice AS (
    INSERT INTO voices (voice_id, account_id, name, status, kind, upstream, provider_account, expires_at)
    SELECT $1, $2, $3, 'pending', $4, $5, $6, now() + make_interval(secs => $11) FROM alone)
INSERT INTO mints (account_id, voice_id, hold_id, fingerprint, lease_until)
VALUES ($2, $1, $8, $9, clock_timestamp() + make_interval(secs => $10))
"""

_COMPLETE = """
WITH completed AS (
    UPDATE mints SET lease_until = NULL, completed_at = clock_timestamp()
    WHERE account_id = $1 AND voice_id = $2 AND lease_until > clock_timestamp()
    RETURNING voice_id)
UPDATE voices SET status = 'active', status_since = clock_timestamp()
FROM completed WHERE voices.voice_id = completed.voice_id AND voices.status = 'pending'
RETURNING voices.voice_id, voices.expires_at
"""

_NOTE_PROVIDER_ID = """
UPDATE voices SET provider_voice_id = $2
WHERE voice_id = $1 AND NOT EXISTS (
    SELECT FROM voices AS other
    WHERE other.voice_id = $2 OR (other.provider_voice_id = $2 AND other.voice_id <> $1))
RETURNING voice_id
"""

_RENEW = """
UPDATE mints SET lease_until = clock_timestamp() + make_interval(secs => $2)
WHERE voice_id = ANY($1::text[]) AND lease_until > clock_timestamp()
"""

_END_LEASE = "UPDATE mints SET lease_until = NULL WHERE account_id = $1 AND voice_id = $2 AND lease_until IS NOT NULL"

_LEFT_OVER = """
SELECT m.account_id, m.voice_id, m.hold_id, v.name, v.kind, v.upstream, v.provider_account
FROM mints m JOIN voices v USING (voice_id)
WHERE m.lease_until <= clock_timestamp()
ORDER BY m.lease_until LIMIT 1 FOR UPDATE OF m SKIP LOCKED
"""


class LeaseLostError(Exception):
    """The mint's lease ran out, or somebody else ended it: it must not be completed."""


@dataclass(frozen=True, slots=True)
class Mint:
    """A mint as it is on file: its voice, and the hold that pays for it."""

    voice: NewVoice
    hold_id: str
    provider_voice_id: str | None = None
    """What the provider calls the voice, if that is another id than ours."""

    @property
    def voice_id(self) -> str:
        """The voice's id, which is the mint's too."""
        return self.voice.voice_id

    @property
    def account_id(self) -> str:
        """Whose it is, and who pays."""
        return self.voice.account_id


@dataclass(frozen=True, slots=True)
class Terms:
    """What begins with a mint: its content (32 bytes), the lock of that content, and the first lease in seconds.

    And how long the provider keeps a voice that is not used, in seconds; None for ever.
    """

    fingerprint: bytes
    content_lock: int
    lease_seconds: float
    unused_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Completed:
    """A voice is active."""

    expires_at: datetime | None
    """When the provider deletes it, unless it is used before."""


async def add(connection: Connection, mint: Mint, terms: Terms) -> None:
    """Write the owner of a voice, and the lease of its mint, before the provider hears the voice's id.

    The content's lock is held until COMMIT: who looks for a running request of the same content waits for this one.
    """
    values = (terms.content_lock, mint.hold_id, terms.fingerprint, terms.lease_seconds, terms.unused_seconds)
    await connection.execute(_ADD, *mint.voice.columns(), *values)


async def note_provider_id(connection: Connection, mint: Mint) -> bool:
    """Put the provider's own id of a voice on file, once; done again, it changes nothing.

    False if some voice has that id already, and then nothing was changed: it must be neither given away nor deleted.
    """
    values = (mint.voice_id, mint.provider_voice_id)
    return await connection.fetchval(_NOTE_PROVIDER_ID, *values) is not None


async def complete(connection: Connection, mint: Mint) -> Completed | None:
    """pending → active, while the lease lasts. None if it ran out or the mint has ended, and nothing was changed.

    Raises LeaseLostError if it ran out in this very moment: then the transaction is good for nothing.
    """
    try:
        row = await connection.fetchrow(_COMPLETE, mint.account_id, mint.voice_id)
    except asyncpg.PostgresError as error:
        # The schema looks at the clock once more.
        if error.sqlstate == "KY006":
            raise LeaseLostError(mint.voice_id) from error
        raise
    return None if row is None else Completed(row["expires_at"])


async def renew(connection: Connection, voice_ids: list[str], lease_seconds: float) -> None:
    """Lease running mints anew, from now by the database's clock. A lease that ran out is never revived."""
    await connection.execute(_RENEW, voice_ids, lease_seconds)


async def find_left_over(connection: Connection) -> Mint | None:
    """Lock a mint whose lease ran out and which nobody else is ending; None if there is none."""
    row = await connection.fetchrow(_LEFT_OVER)
    if row is None:
        return None
    home = VoiceHome(row["upstream"], row["provider_account"])
    voice = NewVoice(row["voice_id"], row["account_id"], row["name"], row["kind"], home)
    return Mint(voice, row["hold_id"])


async def fail(
    connection: Connection, mint: Mint, clean_up_seconds: float | None, failpoints: Failpoints = NO_FAILPOINTS
) -> VoiceStatus | None:
    """Fail the voice, void the hold, end the lease, free the idempotency key; done again, it changes nothing.

    Where something may be left at the provider, its deletion is put on file as well, to be repeated for
    `clean_up_seconds` from now: also by a process that was frozen, asks the provider long after its mint was failed,
    and after everything was deleted. Returns the voice's state afterwards: `failed`, or another if the mint had ended
    before.
    """
    key = (mint.account_id, mint.voice_id)
    await connection.execute("SELECT 1 FROM mints WHERE account_id = $1 AND voice_id = $2 FOR UPDATE", *key)
    if not await registry.burn(connection, mint.voice):
        status = await registry.status_of(connection, mint.voice_id)
        if status == "failed":
            await _note_if_known(connection, mint)
            # By an earlier version, which knew of no leases: what ended must not look left over for ever.
            await connection.execute(_END_LEASE, *key)
            await _schedule_cleanup(connection, mint, clean_up_seconds)
        return status
    await _note_if_known(connection, mint)
    await failpoints.reach(Failpoint.UNDO_BURNED, connection)
    await holds.void(connection, mint.account_id, mint.hold_id)
    await failpoints.reach(Failpoint.UNDO_VOIDED, connection)
    await connection.execute(_END_LEASE, *key)
    await connection.execute("DELETE FROM idempotency_keys WHERE account_id = $1 AND voice_id = $2", *key)
    await _schedule_cleanup(connection, mint, clean_up_seconds)
    return "failed"


async def _note_if_known(connection: Connection, mint: Mint) -> None:
    # An id that is another voice's is left alone: that one is not to be deleted.
    if mint.provider_voice_id is not None:
        await note_provider_id(connection, mint)


async def _schedule_cleanup(connection: Connection, mint: Mint, seconds: float | None) -> None:
    if seconds is not None:
        await cleanups.schedule(connection, mint.voice_id, seconds)

"""Claims: who asked for the same thing before, and what became of it. A request buys only what is not bought yet.

By the client's key, for 24 hours; by content, for the retries that an SDK marks, for 10 minutes after the reply.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import asyncpg

from kyma_proxy.database.pool import Connection
from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.flow import Reply
from kyma_proxy.voices import replies
from kyma_proxy.voices.attempts import Attempt, fingerprint_of
from kyma_proxy.voices.mints import Mint

RETRY_AFTER_SECONDS: Final = 5
"""What a client is told to wait for a request that still runs: a clone takes 10 to 60 seconds."""
_KEY_HOURS: Final = 24
_CONTENT_MINUTES: Final = 10
_PRUNED_MAX: Final = 1000

_CLAIM = f"""
INSERT INTO idempotency_keys (account_id, endpoint, key, fingerprint, voice_id) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (account_id, endpoint, key)
DO UPDATE SET fingerprint = EXCLUDED.fingerprint, voice_id = EXCLUDED.voice_id, created_at = now()
WHERE idempotency_keys.created_at <= now() - interval '{_KEY_HOURS} hours'
RETURNING true
"""  # noqa: S608

_CLAIMED = """
SELECT k.fingerprint, k.voice_id, m.reply_status, m.reply_headers, m.reply_body
FROM idempotency_keys k JOIN mints m ON m.account_id = k.account_id AND m.voice_id = k.voice_id
WHERE k.account_id = $1 AND k.endpoint = $2 AND k.key = $3
"""

_LATEST_OF_CONTENT = f"""
SELECT voice_id, reply_status, reply_headers, reply_body FROM mints
WHERE account_id = $1 AND fingerprint = $2
  AND (lease_until IS NOT NULL OR completed_at > now() - interval '{_CONTENT_MINUTES} minutes')
ORDER BY created_at DESC LIMIT 1
"""  # noqa: S608

_AWAIT = """
UPDATE mints SET awaited = true WHERE account_id = $1 AND voice_id = $2 AND lease_until IS NOT NULL RETURNING voice_id
"""

_PRUNE = f"""
DELETE FROM idempotency_keys WHERE (account_id, endpoint, key) IN (
    SELECT account_id, endpoint, key FROM idempotency_keys
    WHERE created_at <= now() - interval '{_KEY_HOURS} hours' ORDER BY created_at LIMIT {_PRUNED_MAX}
    FOR UPDATE SKIP LOCKED)
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Running:
    """The same request is being served at this moment, in this process or another."""

    voice_id: str


async def claim(connection: Connection, mint: Mint, attempt: Attempt) -> Reply | Running | None:
    """What became of the same request, or None where there was none: then this one has claimed the key.

    The claim is the first row that a request writes. A first attempt without a key never finds anything. Raises
    GatewayError IDEMPOTENCY_KEY_REUSED, and REQUEST_IN_PROGRESS for a key whose request still runs.
    """
    key = attempt.repetition.idempotency_key
    if key is not None:
        return await _claim_key(connection, mint, attempt, key)
    if attempt.repetition.is_marked_retry:
        return await _find_content(connection, mint.account_id, attempt.fingerprint)
    return None


async def await_end(connection: Connection, account_id: str, running: Running) -> Reply | Running | None:
    """Ask to be told (by NOTIFY) when a running mint ends; its reply if it was completed, None if it has failed.

    Its row tells one from the other without a gap: whoever ends it either sees the wish, or has ended it already.
    """
    if await connection.fetchval(_AWAIT, account_id, running.voice_id) is not None:
        return running
    return await replies.load(connection, account_id, running.voice_id)


async def prune(connection: Connection) -> int:
    """Forget keys older than 24 hours, at most 1,000 of them; how many were forgotten."""
    tag: str = await connection.execute(_PRUNE)
    return int(tag.rpartition(" ")[2])


def content_lock(account_id: str, fingerprint: bytes) -> int:
    """The advisory lock (a signed 64-bit number) under which a request of this content begins."""
    return int.from_bytes(fingerprint_of("begin", account_id, fingerprint)[:8], "big", signed=True)


def still_running() -> GatewayError:
    """The refusal of a request whose like still runs."""
    return GatewayError(
        ErrorCode.REQUEST_IN_PROGRESS,
        "The same request is still being served. Repeat it a little later to get its answer.",
        headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
    )


async def _claim_key(connection: Connection, mint: Mint, attempt: Attempt, key: str) -> Reply | None:
    scope = (mint.account_id, attempt.endpoint, key)
    if await connection.fetchval(_CLAIM, *scope, attempt.fingerprint, mint.voice_id):
        return None
    # The refused claim has locked the row, so it is still there.
    row = await connection.fetchrow(_CLAIMED, *scope)
    assert row is not None
    if row["fingerprint"] != attempt.fingerprint:
        raise GatewayError(
            ErrorCode.IDEMPOTENCY_KEY_REUSED,
            "This `Idempotency-Key` belongs to a request with other content. Send a key of its own with each request.",
        )
    reply = replies.from_row(row)
    if reply is None:
        raise still_running()
    return reply


async def _find_content(connection: Connection, account_id: str, fingerprint: bytes) -> Reply | Running | None:
    # In a statement of its own: the next one must see what was committed while this one waited.
    await connection.execute("SELECT pg_advisory_xact_lock($1)", content_lock(account_id, fingerprint))
    row: asyncpg.Record | None = await connection.fetchrow(_LATEST_OF_CONTENT, account_id, fingerprint)
    if row is None:
        return None
    return replies.from_row(row) or Running(row["voice_id"])

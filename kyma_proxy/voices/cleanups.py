"""What is still to be deleted at providers: on file from the moment a mint fails, until it is certainly gone.

A provider may finish a slow clone after a first deletion. So a deletion is repeated, with growing pauses, until one
succeeded that was asked for after the provider's longest clone time had passed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import structlog

from kyma_proxy.database.pool import Connection, Database
from kyma_proxy.voices.provider import ProviderAccounts, ProviderError, StoredUpload, VoiceProvider
from kyma_proxy.voices.registry import VoiceOrigin

_PAUSE_SECONDS_MAX: Final = 60
_UPLOAD_SECONDS_MIN: Final = 600
"""A recording is left alone this long after its mint: its own process may still be deleting it."""

_SCHEDULE = """
INSERT INTO provider_cleanups (voice_id, due_at, until)
VALUES ($1, clock_timestamp(), clock_timestamp() + make_interval(secs => $2))
ON CONFLICT (voice_id) DO UPDATE SET until = greatest(provider_cleanups.until, excluded.until)
"""

# Taking one puts it off, so that nobody else takes it meanwhile, and somebody does if its taker dies.
_TAKE = f"""
WITH due AS (
    SELECT voice_id FROM provider_cleanups
    WHERE CASE WHEN $1::text IS NULL THEN due_at <= clock_timestamp() ELSE voice_id = $1 END
    ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
UPDATE provider_cleanups c
SET attempts = c.attempts + 1,
    due_at = least(clock_timestamp() + make_interval(secs => least({_PAUSE_SECONDS_MAX}, 2 ^ least(c.attempts, 10))),
                   greatest(c.until, clock_timestamp() + interval '1 second'))
FROM due, voices v
WHERE c.voice_id = due.voice_id AND v.voice_id = c.voice_id
RETURNING c.voice_id, c.attempts, c.until <= clock_timestamp() AS is_last, v.upstream, v.provider_account, v.kind,
          coalesce(v.provider_voice_id, v.voice_id) AS provider_voice_id
"""  # noqa: S608

_LEFT_OVER_UPLOADS = """
SELECT voice_id FROM voices
WHERE voice_id = ANY($1::text[]) AND upstream = $2 AND provider_account = $3
  AND status <> 'pending' AND status_since < clock_timestamp() - make_interval(secs => $4)
"""

_log = structlog.get_logger("kyma_proxy.voices")


async def schedule(connection: Connection, voice_id: str, seconds: float) -> None:
    """Put a voice's deletion at its provider on file, due at once and repeated for `seconds` from now."""
    await connection.execute(_SCHEDULE, voice_id, seconds)


@dataclass(frozen=True, slots=True)
class _Cleanup:
    voice_id: str
    attempts: int
    is_last: bool
    upstream: str
    provider_account: str
    kind: VoiceOrigin
    provider_voice_id: str


class ProviderCleanups:
    """Deletes at the providers what failed mints may have left there; any process does it for all of them."""

    def __init__(
        self,
        database: Database,
        providers: Mapping[str, ProviderAccounts],
        on_ended: Callable[[Literal["deleted", "deletion_failed"]], None] = lambda outcome: None,
    ) -> None:
        self._database = database
        self._providers = providers
        self._on_ended = on_ended

    async def run_due(self, most: int = 100) -> int:
        """Do what is due, one after another, at most `most` of them; how many were done.

        Raises DatabaseUnavailableError.
        """
        for done in range(most):
            if not await self.run_one():
                return done
        return most

    async def run_one(self, voice_id: str | None = None) -> bool:
        """Do one that is due, or the one of this voice at once. False if there is none, or somebody else is at it.

        A provider that fails is asked again later. Raises DatabaseUnavailableError.
        """
        cleanup = await self._database.transact(lambda connection: _take(connection, voice_id))
        if cleanup is None:
            return False
        provider = self._provider(cleanup)
        if provider is None:
            _log.error("cleanup_without_provider", voice_id=cleanup.voice_id, upstream=cleanup.upstream)
            self._on_ended("deletion_failed")
            return True
        try:
            await provider.delete_voice(cleanup.provider_voice_id, cleanup.kind)
            for upload in await provider.list_uploads():
                if upload.voice_id == cleanup.voice_id:
                    await provider.delete_upload(upload.file_id)
        except ProviderError as error:
            _log.warning("voice_not_deleted", voice_id=cleanup.voice_id, attempts=cleanup.attempts, error=error.message)
            self._on_ended("deletion_failed")
            return True
        self._on_ended("deleted")
        if cleanup.is_last:
            await self._database.transact(
                lambda connection: connection.execute(
                    "DELETE FROM provider_cleanups WHERE voice_id = $1", cleanup.voice_id
                )
            )
        _log.info("voice_deleted_at_provider", voice_id=cleanup.voice_id, attempts=cleanup.attempts)
        return True

    async def sweep_uploads(self) -> int:
        """Delete recordings that a dead process left at a provider; how many.

        Only of voices that are on file here and were ended a while ago. Raises ProviderError, DatabaseUnavailableError.
        """
        deleted = 0
        for provider in [each for accounts in self._providers.values() for each in accounts.values()]:
            uploads = await provider.list_uploads()
            if uploads:
                for upload in await self._left_over(provider, uploads):
                    await provider.delete_upload(upload.file_id)
                    _log.info("upload_deleted_at_provider", voice_id=upload.voice_id, file_id=upload.file_id)
                    deleted += 1
        return deleted

    async def _left_over(self, provider: VoiceProvider, uploads: Sequence[StoredUpload]) -> list[StoredUpload]:
        voice_ids = list({upload.voice_id for upload in uploads})
        rows = await self._database.fetch(
            _LEFT_OVER_UPLOADS, voice_ids, provider.name, provider.provider_account, _UPLOAD_SECONDS_MIN
        )
        ended = {row["voice_id"] for row in rows}
        return [upload for upload in uploads if upload.voice_id in ended]

    def _provider(self, cleanup: _Cleanup) -> VoiceProvider | None:
        accounts = self._providers.get(cleanup.upstream)
        return None if accounts is None else accounts.get(cleanup.provider_account)


async def _take(connection: Connection, voice_id: str | None) -> _Cleanup | None:
    row = await connection.fetchrow(_TAKE, voice_id)
    return None if row is None else _Cleanup(**row)

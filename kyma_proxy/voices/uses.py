"""When voices were used: noted in memory as requests are answered, written behind them in one statement for all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.database.pool import Connection, Database

FLUSH_SECONDS: Final = 1.0
"""How long a use may be known to its own process alone."""
_NOTED_MAX: Final = 50_000

# Rows are locked in one order, whichever processes write at the same time. A voice may be noted by either of its ids.
_SPOKE = """
WITH noted AS (SELECT * FROM unnest($1::text[], $2::float8[]) AS noted (id, seconds_ago)),
voice AS (
    SELECT v.voice_id, noted.seconds_ago FROM noted JOIN voices v ON v.voice_id = noted.id
    UNION ALL
    SELECT v.voice_id, noted.seconds_ago FROM noted JOIN voices v ON v.provider_voice_id = noted.id),
used AS (SELECT voice_id, now() - make_interval(secs => min(seconds_ago)) AS at FROM voice GROUP BY voice_id),
locked AS (
    SELECT voice_id FROM voices WHERE voice_id IN (SELECT voice_id FROM used) ORDER BY voice_id FOR NO KEY UPDATE)
UPDATE voices SET first_used_at = coalesce(voices.first_used_at, used.at),
    last_used_at = greatest(voices.last_used_at, used.at), expires_at = NULL, lost_at = NULL
FROM used, locked WHERE voices.voice_id = used.voice_id AND locked.voice_id = used.voice_id
"""

_LOST = """
UPDATE voices SET lost_at = now()
WHERE (voice_id = ANY($1::text[]) OR provider_voice_id = ANY($1::text[])) AND status = 'active' AND lost_at IS NULL
"""


class VoiceUses:
    """What the requests of this process have shown of voices, until it is on file."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._spoke: dict[str, float] = {}
        self._lost: set[str] = set()
        self._turn = asyncio.Lock()

    def __repr__(self) -> str:
        return f"VoiceUses({len(self._spoke)} used and {len(self._lost)} lost voices to be written)"

    def spoke(self, voice_ids: Iterable[str]) -> None:
        """These voices have just spoken."""
        now = monotonic_seconds()
        for voice_id in voice_ids:
            # Full only while the database is away for long; what is noted already goes on being kept up.
            if voice_id in self._spoke or len(self._spoke) < _NOTED_MAX:
                self._spoke[voice_id] = now
            self._lost.discard(voice_id)

    def lost(self, voice_id: str) -> None:
        """The provider says that it has no such voice any more."""
        if len(self._lost) < _NOTED_MAX:
            self._lost.add(voice_id)
            self._spoke.pop(voice_id, None)

    async def flush(self) -> None:
        """Write what is noted. Raises DatabaseUnavailableError; then it is still noted."""
        async with self._turn:
            spoke, self._spoke = self._spoke, {}
            lost, self._lost = self._lost, set()
            if not spoke and not lost:
                return

            now = monotonic_seconds()

            async def write(connection: Connection) -> None:
                if lost:
                    await connection.execute(_LOST, list(lost))
                if spoke:
                    await connection.execute(_SPOKE, list(spoke), [now - at for at in spoke.values()])

            try:
                await self._database.transact(write)
            except BaseException:
                # Of what was noted meanwhile the newer word counts.
                for voice_id, at in spoke.items():
                    if voice_id not in self._lost:
                        self._spoke.setdefault(voice_id, at)
                self._lost |= lost - self._spoke.keys()
                raise

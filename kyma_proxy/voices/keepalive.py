"""Keeping alive what was paid for: a provider deletes a voice that has never spoken, unless it speaks in time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import asyncpg
import structlog

from kyma_proxy.database.errors import DatabaseUnavailableError
from kyma_proxy.database.pool import Connection, Database
from kyma_proxy.voices.provider import ProviderAccounts, ProviderError, Spoken, VoiceLostError, VoiceProvider

KeepAliveOutcome = Literal["kept", "lost", "failed"]
LINE: Final = "Hello."
LOOK_SECONDS: Final = 60.0
_AGAIN_SECONDS: Final = 600
"""A voice for which it failed is tried again after so long."""
_GIVE_UP_SECONDS: Final = 86_400
"""So long after its end a voice that could not be asked about is given up: that it is lost will show."""
_LOCK: Final = 0x6B79_6D61_6B61

# One process at a time counts and takes, so that all of them together keep to the rate.
_ALONE = f"SELECT pg_advisory_xact_lock({_LOCK})"
_TAKE = f"""
WITH recent AS (
    SELECT count(*) AS tried FROM voices WHERE keep_alive_tried_at > clock_timestamp() - interval '1 hour'),
due AS (
    SELECT voice_id FROM voices, recent
    WHERE status = 'active' AND expires_at IS NOT NULL AND lost_at IS NULL AND recent.tried < $1
      AND expires_at BETWEEN clock_timestamp() - make_interval(secs => {_GIVE_UP_SECONDS})
                         AND clock_timestamp() + make_interval(secs => $2)
      AND upstream = $3 AND provider_account = $4
      AND coalesce(keep_alive_tried_at < clock_timestamp() - make_interval(secs => {_AGAIN_SECONDS}), true)
    ORDER BY expires_at LIMIT 1 FOR NO KEY UPDATE OF voices SKIP LOCKED)
UPDATE voices v SET keep_alive_tried_at = clock_timestamp() FROM due WHERE v.voice_id = due.voice_id
RETURNING v.voice_id, coalesce(v.provider_voice_id, v.voice_id) AS provider_voice_id
"""  # noqa: S608

_KEPT = """
WITH kept AS (
    UPDATE voices SET kept_alive_at = now(), expires_at = NULL WHERE voice_id = $1 RETURNING voice_id, account_id)
INSERT INTO house_costs (kind, voice_id, account_id, characters, voices)
SELECT 'keep_alive', voice_id, account_id, $2, $3 FROM kept
"""
_LOST = "UPDATE voices SET lost_at = now() WHERE voice_id = $1 AND lost_at IS NULL"

_COSTS = """
SELECT (booked_at AT TIME ZONE 'UTC')::date AS day, kind, count(*) AS calls, sum(characters) AS characters,
       sum(voices) AS voices
FROM house_costs GROUP BY 1, 2 ORDER BY 1, 2
"""

_log = structlog.get_logger("kyma_proxy.voices")


@dataclass(frozen=True, slots=True)
class KeepAliveTerms:
    """How long before its end a voice is made to speak, at most how many in an hour by all processes, and what."""

    ahead_seconds: float
    per_hour: int
    line: str = LINE


@dataclass(frozen=True, slots=True)
class _Due:
    voice_id: str
    provider_voice_id: str


class KeepAlive:
    """Speaks a short line with voices that would end soon. The cost is the house's: no account is charged."""

    def __init__(
        self,
        database: Database,
        providers: Mapping[str, ProviderAccounts],
        on_ended: Callable[[KeepAliveOutcome, Spoken | None], None] = lambda outcome, spoken: None,
    ) -> None:
        self._database = database
        self._providers = providers
        self._on_ended = on_ended

    async def run(self, upstream: str, terms: KeepAliveTerms) -> Mapping[KeepAliveOutcome, int]:
        """Do what is due now at an upstream, one voice after another; what became of them.

        Raises KeyError for an upstream that makes no voices, DatabaseUnavailableError.
        """
        done: dict[KeepAliveOutcome, int] = {"kept": 0, "lost": 0, "failed": 0}
        for provider in list(self._providers[upstream].values()):
            # Each is tried once in _AGAIN_SECONDS, so this ends.
            while (due := await self._take(provider, terms)) is not None:
                done[await self._keep(provider, due, terms.line)] += 1
        return done

    async def follow(self, upstream: str, terms: KeepAliveTerms) -> None:
        """Do what is due each minute, until cancelled."""
        while True:
            try:
                await self.run(upstream, terms)
            except DatabaseUnavailableError:
                _log.warning("keep_alive_put_off", upstream=upstream)
            except Exception:  # noqa: BLE001  # the voices must have their next turn, whatever it was
                _log.exception("keep_alive_failed", upstream=upstream)
            await asyncio.sleep(LOOK_SECONDS)

    async def _take(self, provider: VoiceProvider, terms: KeepAliveTerms) -> _Due | None:
        values = (terms.per_hour, terms.ahead_seconds, provider.name, provider.provider_account)

        async def take(connection: Connection) -> asyncpg.Record | None:
            await connection.execute(_ALONE)
            return await connection.fetchrow(_TAKE, *values)

        row = await self._database.transact(take)
        return None if row is None else _Due(**row)

    async def _keep(self, provider: VoiceProvider, due: _Due, line: str) -> KeepAliveOutcome:
        spoken = None
        outcome: KeepAliveOutcome
        try:
            spoken = await provider.speak_a_line(due.provider_voice_id, line)
        except VoiceLostError as error:
            outcome = "lost"
            _log.error("voice_lost_at_provider", voice_id=due.voice_id, error=error.message)
            await self._database.transact(lambda connection: connection.execute(_LOST, due.voice_id))
        except ProviderError as error:
            outcome = "failed"
            _log.error("voice_not_kept_alive", voice_id=due.voice_id, provider_code=error.code, error=error.message)
        else:
            outcome = "kept"
            cost = (spoken.characters, spoken.voices)
            await self._database.transact(lambda connection: connection.execute(_KEPT, due.voice_id, *cost))
            _log.info("voice_kept_alive", voice_id=due.voice_id, characters=spoken.characters, voices=spoken.voices)
        self._on_ended(outcome, spoken)
        return outcome


async def house_costs(connection: Connection) -> list[asyncpg.Record]:
    """What the house has paid, by day (UTC) and kind: calls, characters, and voices paid for with their first use."""
    rows: list[asyncpg.Record] = await connection.fetch(_COSTS)
    return rows

"""Who may speak with which voice: asked before any speech, cached, and never fooled about a revocation."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.database.errors import DatabaseUnavailableError
from kyma_proxy.database.feed import ChangeFeed
from kyma_proxy.database.pool import Database

VOICES_CHANNEL: Final = "kyma_voices"
MINTED_PREFIX: Final = "kyma_"
"""How the ids of our own voices begin."""
UNLISTED_SECONDS: Final = 2.0
"""How long an id may be believed not to be on file; whoever puts a foreign id on file waits this long."""
_WARM_SECONDS: Final = 60.0
_WARM_MAX: Final = 1000
_VOICE_ID_MAX_CHARS: Final = 256
_LOOK_UP: Final = "SELECT voice_id, account_id, status FROM voices WHERE voice_id = ANY($1::text[])"
_KEEP_WARM: Final = f"/* keep warm */ {_LOOK_UP}"
"""The same, told apart in the database's statistics: no request waits for it."""


@dataclass(frozen=True, slots=True)
class _Standing:
    """What is on file of an id: its owner, or None for an id that is not on file; and whether it may be used."""

    account_id: str | None
    active: bool = True

    def allows(self, account_id: str) -> bool:
        return self.account_id is None or (self.active and self.account_id == account_id)


_UNLISTED: Final = _Standing(None)


class OwnershipBook:
    """Tells which voices an account may not use.

    Only two answers are remembered, and only while the change feed is connected: the owner of an active voice, for
    `keep_seconds`, and that an id is not on file, for two seconds. A revocation or an adoption evicts in every
    process, losing the feed empties both. What is asked about often is asked again before its two seconds are over,
    behind the requests (`keep_warm`), so that they find it answered. That an id of ours is not on file is never
    remembered, so a voice is guarded the moment it is being made; nor is a voice that is pending, failed or revoked.
    """

    def __init__(
        self,
        database: Database,
        feed: ChangeFeed,
        *,
        max_owned: int = 50_000,
        max_unlisted: int = 10_000,
        keep_seconds: float = 60,
    ) -> None:
        self._database = database
        self._feed = feed
        # Apart, so that a caller who asks for thousands of made-up ids cannot push out the owners.
        self._owned = _Memory(max_owned, keep_seconds)
        self._unlisted = _Memory(max_unlisted, UNLISTED_SECONDS)
        self._warm: OrderedDict[str, float] = OrderedDict()
        """Texts that are not on file and were asked about again, and when that was last."""
        self._evictions = 0
        feed.subscribe(VOICES_CHANNEL, self._evict, self._clear)

    def __repr__(self) -> str:
        return f"OwnershipBook({len(self._owned)} owned and {len(self._unlisted)} unlisted ids cached)"

    async def forbidden(
        self, account_id: str, candidates: Collection[str], *, listed_only: str | None = None
    ) -> frozenset[str]:
        """Which of these texts are ids of voices that the account may not use.

        Those on file, except the account's own active ones; ids are compared exactly, nothing is trimmed or folded.
        An id not on file is allowed, unless it begins with `listed_only`. At most one round trip to the database,
        none if everything is cached. Raises DatabaseUnavailableError when it is needed and cannot be made.
        """
        standings: dict[str, _Standing] = {}
        unknown: list[str] = []
        now = monotonic_seconds()
        for each in candidates:
            if not _can_be_id(each):
                continue
            standing = self._owned.recall(each, now)
            if standing is None:
                standing = self._unlisted.recall(each, now)
                if each in self._unlisted:
                    self._note_warm(each, now)
            if standing is None:
                unknown.append(each)
            else:
                standings[each] = standing
        if unknown:
            standings |= await self._look_up(unknown)
        return frozenset(
            each
            for each, standing in standings.items()
            if not standing.allows(account_id)
            or (listed_only is not None and standing.account_id is None and each.startswith(listed_only))
        )

    async def keep_warm(self) -> None:
        """Until cancelled, ask again each second about what was asked about often in the last minute, in one question.

        A request then finds the answer at hand, and nothing is believed for longer than the two seconds.
        """
        while True:
            await asyncio.sleep(UNLISTED_SECONDS / 2)
            now = monotonic_seconds()
            while self._warm and next(iter(self._warm.values())) < now - _WARM_SECONDS:
                self._warm.popitem(last=False)
            if self._warm and self._feed.connected:
                with contextlib.suppress(DatabaseUnavailableError):
                    await self._look_up(list(self._warm), _KEEP_WARM)

    def _note_warm(self, text: str, now: float) -> None:
        self._warm[text] = now
        self._warm.move_to_end(text)
        if len(self._warm) > _WARM_MAX:
            self._warm.popitem(last=False)

    async def _look_up(self, unknown: Collection[str], sql: str = _LOOK_UP) -> dict[str, _Standing]:
        evictions = self._evictions
        # What is found is as old as the question: the answer may have been long on its way.
        asked_at = monotonic_seconds()
        rows = await self._database.fetch(sql, list(unknown))
        found = {row["voice_id"]: _Standing(row["account_id"], row["status"] == "active") for row in rows}
        standings = {each: found.get(each, _UNLISTED) for each in unknown}
        # An eviction while the answer travelled may have been for one of these: it must not come back to life.
        if self._feed.connected and evictions == self._evictions:
            for each, standing in standings.items():
                self._remember(each, standing, asked_at)
        return standings

    def _remember(self, voice_id: str, standing: _Standing, asked_at: float) -> None:
        if standing.account_id is not None:
            if standing.active:
                self._owned.keep(voice_id, standing, asked_at)
        elif not voice_id.startswith(MINTED_PREFIX):
            self._unlisted.keep(voice_id, standing, asked_at)

    def _evict(self, voice_id: str) -> None:
        self._evictions += 1
        self._owned.forget(voice_id)
        self._unlisted.forget(voice_id)

    def _clear(self) -> None:
        self._evictions += 1
        self._owned.clear()
        self._unlisted.clear()


class _Memory:
    """A bounded number of standings, each good for a while; the one kept longest ago goes first."""

    def __init__(self, max_entries: int, keep_seconds: float) -> None:
        self._max_entries = max_entries
        self._keep_seconds = keep_seconds
        self._entries: OrderedDict[str, tuple[_Standing, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, voice_id: str) -> bool:
        """Whether it was kept before, though it may be good no longer."""
        return voice_id in self._entries

    def recall(self, voice_id: str, now: float) -> _Standing | None:
        entry = self._entries.get(voice_id)
        return entry[0] if entry is not None and entry[1] > now else None

    def keep(self, voice_id: str, standing: _Standing, since: float) -> None:
        self._entries[voice_id] = (standing, since + self._keep_seconds)
        self._entries.move_to_end(voice_id)
        if len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)

    def forget(self, voice_id: str) -> None:
        self._entries.pop(voice_id, None)

    def clear(self) -> None:
        self._entries.clear()


def _can_be_id(text: str) -> bool:
    """Whether PostgreSQL could hold the text as an id: no NUL, no half of a surrogate pair, the length allowed."""
    if not 1 <= len(text) <= _VOICE_ID_MAX_CHARS:
        return False
    return text.isprintable() or not any(each == "\0" or "\ud800" <= each <= "\udfff" for each in text)

"""Who may speak with which voice: asked before any speech, cached, and never fooled about a revocation."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.database.errors import DatabaseUnavailableError
from kyma_proxy.database.feed import ChangeFeed
from kyma_proxy.database.memory import Memory
from kyma_proxy.database.outage import Outage
from kyma_proxy.database.pool import Database
from kyma_proxy.flow import VoiceAtProvider
from kyma_proxy.tasks import Tasks
from kyma_proxy.voices.registry import can_be_voice_id

VOICES_CHANNEL: Final = "kyma_voices"
MINTED_PREFIX: Final = "kyma_"
"""How the ids of our own voices begin."""
UNLISTED_SECONDS: Final = 2.0
"""How long an id may be believed not to be on file; whoever puts a foreign id on file waits this long."""
_WARM_SECONDS: Final = 60.0
_WARM_MAX: Final = 1000
_NOTED_SECONDS: Final = 1.0
"""How much too early the last question about something may be noted."""
_LOOK_UP: Final = """
SELECT voice_id, account_id, status, coalesce(provider_voice_id, voice_id) AS provider_voice_id, upstream,
       provider_account
FROM voices WHERE voice_id = ANY($1::text[])
UNION ALL
SELECT provider_voice_id, account_id, status, provider_voice_id, upstream, provider_account
FROM voices WHERE provider_voice_id = ANY($1::text[])
"""
"""A voice that its provider calls otherwise is on file under both ids."""
_KEEP_WARM: Final = f"/* keep warm */ {_LOOK_UP}"
"""The same, told apart in the database's statistics: no request waits for it."""


@dataclass(frozen=True, slots=True)
class _Standing:
    """What is on file of an id: its owner, or None for an id that is not on file; and whether it may be used."""

    account_id: str | None
    active: bool = True
    home: VoiceAtProvider | None = None
    """Where a voice on file lives."""


_UNLISTED: Final = _Standing(None)


@dataclass(frozen=True, slots=True)
class _Asker:
    """Who wants to speak, and how an id must not begin that is not on file."""

    account_id: str
    listed_only: str | None

    def needs_listing(self, voice_id: str) -> bool:
        return self.listed_only is not None and voice_id.startswith(self.listed_only)

    def may_not_use(self, standings: Mapping[str, _Standing]) -> frozenset[str]:
        refused = []
        for voice_id, standing in standings.items():
            if standing.account_id is None:
                if self.needs_listing(voice_id):
                    refused.append(voice_id)
            elif not standing.active or standing.account_id != self.account_id:
                refused.append(voice_id)
        return frozenset(refused)


@dataclass(frozen=True, slots=True)
class Judgement:
    """Which texts the account may not use; if there are none, where those live that are its voices."""

    forbidden: frozenset[str]
    at_provider: Mapping[str, VoiceAtProvider]


class OwnershipBook:
    """Tells which voices an account may not use.

    Only two answers are remembered: the owner of an active voice, for `keep_seconds`, and that an id is not on file,
    for two seconds. A revocation or an adoption evicts in every process, and without the change feed the database is
    asked. What is asked about often is asked again before its two seconds are over, behind the requests (`keep_warm`),
    so that they find it answered. That an id of ours is not on file is never remembered, so a voice is guarded the
    moment it is being made; nor is a voice that is pending, failed or revoked.

    While the database cannot be asked, what is remembered is believed for as long as `outage` says (None: not at all).
    When the feed listens again everything is forgotten.
    """

    def __init__(
        self,
        database: Database,
        feed: ChangeFeed,
        *,
        outage: Outage | None = None,
        max_owned: int = 50_000,
        max_unlisted: int = 10_000,
        keep_seconds: float = 60,
    ) -> None:
        self._database = database
        self._feed = feed
        self._outage = outage or Outage(feed, Tasks(), believe_seconds=0)
        # Apart, so that a caller who asks for thousands of made-up ids cannot push out the owners.
        self._owned: Memory[str, _Standing] = Memory(
            feed, self._outage, max_entries=max_owned, keep_seconds=keep_seconds, announced=True
        )
        # An id comes on file unannounced when a voice begins to be made.
        self._unlisted: Memory[str, _Standing] = Memory(
            feed, self._outage, max_entries=max_unlisted, keep_seconds=UNLISTED_SECONDS, announced=False
        )
        self._warm: OrderedDict[str, float] = OrderedDict()
        """Texts that are not on file and were asked about again, and when that was last."""
        self._evictions = 0
        self.hits = self.misses = 0
        """Questions answered from memory, and others."""
        feed.subscribe(VOICES_CHANNEL, self._evict, lambda: None, self._clear)

    def __repr__(self) -> str:
        return f"OwnershipBook({len(self._owned)} owned and {len(self._unlisted)} unlisted ids cached)"

    async def forbidden(
        self,
        account_id: str,
        candidates: Collection[str],
        *,
        listed_only: str | None = None,
        serve_known: bool = False,
    ) -> frozenset[str]:
        """Which of these texts are ids of voices that the account may not use.

        Those on file, except the account's own active ones; ids are compared exactly, nothing is trimmed or folded.
        An id not on file is allowed, unless it begins with `listed_only`. At most one round trip to the database,
        none if everything is cached. When it is needed and cannot be made: with `serve_known`, the answer by what was
        known before, if that is enough to tell; otherwise DatabaseUnavailableError. An id not known is never forbidden
        for that.
        """
        asker = _Asker(account_id, listed_only)
        at_hand = self._at_hand(candidates)
        if at_hand is not None:
            self.hits += 1
            return asker.may_not_use(at_hand)
        ids = {each for each in candidates if can_be_voice_id(each)}
        self.misses += 1
        # About all of them, so that nothing of the answer is older than the question.
        look_up = partial(self._ask_for, asker, ids)
        if not serve_known:
            return await look_up()
        return await self._outage.ask(look_up, partial(self._recollect, asker, ids))

    async def judge(
        self,
        account_id: str,
        candidates: Collection[str],
        *,
        listed_only: str | None = None,
        serve_known: bool = False,
    ) -> Judgement:
        """What `forbidden` says of these texts, and if none is, where the account's voices among them live.

        In memory it is one look for both. Raises DatabaseUnavailableError, as either does.
        """
        at_hand = self._at_hand(candidates)
        if at_hand is not None:
            self.hits += 1
            refused = _Asker(account_id, listed_only).may_not_use(at_hand)
            return Judgement(refused, {} if refused else _places(at_hand))
        forbidden = await self.forbidden(account_id, candidates, listed_only=listed_only, serve_known=serve_known)
        return Judgement(forbidden, {} if forbidden else await self.at_provider(candidates))

    async def at_provider(self, voice_ids: Collection[str]) -> Mapping[str, VoiceAtProvider]:
        """Where those of these voices live that are on file.

        Ask for voices that were just found not to be forbidden: then no round trip is needed, unless what was found is
        forgotten already. Raises DatabaseUnavailableError where it is not known.
        """
        ours = {each for each in voice_ids if each.startswith(MINTED_PREFIX) and can_be_voice_id(each)}
        standings = self._all_owned(ours, self._owned.fresh)
        if standings is None:
            recollect = partial(self._all_owned, ours, self._owned.known)
            standings = await self._outage.ask(partial(self._look_up, ours), recollect)
        now = monotonic_seconds()
        adopted = {each: self._owned.known(each, now) for each in voice_ids if each not in standings}
        found = {**standings, **adopted}
        return _places({each: standing for each, standing in found.items() if standing is not None})

    def _all_owned(
        self, ids: Collection[str], look: Callable[[str, float], _Standing | None]
    ) -> dict[str, _Standing] | None:
        """What a look into the memory of owners says of all of these; None if it does not know one of them."""
        now = monotonic_seconds()
        standings = {each: standing for each in ids if (standing := look(each, now)) is not None}
        return standings if len(standings) == len(ids) else None

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
        if now - self._warm.get(text, -math.inf) < _NOTED_SECONDS:
            return
        self._warm[text] = now
        self._warm.move_to_end(text)
        if len(self._warm) > _WARM_MAX:
            self._warm.popitem(last=False)

    def _at_hand(self, candidates: Collection[str]) -> dict[str, _Standing] | None:
        """What is known of all of these that can be ids; None if one of them must be asked about."""
        now = monotonic_seconds()
        standings = self._owned.fresh_among(candidates, now)
        left = [each for each in candidates if each not in standings]
        for each in left:
            if each in self._unlisted:
                self._note_warm(each, now)
        standings |= self._unlisted.fresh_among(left, now)
        if len(standings) < len(candidates) and any(
            each not in standings and can_be_voice_id(each) for each in candidates
        ):
            return None
        return standings

    def _recollect(self, asker: _Asker, ids: Collection[str]) -> frozenset[str] | None:
        """What the asker may not use by what was known before; None if that does not tell."""
        standings: dict[str, _Standing] = {}
        now = monotonic_seconds()
        for each in ids:
            standing = self._owned.known(each, now)
            # Whether an id like this is on file decides, and it may be the asker's by now.
            if standing is None and not asker.needs_listing(each):
                standing = self._unlisted.known(each, now)
            if standing is not None:
                standings[each] = standing
        refused = asker.may_not_use(standings)
        return refused if refused or len(standings) == len(ids) else None

    async def _ask_for(self, asker: _Asker, ids: Collection[str]) -> frozenset[str]:
        return asker.may_not_use(await self._look_up(ids))

    async def _look_up(self, ids: Collection[str], sql: str = _LOOK_UP) -> dict[str, _Standing]:
        evictions = self._evictions
        # What is found is as old as the question: the answer may have been long on its way.
        asked_at = monotonic_seconds()
        rows = await self._database.fetch(sql, list(ids))
        found = {
            row["voice_id"]: _Standing(
                row["account_id"],
                row["status"] == "active",
                VoiceAtProvider(row["upstream"], row["provider_account"], row["provider_voice_id"]),
            )
            for row in rows
        }
        standings = {each: found.get(each, _UNLISTED) for each in ids}
        # An eviction while the answer travelled may have been for one of these: it must not come back to life.
        unchanged = evictions == self._evictions
        for each, standing in standings.items():
            memory = self._memory_of(each, standing)
            for other in (self._owned, self._unlisted):
                if other is not memory:
                    other.forget(each)
            if memory is not None and unchanged:
                memory.keep(each, standing, asked_at)
        return standings

    def _memory_of(self, voice_id: str, standing: _Standing) -> Memory[str, _Standing] | None:
        """Where such an answer is remembered, if it may be."""
        if standing.account_id is not None:
            return self._owned if standing.active else None
        return None if voice_id.startswith(MINTED_PREFIX) else self._unlisted

    def _evict(self, voice_id: str) -> None:
        self._evictions += 1
        self._owned.forget(voice_id)
        self._unlisted.forget(voice_id)

    def _clear(self) -> None:
        self._evictions += 1
        self._owned.clear()
        self._unlisted.clear()


def _places(standings: Mapping[str, _Standing]) -> dict[str, VoiceAtProvider]:
    return {each: standing.home for each, standing in standings.items() if standing.home is not None}

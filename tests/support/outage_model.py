"""A model of what one process may believe: it checks every answer while voices and keys change behind its back."""

from __future__ import annotations

import asyncio
from typing import Any

from feed_kit import Clock, DatabaseInHand, FeedInHand
from kyma_proxy.accounts.directory import KEYS_CHANNEL, KeyDirectory
from kyma_proxy.database.errors import DatabaseUnavailableError
from kyma_proxy.database.feed import SILENCE_SECONDS_MAX
from kyma_proxy.database.outage import RETRY_SECONDS, Outage
from kyma_proxy.tasks import Tasks
from kyma_proxy.voices.ownership import VOICES_CHANNEL, OwnershipBook

OUTAGE_SECONDS = 300.0
ADA, BOB = "acct_ada", "acct_bob"
OWN, SYSTEM, UNBORN = "kyma_0000000000000001", "alloy", "kyma_00000000000000ff"
KEY = "ky-one"


class World:
    """One process's caches, the tables that others change, and which of them it could have heard of."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.tasks = Tasks()
        self.feed = FeedInHand(clock)
        self.database = DatabaseInHand()
        outage = Outage(self.feed.as_feed, self.tasks, believe_seconds=OUTAGE_SECONDS)
        feed, database = self.feed.as_feed, self.database.as_database
        self.book = OwnershipBook(database, feed, outage=outage)
        self.directory = KeyDirectory(database, feed, outage=outage)
        self.database.voices = {OWN: (ADA, "active")}
        self.database.keys = {KEY: ("key_1", ADA)}
        self.closed_at: dict[str, float] = {}
        """Since when Ada may not use a voice or a key any more."""
        self.told: dict[str, float] = {}
        """Since when this process has heard that."""
        self.deaf_since: float | None = None
        self.listening_at = float("-inf")
        self.trouble_at = float("-inf")
        """When the database last was away, or silent while the feed was lost."""
        self.slow: list[asyncio.Task[None]] = []
        self.listen()

    def close(self, subject: str) -> None:
        """Ada's voice or key is revoked; a system voice is adopted by Bob; one is being made for him, unannounced."""
        if subject in self.closed_at:
            return
        self.closed_at[subject] = self.clock.now
        if subject == KEY:
            key_id, _ = self.database.keys.pop(subject)
            self._tell(subject, KEYS_CHANNEL, key_id)
        elif subject == UNBORN:
            self.database.voices[subject] = (BOB, "pending")
        else:
            self.database.voices[subject] = (ADA, "revoked") if subject == OWN else (BOB, "active")
            self._tell(subject, VOICES_CHANNEL, subject)

    def _tell(self, subject: str, channel: str, payload: str) -> None:
        if self.feed.connected and self.deaf_since is None:
            self.feed.tell(channel, payload)
            self.told[subject] = self.clock.now

    def go_deaf(self) -> None:
        if self.feed.connected and self.deaf_since is None:
            self.deaf_since = self.clock.now

    def lose(self) -> None:
        if self.feed.connected:
            self.feed.lose()
            self.deaf_since = None

    def listen(self) -> None:
        if not self.feed.connected and not self.database.away:
            self.feed.listen()
            self.listening_at = self.clock.now

    def go_away(self) -> None:
        self.database.away = True
        self.go_deaf()
        self.note_trouble()

    def come_back(self) -> None:
        self.note_trouble()
        self.database.away = False

    def note_trouble(self) -> None:
        silent = self.database.held is not None and not self.feed.connected
        if self.database.away or silent:
            self.trouble_at = self.clock.now

    def pass_seconds(self, seconds: float) -> None:
        if self.deaf_since is not None and self.clock.now + seconds >= self.deaf_since + SILENCE_SECONDS_MAX:
            self.lose()
        self.clock.now += seconds
        if self.feed.connected and self.deaf_since is None:
            self.feed.ping()
        self.note_trouble()

    def hold(self) -> None:
        if self.database.held is None:
            self.database.held = asyncio.Event()

    async def let_go(self) -> None:
        self.note_trouble()
        if self.database.held is not None:
            self.database.held.set()
            self.database.held = None
        await asyncio.gather(*self.slow)
        self.slow.clear()

    async def use(self, subjects: tuple[str, ...]) -> None:
        """Ask about voices, or about a key, and check the answer when it comes."""
        asking = asyncio.get_running_loop().create_task(self._use(subjects))
        self.slow.append(asking)
        # Long enough for an answer that is not held, and for one given up on.
        for _ in range(20):
            await asyncio.sleep(0)
        if self.database.held is None:
            await self.let_go()

    async def _use(self, subjects: tuple[str, ...]) -> None:
        began, was_away = self.clock.now, self.database.away
        # Computed now: what is learned while the answer travels may make it better, never worse.
        oldest = self._oldest_ground(began)
        try:
            if subjects == (KEY,):
                refused = set() if await self.directory.identify(KEY) else {KEY}
            else:
                refused = set(await self.book.forbidden(ADA, subjects, serve_known=True))
        except DatabaseUnavailableError:
            assert was_away or self.database.away, "503 though the database is there"
            return
        assert not (was_away and UNBORN in subjects), f"{UNBORN} was answered for though the database was away"
        self._check(subjects, refused, min(oldest, self._oldest_ground(self.clock.now)), began)

    def _oldest_ground(self, now: float) -> float:
        """The oldest moment whose state may decide now."""
        self.note_trouble()
        if now - self.trouble_at <= RETRY_SECONDS:
            return max(now - OUTAGE_SECONDS, self.listening_at)
        return now if self.deaf_since is None else self.deaf_since

    def _check(self, subjects: tuple[str, ...], refused: set[str], oldest: float, began: float) -> None:
        for each in refused:
            assert each in self.closed_at, f"{each} was refused and is Ada's to use"
            self.told.setdefault(each, self.clock.now)
        for each in subjects if not refused else ():
            closed_at = self.closed_at.get(each, float("inf"))
            assert closed_at > (began if each == UNBORN else oldest), f"{each} was closed {began - closed_at} s before"
            assert self.told.get(each, float("inf")) > began, f"{each} was known to be closed"

    def play(self, step: tuple[Any, ...]) -> Any:
        self.clock.now += 0.001
        return getattr(self, step[0])(*step[1:])

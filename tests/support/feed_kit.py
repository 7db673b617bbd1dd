"""A change feed, a database and a clock that a test holds in its hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Any, cast

from kyma_proxy.accounts.keys import hash_api_key
from kyma_proxy.database.errors import DatabaseUnavailableError
from kyma_proxy.database.feed import ChangeFeed
from kyma_proxy.database.pool import Database


class Clock:
    """Seconds that pass when the test says so; put it in the place of `monotonic_seconds`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class FeedInHand:
    """The state of a change feed and its subscribers, without a line."""

    def __init__(self, clock: Clock) -> None:
        self.connected = False
        self.heard_until = float("-inf")
        self._clock = clock
        self._subscribers: list[tuple[str, Callable[[str], None], Callable[[], None], Callable[[], None]]] = []

    @property
    def as_feed(self) -> ChangeFeed:
        """Itself, for those who want a `ChangeFeed`."""
        return cast(ChangeFeed, self)

    def subscribe(
        self,
        channel: str,
        on_message: Callable[[str], None],
        on_lost: Callable[[], None],
        on_connected: Callable[[], None],
    ) -> None:
        """As with `ChangeFeed`."""
        self._subscribers.append((channel, on_message, on_lost, on_connected))

    def listen(self) -> None:
        """The line is there (again)."""
        self.heard_until = self._clock()
        for _, _, _, on_connected in self._subscribers:
            on_connected()
        self.connected = True

    def ping(self) -> None:
        """The line has answered."""
        self.heard_until = self._clock()

    def lose(self) -> None:
        """The line is known to be gone."""
        self.connected = False
        for _, _, on_lost, _ in self._subscribers:
            on_lost()

    def tell(self, channel: str, payload: str) -> None:
        """News come over the line."""
        for subscribed, on_message, _, _ in self._subscribers:
            if subscribed == channel:
                on_message(payload)


class DatabaseInHand:
    """Two tables: `voices` (id to account and status) and `keys` (key to its id and account), and whether it is away.

    While `held` is set, answers are made at once, as the tables are then, but arrive only when the event is set.
    """

    def __init__(self) -> None:
        self.voices: dict[str, tuple[str, str]] = {}
        self.keys: dict[str, tuple[str, str]] = {}
        self.away = False
        self.held: asyncio.Event | None = None
        self.asked = 0
        """How often it was tried to ask it."""

    @property
    def as_database(self) -> Database:
        """Itself, for those who want a `Database`."""
        return cast(Database, self)

    async def fetch(self, _sql: str, ids: Collection[str]) -> list[dict[str, str | None]]:
        """The voices on file among these ids."""
        self._ask()
        rows: list[dict[str, str | None]] = []
        for each in ids:
            if each in self.voices:
                account_id, status = self.voices[each]
                home = {"provider_voice_id": each, "upstream": "minimax", "provider_account": "default"}
                rows.append({"voice_id": each, "account_id": account_id, "status": status, **home})
        await self._travel()
        return rows

    async def fetchrow(self, _sql: str, key_hash: bytes) -> dict[str, Any] | None:
        """The key with this hash."""
        self._ask()
        found = next((row for key, row in self.keys.items() if hash_api_key(key) == key_hash), None)
        await self._travel()
        return {"key_id": found[0], "account_id": found[1]} if found is not None else None

    def _ask(self) -> None:
        self.asked += 1
        if self.away:
            raise DatabaseUnavailableError

    async def _travel(self) -> None:
        if self.held is not None:
            await self.held.wait()

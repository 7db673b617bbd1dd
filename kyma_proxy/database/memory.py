"""Answers of the database that a process remembers, and when each was last known to be true."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from kyma_proxy.database.feed import ChangeFeed
from kyma_proxy.database.outage import Outage

K = TypeVar("K")
V = TypeVar("V")


class Memory(Generic[K, V]):
    """At most `max_entries` answers; the one kept longest ago goes first.

    An answer is *fresh*, to be used without asking, for `keep_seconds` and while the change feed is connected. After
    that it is merely *known*, for when the database cannot be asked, as long as `outage` believes it. With `announced`
    the feed tells of every change of such an answer: until the feed was lost it is known to be true. Whoever owns the
    memory forgets what the feed tells to have changed, and everything when the feed listens again.
    """

    def __init__(
        self, feed: ChangeFeed, outage: Outage, *, max_entries: int, keep_seconds: float, announced: bool
    ) -> None:
        self._feed = feed
        self._outage = outage
        self._max_entries = max_entries
        self._keep_seconds = keep_seconds
        self._announced = announced
        self._entries: OrderedDict[K, tuple[V, float]] = OrderedDict()

    def __repr__(self) -> str:
        return f"Memory({len(self)} of at most {self._max_entries})"

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: K) -> bool:
        """Whether it was kept, though it may be good no longer."""
        return key in self._entries

    def fresh(self, key: K, now: float) -> V | None:
        """The answer if it may be used without asking, else None; `now` in monotonic seconds."""
        entry = self._entries.get(key)
        if entry is None or now - entry[1] >= self._keep_seconds or not self._feed.connected:
            return None
        return entry[0]

    def fresh_among(self, keys: Iterable[K], now: float) -> dict[K, V]:
        """The answers that may be used without asking, of these; `now` in monotonic seconds."""
        if not self._feed.connected:
            return {}
        entries, keep_seconds = self._entries, self._keep_seconds
        return {
            key: entry[0] for key in keys if (entry := entries.get(key)) is not None and now - entry[1] < keep_seconds
        }

    def known(self, key: K, now: float) -> V | None:
        """The answer if it may be used instead of one that the database cannot give, else None."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        since = max(entry[1], self._feed.heard_until) if self._announced else entry[1]
        return entry[0] if self._outage.believes(since, now) else None

    def keep(self, key: K, value: V, asked_at: float) -> None:
        """Remember what the database answered; an answer is as old as its question."""
        self._entries[key] = (value, asked_at)
        self._entries.move_to_end(key)
        if len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)

    def forget(self, key: K) -> None:
        """It is neither fresh nor known any more; forgetting what is not there is harmless."""
        self._entries.pop(key, None)

    def forget_where(self, is_meant: Callable[[V], bool]) -> None:
        """Forget every answer of which `is_meant(answer)` holds."""
        for key in [key for key, (value, _) in self._entries.items() if is_meant(value)]:
            del self._entries[key]

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()

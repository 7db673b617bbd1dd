"""Who a key belongs to: the look-up of every guarded request, cached and evicted the moment a key is revoked."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from kyma_proxy.accounts.keys import hash_api_key, is_plausible
from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.database.feed import ChangeFeed
from kyma_proxy.database.pool import Database
from kyma_proxy.flow import Identity

KEYS_CHANNEL = "kyma_keys"
_LOOK_UP = "SELECT key_id, account_id FROM api_keys WHERE key_hash = $1 AND revoked_at IS NULL"


@dataclass(frozen=True, slots=True)
class _Entry:
    identity: Identity
    good_until: float


class KeyDirectory:
    """Finds the account of an API key.

    A key found is kept for `keep_seconds`, at most `max_entries` of them, and only while the change feed is connected:
    a revocation evicts it in every process, losing the feed empties the cache. Unknown keys are never kept, so a key
    works the moment it is made.
    """

    def __init__(
        self, database: Database, feed: ChangeFeed, *, max_entries: int = 50_000, keep_seconds: float = 60
    ) -> None:
        self._database = database
        self._feed = feed
        self._max_entries = max_entries
        self._keep_seconds = keep_seconds
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._evictions = 0
        feed.subscribe(KEYS_CHANNEL, self._evict, self._clear)

    def __repr__(self) -> str:
        return f"KeyDirectory({len(self._entries)} keys cached)"

    async def identify(self, api_key: str) -> Identity | None:
        """The account behind a key, or None if the key is unknown or revoked.

        Raises DatabaseUnavailableError when the key is not cached and the database cannot be asked: never None.
        """
        if not is_plausible(api_key):
            return None
        key_hash = hash_api_key(api_key)
        entry = self._entries.get(key_hash)
        if entry is not None and entry.good_until > monotonic_seconds():
            return entry.identity
        return await self._look_up(key_hash)

    async def _look_up(self, key_hash: bytes) -> Identity | None:
        evictions = self._evictions
        row = await self._database.fetchrow(_LOOK_UP, key_hash)
        if row is None:
            self._entries.pop(key_hash, None)
            return None
        identity = Identity(account_id=row["account_id"], key_id=row["key_id"])
        # An eviction while the answer travelled may have been for this key: it must not come back to life.
        if self._feed.connected and evictions == self._evictions:
            self._entries[key_hash] = _Entry(identity, monotonic_seconds() + self._keep_seconds)
            self._entries.move_to_end(key_hash)
            if len(self._entries) > self._max_entries:
                self._entries.popitem(last=False)
        return identity

    def _evict(self, key_id: str) -> None:
        self._evictions += 1
        for key_hash in [each for each, entry in self._entries.items() if entry.identity.key_id == key_id]:
            del self._entries[key_hash]

    def _clear(self) -> None:
        self._evictions += 1
        self._entries.clear()

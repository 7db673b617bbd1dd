"""Who a key belongs to: the look-up of every guarded request, cached and evicted the moment a key is revoked."""

from __future__ import annotations

from functools import partial

from kyma_proxy.accounts.keys import hash_api_key, is_plausible
from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.database.feed import ChangeFeed
from kyma_proxy.database.memory import Memory
from kyma_proxy.database.outage import Outage
from kyma_proxy.database.pool import Database
from kyma_proxy.flow import Identity
from kyma_proxy.tasks import Tasks

KEYS_CHANNEL = "kyma_keys"
_LOOK_UP = "SELECT key_id, account_id FROM api_keys WHERE key_hash = $1 AND revoked_at IS NULL"


class KeyDirectory:
    """Finds the account of an API key.

    A key found is kept for `keep_seconds`, at most `max_entries` of them, and used without asking while the change feed
    is connected: a revocation evicts it in every process. Without the feed the database is asked; only when it cannot
    be is a key that was seen before believed, for as long as `outage` says (None: never). When the feed listens again
    everything is forgotten. Unknown keys are never kept, so a key works the moment it is made.
    """

    def __init__(
        self,
        database: Database,
        feed: ChangeFeed,
        *,
        outage: Outage | None = None,
        max_entries: int = 50_000,
        keep_seconds: float = 60,
    ) -> None:
        self._database = database
        self._outage = outage or Outage(feed, Tasks(), believe_seconds=0)
        self._identities: Memory[bytes, Identity] = Memory(
            feed, self._outage, max_entries=max_entries, keep_seconds=keep_seconds, announced=True
        )
        self._evictions = 0
        self.hits = self.misses = 0
        """Questions answered from memory, and others."""
        feed.subscribe(KEYS_CHANNEL, self._evict, lambda: None, self._clear)

    def __repr__(self) -> str:
        return f"KeyDirectory({len(self._identities)} keys cached)"

    async def identify(self, api_key: str) -> Identity | None:
        """The account behind a key, or None if the key is unknown or revoked.

        Raises DatabaseUnavailableError when the key is not known and the database cannot be asked: never None.
        """
        if not is_plausible(api_key):
            return None
        key_hash = hash_api_key(api_key)
        identity = self._identities.fresh(key_hash, monotonic_seconds())
        if identity is not None:
            self.hits += 1
            return identity
        self.misses += 1
        return await self._outage.ask(partial(self._look_up, key_hash), partial(self._recollect, key_hash))

    def _recollect(self, key_hash: bytes) -> Identity | None:
        return self._identities.known(key_hash, monotonic_seconds())

    async def _look_up(self, key_hash: bytes) -> Identity | None:
        evictions = self._evictions
        asked_at = monotonic_seconds()
        row = await self._database.fetchrow(_LOOK_UP, key_hash)
        if row is None:
            self._identities.forget(key_hash)
            return None
        identity = Identity(account_id=row["account_id"], key_id=row["key_id"])
        # An eviction while the answer travelled may have been for this key: it must not come back to life.
        if evictions == self._evictions:
            self._identities.keep(key_hash, identity, asked_at)
        return identity

    def _evict(self, key_id: str) -> None:
        self._evictions += 1
        self._identities.forget_where(lambda identity: identity.key_id == key_id)

    def _clear(self) -> None:
        self._evictions += 1
        self._identities.clear()

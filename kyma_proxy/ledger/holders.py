"""Holders: processes whose holds nothing but themselves will end. One lease a process, by the database's clock."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

import structlog

from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.database.errors import DatabaseUnavailableError
from kyma_proxy.database.pool import Connection, Database
from kyma_proxy.ledger import holds

HOLDER_LEASE_SECONDS: Final = 30.0
"""How long the holds of a process stay open that is not heard of."""
_ACCOUNTS_MAX: Final = 1000

_RENEW = """
INSERT INTO holders (holder_id, lease_until) VALUES ($1, clock_timestamp() + make_interval(secs => $2))
ON CONFLICT (holder_id) DO UPDATE SET lease_until = excluded.lease_until
"""
_PRUNE = "DELETE FROM holders WHERE lease_until < clock_timestamp() - interval '1 day'"

_log = structlog.get_logger("kyma_proxy.ledger")


class Holder:
    """This process as a holder of holds.

    What it holds is safe from others while its lease lasts. A lease that ran out may be renewed: what others expired
    meanwhile stays expired, and ending it again changes nothing.
    """

    def __init__(self, database: Database, lease_seconds: float = HOLDER_LEASE_SECONDS) -> None:
        self.holder_id = f"holder_{secrets.token_hex(12)}"
        self._database = database
        self._lease_seconds = lease_seconds
        self._leased_until = float("-inf")

    def __repr__(self) -> str:
        return f"Holder({self.holder_id})"

    @property
    def renewal_seconds(self) -> float:
        """How often to renew: three times in a lease."""
        return self._lease_seconds / 3

    @property
    def is_leased(self) -> bool:
        """Whether what is held now is safe from others: false in a process that stood still for too long."""
        return monotonic_seconds() < self._leased_until

    async def require_lease(self) -> None:
        """Have a lease before something is held under it. Raises DatabaseUnavailableError.

        Costs nothing as long as renewing goes on.
        """
        if not self.is_leased:
            await self.renew()

    async def renew(self) -> None:
        """Lease anew, from now by the database's clock. Raises DatabaseUnavailableError."""
        asked_at = monotonic_seconds()
        await self._database.execute(_RENEW, self.holder_id, self._lease_seconds)
        # What is held in the last third of a lease is not held long enough for a renewal that is a little late.
        self._leased_until = asked_at + self._lease_seconds * 2 / 3

    async def leave(self) -> None:
        """Give the lease up: nothing more is held. What could not be ended is expired by others at once."""
        self._leased_until = float("-inf")
        try:
            await self._database.execute("DELETE FROM holders WHERE holder_id = $1", self.holder_id)
        except DatabaseUnavailableError:
            _log.info("holder_left_silently", holder_id=self.holder_id)


async def expire_left_over(database: Database, on_expired: Callable[[], None] = lambda: None) -> int:
    """Give back what processes without a lease left open, account by account; how many holds. Any process does it.

    Nothing of it is charged: nobody knows what was heard. Raises DatabaseUnavailableError.
    """
    expired = 0
    for _ in range(_ACCOUNTS_MAX):
        account_id, hold_ids = await database.transact(_expire_of_one)
        if account_id is None:
            break
        for hold_id in hold_ids:
            on_expired()
            _log.warning("hold_expired", account_id=account_id, hold_id=hold_id)
        expired += len(hold_ids)
    await database.execute(_PRUNE)
    return expired


async def _expire_of_one(connection: Connection) -> tuple[str | None, tuple[str, ...]]:
    account_id = await holds.find_left_over_account(connection)
    if account_id is None:
        return None, ()
    return account_id, tuple(await holds.expire_left_over(connection, account_id))

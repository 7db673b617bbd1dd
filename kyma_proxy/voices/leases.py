"""Leases: as long as a process lives and reaches the database, its running mints are its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from kyma_proxy.database.pool import Database
from kyma_proxy.voices import mints

LEASE_SECONDS: Final = 30.0
"""How long a mint belongs to a process that is not heard of: then its money goes back and its voice is deleted."""


class Leases:
    """The leases of the mints that run in this process, renewed in one statement, by the database's clock."""

    def __init__(self, database: Database, seconds: float = LEASE_SECONDS) -> None:
        self.seconds = seconds
        self._database = database
        self._held: set[str] = set()

    def __repr__(self) -> str:
        return f"Leases({len(self._held)} held)"

    @property
    def renewal_seconds(self) -> float:
        """How often to renew: three times in a lease."""
        return self.seconds / 3

    @contextmanager
    def held(self, voice_id: str) -> Iterator[None]:
        """Have this mint's lease renewed until the block ends."""
        self._held.add(voice_id)
        try:
            yield
        finally:
            self._held.discard(voice_id)

    async def renew(self) -> None:
        """Renew what is held. While the database is away leases may run out: then those mints are no longer ours.

        Raises DatabaseUnavailableError.
        """
        if self._held:
            held = list(self._held)
            await self._database.transact(lambda connection: mints.renew(connection, held, self.seconds))

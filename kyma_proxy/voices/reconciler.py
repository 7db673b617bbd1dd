"""The reconciler: ends the mints of processes that died. Any process does it for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import structlog

from kyma_proxy.database.pool import Connection, Database
from kyma_proxy.voices import mints
from kyma_proxy.voices.cleanups import ProviderCleanups
from kyma_proxy.voices.mints import Mint
from kyma_proxy.voices.provider import ProviderAccounts

LONGEST_CLONE_SECONDS: Final = 3600.0
"""Of a provider that is no longer configured, or was under another account then: its operator will need a while."""
_MINTS_MAX: Final = 1000

_log = structlog.get_logger("kyma_proxy.voices")


class Reconciler:
    """Ends mints whose lease ran out: the voice failed, the hold void, then deleted at the provider.

    Nothing is ever finished behind the client's back: whoever asked is told by a retry, which begins anew. The money
    goes back first, in one transaction, because it depends on nobody; a failed voice is denied to everyone meanwhile.
    """

    def __init__(
        self,
        database: Database,
        providers: Mapping[str, ProviderAccounts],
        cleanups: ProviderCleanups,
        on_voided: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._providers = providers
        self._cleanups = cleanups
        self._on_voided = on_voided

    async def run(self) -> int:
        """End every mint that is left over, then delete at providers what is due; how many mints were ended.

        Raises DatabaseUnavailableError.
        """
        ended = 0
        while ended < _MINTS_MAX and await self._end_one():
            ended += 1
        await self._cleanups.run_due()
        return ended

    async def _end_one(self) -> bool:
        mint = await self._database.transact(self._end)
        if mint is None:
            return False
        self._on_voided()
        _log.warning("mint_reconciled", voice_id=mint.voice_id, account_id=mint.account_id, hold_id=mint.hold_id)
        return True

    async def _end(self, connection: Connection) -> Mint | None:
        mint = await mints.find_left_over(connection)
        if mint is not None:
            home = mint.voice.home
            accounts = self._providers.get(home.upstream)
            provider = None if accounts is None else accounts.get(home.provider_account)
            seconds = LONGEST_CLONE_SECONDS if provider is None else provider.longest_clone_seconds
            await mints.fail(connection, mint, seconds)
        return mint

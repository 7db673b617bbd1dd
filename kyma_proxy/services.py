"""What the gateway lends to its plugins."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from kyma_proxy.accounts.directory import KeyDirectory
from kyma_proxy.ledger.charges import Charges
from kyma_proxy.observe.plugin_metrics import PluginMetrics
from kyma_proxy.pipeline.admission import Admission
from kyma_proxy.tasks import Tasks
from kyma_proxy.voices.keepalive import KeepAlive
from kyma_proxy.voices.library import VoiceLibrary
from kyma_proxy.voices.minting import Minting
from kyma_proxy.voices.ownership import OwnershipBook
from kyma_proxy.voices.provider import ProviderAccounts
from kyma_proxy.voices.uses import VoiceUses

T = TypeVar("T")


@dataclass(frozen=True)
class Services:
    """Handed to every plugin's constructor; the only door to the core."""

    keys: KeyDirectory
    minting: Minting
    ownership: OwnershipBook
    charges: Charges
    metrics: PluginMetrics
    voice_providers: Mapping[str, ProviderAccounts]
    admission: Admission
    tasks: Tasks
    library: VoiceLibrary
    voice_uses: VoiceUses
    keep_alive: KeepAlive

    async def finish(self, work: Coroutine[Any, Any, T], name: str) -> T:
        """Run work to its end even if the client leaves meanwhile, and return its result; drain waits for it."""
        return await self.tasks.finish(work, name)

"""MiniMax as an upstream: it speaks, and makes voices under ids that we choose, in one account there or in several."""

from __future__ import annotations

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.failpoints import NO_FAILPOINTS, Failpoints
from kyma_proxy.flow import Flow, Reply
from kyma_proxy.settings.models import MiniMaxUpstreamSettings
from kyma_proxy.tasks import Tasks
from kyma_proxy.upstreams.base import Upstream
from kyma_proxy.upstreams.doors import Health
from kyma_proxy.upstreams.minimax.account import AccountMeans, MiniMaxAccount
from kyma_proxy.upstreams.minimax.limits import LIMIT_OF, RateLimits
from kyma_proxy.upstreams.minimax.speech import SPEECH_PATH, Speech, Voices
from kyma_proxy.upstreams.transport import Transport
from kyma_proxy.voices.provider import ProviderAccounts
from kyma_proxy.windows import CallWindows


class MiniMaxUpstream(Upstream):
    """MiniMax's API. Clean-up of its accounts runs as obligations of `tasks`: stop after draining those."""

    def __init__(
        self,
        name: str,
        settings: MiniMaxUpstreamSettings,
        tasks: Tasks,
        *,
        failpoints: Failpoints = NO_FAILPOINTS,
        health: Health | None = None,
        windows: CallWindows | None = None,
    ) -> None:
        self.name = name
        self._transport = Transport(settings.doors, settings.timeouts, health)
        limits = RateLimits(name, settings, windows or CallWindows())
        means = AccountMeans(self._transport, limits, tasks, failpoints)
        accounts = {
            each.provider_account: MiniMaxAccount(name, each, settings, means) for each in settings.all_accounts
        }
        weights = [each.weight for each in settings.all_accounts]
        weighted = list(zip(accounts.values(), weights, strict=True))
        self.voice_accounts = ProviderAccounts(weighted, lambda kind, account: limits.has_room(LIMIT_OF[kind], account))
        """A MakesVoices."""
        calls = {account: each.calls for account, each in accounts.items()}
        self._speech = Speech(Voices(name, calls, self.voice_accounts, limits), limits, settings)

    async def start(self) -> None:
        """Open the pool."""
        await self._transport.start()

    async def stop(self) -> None:
        """Close the pool."""
        await self._transport.stop()

    async def send(self, flow: Flow) -> Reply:
        """Speech, from the JSON body that a plugin has checked; see `Speech.speak` for what it raises.

        Raises GatewayError NOT_FOUND for everything else, and for speech that no plugin has checked.
        """
        if flow.document is None or (flow.method, flow.path) != ("POST", SPEECH_PATH):
            raise GatewayError(ErrorCode.NOT_FOUND, "This upstream serves no such endpoint.")
        return await self._speech.speak(flow, flow.document)

"""One account at MiniMax, with its key: what makes voices there, and deletes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kyma_proxy.errors import NotAdmittedError
from kyma_proxy.failpoints import Failpoints
from kyma_proxy.settings.models import MiniMaxAccountSettings, MiniMaxUpstreamSettings
from kyma_proxy.tasks import Tasks
from kyma_proxy.upstreams.minimax.calls import Calls, Credentials
from kyma_proxy.upstreams.minimax.client import MiniMaxClient
from kyma_proxy.upstreams.minimax.cloning import Cloning
from kyma_proxy.upstreams.minimax.limits import CLONE, DESIGN, RateLimits
from kyma_proxy.upstreams.minimax.making import make_once
from kyma_proxy.upstreams.transport import Transport
from kyma_proxy.voices.provider import ProviderError, Recording, Spoken, StoredUpload, VoiceDesign
from kyma_proxy.voices.registry import VoiceOrigin

DEFAULT_MODEL = "speech-02-turbo"
"""What a line is spoken with where no model is configured for speech."""


@dataclass(frozen=True, slots=True)
class AccountMeans:
    """What the accounts of an upstream share; the upstream starts and stops the transport.

    Clean-up runs as obligations of `tasks`: the transport is to be stopped after draining those.
    """

    transport: Transport
    limits: RateLimits
    tasks: Tasks
    failpoints: Failpoints


class MiniMaxAccount:
    """A VoiceProvider."""

    def __init__(
        self,
        name: str,
        account: MiniMaxAccountSettings,
        settings: MiniMaxUpstreamSettings,
        means: AccountMeans,
    ) -> None:
        self.name = name
        self.provider_account = account.provider_account
        self.longest_clone_seconds = max(settings.longest_clone_seconds, settings.clone_timeout_seconds)
        self.unused_seconds: float | None = settings.unused_voice_hours * 3600
        self.calls = Calls(means.transport, Credentials(account.api_key, account.group_id))
        self._limits = means.limits
        models = sorted(settings.models.values())
        self._cheapest_model = next((it for it in models if "turbo" in it), models[0] if models else DEFAULT_MODEL)
        self._client = MiniMaxClient(self.calls, settings.clone_timeout_seconds, failpoints=means.failpoints)
        self._cloning = Cloning(self._client, means.tasks)

    def __repr__(self) -> str:
        return f"MiniMaxAccount({self.name!r}, {self.provider_account!r})"

    async def clone_voice(self, voice_id: str, recording: Recording, caller: str | None = None) -> None:
        """Make the voice from the recording; see `Cloning.clone`. Raises ProviderError, NotAdmittedError."""
        await self._limits.admit(CLONE, self.provider_account, caller)
        await self._cloning.clone(voice_id, recording)

    async def design_voice(self, voice_id: str, design: VoiceDesign, caller: str | None = None) -> str:
        """Make the voice from its description; the id that it has here. Raises ProviderError, NotAdmittedError.

        An answer that was lost is asked for once more under the same id; where the provider insists on its own ids,
        the first voice is then left over there, under an id that nobody was ever told.
        """
        await self._limits.admit(DESIGN, self.provider_account, caller)
        return await make_once(lambda: self._client.voice_design(voice_id, design), voice_id, voice_id)

    async def speak_a_line(self, voice_id: str, text: str) -> Spoken:
        """Speak with a voice by its id here, in the cheapest model that is configured. Raises ProviderError."""
        try:
            await self._limits.admit(self._cheapest_model, self.provider_account)
        except NotAdmittedError as error:
            raise ProviderError(error.message, should_retry=True) from error
        return await self._client.speak(self._cheapest_model, voice_id, text)

    async def delete_voice(self, voice_id: str, kind: VoiceOrigin) -> None:
        """Delete a voice by its id here; deleting one that is not there is success. Raises ProviderError."""
        await self._client.delete_voice(voice_id, kind)

    async def list_uploads(self) -> Sequence[StoredUpload]:
        """The recordings that `clone_voice` uploaded and that still lie there. Raises ProviderError."""
        return await self._cloning.list_uploads()

    async def delete_upload(self, file_id: int) -> None:
        """Delete an uploaded recording; deleting one that is not there is success. Raises ProviderError."""
        await self._client.delete_file(file_id)

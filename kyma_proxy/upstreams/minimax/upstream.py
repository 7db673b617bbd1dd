"""MiniMax as an upstream: it speaks, and makes voices under ids that we choose."""

from __future__ import annotations

import asyncio

import structlog

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.flow import Flow, Reply
from kyma_proxy.settings.models import MiniMaxUpstreamSettings
from kyma_proxy.tasks import Tasks
from kyma_proxy.upstreams.base import Upstream
from kyma_proxy.upstreams.minimax.calls import Calls, Credentials
from kyma_proxy.upstreams.minimax.client import MiniMaxClient
from kyma_proxy.upstreams.minimax.speech import SPEECH_PATH, Speech
from kyma_proxy.upstreams.transport import Transport
from kyma_proxy.voices.provider import ProviderError, Recording

CLEANUP_DELAYS_SECONDS = (0.5, 2.0, None)
"""How long to wait after each attempt at deleting an upload; None ends the attempts. Short: a drain waits for them."""

_log = structlog.get_logger("kyma_proxy.upstreams.minimax")


class MiniMaxUpstream(Upstream):
    """One account at MiniMax (a VoiceProvider). Clean-up runs as obligations of `tasks`: stop after draining those."""

    def __init__(self, name: str, settings: MiniMaxUpstreamSettings, tasks: Tasks) -> None:
        self.name = name
        self.provider_account = settings.provider_account
        self._tasks = tasks
        self._transport = Transport(str(settings.base_url), settings.timeouts)
        calls = Calls(self._transport, Credentials(settings.api_key, settings.group_id))
        self._client = MiniMaxClient(calls, settings.clone_timeout_seconds)
        self._speech = Speech(calls, settings)

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

    async def clone_voice(self, voice_id: str, recording: Recording) -> None:
        """Upload the recording and make the voice from it. Raises ProviderError.

        `outcome_known` is false when the voice may exist all the same. The uploaded file is deleted afterwards, come
        what may, without the caller waiting for it.
        """
        filename = f"{voice_id}.{recording.extension}"
        try:
            file_id = await self._client.upload_file(recording, filename)
        except ProviderError as error:
            if not error.outcome_known:
                _log.warning("provider_upload_left_over", filename=filename)
            raise _nothing_cloned(error) from error
        try:
            await self._client.voice_clone(file_id, voice_id)
        finally:
            self._tasks.oblige(self._delete_upload(file_id, filename), f"delete upload of {voice_id}")

    async def delete_voice(self, voice_id: str) -> None:
        """Delete a cloned voice; deleting one that is not there is success. Raises ProviderError."""
        await self._client.delete_voice(voice_id)

    async def _delete_upload(self, file_id: int, filename: str) -> None:
        """Delete an upload in a few attempts, of which a second one does no harm; what is left over is logged."""
        for delay_seconds in CLEANUP_DELAYS_SECONDS:
            try:
                return await self._client.delete_file(file_id)
            except ProviderError as error:
                if delay_seconds is None or (error.outcome_known and not error.should_retry):
                    break
                await asyncio.sleep(delay_seconds)
        _log.warning("provider_upload_left_over", filename=filename, file_id=file_id)
        return None


def _nothing_cloned(error: ProviderError) -> ProviderError:
    """A failed upload as the failure of a clone: whatever became of the file, no voice was made of it."""
    return ProviderError(error.message, code=error.code, should_retry=error.should_retry)

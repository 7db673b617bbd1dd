"""Cloning at MiniMax: two calls, of which either may have worked although its answer was lost, and a clean-up."""

from __future__ import annotations

import asyncio
import re
from typing import Final

import structlog

from kyma_proxy.tasks import Tasks
from kyma_proxy.upstreams.minimax.client import MiniMaxClient
from kyma_proxy.upstreams.minimax.making import make_once
from kyma_proxy.voices.ownership import MINTED_PREFIX
from kyma_proxy.voices.provider import ProviderError, Recording, StoredUpload

CLEANUP_DELAYS_SECONDS = (0.5, 2.0, None)
"""How long to wait after each attempt at deleting an upload; None ends the attempts. Short: a drain waits for them."""
_UPLOAD_NAME: Final = re.compile(rf"({MINTED_PREFIX}[0-9a-f]{{16}})\.(?:mp3|wav|m4a)")

_log = structlog.get_logger("kyma_proxy.upstreams.minimax")


class Cloning:
    """Uploads recordings, makes voices from them, finds its uploads again. Clean-up runs as obligations of `tasks`."""

    def __init__(self, client: MiniMaxClient, tasks: Tasks) -> None:
        self._client = client
        self._tasks = tasks

    async def clone(self, voice_id: str, recording: Recording) -> None:
        """Upload the recording and make the voice from it. Raises ProviderError.

        A clone whose answer was lost is asked for once more under the same id. `outcome_known` is false when the voice
        may exist all the same, or the upload. That is deleted afterwards, come what may, without the caller waiting.
        """
        filename = f"{voice_id}.{recording.extension}"
        file_id = await self._upload(recording, filename)
        try:
            await make_once(lambda: self._client.voice_clone(file_id, voice_id), voice_id, None)
        finally:
            self._tasks.oblige(self._delete_upload(file_id, filename), f"delete upload of {voice_id}")

    async def list_uploads(self) -> list[StoredUpload]:
        """The uploads under names that `clone` gives; whatever else is in the account is not ours.

        Raises ProviderError.
        """
        named = [(file_id, _UPLOAD_NAME.fullmatch(name)) for file_id, name in await self._client.list_files()]
        return [StoredUpload(file_id, match[1]) for file_id, match in named if match is not None]

    async def _upload(self, recording: Recording, filename: str) -> int:
        try:
            return await self._client.upload_file(recording, filename)
        except ProviderError as error:
            if error.code is None:
                raise
            # The provider itself said no: there is no file, and no voice was made of it.
            raise ProviderError(error.message, code=error.code, should_retry=error.should_retry) from error

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

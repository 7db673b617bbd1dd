"""The `voice_library` plugin: whose key, whose voice → the books; everything else → the route's upstream, untouched."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from kyma_proxy.api import (
    ANY_SEGMENT,
    DatabaseUnavailableError,
    Endpoint,
    ErrorCode,
    Flow,
    GatewayError,
    Identity,
    KeepAliveTerms,
    LibraryVoice,
    Plugin,
    Proceed,
    Reply,
    UnknownCursorError,
)
from kyma_voice_library.config import VoiceLibraryConfig
from kyma_voice_library.shapes import (
    asks_for_mine,
    invalid,
    new_name,
    page_fields,
    page_wanted,
    to_json,
    voice_fields,
    voice_id_of,
)

LIST: Final = "/v1/audio/voices"
_OURS: Final = "kyma_"


class VoiceLibrary(Plugin[VoiceLibraryConfig]):
    """Shares `/v1/audio/voices` with the origin, which keeps its list and whatever is not on file here."""

    name = "voice_library"
    config_model = VoiceLibraryConfig
    endpoints = (
        Endpoint(LIST, frozenset({"GET"}), shared=True),
        Endpoint(f"{LIST}/{ANY_SEGMENT}", frozenset({"GET", "PATCH", "DELETE"}), shared=True),
    )

    _keeping: asyncio.Task[None] | None = None

    @classmethod
    def explain(cls, config: VoiceLibraryConfig) -> Mapping[str, str]:
        """Who is answered here, and what becomes of voices that nobody uses."""
        kept = f"{config.keep_alive_hours:g} hours before their end, at most {config.keep_alive_per_hour} an hour"
        return {
            "answers itself": "?scope=mine, and voices on file, for callers with a key of the gateway",
            "unused voices": f"are made to speak {kept}" if config.keep_alive else "are left to the provider",
        }

    async def start(self) -> None:
        """Begin to keep voices alive, if that is wanted."""
        if self.config.keep_alive:
            terms = KeepAliveTerms(
                self.config.keep_alive_hours * 3600, self.config.keep_alive_per_hour, self.config.keep_alive_line
            )
            work = self.services.keep_alive.follow(self.config.upstream, terms)
            self._keeping = self.services.tasks.spawn(work, name="keep voices alive")

    async def stop(self) -> None:
        """Leave them alone; another process, or the next configuration, goes on."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])

    async def handle(self, flow: Flow, proceed: Proceed) -> Reply:
        """Answer an owner's request, or proceed with it as it came.

        Raises GatewayError VOICE_NOT_FOUND for a voice on file that is not the caller's (any more), INVALID_REQUEST,
        IN_PROGRESS for one that is still being made, UNAVAILABLE where the books cannot be asked and may know.
        """
        voice_id = None if flow.path == LIST else voice_id_of(flow)
        if voice_id is None and not (flow.path == LIST and asks_for_mine(flow.target.raw_query)):
            return await proceed(flow)
        try:
            identity = await self._caller(flow)
            voice = None if identity is None or voice_id is None else await self.services.library.find(voice_id)
        except DatabaseUnavailableError:
            if voice_id is None or voice_id.startswith(_OURS):
                raise
            return await proceed(flow)
        if identity is None or (voice_id is not None and voice is None):
            return await proceed(flow)
        flow.identity = identity
        if voice is None:
            return await self._list(flow, identity.account_id)
        if not voice.is_there_for(identity.account_id):
            raise _not_found()
        if flow.method == "GET":
            return Reply.json(to_json(voice_fields(voice)))
        return await (self._rename(flow, voice) if flow.method == "PATCH" else self._delete(voice))

    async def _caller(self, flow: Flow) -> Identity | None:
        """Who asks; None without one key that the gateway knows: then it is the upstream's to judge."""
        values = flow.headers.getall("Authorization", [])
        if len(values) != 1:
            return None
        scheme, _, api_key = values[0].strip().partition(" ")
        return await self.services.keys.identify(api_key.strip()) if scheme.lower() == "bearer" else None

    async def _list(self, flow: Flow, account_id: str) -> Reply:
        limit, after = page_wanted(flow.target.raw_query, self.config.max_page)
        try:
            page = await self.services.library.page(account_id, limit, after)
        except UnknownCursorError as error:
            raise invalid("`after` names no voice of yours.") from error
        return Reply.json(to_json(page_fields(page.voices, has_more=page.has_more)))

    async def _rename(self, flow: Flow, voice: LibraryVoice) -> Reply:
        name = await new_name(flow, self.config.max_name_chars)
        renamed = await self.services.library.rename(voice.account_id, voice.voice_id, name)
        if renamed is None:
            raise _not_found()
        return Reply.json(to_json(voice_fields(renamed)))

    async def _delete(self, voice: LibraryVoice) -> Reply:
        if voice.status == "pending":
            message = "This voice is still being made. Delete it once it is there."
            raise GatewayError(ErrorCode.REQUEST_IN_PROGRESS, message, headers={"Retry-After": "5"})
        if not await self.services.library.delete(voice.account_id, voice.voice_id):
            raise _not_found()
        return Reply.json(to_json({"voice_id": voice.voice_id, "deleted": True}))


def _not_found() -> GatewayError:
    # The same whether it is another's, failed or deleted.
    return GatewayError(ErrorCode.VOICE_NOT_FOUND, "You have no such voice.")

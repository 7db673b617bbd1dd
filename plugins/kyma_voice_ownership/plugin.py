"""The `voice_ownership` plugin: one strict reading of the body → every voice id → the books → 403, or proceed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from kyma_proxy.api import (
    BodyUse,
    Endpoint,
    ErrorCode,
    Flow,
    GatewayError,
    Plugin,
    Proceed,
    Reply,
    Spool,
    VoiceAtProvider,
    WholeBody,
    is_gzip,
    parse_document,
    read_whole,
    require_utf_8,
    unpack,
)
from kyma_voice_ownership.candidates import texts_of_form, texts_of_target, voice_candidates
from kyma_voice_ownership.config import VoiceOwnershipConfig
from kyma_voice_ownership.places import require_voice_shapes

LOGGED_CHARS_MAX = 64
"""How much of a client's own words goes into the log."""
OFF_LOOP_BYTES = 8 * 1024
"""A body larger than this, or packed, is read in a thread, so that others need not wait for it."""


class VoiceOwnership(Plugin[VoiceOwnershipConfig]):
    """Guards `POST /v1/audio/speech`, whichever model and upstream it goes to."""

    name = "voice_ownership"
    config_model = VoiceOwnershipConfig
    endpoints = (Endpoint("/v1/audio/speech", frozenset({"POST"})),)
    needs = frozenset({"identity"})
    provides = frozenset({"model"})

    @classmethod
    def body_use(cls, config: VoiceOwnershipConfig) -> BodyUse:
        """The whole body."""
        return Spool(config.max_body_bytes)

    @classmethod
    def explain(cls, config: VoiceOwnershipConfig) -> Mapping[str, str]:
        """What is refused, and what happens without a database."""
        facts = {
            "refuses": "a voice on file that is not active or not the caller's",
            "without a database": "voices seen before go on" if _serves_known(config) else "refuses every request",
        }
        if config.deny_unlisted_prefix:
            facts["refuses as well"] = f"ids not on file that begin with {config.reserved_prefix}"
        return facts

    async def handle(self, flow: Flow, proceed: Proceed) -> Reply:
        """Proceed with a body in which every voice may be used by the caller, and with what was read of it.

        Sets `document`, `model` and `voices_at_provider`; the body goes on byte for byte as it came. Raises
        GatewayError INVALID_REQUEST, TOO_LARGE, UNSUPPORTED_FORMAT for a body that cannot be read in one way,
        VOICE_NOT_OWNED, UNAVAILABLE.
        """
        if flow.identity is None:
            raise RuntimeError("voice_ownership stands behind a plugin that provides an identity")
        require_utf_8(flow.headers.getall("Content-Type", []))
        packed = is_gzip(flow.headers.getall("Content-Encoding", []))
        received = await read_whole(flow.body)
        if packed or len(received) > OFF_LOOP_BYTES:
            document, candidates = await asyncio.to_thread(self._read, flow, received, packed)
        else:
            document, candidates = self._read(flow, received, packed)
        model = _model(document)
        flow.voices_at_provider = await self._allowed(flow, flow.identity.account_id, candidates)
        flow.document, flow.model, flow.body = document, model, WholeBody(received)
        flow.facts["model"] = None if model is None else model[:LOGGED_CHARS_MAX]
        return await self._proceed(flow, proceed)

    async def _proceed(self, flow: Flow, proceed: Proceed) -> Reply:
        """Proceed, and have noted what that shows of the caller's own voices."""
        voices = tuple(flow.voices_at_provider)
        try:
            reply = await proceed(flow)
        except GatewayError:
            if flow.voice_gone and len(voices) == 1:
                self.services.voice_uses.lost(voices[0])
            raise
        if voices and reply.status == 200:
            self.services.voice_uses.spoke(voices)
        return reply

    def _read(self, flow: Flow, received: bytes, packed: bool) -> tuple[dict[str, Any], frozenset[str]]:
        """The document in the body, and every text of the request that could be a voice id."""
        content = unpack(received, self.config.max_body_bytes) if packed else received
        document = parse_document(content)
        require_voice_shapes(document)
        target = texts_of_target(flow.target.raw_path, flow.target.raw_query)
        texts = chain(target, _texts_of_other_reading(flow, content))
        return document, voice_candidates(document, texts, self.config.reserved_prefix)

    async def _allowed(self, flow: Flow, account_id: str, candidates: frozenset[str]) -> Mapping[str, VoiceAtProvider]:
        """The caller's own voices among these texts, and where they live. Raises GatewayError VOICE_NOT_OWNED."""
        judged = await self.services.ownership.judge(
            account_id,
            candidates,
            listed_only=self.config.reserved_prefix if self.config.deny_unlisted_prefix else None,
            serve_known=_serves_known(self.config),
        )
        if judged.forbidden:
            flow.facts["voices_refused"] = len(judged.forbidden)
            # Nothing of the voice may show: neither whose it is nor in which state.
            raise GatewayError(ErrorCode.VOICE_NOT_OWNED, "This request names a voice that your account does not own.")
        return judged.at_provider


def _serves_known(config: VoiceOwnershipConfig) -> bool:
    return config.when_database_is_down == "serve_known"


def _model(document: Mapping[str, Any]) -> str | None:
    model = document.get("model")
    if not isinstance(model, str | None):
        raise GatewayError(ErrorCode.INVALID_REQUEST, "`model` must be a string.")
    return model


def _texts_of_other_reading(flow: Flow, content: bytes) -> Iterator[str]:
    """The texts of the body read as a form, if it calls itself one: an origin may believe it."""
    if any("urlencoded" in value.lower() for value in flow.headers.getall("Content-Type", [])):
        yield from texts_of_form(content.decode("utf-8"))

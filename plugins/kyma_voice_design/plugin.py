"""The `voice_design` plugin: description → minted voice → reply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kyma_proxy.api import (
    AskingProvider,
    Attempt,
    BodyUse,
    Endpoint,
    Flow,
    Identity,
    MintOrder,
    Plugin,
    Proceed,
    Repetition,
    Reply,
    Spool,
    fingerprint_of,
    format_usd,
    is_gzip,
    minted_reply,
    parse_document,
    read_repetition,
    read_whole,
    require_utf_8,
    unpack,
)
from kyma_voice_design.config import VoiceDesignConfig
from kyma_voice_design.request import DesignRequest, read_design_request


class VoiceDesigner(Plugin[VoiceDesignConfig]):
    """Guards `POST /v1/audio/voice-design`. The order of refusals is that of a clone."""

    name = "voice_design"
    config_model = VoiceDesignConfig
    endpoints = (Endpoint("/v1/audio/voice-design", frozenset({"POST"})),)
    needs = frozenset({"identity"})
    proceeds = False

    @classmethod
    def body_use(cls, config: VoiceDesignConfig) -> BodyUse:
        """The whole body."""
        return Spool(config.max_body_bytes)

    @classmethod
    def explain(cls, config: VoiceDesignConfig) -> Mapping[str, str]:
        """Price, provider and limits."""
        return {
            "price": f"${format_usd(config.price_usd)} a voice",
            "provider": config.upstream,
            "models": ", ".join(config.models),
            "description": f"at most {config.max_description_chars} characters",
        }

    async def handle(self, flow: Flow, proceed: Proceed) -> Reply:
        """Answer the request; it never proceeds."""
        if flow.identity is None:
            raise RuntimeError("voice_design stands behind a plugin that provides an identity")
        repetition = read_repetition(flow.headers)
        request = read_design_request(await self._document(flow), self.config)
        # It is bought whether or not its client waits for it.
        work = self._mint(flow, flow.identity, request, repetition)
        return await self.services.finish(work, name=f"voice_design {flow.id}")

    async def _document(self, flow: Flow) -> dict[str, Any]:
        require_utf_8(flow.headers.getall("Content-Type", []))
        packed = is_gzip(flow.headers.getall("Content-Encoding", []))
        received = await read_whole(flow.body)
        return parse_document(unpack(received, self.config.max_body_bytes) if packed else received)

    async def _mint(self, flow: Flow, identity: Identity, request: DesignRequest, repetition: Repetition) -> Reply:
        upstream = self.config.upstream
        provider = self.services.voice_providers[upstream].choose_for("design")
        design = request.design(self.config.default_preview_text)
        fingerprint = fingerprint_of(
            *(self.name, request.model, request.name, request.description, request.preview_text),
            *(request.gender, request.age_group),
        )
        attempt = Attempt(flow.path, fingerprint, repetition, flow.client_connected)
        order = MintOrder(identity.account_id, "design", request.name, self.config.price_usd, provider, attempt)

        async def create(voice_id: str) -> str:
            flow.facts["voice_id"] = voice_id
            with await self.services.admission.enter(flow, upstream), AskingProvider(flow, upstream):
                return await provider.design_voice(voice_id, design, identity.account_id)

        reply = await self.services.minting.mint(order, create, lambda minted: minted_reply(minted, request.model))
        flow.charged = True
        return reply

"""A request becomes an order, with the provider's id as it was given."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from multidict import CIMultiDict

from kyma_proxy.api import ErrorCode, Flow, GatewayError, Identity, ProviderAccounts, Reply, VoiceDesign
from kyma_proxy.testing.flows import BytesBody, make_flow
from kyma_proxy.testing.services import MintingWithoutBooks, make_services
from kyma_voice_design.config import VoiceDesignConfig
from kyma_voice_design.plugin import VoiceDesigner

ADA = Identity("acct_ada", "key_1")


class Provider:
    name = "minimax"
    provider_account = "default"

    def __init__(self) -> None:
        self.designed: list[tuple[str, VoiceDesign]] = []

    async def design_voice(self, voice_id: str, design: VoiceDesign, caller: str | None = None) -> str:
        self.designed.append((voice_id, design))
        return "ttv-voice-1"


class Stage:
    def __init__(self, **config: Any) -> None:
        self.minting, self.provider = MintingWithoutBooks(), Provider()
        providers: Any = {"minimax": ProviderAccounts([(self.provider, 1)])}
        services = make_services(minting=self.minting, voice_providers=providers)
        self.plugin = VoiceDesigner(VoiceDesignConfig(upstream="minimax", **config), services)

    async def handle(self, flow: Flow) -> Reply:
        async def proceed(_flow: Flow) -> Reply:
            pytest.fail("voice_design never proceeds")

        return await self.plugin.handle(flow, proceed)


def asked(content: bytes | None = None, headers: Any = None, **fields: Any) -> Flow:
    body = json.dumps({"description": "Calm.", **fields}).encode() if content is None else content
    return make_flow(path="/v1/audio/voice-design", headers=headers, body=BytesBody([body[:5], body[5:]]), identity=ADA)


async def test_an_order_and_its_reply() -> None:
    stage, flow = Stage(), asked(name="keeper", gender="male")
    reply = await stage.handle(flow)
    assert reply.status == 200
    assert isinstance(reply.body, bytes)
    assert json.loads(reply.body)["model"] == "minimax-voice-design"
    (order,) = stage.minting.orders
    assert (order.account_id, order.kind, order.name, order.price_micros) == ("acct_ada", "design", "keeper", 4_200_000)
    ((voice_id, design),) = stage.provider.designed
    assert flow.facts["voice_id"] == voice_id
    assert design.prompt == "The voice of a man. Calm."
    assert flow.charged


async def test_equal_content_has_equal_fingerprints_and_other_content_has_not() -> None:
    stage = Stage()
    for fields in ({}, {}, {"gender": "male"}, {"age_group": "young"}, {"name": "x"}, {"preview_text": "x"}):
        await stage.handle(asked(**fields))
    first, same, *others = [order.attempt.fingerprint for order in stage.minting.orders]
    assert first == same
    assert len({first, *others}) == 5


async def test_the_body_may_be_packed_and_is_bounded() -> None:
    packed = gzip.compress(b'{"description": "Calm."}')
    headers = CIMultiDict({"Content-Encoding": "gzip"})
    assert (await Stage().handle(asked(packed, headers))).status == 200
    with pytest.raises(GatewayError) as caught:
        await Stage(max_body_bytes=10).handle(asked(packed, headers))
    assert caught.value.code is ErrorCode.TOO_LARGE


async def test_it_stands_behind_a_plugin_that_identifies() -> None:
    flow = asked()
    flow.identity = None
    with pytest.raises(RuntimeError):
        await Stage().handle(flow)


def test_explain() -> None:
    assert VoiceDesigner.explain(VoiceDesignConfig(upstream="minimax"))["price"] == "$4.20 a voice"

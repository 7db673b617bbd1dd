"""The plugin by itself: order of refusals, what is released, and who is asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from kyma_proxy.api import (
    ClientLeftError,
    ErrorCode,
    Flow,
    GatewayError,
    Identity,
    ProviderAccounts,
    Recording,
    Reply,
)
from kyma_proxy.testing.audio import silent_wav
from kyma_proxy.testing.flows import BytesBody, make_flow
from kyma_proxy.testing.services import MintingWithoutBooks, make_services
from kyma_voice_clone.config import VoiceCloneConfig
from kyma_voice_clone.plugin import VoiceClone

ADA = Identity("acct_ada", "key_1")


class _Provider:
    name = "minimax"
    provider_account = "default"

    def __init__(self) -> None:
        self.cloned: list[tuple[str, bytes, str]] = []

    async def clone_voice(self, voice_id: str, recording: Recording, caller: str | None = None) -> None:
        self.cloned.append((voice_id, bytes(recording.data), recording.extension))

    async def delete_voice(self, voice_id: str, kind: str) -> None:
        return None


class _Stage:
    def __init__(self, config: dict[str, Any]) -> None:
        self.minting, self.provider = MintingWithoutBooks(), _Provider()
        providers = {"minimax": ProviderAccounts([(self.provider, 1)])}
        services = make_services(minting=self.minting, voice_providers=providers)
        self.plugin = VoiceClone(VoiceCloneConfig.model_validate({"upstream": "minimax", **config}), services)

    async def handle(self, flow: Flow) -> Reply:
        async def proceed(_flow: Flow) -> Reply:
            pytest.fail("voice_clone never proceeds")

        return await self.plugin.handle(flow, proceed)


@pytest.fixture
async def make_stage() -> AsyncIterator[Callable[..., Awaitable[_Stage]]]:
    started: list[VoiceClone] = []

    async def make(**config: Any) -> _Stage:
        stage = _Stage(config)
        await stage.plugin.start()
        started.append(stage.plugin)
        return stage

    yield make
    for plugin in started:
        await plugin.stop()


def form_flow(recording: bytes, **fields: str) -> Flow:
    parts = [f'--b\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode() for k, v in fields.items()]
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.xyz"\r\n\r\n'
    return make_flow(
        headers={"Content-Type": "multipart/form-data; boundary=b"},
        body=BytesBody([*parts, head, recording, b"\r\n--b--\r\n"]),
        identity=ADA,
    )


async def refusal(stage: _Stage, flow: Flow) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await stage.handle(flow)
    return caught.value


async def test_a_judged_recording_is_minted_and_the_reply_tells_what_happened(make_stage: Any) -> None:
    stage = await make_stage()
    recording = silent_wav(12)
    flow = form_flow(recording, name="narrator")
    reply = await stage.handle(flow)
    assert stage.provider.cloned == [("kyma_0123456789abcdef", recording, "wav")]
    (order,) = stage.minting.orders
    assert (order.account_id, order.kind, order.name, order.price_micros) == (
        "acct_ada",
        "clone",
        "narrator",
        2_100_000,
    )
    assert json.loads(reply.body) == {
        "voice_id": "kyma_0123456789abcdef",
        "name": "narrator",
        "model": "minimax-voice-clone",
        "cost_usd": 2.1,
        "balance_usd": 47.9,
    }
    assert (reply.headers["X-Kyma-Cost-USD"], reply.headers["X-Kyma-Balance-USD"]) == ("2.10", "47.90")
    assert (flow.facts["audio_format"], flow.facts["audio_seconds"]) == ("wav", 12.0)
    assert flow.facts["audio_rule"]


async def test_the_first_model_is_the_default_and_others_may_be_listed(make_stage: Any) -> None:
    stage = await make_stage(models=["clone-a", "clone-b"])
    assert json.loads((await stage.handle(form_flow(silent_wav(12)))).body)["model"] == "clone-a"
    assert json.loads((await stage.handle(form_flow(silent_wav(12), model="clone-b"))).body)["model"] == "clone-b"
    assert (await refusal(stage, form_flow(silent_wav(12), model="x"))).code is ErrorCode.NOT_A_VOICE_CLONE_MODEL


async def test_limits_are_settings(make_stage: Any) -> None:
    stage = await make_stage(min_seconds=1, max_seconds=2, max_file_bytes=40_000, max_name_chars=3)
    assert (await stage.handle(form_flow(silent_wav(1.5), name="abc"))).status == 200
    for flow, code in (
        (form_flow(silent_wav(0.9)), ErrorCode.REFERENCE_TOO_SHORT),
        (form_flow(silent_wav(2.1)), ErrorCode.REFERENCE_TOO_LONG),
        (form_flow(silent_wav(3)), ErrorCode.TOO_LARGE),
        (form_flow(silent_wav(1.5), name="abcd"), ErrorCode.INVALID_REQUEST),
    ):
        assert (await refusal(stage, flow)).code is code
    assert len(stage.minting.orders) == 1


async def test_every_refusal_gives_its_slot_back(make_stage: Any) -> None:
    stage = await make_stage(max_uploads_in_flight=1)
    for _ in range(3):
        await refusal(stage, form_flow(b""))
        await refusal(stage, form_flow(b"not audio"))
        await refusal(stage, form_flow(silent_wav(1)))
    assert (await stage.handle(form_flow(silent_wav(12)))).status == 200


async def test_a_client_that_left_before_the_hold_changes_nothing(make_stage: Any) -> None:
    stage = await make_stage()
    flow = form_flow(silent_wav(12))
    flow.client_connected = lambda: False
    with pytest.raises(ClientLeftError):
        await stage.handle(flow)
    assert not stage.minting.orders


async def test_a_handler_that_is_cancelled_leaves_the_mint_running(make_stage: Any) -> None:
    stage = await make_stage()
    gate = asyncio.Event()

    async def slow(voice_id: str, recording: Recording, caller: str | None = None) -> None:
        await gate.wait()
        stage.provider.cloned.append((voice_id, bytes(recording.data), recording.extension))

    stage.provider.clone_voice = slow
    recording = silent_wav(12)
    task = asyncio.get_running_loop().create_task(stage.handle(form_flow(recording)))
    while not stage.minting.orders:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.set()
    assert await stage.plugin.services.tasks.drain(5)
    assert stage.provider.cloned == [("kyma_0123456789abcdef", recording, "wav")], "the upload was not freed under it"


async def test_without_an_identity_it_fails_closed(make_stage: Any) -> None:
    stage = await make_stage()
    flow = form_flow(silent_wav(12))
    flow.identity = None
    with pytest.raises(RuntimeError):
        await stage.handle(flow)


def test_what_it_reads_and_costs_can_be_told_without_starting_it() -> None:
    config = VoiceCloneConfig.model_validate({"upstream": "minimax", "price_usd": "2.10"})
    assert VoiceClone.body_use(config).max_bytes == 11 * 1024 * 1024  # type: ignore[union-attr]
    assert VoiceClone.explain(config)["price"] == "$2.10 a voice"

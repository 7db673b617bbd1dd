"""What was heard is charged: by how it ended and by how many bytes of it the client's socket took."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from multidict import CIMultiDict
from prometheus_client import CollectorRegistry

from kyma_proxy.api import ClientLeftError, Delivery, Ending, EndReason, ErrorCode, Flow, GatewayError, Identity, Reply
from kyma_proxy.testing.flows import make_flow
from kyma_proxy.testing.services import ChargesInMemory, make_services
from kyma_speech_metering.config import SpeechMeteringConfig
from kyma_speech_metering.plugin import SpeechMetering

FRAME = bytes.fromhex("fffb9064") + bytes(413)
COMPLETED = Ending(EndReason.COMPLETED)
LEFT = Ending(EndReason.CLIENT_LEFT, "in_answer")
SLOW = Ending(EndReason.TIMED_OUT, "client_answer")
FAILED = Ending(EndReason.UPSTREAM_FAILED, "broke_off")
IDLE_UPSTREAM = Ending(EndReason.TIMED_OUT, "upstream_idle")
DRAINED = Ending(EndReason.DRAINED)
CRASHED = Ending(EndReason.PLUGIN_CRASHED, "gateway")
MICROS = 420
"""Five characters at $0.084 a thousand."""


class Audio:
    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece

    async def aclose(self) -> None:
        pass


def asked(model: str | None = "turbo", text: str = "Hello") -> Flow:
    flow = make_flow(path="/v1/audio/speech", identity=Identity("acct_ada", "key_1"))
    flow.model, flow.document = model, {"model": model, "input": text, "voice": "x"}
    return flow


def answering(body: Any, content_type: str = "audio/mpeg", status: int = 200) -> Any:
    async def proceed(_flow: Flow) -> Reply:
        return Reply(status, CIMultiDict({"Content-Type": content_type}), body)

    return proceed


class Stage:
    def __init__(self, **config: Any) -> None:
        self.registry = CollectorRegistry()
        self.charges = ChargesInMemory(balance_micros=1_000)
        prices = {"prices_usd_per_1k_chars": {"turbo": "0.084"}, "free": ["gift"]}
        self.plugin = SpeechMetering(
            SpeechMeteringConfig(**prices, **config),
            make_services(charges=self.charges, registry=self.registry),
        )

    async def refused(self, flow: Flow, proceed: Any = None) -> GatewayError:
        with pytest.raises(GatewayError) as caught:
            await self.plugin.handle(flow, proceed or answering(FRAME))
        return caught.value


async def test_a_whole_answer_is_held_for_and_charged_at_its_end() -> None:
    stage, flow = Stage(), asked()
    reply = await stage.plugin.handle(flow, answering(FRAME))
    assert dict(reply.headers) == {
        "Content-Type": "audio/mpeg",
        "X-Kyma-Model": "turbo",
        "X-Kyma-Chars-Billed": "5",
        "X-Kyma-Cost-USD": "0.00042",
        "X-Kyma-Balance-USD": "0.00058",
    }
    assert (stage.charges.open_micros, stage.charges.posted) == (MICROS, [])
    flow.end(Delivery(200, COMPLETED, len(FRAME)))
    assert stage.charges.posted == [MICROS]
    assert flow.facts["cost_usd"] == "0.00042"
    assert stage.registry.get_sample_value("kyma_speech_chars_total", {"model": "turbo"}) == 5
    charged = stage.registry.get_sample_value("kyma_speech_charged_usd_total", {"model": "turbo"})
    assert charged == pytest.approx(0.00042)


@pytest.mark.parametrize("ending", [COMPLETED, LEFT, SLOW, FAILED, IDLE_UPSTREAM, DRAINED, CRASHED], ids=str)
@pytest.mark.parametrize("streamed", [False, True])
async def test_at_every_byte_of_the_answer(ending: Ending, streamed: bool) -> None:
    for taken in range(len(FRAME) + 100):
        stage, flow = Stage(), asked()
        pieces = [FRAME[:100], FRAME[100:] + bytes(20), bytes(100)]
        reply = await stage.plugin.handle(flow, answering(Audio(*pieces) if streamed else b"".join(pieces)))
        if not isinstance(reply.body, bytes):
            sent = 0
            async for piece in reply.body:  # type: ignore[union-attr]
                sent += len(piece)
                if sent >= taken:
                    break
        flow.end(Delivery(200, ending, taken))
        assert stage.charges.posted == ([MICROS] if taken >= len(FRAME) else []), taken
        assert stage.charges.open_micros == 0


@pytest.mark.parametrize(
    ("table", "ending", "is_charged"),
    [
        ({"client_left": "nothing"}, LEFT, False),
        ({"client_left": "nothing"}, SLOW, False),
        ({"client_left": "nothing"}, FAILED, True),
        ({"provider_failed": "nothing"}, FAILED, False),
        ({"provider_failed": "nothing"}, IDLE_UPSTREAM, False),
        ({"provider_failed": "nothing"}, DRAINED, True),
        ({"gateway_stopped": "nothing"}, DRAINED, False),
        ({"gateway_stopped": "nothing"}, CRASHED, False),
        ({"gateway_stopped": "nothing"}, LEFT, True),
        (dict.fromkeys(("client_left", "provider_failed", "gateway_stopped"), "nothing"), COMPLETED, True),
    ],
)
async def test_the_table_decides_what_an_early_end_costs(
    table: dict[str, str], ending: Ending, is_charged: bool
) -> None:
    stage, flow = Stage(settle=table), asked()
    await stage.plugin.handle(flow, answering(FRAME))
    flow.end(Delivery(200, ending, len(FRAME)))
    assert stage.charges.posted == ([MICROS] if is_charged else [])
    assert stage.charges.open_micros == 0


async def test_an_answer_that_was_never_begun_costs_nothing() -> None:
    stage, flow = Stage(), asked()

    async def left(_flow: Flow) -> Reply:
        raise ClientLeftError

    with pytest.raises(ClientLeftError):
        await stage.plugin.handle(flow, left)
    flow.end(Delivery(200, LEFT, 0))
    assert (stage.charges.posted, stage.charges.voided) == ([], [MICROS])


@pytest.mark.parametrize("status", [None, 500, 206])
async def test_another_answer_in_the_place_of_the_audio_costs_nothing(status: int | None) -> None:
    stage, flow = Stage(), asked()
    await stage.plugin.handle(flow, answering(b"ab", "audio/pcm"))
    flow.end(Delivery(status, COMPLETED, 500))
    assert (stage.charges.posted, stage.charges.open_micros) == ([], 0)


async def test_the_money_is_back_before_a_refusal_is_answered() -> None:
    stage = Stage()

    async def refuse(_flow: Flow) -> Reply:
        assert stage.charges.open_micros == MICROS
        raise GatewayError(ErrorCode.PROVIDER_ERROR, "no")

    assert (await stage.refused(asked(), refuse)).code is ErrorCode.PROVIDER_ERROR
    assert (stage.charges.open_micros, stage.charges.voided) == (0, [MICROS])


@pytest.mark.parametrize("status", [302, 404, 500])
async def test_an_answer_that_is_no_success_costs_nothing_and_stays_as_it_is(status: int) -> None:
    stage, flow = Stage(), asked()
    reply = await stage.plugin.handle(flow, answering(FRAME, status=status))
    assert (reply.status, reply.body, list(reply.headers)) == (status, FRAME, ["Content-Type"])
    flow.end(Delivery(200, COMPLETED, len(FRAME)))
    assert (stage.charges.posted, stage.charges.open_micros) == ([], 0)


async def test_too_little_money_and_no_books() -> None:
    stage = Stage()
    assert (await stage.refused(asked(text="x" * 12))).code is ErrorCode.BILLING_ERROR
    stage.charges.away = True
    assert (await stage.refused(asked())).code is ErrorCode.UNAVAILABLE


async def test_the_text_is_looked_at_before_the_money() -> None:
    stage = Stage(max_input_chars=3)
    stage.charges.balance_micros = 0
    assert (await stage.refused(asked(text="four"))).code is ErrorCode.INPUT_TOO_LONG
    assert (await stage.refused(asked(text=""))).code is ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize("model", [None, "eleven", "TURBO"])
async def test_what_has_no_price_passes(model: str | None) -> None:
    stage = Stage()
    reply = await stage.plugin.handle(asked(model, text=""), answering(FRAME))
    assert list(reply.headers) == ["Content-Type"]
    assert stage.charges.open_micros == 0


async def test_a_free_model_is_measured_and_not_charged() -> None:
    stage, flow = Stage(), asked("gift")
    stage.charges.away = True
    reply = await stage.plugin.handle(flow, answering(FRAME))
    assert reply.headers["X-Kyma-Cost-USD"] == "0.00"
    assert "X-Kyma-Balance-USD" not in reply.headers
    flow.end(Delivery(200, COMPLETED, len(FRAME)))
    assert stage.charges.posted == []


@pytest.mark.parametrize(("counted", "word"), [(5, "the_same"), (6, "more"), (4, "less"), (None, None)])
async def test_the_providers_count_is_only_compared(counted: int | None, word: str | None) -> None:
    stage, flow = Stage(), asked()
    await stage.plugin.handle(flow, answering(FRAME))
    flow.facts["usage_characters"] = counted
    flow.end(Delivery(200, COMPLETED, len(FRAME)))
    assert stage.charges.posted == [MICROS]
    for each in ("the_same", "more", "less"):
        labels = {"model": "turbo", "provider_counts": each}
        assert stage.registry.get_sample_value("kyma_speech_usage_total", labels) == (1 if each == word else None)


async def test_it_stands_behind_the_plugins_that_it_needs() -> None:
    flow = asked()
    flow.identity = None
    with pytest.raises(RuntimeError):
        await Stage().plugin.handle(flow, answering(FRAME))


def test_explain_names_the_prices() -> None:
    facts = SpeechMetering.explain(SpeechMeteringConfig(prices_usd_per_1k_chars={"turbo": "0.084"}))
    assert facts["price of turbo"] == "$0.084 per 1,000 characters"

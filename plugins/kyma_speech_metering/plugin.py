"""The `speech_metering` plugin: price → hold → speech → what was heard decides whether it is charged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kyma_proxy.api import (
    MICROS_PER_USD,
    Charge,
    Delivery,
    Ending,
    Endpoint,
    EndReason,
    ErrorCode,
    Flow,
    GatewayError,
    InsufficientFundsError,
    Plugin,
    Proceed,
    Reply,
    ReplyTunnel,
    Services,
    format_usd,
    spoken_text,
)
from kyma_speech_metering.audition import WatchedAudio
from kyma_speech_metering.config import Cost, SettleTable, SpeechMeteringConfig, price_micros
from kyma_speech_metering.frames import FirstFrame

GIVE_BACK_SECONDS: Final = 2.0
"""An error answer waits this long for the money to be available again."""


class SpeechMetering(Plugin[SpeechMeteringConfig]):
    """Guards `POST /v1/audio/speech` inside `voice_ownership`: models with a price are charged by their input."""

    name = "speech_metering"
    config_model = SpeechMeteringConfig
    endpoints = (Endpoint("/v1/audio/speech", frozenset({"POST"})),)
    needs = frozenset({"identity", "model"})
    provides = frozenset({"metering"})

    def __init__(self, config: SpeechMeteringConfig, services: Services) -> None:
        super().__init__(config, services)
        counter = services.metrics.counter
        self._chars = counter("kyma_speech_chars_total", "Characters of input that were charged.", ["model"])
        self._usd = counter("kyma_speech_charged_usd_total", "What was charged for speech, in dollars.", ["model"])
        self._compared = counter(
            "kyma_speech_usage_total",
            "Answers whose provider told how many characters it counted, by how that compares with our count.",
            ["model", "provider_counts"],
        )

    @classmethod
    def explain(cls, config: SpeechMeteringConfig) -> Mapping[str, str]:
        """The prices."""
        facts = {
            f"price of {sku}": f"${format_usd(micros)} per 1,000 characters"
            for sku, micros in config.prices_usd_per_1k_chars.items()
        }
        return {**facts, "input": f"at most {config.max_input_chars} characters of priced models"}

    async def handle(self, flow: Flow, proceed: Proceed) -> Reply:
        """Hold the price, have the speech made, charge it if it was heard.

        Raises GatewayError INPUT_TOO_LONG, INVALID_REQUEST and BILLING_ERROR before anything is asked for, UNAVAILABLE
        when the books cannot be reached, and whatever `proceed` raises: then the money is back.
        """
        sku = flow.model
        if sku is None or not (sku in self.config.prices_usd_per_1k_chars or sku in self.config.free):
            # Whoever serves it charges for it.
            return await proceed(flow)
        if flow.identity is None or flow.document is None:
            raise RuntimeError("speech_metering stands behind plugins that provide an identity and a document")
        chars = len(spoken_text(flow.document, self.config.max_input_chars))
        if sku in self.config.free:
            return _signed(await proceed(flow), sku, 0, {"X-Kyma-Cost-USD": format_usd(0)})
        micros = price_micros(chars, self.config.prices_usd_per_1k_chars[sku])
        sale = _Sale(sku, chars, self.services.charges.open(flow.identity.account_id, micros, "speech"))
        flow.when_ended(lambda delivery: self._settle(flow, sale, delivery))
        balance_micros = await _hold(sale)
        try:
            reply = await proceed(flow)
        except GatewayError:
            await sale.charge.give_back(GIVE_BACK_SECONDS)
            raise
        if not 200 <= reply.status < 300:
            await sale.charge.give_back(GIVE_BACK_SECONDS)
            return reply
        _watch(reply, sale)
        money = {"X-Kyma-Cost-USD": format_usd(micros), "X-Kyma-Balance-USD": format_usd(balance_micros - micros)}
        return _signed(reply, sku, chars, money)

    def _settle(self, flow: Flow, sale: _Sale, delivery: Delivery) -> None:
        """The request is over: charge it, or give the money back."""
        if sale.was_heard(delivery) and _cost(self.config.settle, delivery.ending) == "full":
            sale.charge.post()
            flow.facts["cost_usd"] = format_usd(sale.charge.amount_micros)
            self._chars.add(sale.chars, model=sale.sku)
            self._usd.add(sale.charge.amount_micros / MICROS_PER_USD, model=sale.sku)
        else:
            sale.charge.void()
            flow.facts["cost_usd"] = format_usd(0)
        self._compare(sale, flow.facts.get("usage_characters"))

    def _compare(self, sale: _Sale, counted: object) -> None:
        """Hold our count against the provider's. Ours is what the client pays for, whatever that one says."""
        if isinstance(counted, int):
            difference = counted - sale.chars
            word = "the_same" if difference == 0 else "more" if difference > 0 else "less"
            self._compared.add(model=sale.sku, provider_counts=word)


@dataclass(slots=True)
class _Sale:
    """Speech that somebody pays for."""

    sku: str
    chars: int
    charge: Charge
    status: int = 200
    first: FirstFrame | None = None
    """Where the first frame of its audio ends; None as long as there is no audio."""

    def was_heard(self, delivery: Delivery) -> bool:
        """Whether the client was sent a whole frame of the audio, and not an error in its place."""
        end = None if self.first is None else self.first.end
        return delivery.status == self.status and end is not None and delivery.body_bytes >= end


async def _hold(sale: _Sale) -> int:
    try:
        return await sale.charge.hold()
    except InsufficientFundsError as error:
        price = format_usd(sale.charge.amount_micros)
        message = f"This speech costs ${price} and your available balance is less."
        raise GatewayError(ErrorCode.BILLING_ERROR, message) from error


def _watch(reply: Reply, sale: _Sale) -> None:
    """Note where the first whole frame of the audio ends."""
    sale.status = reply.status
    sale.first = FirstFrame(reply.headers.get("Content-Type", ""))
    if isinstance(reply.body, bytes):
        sale.first.feed(reply.body)
    elif not isinstance(reply.body, ReplyTunnel):
        reply.body = WatchedAudio(reply.body, sale.first)


def _signed(reply: Reply, sku: str, chars: int, money: Mapping[str, str]) -> Reply:
    """The reply with what it says of its price."""
    if 200 <= reply.status < 300:
        reply.headers.update({"X-Kyma-Model": sku, "X-Kyma-Chars-Billed": str(chars), **money})
    return reply


def _cost(table: SettleTable, ending: Ending) -> Cost:
    """What a request costs whose audio was heard, by how it ended."""
    if ending.reason is EndReason.COMPLETED:
        return "full"
    if ending.reason is EndReason.CLIENT_LEFT or ending.by == "client_answer":
        return table.client_left
    if ending.reason in (EndReason.UPSTREAM_FAILED, EndReason.TIMED_OUT):
        return table.provider_failed
    return table.gateway_stopped

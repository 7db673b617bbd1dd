"""Config of `speech_metering`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Annotated, Literal

from pydantic import Field

from kyma_proxy.api import ConfigProblem, PluginConfig, UsdPrice

Cost = Literal["full", "nothing"]
_PRICES = "prices_usd_per_1k_chars"


class SettleTable(PluginConfig):
    """What a request costs that ended early, once at least one whole frame of audio was written to the client.

    Before that it costs nothing, and an answer that was written whole costs its full price.
    """

    client_left: Cost = Field(default="full", description="The client hung up, or stopped taking its answer.")
    provider_failed: Cost = Field(default="full", description="The provider failed or broke off within its answer.")
    gateway_stopped: Cost = Field(
        default="full", description="The gateway cut the answer off: it stopped and drained too long, or failed."
    )


class SpeechMeteringConfig(PluginConfig):
    """What speech costs."""

    prices_usd_per_1k_chars: Mapping[str, UsdPrice] = Field(
        min_length=1,
        description="What 1,000 characters (Unicode code points) of input cost, by model: decimal strings with at most "
        "six decimals. What a request costs is rounded up to whole micro-dollars.",
    )
    free: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=(), description="Models that are meant to cost nothing."
    )
    max_input_chars: int = Field(default=5000, gt=0, description="The longest `input`, in code points.")
    settle: SettleTable = Field(
        default_factory=SettleTable,
        description="What early endings cost, once a whole frame of audio was written to the client.",
    )

    def problems(self, skus: frozenset[str]) -> Iterable[ConfigProblem]:
        """Models that are served and have no price, and zeros that are not marked as meant.

        A price list may be longer than what this file serves.
        """
        prices = self.prices_usd_per_1k_chars
        unserved = prices.keys() - skus
        for sku in sorted(skus - prices.keys() - set(self.free)):
            near = get_close_matches(sku, unserved, n=1)
            hint = f"; {near[0]} has one" if near else ""
            yield ConfigProblem((_PRICES,), f"{sku} has no price: give it one, or list it in `free`{hint}")
        for sku, micros in prices.items():
            if micros == 0 and sku not in self.free:
                yield ConfigProblem((_PRICES, sku), "costs nothing: list the model in `free` if that is meant")
            if micros > 0 and sku in self.free:
                yield ConfigProblem((_PRICES, sku), "has a price, while the model is listed in `free`")


def price_micros(chars: int, micros_per_1k: int) -> int:
    """What `chars` code points cost in micro-dollars, rounded up to a whole one."""
    return -(-chars * micros_per_1k // 1000)

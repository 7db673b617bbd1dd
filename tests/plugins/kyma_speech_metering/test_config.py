"""Prices: exact, complete, and zero only where it is meant."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from kyma_speech_metering.config import SpeechMeteringConfig, price_micros

SKUS = frozenset({"hd", "turbo"})
PRICES = {"hd": "0.14", "turbo": "0.084"}


def config(**fields: Any) -> SpeechMeteringConfig:
    return SpeechMeteringConfig(**{"prices_usd_per_1k_chars": PRICES, **fields})


def told(made: SpeechMeteringConfig, skus: frozenset[str] = SKUS) -> list[tuple[tuple[str, ...], str]]:
    return [(problem.path, problem.message) for problem in made.problems(skus)]


@given(chars=st.integers(0, 5000), micros=st.integers(0, 10**9))
def test_a_price_is_the_exact_one_rounded_up(chars: int, micros: int) -> None:
    exact = Fraction(chars * micros, 1000)
    assert 0 <= price_micros(chars, micros) - exact < 1


def test_prices_are_decimal_strings_with_at_most_six_decimals() -> None:
    assert config(prices_usd_per_1k_chars={"hd": "0.000001"}).prices_usd_per_1k_chars == {"hd": 1}
    for wrong in (0.14, "0.0000001", "-1", "much", None):
        with pytest.raises(ValidationError):
            config(prices_usd_per_1k_chars={"hd": wrong})
    with pytest.raises(ValidationError):
        config(prices_usd_per_1k_chars={})


def test_prices_that_fit() -> None:
    assert told(config()) == []
    assert told(config(prices_usd_per_1k_chars={"hd": "0.14"}, free=["turbo"])) == []
    assert told(config(prices_usd_per_1k_chars={"hd": "0.14", "turbo": "0"}, free=["turbo"])) == []
    assert told(config(prices_usd_per_1k_chars={**PRICES, "another": "1"}, free=["and-another"])) == []


@pytest.mark.parametrize(
    ("fields", "path", "message"),
    [
        ({"prices_usd_per_1k_chars": {"hd": "1"}}, ("prices_usd_per_1k_chars",), "turbo has no price"),
        (
            {"prices_usd_per_1k_chars": {"hd": "1", "turbo": "0"}},
            ("prices_usd_per_1k_chars", "turbo"),
            "costs nothing",
        ),
        ({"free": ["hd"]}, ("prices_usd_per_1k_chars", "hd"), "has a price"),
        (
            {"prices_usd_per_1k_chars": {"hd": "1", "tubro": "1"}},
            ("prices_usd_per_1k_chars",),
            "turbo has no price: give it one, or list it in `free`; tubro has one",
        ),
    ],
)
def test_prices_that_do_not_fit(fields: dict[str, Any], path: tuple[str, ...], message: str) -> None:
    ((where, what),) = told(config(**fields))
    assert where == path
    assert message in what


def test_the_table_knows_only_full_and_nothing() -> None:
    assert config().settle.client_left == "full"
    assert config(settle={"client_left": "nothing"}).settle.client_left == "nothing"
    with pytest.raises(ValidationError):
        config(settle={"client_left": "half"})
    with pytest.raises(ValidationError):
        config(settle={"before_audio": "full"})

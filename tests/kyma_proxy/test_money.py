"""Money in text and numbers."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from kyma_proxy.money import MAX_MICROS, UsdPrice, format_usd, parse_usd, usd_number

micros = st.integers(-MAX_MICROS, MAX_MICROS)


@pytest.mark.parametrize(
    ("text", "expected"), [("2.10", 2_100_000), ("25", 25_000_000), ("0.000648", 648), ("-1.5", -1_500_000), ("0", 0)]
)
def test_decimals_are_read_exactly(text: str, expected: int) -> None:
    assert parse_usd(text) == expected


@pytest.mark.parametrize(
    "text", ["", "2,10", "nan", "inf", "-inf", "1e3", "0.0000001", "1_000", "٣", " 1", "--1", ".", "1000000000.000001"]
)
def test_what_is_not_a_plain_decimal_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"dollars|micro-dollar"):
        parse_usd(text)


@pytest.mark.parametrize(
    ("amount", "text"), [(2_100_000, "2.10"), (648, "0.000648"), (0, "0.00"), (-47_900_000, "-47.90"), (1, "0.000001")]
)
def test_amounts_print_two_decimals_at_least(amount: int, text: str) -> None:
    assert format_usd(amount) == text


@given(micros)
def test_printing_and_reading_are_inverse(amount: int) -> None:
    assert parse_usd(format_usd(amount)) == amount


@given(micros)
def test_json_numbers_are_the_exact_decimal(amount: int) -> None:
    assert Decimal(json.dumps(usd_number(amount))) * 1_000_000 == amount


class _Priced(BaseModel):
    price: UsdPrice


def test_a_price_is_a_decimal_string() -> None:
    assert _Priced(price="2.10").price == 2_100_000  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [2.1, 2, "-1", "free", None])
def test_a_price_of_another_type_is_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        _Priced(price=value)  # type: ignore[arg-type]

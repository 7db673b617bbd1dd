"""Money: integer micro-dollars inside, decimal text and JSON numbers outside."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

MICROS_PER_USD = 1_000_000
MAX_MICROS = 10**15  # a billion dollars: far from bigint's end, so sums cannot overflow


def parse_usd(text: str) -> int:
    """Micro-dollars of a plain decimal such as `2.10`.

    Raises ValueError for what is not a finite decimal in plain notation, is finer than a micro-dollar, or is beyond
    a billion dollars either way.
    """
    if not text.isascii() or not text.strip("+-").replace(".", "", 1).isdigit():
        raise ValueError(f"{text!r} is not an amount in dollars such as 2.10")
    try:
        micros = Decimal(text) * MICROS_PER_USD
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is not an amount in dollars such as 2.10") from error
    if micros != micros.to_integral_value():
        raise ValueError(f"{text!r} is finer than a micro-dollar (six decimals)")
    if abs(micros) > MAX_MICROS:
        raise ValueError(f"{text!r} is beyond a billion dollars")
    return int(micros)


def format_usd(micros: int) -> str:
    """Dollars with at least two decimals and no more than needed: 2100000 → `2.10`, 648 → `0.000648`."""
    sign = "-" if micros < 0 else ""
    dollars, fraction = divmod(abs(micros), MICROS_PER_USD)
    digits = f"{fraction:06d}".rstrip("0").ljust(2, "0")
    return f"{sign}{dollars}.{digits}"


def usd_number(micros: int) -> float:
    """The amount as a JSON number; up to a billion dollars its shortest form is the exact decimal."""
    return micros / MICROS_PER_USD


def _price(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError('a price is a decimal string: write it in quotes, such as "2.10"')
    micros = parse_usd(value)
    if micros < 0:
        raise ValueError("a price cannot be negative")
    return micros


UsdPrice = Annotated[int, BeforeValidator(_price), PlainSerializer(format_usd)]
"""A price in a plugin's config: written as a decimal string in dollars, held as micro-dollars."""

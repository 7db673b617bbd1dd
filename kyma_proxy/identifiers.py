"""Identifiers that only have to be different: a request's, a trace's. Nothing secret is made here."""

from __future__ import annotations

from random import Random

_random = Random()  # noqa: S311 - seeded by the system once; asking it for each request costs a system call


def hex_identifier(digits: int) -> str:
    """So many lower-case hexadecimal digits, different each time."""
    return f"{_random.getrandbits(4 * digits):0{digits}x}"

"""Breaking a recording: by chance, or everywhere it can be cut and every number in its head set to an extreme."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

Mutation = Callable[[bytearray, bytes, random.Random], None]

HEAD_BYTES = 2_048
"""Most of what describes a recording stands at its beginning or end."""


def _at(data: bytearray, chance: random.Random) -> int:
    where = chance.random()
    if where < 0.6:
        return chance.randrange(min(len(data), HEAD_BYTES))
    if where < 0.8:
        return len(data) - 1 - chance.randrange(min(len(data), HEAD_BYTES))
    return chance.randrange(len(data))


def _flip(data: bytearray, other: bytes, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 1, 2, 8, 64))):
        data[_at(data, chance)] ^= 1 << chance.randrange(8)


def _overwrite(data: bytearray, other: bytes, chance: random.Random) -> None:
    at, length = _at(data, chance), chance.choice((1, 2, 4, 8, 64, 1_000))
    extreme = bytes([chance.choice((0, 0x7F, 0x80, 0xFF))]) * length
    piece = chance.choice((extreme, chance.randbytes(length)))
    data[at : at + length] = piece[: len(data) - at]


def _number(data: bytearray, other: bytes, chance: random.Random) -> None:
    width = chance.choice((1, 2, 4, 8))
    value = chance.choice(extremes(width, len(data)))
    at = _at(data, chance)
    data[at : at + width] = value.to_bytes(width, chance.choice(("big", "little")))


def _insert(data: bytearray, other: bytes, chance: random.Random) -> None:
    at = _at(data, chance)
    data[at:at] = chance.randbytes(chance.choice((1, 3, 100)))


def _delete(data: bytearray, other: bytes, chance: random.Random) -> None:
    at = _at(data, chance)
    del data[at : at + chance.choice((1, 2, 4, 100, 10_000))]


def _repeat(data: bytearray, other: bytes, chance: random.Random) -> None:
    start = _at(data, chance)
    piece = data[start : start + chance.choice((8, 24, 500, 5_000))]
    at = _at(data, chance)
    data[at:at] = piece * chance.choice((1, 2, 50))


def _swap(data: bytearray, other: bytes, chance: random.Random) -> None:
    length = chance.choice((4, 8, 100, 1_000))
    one, two = sorted((_at(data, chance), _at(data, chance)))
    if one + length <= two and two + length <= len(data):
        data[one : one + length], data[two : two + length] = data[two : two + length], data[one : one + length]


def _splice(data: bytearray, other: bytes, chance: random.Random) -> None:
    data[_at(data, chance) :] = other[chance.randrange(len(other)) :]


def _cut(data: bytearray, other: bytes, chance: random.Random) -> None:
    del data[chance.randrange(len(data)) :]


MUTATIONS: Sequence[Mutation] = (_flip, _overwrite, _number, _number, _insert, _delete, _repeat, _swap, _splice, _cut)


def extremes(width: int, file_bytes: int) -> list[int]:
    """Values that lengths, counts and offsets of so many bytes go wrong at."""
    most = (1 << 8 * width) - 1
    values = {0, 1, 2, 7, 8, most, most - 1, most >> 1, (most >> 1) + 1, file_bytes - 1, file_bytes, file_bytes + 1}
    return sorted(value for value in values if 0 <= value <= most)


def mutated(seed: bytes, other: bytes, chance: random.Random) -> bytes:
    """`seed` after one to five mutations; `other` is what it may be spliced with."""
    data = bytearray(seed)
    for _ in range(chance.choice((1, 1, 2, 3, 5))):
        if not data:
            break
        chance.choice(MUTATIONS)(data, other, chance)
    return bytes(data)


def every_number(seed: bytes, step: int = 1) -> Iterator[bytes]:
    """`seed` with each four-byte number of its head and tail set to each extreme, both ways round."""
    end = len(seed) - 4
    for at in sorted({*range(0, min(end, HEAD_BYTES), step), *range(max(0, end - HEAD_BYTES), end, step)}):
        for value in extremes(4, len(seed)):
            for order in ("big", "little"):
                yield seed[:at] + value.to_bytes(4, order) + seed[at + 4 :]

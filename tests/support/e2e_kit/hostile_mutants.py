"""Good requests, changed at random: the same seed makes the same mutant."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Final

from e2e_kit.hostile import INJECTED, MARKER, PATH, chunk, request

_LENGTH: Final = b"Content-Length: %d" % len(MARKER)
_CHUNKED: Final = b"Transfer-Encoding: chunked"
_LAST: Final = b"0\r\n\r\n"

SEEDS: Final = (
    request(method=b"GET"),
    request(method=b"GET", target=PATH + b"?limit=3&x=%2e%2e"),
    request(method=b"DELETE", target=b"/v1/audio/voices/abc"),
    request(b"Connection: close", b"Accept: */*", method=b"GET"),
    request(_LENGTH, b"Content-Type: application/octet-stream", body=MARKER),
    request(_LENGTH, b"Expect: 100-continue", body=MARKER),
    request(_CHUNKED, body=chunk(MARKER) + _LAST),
    request(_CHUNKED, body=chunk(MARKER[:10]) + b"5;x=y\r\nabcde\r\n" + _LAST),
    request(_CHUNKED, body=chunk(MARKER) + b"0\r\n" + INJECTED + b"\r\n\r\n"),
    request(_LENGTH, body=MARKER) + request(method=b"GET"),
    request(method=b"GET").replace(b"/1.1", b"/1.0", 1),
    request(method=b"GET", target=b"http://h" + PATH),
    request(_LENGTH, b"Authorization: Bearer ky-x", target=b"/v1/audio/voice-clone", body=MARKER),
    request(b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13", method=b"GET"),
    request(b"X-Forwarded-For: 6.6.6.6", b"Connection: x-a, x-b", b"x-a: 1", b"X-B: 2", method=b"GET"),
    request(_LENGTH, b"Content-Type: application/json", target=b"/v1/audio/speech", body=MARKER),
)
_TOKENS: Final = (
    *(b"\r\n", b"\r", b"\n", b"\r\n\r\n", b"\x00", b" ", b"\t", b"\x0b", b":", b",", b";", b'"', b"\xff", b"\xc0\xae"),
    *(b"0", b"-", b"+", b"0x", b"chunked", b"identity", b"GET ", b"/", b"/..", b"%2e%2e/", b"%00", b"#", b"?", b"@"),
    *(b" HTTP/1.1", b" HTTP/1.0", b" HTTP/2.0", b"Host: h\r\n", b"Content-Length: 0\r\n", b"Content-Length: 5\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Connection: keep-alive\r\n", b"Upgrade: h2c\r\n", b"0\r\n\r\n", b"\r\n "),
)


def mutant(number: int) -> tuple[bytes, ...]:
    """The pieces of mutant `number`, to be written one after another."""
    chance = random.Random(number)
    data = chance.choice(SEEDS)
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 5))):
        data = chance.choice(_MUTATIONS)(data, chance)
    cuts = sorted(chance.randrange(len(data) + 1) for _ in range(chance.choice((0, 0, 0, 1, 2, 3))))
    edges = [0, *cuts, len(data)]
    pieces = (data[begin:end] for begin, end in itertools.pairwise(edges))
    return tuple(piece for piece in pieces if piece)


def _place(data: bytes, chance: random.Random) -> int:
    """Anywhere, but rather in the head: that is where bytes mean most."""
    head = data.find(b"\r\n\r\n") + 4
    return chance.randrange(len(data) + 1) if chance.random() < 0.4 or head < 4 else chance.randrange(head + 1)


def _flip(data: bytes, chance: random.Random) -> bytes:
    at = _place(data, chance)
    return data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :] if at < len(data) else data


def _insert(data: bytes, chance: random.Random) -> bytes:
    at = _place(data, chance)
    return data[:at] + (chance.choice(_TOKENS) if chance.random() < 0.8 else chance.randbytes(3)) + data[at:]


def _delete(data: bytes, chance: random.Random) -> bytes:
    at = _place(data, chance)
    return data[:at] + data[at + chance.choice((1, 1, 1, 2, 4, 16)) :]


def _duplicate(data: bytes, chance: random.Random) -> bytes:
    at, size = _place(data, chance), chance.choice((1, 2, 8, 32))
    return data[:at] + data[at : at + size] * 2 + data[at + size :]


def _splice(data: bytes, chance: random.Random) -> bytes:
    other = chance.choice(SEEDS)
    return data[: _place(data, chance)] + other[_place(other, chance) :]


def _swap_tokens(data: bytes, chance: random.Random) -> bytes:
    separator = chance.choice((b" ", b"\r\n", b": ", b"/"))
    tokens = data.split(separator)
    one, other = chance.randrange(len(tokens)), chance.randrange(len(tokens))
    tokens[one], tokens[other] = tokens[other], tokens[one]
    return separator.join(tokens)


def _shuffle_headers(data: bytes, chance: random.Random) -> bytes:
    head, end, body = data.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    if chance.random() < 0.5 and lines:
        lines.append(chance.choice(lines))
    chance.shuffle(lines)
    return b"\r\n".join([first, *lines]) + end + body


def _replace(data: bytes, chance: random.Random) -> bytes:
    return data.replace(chance.choice((b"\r\n", b" ", b": ", b"1", b"/")), chance.choice(_TOKENS), 1)


_MUTATIONS: Final[tuple[Callable[[bytes, random.Random], bytes], ...]] = (
    *(_flip, _insert, _insert, _delete, _duplicate, _splice, _swap_tokens, _shuffle_headers, _replace),
)

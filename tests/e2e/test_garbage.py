"""A request leaves nothing behind that only the garbage collector could free: with it a whole body would stay."""

from __future__ import annotations

import gc
from collections import Counter

import pytest

from e2e_kit.raw_edge import Edge, answer, request, upload

CHUNKED = b"5\r\nhello\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (request(), answer(b"Content-Length: 5", body=b"hello")),
        (request(), answer(b"Content-Length: 300000", body=bytes(300_000))),
        (request(), answer(b"Transfer-Encoding: chunked", body=CHUNKED)),
        (upload(b"Content-Length: 5") + b"hello", answer(b"Content-Length: 5", body=b"hello")),
        (upload(b"Content-Length: 300000") + bytes(300_000), answer(b"Content-Length: 5", body=b"hello")),
        (upload(b"Transfer-Encoding: chunked") + CHUNKED, answer(b"Content-Length: 5", body=b"hello")),
    ],
    ids=["small", "large", "stream", "small upload", "large upload", "chunked upload"],
)
async def test_a_request_leaves_no_cycles_behind(edge: Edge, asked: bytes, told: bytes) -> None:
    edge.origin.answering(told)
    wire = await edge.connect()

    async def ask() -> None:
        await wire.send(asked)
        await wire.message()

    for _ in range(5):
        await ask()
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for _ in range(20):
            await ask()
        gc.collect()
        left = Counter(type(each).__qualname__ for each in gc.garbage if type(each).__module__.startswith("kyma_proxy"))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert not left

"""Whole answers: the same audio whatever their size, in bounded memory, while others get their turn."""

from __future__ import annotations

import asyncio
import json
import threading
import tracemalloc
from typing import Any

import pytest

from kyma_proxy.upstreams.minimax import whole_audio
from kyma_proxy.upstreams.minimax.whole_audio import LARGE_AT_ONCE_MAX, SMALL_BYTES_MAX, WholeAnswers, decode
from kyma_proxy.upstreams.minimax.wire import Answer, usage_characters_of
from kyma_proxy.upstreams.transport import IncomingReply

LARGE = bytes(range(256)) * 2048
OK = {"status_code": 0, "status_msg": ""}


def body_of(audio: object, **more: Any) -> bytearray:
    fields = {"data": {"audio": audio, "status": 2}, "extra_info": {"usage_characters": 27}, "base_resp": OK, **more}
    return bytearray(json.dumps(fields).encode())


class Body:
    """The body of an answer in one chunk."""

    def __init__(self, content: bytearray) -> None:
        self._chunks = [bytes(content)]

    def __aiter__(self) -> Body:
        return self

    async def __anext__(self) -> bytes:
        if not self._chunks:
            raise StopAsyncIteration
        return self._chunks.pop()

    async def aclose(self) -> None:
        pass


def reply_of(content: bytearray) -> IncomingReply:
    body: Any = Body(content)
    return IncomingReply(200, "OK", (), body)


@pytest.mark.parametrize("audio", [b"ID3", LARGE, LARGE[:-1], LARGE * 3])
async def test_the_audio_of_an_answer_of_any_size(audio: bytes) -> None:
    answer, heard = await WholeAnswers().read(reply_of(body_of(audio.hex())), 10_000_000)
    assert (answer.meaning, usage_characters_of(answer.fields), heard == audio) == (None, 27, True)


@pytest.mark.parametrize("bad", ["0", "zz", " ", "\n", "é", "https://cdn.test/x.mp3"])
@pytest.mark.parametrize("size", [10, SMALL_BYTES_MAX])
async def test_audio_that_is_not_whole_hex(bad: str, size: int) -> None:
    for text in ("00" * size + bad, bad + "00" * size):
        with pytest.raises(ValueError):
            await WholeAnswers().read(reply_of(body_of(text)), 10_000_000)


def test_large_answers_that_are_something_else() -> None:
    refused, audio = decode(200, body_of(LARGE.hex(), base_resp={"status_code": 1027, "status_msg": "no"}))
    assert (refused.code, audio) == (1027, b"")
    cut, audio = decode(200, body_of(LARGE.hex())[:-100_000])
    assert (cut.meaning is None, audio) == (False, b"")
    assert decode(200, bytearray(b"[" * SMALL_BYTES_MAX * 2))[0].meaning is not None
    elsewhere = {"note": {"audio": "00" * SMALL_BYTES_MAX}, "data": {"audio": "494433"}, "base_resp": OK}
    assert decode(200, bytearray(json.dumps(elsewhere).encode()))[1] == b"ID3"


def test_long_audio_takes_half_as_much_memory_again() -> None:
    body = body_of((LARGE * 8).hex())
    size = len(body)
    tracemalloc.start()
    try:
        _, audio = decode(200, body)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert audio == LARGE * 8
    assert not body
    assert peak_bytes < size * 1.1  # beyond the body itself, which is given back before the pieces are joined


async def test_a_few_large_answers_at_once_and_off_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, running, most = threading.Event(), 0, 0
    lock = threading.Lock()

    def slow(status: int, body: bytearray) -> tuple[Answer, bytes]:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        go_on.wait(5)
        with lock:
            running -= 1
        return Answer(), b"x"

    monkeypatch.setattr(whole_audio, "decode", slow)
    answers = WholeAnswers()
    loop = asyncio.get_running_loop()
    large = body_of(LARGE.hex())
    tasks = [loop.create_task(answers.read(reply_of(large), 10_000_000)) for _ in range(5)]
    await asyncio.sleep(0.05)
    tasks[0].cancel()
    await asyncio.sleep(0.05)
    assert running == most == LARGE_AT_ONCE_MAX
    go_on.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1:] == [(Answer(), b"x")] * 4
    assert most == LARGE_AT_ONCE_MAX
